"""Laws of the README: what it says of settings, routes and commands is what there is."""

import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from service.app import create_app
from service.cli import app as command_line
from service.settings import ServiceSettings
from worker.settings import WorkerSettings

README = (Path(__file__).parents[1] / "README.md").read_text()
READERS = {"api": ServiceSettings.model_fields, "worker": WorkerSettings.model_fields}
NAMES = sorted({name for fields in READERS.values() for name in fields})


def row(name: str) -> str:
    """The row of the settings table that a field should have."""
    found: dict[str, FieldInfo] = {reader: fields[name] for reader, fields in READERS.items() if name in fields}
    field = next(iter(found.values()))
    return f"| `{name.upper()}` | {', '.join(found)} | {field.description} | `{field.default}` |"


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_has_its_row(name: str) -> None:
    assert row(name) in README.splitlines()


def test_no_row_names_a_setting_that_is_gone() -> None:
    assert sorted(re.findall(r"^\| `([A-Z_]+)` \| (?:api|worker)", README, re.MULTILINE)) == [n.upper() for n in NAMES]


def test_every_route_is_shown() -> None:
    paths = create_app(ServiceSettings(redis_url="redis://127.0.0.1:1/0")).openapi()["paths"]
    shown = README.replace("$job", "{job_id}").replace("/models/mnist-28", "/models/{name}")
    assert [path for path in paths if f"localhost:8000{path}" not in shown] == []


def test_every_command_is_named() -> None:
    names = [command.name for command in command_line.registered_commands]
    assert [name for name in names if f"`tarflow {name}" not in README] == []


def test_it_is_no_longer_than_a_reader_has_patience_for() -> None:
    assert len(README.splitlines()) <= 150

"""Laws of the README: what it says of routes and commands is what there is."""

from pathlib import Path

from service.app import create_app
from service.cli import app as command_line
from service.settings import ServiceSettings

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_every_route_is_shown() -> None:
    paths = create_app(ServiceSettings(redis_url="redis://127.0.0.1:1/0")).openapi()["paths"]
    shown = README.replace("$job", "{job_id}").replace("/models/mnist-28", "/models/{name}")
    assert [path for path in paths if f"localhost:8000{path}" not in shown] == []


def test_every_command_is_named() -> None:
    names = [command.name for command in command_line.registered_commands]
    assert [name for name in names if f"`tarflow {name}" not in README] == []


def test_it_is_no_longer_than_a_reader_has_patience_for() -> None:
    assert len(README.splitlines()) <= 150

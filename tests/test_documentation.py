"""Laws of the README and what it leads to: what they say of routes, commands and extras is what there is."""

import re
import tomllib
from pathlib import Path

import pytest

from service.app import create_app
from service.cli import app as command_line
from service.settings import ServiceSettings

REPOSITORY = Path(__file__).parents[1]
PAGES = [
    file for folder in (".", "docs", "benchmarks", "model/checkpoints/*") for file in REPOSITORY.glob(f"{folder}/*.md")
]
README = (REPOSITORY / "README.md").read_text()


def test_every_route_is_shown() -> None:
    paths = create_app(ServiceSettings(redis_url="redis://127.0.0.1:1/0")).openapi()["paths"]
    shown = README.replace("$job", "{job_id}").replace("/models/mnist-28", "/models/{name}")
    assert [path for path in paths if f"localhost:8000{path}" not in shown] == []


def test_every_command_is_named() -> None:
    names = [command.name for command in command_line.registered_commands]
    assert [name for name in names if f"`tarflow {name}" not in README] == []


def test_every_extra_that_somebody_is_told_to_install_is_one_of_the_repository() -> None:
    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    folders = ("docs/*.md", "benchmarks/*", "service/*.py", "telemetry/*.py", "training/*.py", "worker/*.py")
    texts = [README, *(file.read_text() for folder in folders for file in REPOSITORY.glob(folder) if file.is_file())]
    told = [(path, extra) for text in texts for path, extra in re.findall(r"pip install.*?([\w.-]+)\[(\w+)\]", text)]
    assert {path for path, _ in told} == {"."}
    assert {extra for _, extra in told} <= set(extras)


def headings(file: Path) -> set[str]:
    """What a link may have behind its #: the headings of a page, as GitHub writes them."""
    found = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, heading = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not heading or heading in headings(file), target


def test_it_is_no_longer_than_a_reader_has_patience_for() -> None:
    assert len(README.splitlines()) <= 150

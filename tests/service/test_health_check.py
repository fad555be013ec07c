"""Owns the laws of `tarflow health` and `tarflow key`: one line each, and an exit status that means something."""

import httpx
import pytest
from typer.testing import CliRunner

from service.api_keys import ApiKeys
from service.cli import app
from service.health_check import own_probe
from service.settings import ServiceSettings
from tests.service.stand_in import StandIn


def health(*arguments: str, **environment: str) -> tuple[int, str]:
    """The exit status of the command, and what it printed."""
    outcome = CliRunner().invoke(app, ["health", *arguments], env=environment)
    return outcome.exit_code, outcome.stdout


@pytest.mark.usefixtures("stand_in")
def test_a_probe_that_is_content_is_exit_status_0(live_api: httpx.Client) -> None:
    status, said = health("--url", f"{live_api.base_url}/livez")
    assert (status, said.count("\n")) == (0, 1)
    assert "200" in said
    assert "alive" in said


def test_a_probe_that_is_not_content_is_exit_status_1_and_says_why(deserted_api: httpx.Client) -> None:
    status, said = health("--url", f"{deserted_api.base_url}/readyz")
    assert (status, said.count("\n")) == (1, 1)
    assert "503" in said
    assert "no live worker of digits" in said


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/readyz", "ftp://127.0.0.1/", "nonsense", "http://[::/"])
def test_nobody_there_is_exit_status_1_in_one_line(url: str) -> None:
    status, said = health("--url", url)
    assert (status, said.count("\n")) == (1, 1)


def test_by_default_it_asks_whether_the_api_of_this_machine_is_ready(live_api: httpx.Client, stand_in: StandIn) -> None:
    assert stand_in.facts
    status, said = health(TARFLOW_PORT=str(live_api.base_url.port))
    assert status == 0
    assert said.startswith(f"http://127.0.0.1:{live_api.base_url.port}/readyz: 200 ")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/readyz"),
        ("0.0.0.0", "http://127.0.0.1:8000/readyz"),
        ("::", "http://[::1]:8000/readyz"),
        ("192.0.2.1", "http://192.0.2.1:8000/readyz"),
    ],
)
def test_the_api_is_asked_where_it_listens(host: str, url: str) -> None:
    assert own_probe(ServiceSettings(host=host)) == url


def test_a_key_that_is_made_is_known_by_the_entry_beside_it() -> None:
    outcome = CliRunner().invoke(app, ["key", "ada"])
    secret, entry = (line.rpartition(": ")[2] for line in outcome.stdout.splitlines())
    assert outcome.exit_code == 0
    assert ApiKeys.parse(ServiceSettings(api_keys=entry).api_keys).owner(secret) == "ada"


def test_a_name_that_is_none_is_exit_status_2() -> None:
    outcome = CliRunner().invoke(app, ["key", "a:b"])
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "'a:b' is no name" in outcome.stderr

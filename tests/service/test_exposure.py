"""Owns the laws of listening: open to this machine alone, unless there are keys or it is meant so."""

import pytest
from typer.testing import CliRunner

from service.api_keys import new_key
from service.cli import app
from service.exposure import OpenToStrangers, check_exposure, is_loopback
from service.settings import ServiceSettings

ELSEWHERE = ["0.0.0.0", "::", "192.0.2.1", "", "256.0.0.1"]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_a_loopback_address_is_this_machines_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_any_other_address_is_not(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("host", ELSEWHERE)
def test_an_open_service_is_refused_naming_both_ways_out(host: str) -> None:
    with pytest.raises(OpenToStrangers, match=r"TARFLOW_API_KEYS.*TARFLOW_ALLOW_ANONYMOUS=true"):
        check_exposure(ServiceSettings(host=host))


@pytest.mark.parametrize("more", [{"allow_anonymous": True}, {"api_keys": new_key("ada")[1].entry}])
def test_either_way_out_is_one(more: dict[str, object]) -> None:
    check_exposure(ServiceSettings(host="0.0.0.0", **more))  # type: ignore[arg-type]


def test_on_loopback_nothing_is_asked() -> None:
    check_exposure(ServiceSettings())


@pytest.mark.parametrize("command", ["api", "serve"])
def test_the_command_line_does_not_start_an_open_service(command: str) -> None:
    outcome = CliRunner().invoke(app, [command, "--host", "0.0.0.0"])
    assert outcome.exit_code == 2
    assert outcome.stderr.startswith(f"tarflow {command}: other machines can reach '0.0.0.0'")

"""Owns the laws of what `tarflow serve` says: lines that work as they stand."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.api_keys import new_key
from service.serve import UNUSED_DATA_DIR, invitation
from service.settings import ServiceSettings


@pytest.mark.parametrize(("host", "url"), [("::1", "http://[::1]:8000"), ("", "http://127.0.0.1:8000")])
def test_every_address_that_it_says_can_be_asked(host: str, url: str) -> None:
    said = invitation(ServiceSettings(host=host))
    assert said.count("http://") == said.count(url) == len(["the page", "its documentation", "a picture"])


def test_the_line_to_try_asks_for_nothing_that_a_model_might_not_have() -> None:
    (line,) = [each.strip() for each in invitation(ServiceSettings()).splitlines() if "curl" in each]
    assert line == 'curl -X POST "http://127.0.0.1:8000/generate" -o picture.png'


def test_where_keys_are_asked_the_line_to_try_has_a_place_for_one() -> None:
    _, key = new_key("ada")
    assert '-H "Authorization: Bearer KEY"' in invitation(ServiceSettings(api_keys=key.entry))


def test_what_is_not_served_is_not_said() -> None:
    said = invitation(ServiceSettings(docs=False, page=False))
    assert ("/docs" in said, "browser" in said) == (False, False)


def test_a_folder_for_data_that_is_not_used_is_said_to_be_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = (sys.executable, "-m", "service", "serve", "--data-dir", str(tmp_path), "--port", str(port))
        environment = {**os.environ, "TARFLOW_REDIS_URL": "redis://127.0.0.1:1/0"}
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, UNUSED_DATA_DIR in ended.stderr) == (2, True)

"""Laws of log lines: one record is one line, whatever a stranger put into it."""

import json
import logging
import sys
from typing import Any

import pytest

from telemetry.log_lines import (
    LONGEST_MESSAGE,
    LONGEST_TRACEBACK,
    LONGEST_VALUE,
    TEXT,
    JsonLines,
    TextLines,
    log_fields,
)

NASTY = "GET /x\r\n2026-01-01 INFO forged\x1b[31m\u2028\x85end"


def record(message: str, fields: dict[str, Any] | None = None, error: BaseException | None = None) -> logging.LogRecord:
    """A record as a logger makes it."""
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("service.it", logging.INFO, "it.py", 1, "%s", (message,), info)
    if fields is not None:
        made.fields = fields
    return made


def as_json(*arguments: Any) -> dict[str, Any]:
    """The line of a record, read again."""
    line: dict[str, Any] = json.loads(JsonLines().format(record(*arguments)))
    return line


def as_text(*arguments: Any) -> str:
    """The line of a record for people."""
    return TextLines(TEXT).format(record(*arguments))


def raised(text: str) -> ZeroDivisionError:
    """An error that was raised."""
    try:
        raise ZeroDivisionError(text)
    except ZeroDivisionError as error:
        return error


def test_a_line_says_when_who_and_what() -> None:
    line = as_json("it is so")
    assert set(line) == {"time", "level", "logger", "message"}
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "service.it", "it is so")
    assert line["time"].endswith("+00:00")


def test_named_values_keep_their_types() -> None:
    line = as_json("it", {"status": 200, "run_ms": 1.5, "route": "/x"})
    assert [line["status"], line["run_ms"], line["route"]] == [200, 1.5, "/x"]


def test_a_named_value_cannot_take_the_place_of_what_a_line_says() -> None:
    assert as_json("it is so", {"level": "FORGED", "message": "forged"})["message"] == "it is so"


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines(TEXT)])
def test_a_record_is_one_line_whatever_it_holds(formatter: logging.Formatter) -> None:
    assert len(formatter.format(record(NASTY, {"client": NASTY})).splitlines()) == 1


def test_what_a_stranger_said_can_be_read_back_from_json() -> None:
    assert as_json(NASTY, {"client": NASTY})["client"] == NASTY


def test_a_terminal_is_not_coloured_by_a_stranger() -> None:
    assert "\x1b" not in as_text(NASTY, {"client": NASTY})


def test_values_stand_at_the_end_of_a_line_for_people() -> None:
    assert as_text("done", {"route": "/jobs/{job_id}", "model": "a b"}).endswith(
        'service.it done route=/jobs/{job_id} model="a b"'
    )


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines(TEXT)])
def test_a_line_is_no_longer_than_its_bounds(formatter: logging.Formatter) -> None:
    line = formatter.format(record("m" * 10**6, {"client": "c" * 10**6}))
    assert (line.count("m") - LONGEST_MESSAGE < 20, line.count("c") - LONGEST_VALUE < 20) == (True, True)


def test_an_error_is_a_field_with_its_traceback_bounded_from_the_end() -> None:
    line = as_json("it failed", None, raised("e" * 10**6 + "the end"))
    assert line["error"].endswith("the end")
    assert len(line["error"]) == LONGEST_TRACEBACK


def test_people_see_the_traceback_below_the_line() -> None:
    assert as_text("it failed", {"n": 1}, raised("it")).splitlines()[-1] == "ZeroDivisionError: it"


def test_a_value_that_json_does_not_know_is_its_text() -> None:
    assert as_json("it", {"module": sys})["module"] == str(sys)


def test_none_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        log_fields(logging.getLogger("it"), logging.INFO, "it", {"client": None, "status": 0})
    assert vars(caplog.records[0])["fields"] == {"status": 0}

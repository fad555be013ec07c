"""Log records as lines: text for people, JSON for machines.

Owns the two forms, and the bounds on what a stranger can put into them. Knows nothing of what is logged.
"""

import json
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

LONGEST_MESSAGE = 2000
LONGEST_VALUE = 200
LONGEST_TRACEBACK = 20_000
TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
# What could begin a line, or a colour, of its own.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
PLAIN = re.compile(r"[\w./:{}+@<>-]+", re.ASCII)


def configure(log_format: LogFormat) -> None:
    """Write this process's log to standard error; the first call decides."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == "json" else TextLines(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def log_fields(logger: logging.Logger, level: int, message: str, fields: Mapping[str, Any]) -> None:
    """Log a message with named values; None is left out."""
    logger.log(level, message, extra={"fields": {name: value for name, value in fields.items() if value is not None}})


class JsonLines(logging.Formatter):
    """One JSON object a line; an exception's text is its field `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage()[:LONGEST_MESSAGE],
        }
        line = {**{name: _bounded(value) for name, value in _fields(record).items()}, **line}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)[-LONGEST_TRACEBACK:]
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """A line as people read it, with named values at its end."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The first line of a record; an exception's lines follow it."""
        values = "".join(f" {name}={_as_text(value)}" for name, value in _fields(record).items())
        record.message = record.message[:LONGEST_MESSAGE]
        return CONTROL.sub(lambda found: repr(found[0])[1:-1], super().formatMessage(record)) + values


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _bounded(value: Any) -> Any:
    return value[:LONGEST_VALUE] if isinstance(value, str) else value


def _as_text(value: Any) -> str:
    text = str(_bounded(value))
    return text if PLAIN.fullmatch(text) else json.dumps(text)

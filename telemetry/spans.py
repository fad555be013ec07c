"""Spans, where somebody collects them.

Owns the decision whether OpenTelemetry is loaded at all: by its own variables `OTEL_*`, once, at the
start of a process. Knows nothing of what spans are about.
"""

import importlib
import logging
import os
from collections.abc import Mapping
from typing import Protocol

from telemetry.traces import Trace

Attributes = Mapping[str, str | int | float]

INSTALL = ".venv/bin/pip install -e '.[otel]' in the repository"

log = logging.getLogger(__name__)


class Spans(Protocol):
    """Where spans go."""

    def record(self, name: str, trace: Trace, begun_s: float, ended_s: float, attributes: Attributes) -> None:
        """Tell of a span that has ended; the times are Unix times."""
        ...


class NoSpans:
    """Nowhere."""

    def record(self, name: str, trace: Trace, begun_s: float, ended_s: float, attributes: Attributes) -> None:
        """Nothing."""


def collected_spans(service_name: str, environment: Mapping[str, str] = os.environ) -> Spans:
    """What the environment asks for: OpenTelemetry's exporter, or nothing."""
    if not _wanted(environment):
        return NoSpans()
    try:
        # Here and not above: who does not want it does not pay for it.
        otel = importlib.import_module("telemetry.otel")
    except ImportError as error:
        log.warning("no spans: OTEL_* is set, but %s is missing: %s", error.name, INSTALL)
        return NoSpans()
    spans: Spans = otel.OtelSpans.started(service_name, environment.get("OTEL_TRACES_EXPORTER", "otlp"))
    return spans


def _wanted(environment: Mapping[str, str]) -> bool:
    exporter = environment.get("OTEL_TRACES_EXPORTER", "")
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none":
        return False
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return bool(exporter) or any(environment.get(name) for name in endpoints)

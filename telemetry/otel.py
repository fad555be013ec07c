"""Spans through the OpenTelemetry SDK (extra `otel`).

Owns the exporter, and spans with ids given beforehand. Imported by `telemetry.spans` alone, when asked for.
"""

from contextvars import ContextVar
from typing import Self

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from telemetry.spans import Attributes
from telemetry.traces import Trace

EXPORTERS: dict[str, type[SpanExporter]] = {"otlp": OTLPSpanExporter, "console": ConsoleSpanExporter}
NANOSECONDS = 10**9
# How the SDK calls a service that the environment does not name.
UNNAMED = "unknown_service"


class GivenIds(IdGenerator):
    """The ids that a span has in our logs and in the headers we sent, not new ones."""

    def __init__(self) -> None:
        self.given: ContextVar[Trace] = ContextVar("given")

    def generate_span_id(self) -> int:
        """The span's."""
        return int(self.given.get().span_id, 16)

    def generate_trace_id(self) -> int:
        """The trace's, asked for where there is no parent."""
        return int(self.given.get().trace_id, 16)


class OtelSpans:
    """Spans for an exporter that sends them in a thread of its own."""

    def __init__(self, provider: TracerProvider, ids: GivenIds) -> None:
        self.provider, self.ids = provider, ids
        self.tracer = provider.get_tracer("tarflow")

    @classmethod
    def started(cls, service_name: str, exporter: str) -> Self:
        """With OpenTelemetry's own settings; `OTEL_SERVICE_NAME` comes before `service_name`.

        Raises:
            ValueError: No such exporter.
        """
        if exporter not in EXPORTERS:
            raise ValueError(f"OTEL_TRACES_EXPORTER: {exporter!r} is none of {', '.join(EXPORTERS)}, none")
        ids = GivenIds()
        resource = Resource.create()
        if str(resource.attributes["service.name"]).startswith(UNNAMED):
            resource = resource.merge(Resource({"service.name": service_name}))
        provider = TracerProvider(resource=resource, id_generator=ids)
        provider.add_span_processor(BatchSpanProcessor(EXPORTERS[exporter]()))
        return cls(provider, ids)

    def record(self, name: str, trace: Trace, begun_s: float, ended_s: float, attributes: Attributes) -> None:
        """Tell of a span that has ended."""
        token = self.ids.given.set(trace)
        try:
            span = self.tracer.start_span(
                name, context=_parent(trace), start_time=int(begun_s * NANOSECONDS), attributes=dict(attributes)
            )
            span.end(int(ended_s * NANOSECONDS))
        finally:
            self.ids.given.reset(token)


def _parent(trace: Trace) -> Context:
    if trace.parent_id is None:
        return Context()
    flags = api.TraceFlags(api.TraceFlags.SAMPLED if trace.sampled else api.TraceFlags.DEFAULT)
    parent = api.SpanContext(int(trace.trace_id, 16), int(trace.parent_id, 16), is_remote=True, trace_flags=flags)
    return api.set_span_in_context(api.NonRecordingSpan(parent), Context())

"""Laws of spans: nowhere unless asked for, and with the ids that were given."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from telemetry.otel import GivenIds, OtelSpans
from telemetry.spans import NoSpans, collected_spans
from telemetry.traces import Trace

TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
UNDER = Trace.under(f"00-{TRACE_ID}-{PARENT_ID}-01")
PROGRAMME = """
import sys, time
from telemetry.spans import collected_spans
from telemetry.traces import Trace
trace = Trace.under(sys.argv[1])
spans = collected_spans("tarflow-it")
spans.record("it", trace, 1.5, 2.5, {"n": 1})
print(trace.span_id, "opentelemetry.sdk.trace" in sys.modules)
"""


@pytest.fixture
def kept() -> InMemorySpanExporter:
    """Where the spans of a test end."""
    return InMemorySpanExporter()


@pytest.fixture
def spans(kept: InMemorySpanExporter) -> OtelSpans:
    """Spans that go there at once."""
    ids = GivenIds()
    provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return OtelSpans(provider, ids)


@pytest.fixture
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The URL of a collector, and what it is sent."""
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", received
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "it"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    ],
)
def test_who_does_not_ask_for_spans_gets_none(environment: dict[str, str]) -> None:
    assert isinstance(collected_spans("it", environment), NoSpans)


def test_an_exporter_that_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"OTEL_TRACES_EXPORTER: 'zipkin' is none of otlp, console"):
        collected_spans("it", {"OTEL_TRACES_EXPORTER": "zipkin"})


def test_a_span_has_the_ids_that_were_given(spans: OtelSpans, kept: InMemorySpanExporter) -> None:
    spans.record("it", UNDER, 1.5, 2.5, {"n": 1})
    (span,) = kept.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.context.trace_id, span.context.span_id) == (int(TRACE_ID, 16), int(UNDER.span_id, 16))
    assert span.parent.span_id == int(PARENT_ID, 16)


def test_the_first_span_of_a_trace_has_the_id_that_was_given(spans: OtelSpans, kept: InMemorySpanExporter) -> None:
    trace = Trace.under(None)
    spans.record("it", trace, 1.5, 2.5, {})
    (span,) = kept.get_finished_spans()
    assert span.context is not None
    assert (span.context.trace_id, span.parent) == (int(trace.trace_id, 16), None)


def test_a_span_lasts_from_when_to_when_it_was_said(spans: OtelSpans, kept: InMemorySpanExporter) -> None:
    spans.record("it", UNDER, 1.5, 2.5, {"n": 1})
    (span,) = kept.get_finished_spans()
    assert (span.start_time, span.end_time, dict(span.attributes or {})) == (1_500_000_000, 2_500_000_000, {"n": 1})


def test_a_trace_that_is_not_to_be_recorded_is_not(spans: OtelSpans, kept: InMemorySpanExporter) -> None:
    spans.record("it", Trace.under(f"00-{TRACE_ID}-{PARENT_ID}-00"), 1.5, 2.5, {})
    assert kept.get_finished_spans() == ()


def run(**environment: str) -> list[str]:
    """What a process with an environment prints that records one span."""
    command = (sys.executable, "-c", PROGRAMME, f"00-{TRACE_ID}-{PARENT_ID}-01")
    path = json.dumps(sys.path)
    prelude = f"import sys; sys.path[:] = {path}\n"
    command = (*command[:2], prelude + PROGRAMME, command[3])
    return subprocess.check_output(command, env=environment, text=True, timeout=60).split()


def test_a_process_that_is_not_asked_does_not_load_the_sdk() -> None:
    assert run()[1] == "False"


def test_a_collector_that_the_environment_names_receives_the_span(collector: tuple[str, list[bytes]]) -> None:
    url, received = collector
    span_id, loaded = run(OTEL_EXPORTER_OTLP_ENDPOINT=url)
    assert loaded == "True"
    request = ExportTraceServiceRequest.FromString(received[0])
    (resource,) = request.resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "tarflow-it"
    assert [span.span_id.hex() for scope in resource.scope_spans for span in scope.spans] == [span_id]


def test_the_environment_names_the_service(collector: tuple[str, list[bytes]]) -> None:
    url, received = collector
    run(OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SERVICE_NAME="another")
    (resource,) = ExportTraceServiceRequest.FromString(received[0]).resource_spans
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == "another"

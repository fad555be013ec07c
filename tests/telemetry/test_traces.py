"""Laws of the header `traceparent` (W3C Trace Context, level 1)."""

import re

import pytest

from telemetry.traces import Trace

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE_ID}-{SPAN_ID}-01"


def test_a_span_is_part_of_the_one_that_the_header_names() -> None:
    trace = Trace.under(HEADER)
    assert (trace.trace_id, trace.parent_id, trace.sampled) == (TRACE_ID, SPAN_ID, True)


def test_a_span_has_an_id_of_its_own() -> None:
    assert len({SPAN_ID, Trace.under(HEADER).span_id, Trace.under(HEADER).span_id}) == 3


def test_who_does_not_want_it_recorded_is_heeded() -> None:
    assert not Trace.under(f"00-{TRACE_ID}-{SPAN_ID}-00").sampled


def test_what_a_span_hands_on_makes_another_part_of_it() -> None:
    outer = Trace.under(HEADER)
    inner = Trace.under(outer.traceparent)
    assert (inner.trace_id, inner.parent_id, inner.sampled) == (TRACE_ID, outer.span_id, outer.sampled)


def test_sisters_share_all_but_their_id() -> None:
    trace = Trace.under(HEADER)
    sister = trace.sister()
    assert (sister.trace_id, sister.parent_id) == (trace.trace_id, trace.parent_id)
    assert sister.span_id != trace.span_id


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert Trace.under(f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-brings").trace_id == TRACE_ID


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        HEADER.upper(),
        HEADER[:-1],
        HEADER + "0",
        HEADER + "-more",
        f" {HEADER}",
        f"{HEADER}\n",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-0g",
        f"{HEADER},{HEADER}",
    ],
)
def test_without_a_header_that_is_one_a_new_trace_begins(header: str | None) -> None:
    trace = Trace.under(header)
    assert trace.parent_id is None
    assert trace.trace_id != TRACE_ID
    assert re.fullmatch(f"00-{trace.trace_id}-{trace.span_id}-01", trace.traceparent)
    assert Trace.under(trace.traceparent).trace_id == trace.trace_id

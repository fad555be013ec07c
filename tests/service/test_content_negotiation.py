"""Owns the laws of `Accept` and `Prefer`."""

import pytest

from service.content_negotiation import JSON, PNG, Preference, accepted_type, preference
from service.errors import BadHeader, NotAcceptable

DEFAULT_WAIT_S = 30.0


def accepted(accept: str | None) -> str:
    """What is answered where a picture is offered first."""
    return accepted_type(accept, (PNG, JSON))


def preferred(prefer: str | None) -> Preference:
    """How a header is read."""
    return preference(prefer, DEFAULT_WAIT_S)


@pytest.mark.parametrize("accept", [None, "", "*/*", "*", "text/html, */*;q=0.8"])
def test_who_does_not_care_gets_what_is_offered_first(accept: str | None) -> None:
    assert accepted(accept) == PNG


@pytest.mark.parametrize("accept", ["image/png, application/json", "application/json, image/png"])
def test_a_tie_goes_to_what_is_offered_first(accept: str) -> None:
    assert accepted(accept) == PNG


@pytest.mark.parametrize("accept", ["application/json", "application/*", "APPLICATION/JSON", "a/b,application/json"])
def test_what_alone_matches_is_answered(accept: str) -> None:
    assert accepted(accept) == JSON


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        ("image/png;q=0.1, application/json;q=0.9", JSON),
        ("image/png;q=0.9, application/json;q=0.1", PNG),
        ("image/png;q=0.5, application/json", JSON),
        ("application/json;q=0.4, */*;q=0.5", PNG),
        ("image/png;Q=0.1, application/json;Q=0.2", JSON),
    ],
)
def test_the_greatest_quality_wins(accept: str, best: str) -> None:
    assert accepted(accept) == best


def test_quality_zero_rules_a_type_out_that_a_wildcard_lets_in() -> None:
    assert accepted("*/*, image/png;q=0") == JSON


@pytest.mark.parametrize("accept", ["text/html", "image/webp", "image/png;q=0", "*/*;q=0", "audio/*", ","])
def test_a_client_that_takes_none_of_the_types_is_told_which_there_are(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="matches none of image/png, application/json"):
        accepted(accept)


@pytest.mark.parametrize("accept", ["png", "image/png/8", ";;", "image/png, json"])
def test_what_is_no_list_of_types_is_a_bad_header(accept: str) -> None:
    with pytest.raises(BadHeader, match="is no list of media types"):
        accepted(accept)


def test_no_more_of_a_bad_header_is_repeated_than_helps() -> None:
    with pytest.raises(BadHeader) as caught:
        accepted("x" * 10_000)
    assert len(caught.value.detail) < 200


@pytest.mark.parametrize("prefer", [None, "", "handling=lenient", "return=minimal, foo; wait=3", "waiting=5", ","])
def test_without_a_preference_that_is_known_the_default_holds(prefer: str | None) -> None:
    assert preferred(prefer) == Preference(DEFAULT_WAIT_S, None)


@pytest.mark.parametrize("prefer", ["respond-async", "Respond-Async", "foo=bar, respond-async", "respond-async;x=1"])
def test_respond_async_waits_for_nothing(prefer: str) -> None:
    assert preferred(prefer) == Preference(0.0, "respond-async")


@pytest.mark.parametrize("prefer", ["wait=5", "Wait=5", 'wait="5"', "wait = 5", "foo, wait=5", "wait=5;x=1"])
def test_wait_is_a_number_of_seconds(prefer: str) -> None:
    assert preferred(prefer) == Preference(5.0, "wait=5")


def test_wait_zero_waits_for_nothing() -> None:
    assert preferred("wait=0") == Preference(0.0, "wait=0")


@pytest.mark.parametrize("prefer", ["wait=60", "wait=61", "wait=86400", "wait=" + "9" * 5000])
def test_nobody_waits_for_more_than_a_minute(prefer: str) -> None:
    assert preferred(prefer) == Preference(60.0, "wait=60")


def test_the_first_of_two_waits_holds() -> None:
    assert preferred("wait=1, wait=2") == Preference(1.0, "wait=1")


@pytest.mark.parametrize("prefer", ["respond-async, wait=5", "wait=5, respond-async"])
def test_beside_wait_respond_async_comes_after_the_wait_in_either_order(prefer: str) -> None:
    assert preferred(prefer) == Preference(5.0, prefer)


@pytest.mark.parametrize("value", ["abc", "", "-1", "1.5", "nan", "inf", "1e3", "٣", "5 s"])
def test_a_wait_of_anything_but_whole_seconds_is_a_bad_header_that_names_the_limits(value: str) -> None:
    with pytest.raises(BadHeader, match=r"Prefer: wait takes whole seconds 0\.\.60"):
        preferred(f"wait={value}")


def test_a_bad_wait_is_no_better_beside_respond_async() -> None:
    with pytest.raises(BadHeader):
        preferred("respond-async, wait=abc")


def test_who_wants_previews_waits_as_long_as_others() -> None:
    assert preferred("previews") == Preference(DEFAULT_WAIT_S, "previews", previews=True)


def test_previews_can_be_wanted_with_an_answer_at_once() -> None:
    assert preferred("respond-async, previews") == Preference(0.0, "respond-async, previews", previews=True)

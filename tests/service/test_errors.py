"""Owns the laws of the error tree and its one table."""

import http

import pytest

from service.errors import STATUS, FieldError, InvalidInput, ServiceError, UnknownJob, problem, status_of

CONCRETE = tuple(STATUS)


def subclasses(parent: type[ServiceError]) -> set[type[ServiceError]]:
    """Every class below a class."""
    return {below for child in parent.__subclasses__() for below in {child} | subclasses(child)}


def test_every_error_has_a_row_and_every_row_an_error() -> None:
    assert subclasses(ServiceError) == set(STATUS)


def test_the_rows_are_sorted_by_status() -> None:
    statuses = [status for status, _ in STATUS.values()]
    assert statuses == sorted(statuses)


def test_every_status_is_an_error_of_http() -> None:
    assert all(http.HTTPStatus(status) >= 400 for status, _ in STATUS.values())


def test_no_two_errors_share_a_problem_type() -> None:
    assert len({problem(error("it"))["type"] for error in CONCRETE}) == len(CONCRETE)


@pytest.mark.parametrize("error", CONCRETE)
def test_a_problem_says_what_its_error_says(error: type[ServiceError]) -> None:
    status, title = STATUS[error]
    kind = f"urn:tarflow:problem:{title.lower().replace(' ', '-')}"
    assert problem(error("it is so")) == {"type": kind, "title": title, "status": status, "detail": "it is so"}


@pytest.mark.parametrize("error", CONCRETE)
def test_the_status_of_an_error_is_that_of_its_row(error: type[ServiceError]) -> None:
    assert status_of(error("it is so")) == STATUS[error][0]


@pytest.mark.parametrize("error", CONCRETE)
def test_every_error_says_in_a_sentence_what_it_is(error: type[ServiceError]) -> None:
    assert error.__doc__ is not None
    assert error.__doc__.endswith(".")


def test_a_problem_lists_every_field_that_is_wrong() -> None:
    errors = (FieldError("n", "query", "is too many"), FieldError("image[0]", "body", "is empty"))
    assert problem(InvalidInput("two things", errors))["errors"] == [
        {"field": "n", "in": "query", "message": "is too many"},
        {"field": "image[0]", "in": "body", "message": "is empty"},
    ]


def test_a_field_that_is_wrong_is_named_in_the_detail_too() -> None:
    error = InvalidInput.of("n", "query", "is too many")
    assert (error.detail, error.errors) == ("n: is too many", (FieldError("n", "query", "is too many"),))


def test_an_error_is_its_detail() -> None:
    assert str(UnknownJob("there is none")) == "there is none"

"""Owns the laws of what is said of a value that is refused: plain words, the limit, and what was given."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError

from worker.contract import AS_WHOLE, MAX_SEED, Kind, plain_words, with_value


class Wish(BaseModel):
    """Something of every kind."""

    dial: Annotated[float, Field(ge=0.01, le=20, allow_inf_nan=False)] = 1.0
    fleck: Annotated[float, Field(ge=1e-6)] = 1.0
    share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    seed: Annotated[int, Field(ge=0, le=MAX_SEED), AS_WHOLE] = 0
    flag: bool = False
    name: Annotated[str, Field(min_length=1, max_length=5)] = "a"
    kind: Kind = Kind.SCORE
    colour: Literal["grey", "red"] = "grey"
    shade: Annotated[str, Field(pattern="^[{a}]$")] = "a"


class Needy(BaseModel):
    """Something that must be given."""

    seed: int


def refused(model: type[BaseModel], **given: Any) -> Any:
    """What is found wrong with it."""
    with pytest.raises(ValidationError) as error:
        model.model_validate(given)
    (found,) = error.value.errors()
    return found


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dial", 21, "must be at most 20"),
        ("dial", 0, "must be at least 0.01"),
        ("dial", "nan", "must be finite"),
        ("dial", "strong", "must be a number"),
        ("dial", [1], "must be a number"),
        ("fleck", 0, "must be at least 0.000001"),
        ("share", 0, "must be greater than 0"),
        ("share", 0.5, "must be less than 0.5"),
        ("seed", -1, "must be at least 0"),
        ("seed", MAX_SEED + 1, "must be at most 9007199254740991"),
        ("seed", "1.5", "must be a whole number"),
        ("seed", 1.5, "must be a whole number"),
        ("seed", [1], "must be a whole number"),
        ("flag", "maybe", "must be true or false"),
        ("flag", [1], "must be true or false"),
        ("name", "", "must have 1 or more characters"),
        ("name", "sevens", "must have at most 5 characters"),
        ("name", 7, "must be text"),
        ("kind", "paint", "must be 'generate' or 'score'"),
        ("colour", "blue", "must be 'grey' or 'red'"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words_with_its_limit(field: str, value: Any, words: str) -> None:
    assert plain_words(refused(Wish, **{field: value})) == words


def test_what_we_have_no_words_for_is_said_in_those_of_pydantic() -> None:
    found = refused(Wish, shade="{b}")
    assert plain_words(found) == found["msg"]


def test_what_is_missing_is_said_to_be_so_and_nothing_else() -> None:
    assert with_value(refused(Needy)) == "is missing"


def test_the_value_is_said_too_cut_where_it_is_long() -> None:
    assert with_value(refused(Wish, seed="7" * 59 + "é" * 9)) == f"must be a whole number, got '{'7' * 59}é'"

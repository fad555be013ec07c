"""Owns the laws of API keys: what is made, what is kept, who is known."""

import hashlib

import pytest

from service.api_keys import ApiKeys, new_key

ADA, ADA_KEY = new_key("ada")
BOB, BOB_KEY = new_key("bob")


def test_a_key_is_known_by_its_entry() -> None:
    assert ApiKeys.parse(ADA_KEY.entry).owner(ADA) == "ada"


def test_another_key_is_a_strangers() -> None:
    assert ApiKeys.parse(ADA_KEY.entry).owner(BOB) is None


def test_an_empty_key_is_a_strangers() -> None:
    assert ApiKeys.parse(ADA_KEY.entry).owner("") is None


def test_the_digest_itself_opens_nothing() -> None:
    assert ApiKeys.parse(ADA_KEY.entry).owner(ADA_KEY.digest) is None


def test_each_of_several_keys_is_its_owners() -> None:
    keys = ApiKeys.parse(f"{ADA_KEY.entry}, {BOB_KEY.entry}")
    assert (keys.owner(ADA), keys.owner(BOB)) == ("ada", "bob")


def test_both_keys_of_a_name_are_known_while_they_are_rotated() -> None:
    later, later_key = new_key("ada")
    keys = ApiKeys.parse(f"{ADA_KEY.entry},{later_key.entry}")
    assert (keys.owner(ADA), keys.owner(later)) == ("ada", "ada")


def test_no_entries_are_no_keys() -> None:
    assert ApiKeys.parse(" ").owner(ADA) is None


def test_no_two_keys_are_alike() -> None:
    assert new_key("ada")[0] != new_key("ada")[0]


def test_what_is_kept_is_the_sha256_of_the_key() -> None:
    assert ADA_KEY.digest == hashlib.sha256(ADA.encode()).hexdigest()


def test_a_key_has_at_least_256_random_bits() -> None:
    assert len(ADA.removeprefix("tarflow_")) >= 43


def test_bytes_that_are_no_text_are_a_strangers_key() -> None:
    assert ApiKeys.parse(ADA_KEY.entry).owner(b"\xff\xfe".decode("latin-1")) is None


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a,b", "-a", "x" * 65, "ä"])
def test_a_name_that_would_not_fit_into_an_entry_gets_no_key(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        new_key(name)


@pytest.mark.parametrize("entry", ["ada", "ada:", f"ada:{'0' * 63}", f"ada:{'G' * 64}", f":{'0' * 64}", ","])
def test_what_is_no_entry_is_refused_by_its_number_and_not_repeated(entry: str) -> None:
    with pytest.raises(ValueError, match="entry 2 is not name:sha256") as caught:
        ApiKeys.parse(f"{ADA_KEY.entry},{entry}")
    assert "0" * 63 not in str(caught.value)

"""Limits: what they refuse, and how the manifest keeps them."""

from __future__ import annotations

import pickle

import pytest

from diskdict.errors import InvalidValueError, LimitError
from diskdict.limits import Limits


def test_defaults_refuse_nothing() -> None:
    """Without limits any key and value passes."""
    limits = Limits()

    limits.check_key("k" * 10_000, "k" * 10_000)
    limits.check_value([], bytes(10_000))
    limits.check_total(10**12)


@pytest.mark.parametrize("bad", [0, -1, True, 1.5, "9"])
@pytest.mark.parametrize("name", ["key_chars", "value_bytes", "total_bytes"])
def test_only_positive_ints(name: str, bad: object) -> None:
    """A limit that is no positive int is a ValueError that names it."""
    with pytest.raises(ValueError, match=name):
        Limits.from_json({name: bad})


def test_json_object_only_is_a_bool() -> None:
    """A truthy value that is not True is not taken for it."""
    with pytest.raises(ValueError, match="json_object_only"):
        Limits.from_json({"json_object_only": 1})


def test_key_chars_counts_the_characters_of_a_str() -> None:
    """The text of a str that is escaped does not count, the str does."""
    limits = Limits(key_chars=2)

    limits.check_key("=é", "=s=é")
    with pytest.raises(LimitError) as caught:
        limits.check_key("abc", "abc")

    assert (caught.value.limit, caught.value.allowed, caught.value.met) == ("key_chars", 2, 3)
    assert caught.value.unit == "characters"


def test_key_chars_counts_the_text_of_other_keys() -> None:
    """A key that is no str counts with its text."""
    limits = Limits(key_chars=4)

    limits.check_key(42, "=i42")
    with pytest.raises(LimitError, match="this would be 5"):
        limits.check_key(421, "=i421")


def test_value_bytes_counts_the_payload() -> None:
    """Exactly the limit passes, one byte more does not."""
    limits = Limits(value_bytes=4)

    limits.check_value("ab", b'"ab"')
    with pytest.raises(LimitError) as caught:
        limits.check_value("abc", b'"abc"')

    assert (caught.value.limit, caught.value.unit, caught.value.met) == ("value_bytes", "bytes", 5)


def test_total_bytes() -> None:
    """Exactly the limit passes, one byte more does not."""
    limits = Limits(total_bytes=100)

    limits.check_total(100)
    with pytest.raises(LimitError, match="total_bytes allows 100 bytes, this would be 101"):
        limits.check_total(101)


def test_json_object_only_takes_plain_dicts() -> None:
    """A dict passes, a list does not."""
    limits = Limits(json_object_only=True)

    limits.check_value({}, b"{}")
    with pytest.raises(InvalidValueError, match="list"):
        limits.check_value([], b"[]")


def test_manifest_omits_what_is_not_set() -> None:
    """Only limits that are set are written."""
    assert Limits().as_json() == {}
    assert Limits(value_bytes=5, json_object_only=True).as_json() == {"value_bytes": 5, "json_object_only": True}


@pytest.mark.parametrize("limits", [Limits(), Limits(1, 2, 3, True), Limits(total_bytes=7)])
def test_manifest_gives_back_the_same_limits(limits: Limits) -> None:
    """What was written is read."""
    assert Limits.from_json(limits.as_json()) == limits


@pytest.mark.parametrize("fields", [None, [], "x", {"key_char": 3}, {1: 2}])
def test_manifest_of_another_form_is_refused(fields: object) -> None:
    """A misspelt limit is an error, not a limit that is missing."""
    with pytest.raises(ValueError, match="limit"):
        Limits.from_json(fields)


def test_limits_can_be_pickled() -> None:
    """A handle that travels takes its limits along."""
    limits = Limits(key_chars=3)

    copy = pickle.loads(pickle.dumps(limits))

    assert copy == limits
    assert type(copy) is Limits

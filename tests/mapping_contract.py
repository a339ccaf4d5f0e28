"""What every mapping over a store does: `MappingContract`, to be run over each.

A test overrides the fixture `make_dict`, which gives a function of the options of `StoreDict` (and ``lock``) that makes
an empty mapping on the test's clock.
"""

from __future__ import annotations

import sys
import threading
import warnings
from collections import ChainMap, OrderedDict, UserDict
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, MutableMapping, ValuesView
from datetime import timedelta
from types import FrameType, MappingProxyType
from typing import Any
from zlib import crc32

import pytest
from store_contract import THREADS, CountingLock, in_threads

from diskdict.core import StoreDict
from diskdict.errors import (
    ClosedError,
    ConflictError,
    InvalidKeyError,
    InvalidValueError,
    KeyExistsError,
    LimitError,
)
from diskdict.flights import Flights
from diskdict.limits import Limits
from diskdict.store import FOREVER

Dict = StoreDict[Any, Any]
MakeDict = Callable[..., Dict]

SAMPLES: dict[Any, Any] = {
    "name": "diskdict",
    "": [],
    "=x": {"a": [1, 2.5, None, True]},
    1: "one",
    2.5: (1, (2, "x")),
    None: None,
    b"\x00\xff": b"\x89PNG",
    ("a", 1, (b"b", None)): {1, 2},
    10**30: -(10**30),
}


class FailsToHash:
    """A key that no dict takes."""

    def __hash__(self) -> int:
        raise ZeroDivisionError


class MappingContract:
    """Every behaviour of dict and every operation beyond it."""

    @pytest.fixture
    def make_dict(self) -> MakeDict:
        raise NotImplementedError

    @pytest.fixture
    def d(self, make_dict: MakeDict) -> Dict:
        return make_dict()

    # ---- dict: single keys

    def test_is_a_mutable_mapping(self, d: Dict) -> None:
        """Code that asks gets the right answer."""
        assert isinstance(d, MutableMapping)

    def test_empty(self, d: Dict) -> None:
        """An empty one is false, has no length and nothing to give."""
        assert not d
        assert len(d) == 0
        assert list(d) == []
        assert d == {}

    @pytest.mark.parametrize(("key", "value"), SAMPLES.items(), ids=repr)
    def test_what_was_set_is_there(self, d: Dict, key: object, value: object) -> None:
        """A value comes back equal and of its type, under a key equal and of its type."""
        d[key] = value

        assert (d[key], type(d[key])) == (value, type(value))
        assert (list(d), type(next(iter(d)))) == ([key], type(key))
        assert key in d
        assert len(d) == 1
        del d[key]
        assert key not in d

    @pytest.mark.parametrize("key", ["missing", "=x", 1, None, (1, 2), object(), int, frozenset({1}), float("nan")])
    def test_missing_key(self, d: Dict, key: object) -> None:
        """A key that is not there, or never can be, is KeyError with that key, or the default."""
        for use in (d.__getitem__, d.__delitem__, d.pop, d.info, d.ttl, d.expires_at):
            with pytest.raises(KeyError) as caught:
                use(key)
            assert type(caught.value) is KeyError
            assert caught.value.args == (key,)
        assert (d.get(key), d.get(key, 5), d.pop(key, 5)) == (None, 5, 5)
        assert key not in d
        assert d.delete(key) is False
        assert (d.expire(key, 1), d.touch(key), d.persist(key)) == (False, False, False)

    @pytest.mark.parametrize("key", [[], {}, {1}, ([],)])
    def test_unhashable_key(self, d: Dict, key: object) -> None:
        """A key that dict cannot look up either is a TypeError."""
        for use in (d.__getitem__, d.__delitem__, d.__contains__, d.get, d.pop, d.delete):
            with pytest.raises(TypeError):
                use(key)
        with pytest.raises(TypeError):
            d[key] = 1

    def test_failing_hash(self, d: Dict) -> None:
        """An error of a key's own hash comes through."""
        with pytest.raises(ZeroDivisionError):
            d[FailsToHash()]

    @pytest.mark.parametrize("key", [object(), int, frozenset({1}), float("nan"), (1, object())])
    def test_key_that_cannot_be_stored(self, d: Dict, key: object) -> None:
        """Writing such a key is a TypeError, whichever way it is written."""
        writes: list[Callable[[], object]] = [
            lambda: d.__setitem__(key, 1),
            lambda: d.set(key, 1),
            lambda: d.create(key, 1),
            lambda: d.setdefault(key, 1),
            lambda: d.update({key: 1}),
            lambda: d.set_many({key: 1}),
            lambda: d.increment(key),
            lambda: d.append(key, "x"),
            lambda: d.get_or_set(key, int),
        ]
        for write in writes:
            with pytest.raises(InvalidKeyError):
                write()
        assert not d

    def test_value_that_cannot_be_stored(self, d: Dict) -> None:
        """The old value stays when the new one is refused."""
        d["k"] = 1
        for value in (object(), [object()], lambda: 1):
            with pytest.raises(InvalidValueError):
                d["k"] = value
        assert d == {"k": 1}

    def test_equal_keys_are_one(self, d: Dict) -> None:
        """Keys are equal where dict has them equal, and the first form stays."""
        plain: dict[object, object] = {}
        for mapping in (d, plain):
            mapping[True] = "a"
            mapping[1.0] = "b"
            mapping["1"] = "c"
            mapping[(1, 0.0)] = "d"
            mapping[(True, False)] = "e"

        assert repr(d) == repr(plain)
        assert d[1] == "b"

    def test_values_are_fresh_objects(self, d: Dict) -> None:
        """Changing what was read changes nothing in the store."""
        d["k"] = [1]
        d["k"].append(2)

        assert d["k"] == [1]

    # ---- dict: the whole

    def test_insertion_order(self, d: Dict) -> None:
        """Overwriting keeps the place, deleting gives it up."""
        for key in ("c", 1, "a", "b"):
            d[key] = 0
        d[1] = 5
        del d["c"]
        d["c"] = 1

        assert list(d) == [1, "a", "b", "c"]
        assert list(reversed(d)) == ["c", "b", "a", 1]

    def test_get_and_pop(self, d: Dict) -> None:
        """Present keys give their value; popped ones are gone."""
        d.update(a=1, b=None)

        assert (d.get("a"), d.get("b", 5)) == (1, None)
        assert (d.pop("a"), d.pop("b", 5)) == (1, None)
        assert d == {}

    def test_setdefault(self, d: Dict) -> None:
        """A value that is there wins; else the default is stored, None by default."""
        assert d.setdefault("k", [1]) == [1]
        assert d.setdefault("k", [2]) == [1]
        assert d.setdefault("n") is None
        assert d == {"k": [1], "n": None}

    def test_popitem_from_both_ends(self, d: Dict) -> None:
        """The last pair by default, the first when asked for."""
        d.update({"a": 1, 2: "b", True: 3})

        assert d.popitem() == (True, 3)
        assert d.popitem(last=False) == ("a", 1)
        assert d.popitem(last=True) == (2, "b")
        with pytest.raises(KeyError, match=r"popitem\(\): dictionary is empty"):
            d.popitem()

    def test_popitem_keeps_the_spelling(self, d: Dict) -> None:
        """The key comes back as it was given."""
        d[True] = "x"

        assert repr(d.popitem()) == "(True, 'x')"

    def test_popitem_takes_no_positional(self, d: Dict) -> None:
        """As dict's does not."""
        with pytest.raises(TypeError):
            d.popitem(False)

    def test_clear(self, d: Dict, clock) -> None:
        """Everything goes, the expired too."""
        d.update(a=1, b=2)
        d.set("c", 3, ttl=5)
        clock.tick(5)
        d.clear()
        clock.tick(-5)

        assert d == {}
        assert len(d) == 0

    @pytest.mark.parametrize(
        "source",
        [
            {"a": 1, "b": 2},
            [("a", 1), ["b", 2]],
            lambda: (pair for pair in [("a", 1), ("b", 2)]),
            OrderedDict(a=1, b=2),
            UserDict(a=1, b=2),
            MappingProxyType({"a": 1, "b": 2}),
            {"a": 1, "b": 2}.items(),
        ],
        ids=lambda source: type(source).__name__,
    )
    def test_update_from(self, d: Dict, source: Any) -> None:
        """A mapping of any kind or pairs of any kind, then keywords."""
        d.update(source() if callable(source) else source, c=3, b=5)

        assert list(d.items()) == [("a", 1), ("b", 5), ("c", 3)]

    def test_update_from_keys_only(self, d: Dict) -> None:
        """Whatever has keys() and [] is a mapping here."""

        class Squares:
            def keys(self) -> list[int]:
                return [1, 2]

            def __getitem__(self, key: int) -> int:
                return key * key

        d.update(Squares())
        assert d == {1: 1, 2: 4}

    def test_update_from_itself(self, d: Dict) -> None:
        """Nothing changes."""
        d.update(a=1)
        d.update(d)

        assert d == {"a": 1}

    @pytest.mark.parametrize("bad", [["a"], [("a", 1), (1, 2, 3)], [1], 42, None, [("a", 1), 5]])
    def test_update_refuses_as_dict_does(self, d: Dict, bad: Any) -> None:
        """Same exception, same words, same pairs stored before it."""
        plain: dict[Any, Any] = {}
        with pytest.raises((TypeError, ValueError)) as expected:
            plain.update(bad)
        with pytest.raises((TypeError, ValueError)) as caught:
            d.update(bad)

        assert type(caught.value) is type(expected.value)
        assert str(caught.value) == str(expected.value)
        assert d == plain

    def test_equality(self, d: Dict, make_dict: MakeDict) -> None:
        """Equal to any mapping of the same pairs, in any order, and to nothing else."""
        other = make_dict()
        d.update(a=1, b=[2])
        other.update(b=[2], a=1)

        assert d == d
        assert d == other
        assert d == {"b": [2], "a": 1} == d
        assert d == ChainMap({"a": 1}, {"b": [2]})
        for unequal in ({"a": 1}, {"a": 1, "b": [3]}, {"a": 1, "c": [2]}, {"a": 1, "b": [2], "c": 3}, [("a", 1)], None):
            assert d != unequal
            assert unequal != d

    def test_equality_asks_the_other(self, d: Dict) -> None:
        """What is no mapping may still know that it is equal."""

        class Anything:
            def __eq__(self, other: object) -> bool:
                return True

            __hash__ = None  # type: ignore[assignment]

        assert d == Anything()

    def test_no_hash(self, d: Dict) -> None:
        """What changes is no key."""
        with pytest.raises(TypeError):
            hash(d)

    def test_union_is_a_plain_dict(self, d: Dict) -> None:
        """The right side wins, on whichever side this is."""
        d.update(a=1, b=2)

        for merged, expected in (
            (d | {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
            ({"b": 3, "c": 4} | d, {"b": 2, "c": 4, "a": 1}),
            (UserDict(b=3) | d, {"b": 2, "a": 1}),
            (d | MappingProxyType({"b": 3}), {"a": 1, "b": 3}),
            (d | d, {"a": 1, "b": 2}),
        ):
            assert dict(merged) == expected
            assert list(merged) == list(expected)
        assert type(d | {}) is dict
        assert d == {"a": 1, "b": 2}

    def test_union_with_what_is_no_mapping(self, d: Dict) -> None:
        """As with dict."""
        with pytest.raises(TypeError):
            d | [("a", 1)]
        with pytest.raises(TypeError):
            [("a", 1)] | d

    def test_union_in_place(self, d: Dict) -> None:
        """The same object with more in it, from a mapping or pairs."""
        same = d
        d |= {"a": 1}
        d |= [("b", 2)]

        assert d is same
        assert d == {"a": 1, "b": 2}
        with pytest.raises(TypeError):
            d |= 5

    def test_copy_is_a_plain_dict(self, d: Dict) -> None:
        """A copy has no tie to the store."""
        d.update({"a": [1], 2: "b"})
        copied = d.copy()
        copied["a"].append(5)

        assert type(copied) is dict
        assert copied == {"a": [1, 5], 2: "b"}
        assert d["a"] == [1]

    def test_repr_is_that_of_dict(self, d: Dict) -> None:
        """What is printed can be read as a dict."""
        assert repr(d) == "{}"
        d.update(SAMPLES)

        assert repr(d) == repr(SAMPLES)
        assert eval(repr(d)) == SAMPLES

    def test_class_takes_types(self, d: Dict) -> None:
        """`StoreDict[str, int]` can be written in annotations."""
        assert type(d)[str, int] is not None

    def test_as_keyword_arguments(self, d: Dict) -> None:
        """`**d` works as for any mapping."""
        d.update(a=1, b=2)

        assert dict(**d) == {"a": 1, "b": 2}

    # ---- views

    def test_views_are_views(self, d: Dict) -> None:
        """They are of the types that are asked for, show changes, and look as dict's do."""
        keys, values, items = d.keys(), d.values(), d.items()
        d.update({"a": 1, 2: "b"})

        assert isinstance(keys, KeysView)
        assert isinstance(values, ValuesView)
        assert isinstance(items, ItemsView)
        assert (list(keys), list(values), list(items)) == (["a", 2], [1, "b"], [("a", 1), (2, "b")])
        assert (len(keys), len(values), len(items)) == (2, 2, 2)
        assert repr(keys) == "dict_keys(['a', 2])"
        assert repr(values) == "dict_values([1, 'b'])"
        assert repr(items) == "dict_items([('a', 1), (2, 'b')])"

    def test_views_reversed(self, d: Dict) -> None:
        """All three go backwards."""
        d.update(a=1, b=2)

        assert list(reversed(d.keys())) == ["b", "a"]
        assert list(reversed(d.values())) == [2, 1]
        assert list(reversed(d.items())) == [("b", 2), ("a", 1)]

    def test_views_contain(self, d: Dict) -> None:
        """Membership of keys, values and pairs; what is no pair is simply not in."""
        d.update(a=1, b=[2])

        keys = d.keys()
        assert "a" in keys
        assert "c" not in keys
        assert [2] in d.values()
        assert 5 not in d.values()
        assert ("b", [2]) in d.items()
        for other in (("a", 2), ("c", 1), "a", ("a",), ("a", 1, 2), 5):
            assert other not in d.items()

    def test_views_as_sets(self, d: Dict) -> None:
        """Set operations give what dict's views give, with sets, views and iterables, from both sides."""
        plain = {"a": 1, "b": 2, "c": 3}
        d.update(plain)
        others: list[Any] = [{"a", "x"}, ["b", "x"], {"c": 0, "x": 0}.keys(), set(), {"a", "b", "c"}]
        for other in others:
            assert d.keys() & other == plain.keys() & other
            assert d.keys() | other == plain.keys() | other
            assert d.keys() - other == plain.keys() - other
            assert d.keys() ^ other == plain.keys() ^ other
            assert d.keys().isdisjoint(other) == plain.keys().isdisjoint(other)
        for other in (others[0], others[4]):
            assert other - d.keys() == other - plain.keys()
            assert (d.keys() == other) == (plain.keys() == other)
            assert (d.keys() <= other) == (plain.keys() <= other)
            assert (d.keys() > other) == (plain.keys() > other)
        assert d.items() & {("a", 1), ("b", 3)} == {("a", 1)}
        assert d.items() == plain.items()
        assert type(d.keys() & {"a"}) is set

    def test_views_know_their_mapping(self, d: Dict) -> None:
        """`.mapping` shows the mapping, to read only."""
        d["a"] = 1

        for view in (d.keys(), d.values(), d.items()):
            assert view.mapping["a"] == 1
            with pytest.raises(TypeError):
                view.mapping["a"] = 2  # type: ignore[index]

    @pytest.mark.parametrize("start", [iter, reversed])
    @pytest.mark.parametrize("part", ["keys", "values", "items"])
    def test_changed_size_ends_an_iteration(self, d: Dict, start: Callable[[Any], Iterator[Any]], part: str) -> None:
        """A key added or removed is a RuntimeError at the next step, of views as well."""
        d.update(a=1, b=2, c=3)
        steps = start(getattr(d, part)())
        next(steps)
        d["new"] = 1

        with pytest.raises(RuntimeError):
            next(steps)

    def test_changed_size_before_the_first_step(self, d: Dict) -> None:
        """An iteration begins when it is asked for."""
        d["a"] = 1
        iterators = [iter(d), iter(d.keys()), iter(d.values()), iter(d.items()), reversed(d)]
        d["b"] = 2

        for iterator in iterators:
            with pytest.raises(RuntimeError):
                next(iterator)

    def test_new_values_do_not_end_an_iteration(self, d: Dict) -> None:
        """Each value is taken at its own time."""
        d.update(a=1, b=2)
        seen = []
        for key, value in d.items():
            seen.append((key, value))
            d["b"] = 5

        assert seen == [("a", 1), ("b", 5)]

    def test_expiry_does_not_end_an_iteration(self, d: Dict, clock) -> None:
        """A key that expires between its steps is skipped with its value, and is no change of size."""
        d["a"] = 1
        d.set("b", 2, ttl=5)
        d["c"] = 3
        values, items = iter(d.values()), iter(d.items())
        first = next(values), next(items)
        clock.tick(5)

        assert first == (1, ("a", 1))
        assert list(values) == [3]
        assert list(items) == [("c", 3)]

    # ---- set, create, delete

    def test_set_and_delete(self, d: Dict) -> None:
        """`set` is assignment with options, `delete` is `del` that tells."""
        d.set("k", 1)

        assert d["k"] == 1
        assert d.delete("k") is True
        assert d.delete("k") is False

    def test_create(self, d: Dict, clock) -> None:
        """Only where nothing is, and an expired key is nothing."""
        d.create("k", 1, ttl=5, metadata={"a": 1})
        with pytest.raises(KeyExistsError) as caught:
            d.create("k", 2)
        ttl, metadata = d.ttl("k"), d.info("k").metadata
        clock.tick(5)
        d.create("k", 3)

        assert caught.value.key == "k"
        assert (ttl, metadata) == (5, {"a": 1})
        assert d == {"k": 3}

    # ---- time-to-live

    def test_ttl_runs_out(self, d: Dict, clock) -> None:
        """Until just before its time the key is there, then nowhere."""
        d.set("k", 1, ttl=10)
        d["other"] = 2
        clock.tick(9)
        alive = d.ttl("k"), d.expires_at("k"), d["k"]
        clock.tick(1)

        assert alive == (1, clock.now, 1)
        assert "k" not in d
        assert d.get("k") is None
        assert d == {"other": 2}
        assert (len(d), list(d), list(reversed(d))) == (1, ["other"], ["other"])
        assert (d.delete("k"), d.pop("k", None), d.expire("k", 5), d.get_many(["k"])) == (False, None, False, {})
        for use in (d.__getitem__, d.__delitem__, d.ttl, d.expires_at, d.info):
            with pytest.raises(KeyError):
                use("k")

    @pytest.mark.parametrize(("ttl", "seconds"), [(5, 5), (0.5, 0.5), (timedelta(minutes=1), 60)])
    def test_ttl_forms(self, d: Dict, ttl: Any, seconds: float) -> None:
        """Seconds as int, float or timedelta."""
        d.set("k", 1, ttl=ttl)

        assert d.ttl("k") == pytest.approx(seconds, abs=1e-5)

    @pytest.mark.parametrize("ttl", [-1, float("nan"), float("inf"), True, "5", timedelta(seconds=-1), object()])
    def test_ttl_refused(self, d: Dict, ttl: Any) -> None:
        """Whatever is no time-to-live is a ValueError, and nothing is changed."""
        d["k"] = 1
        writes: list[Callable[[], object]] = [
            lambda: d.set("k", 2, ttl=ttl),
            lambda: d.create("new", 2, ttl=ttl),
            lambda: d.get_or_set("new", lambda: pytest.fail("the factory ran"), ttl=ttl),
            lambda: d.set_many({"k": 2}, ttl=ttl),
            lambda: d.expire("k", ttl),
            lambda: d.touch("k", ttl),
        ]
        for write in writes:
            with pytest.raises(ValueError, match="ttl"):
                write()
        assert d == {"k": 1}
        assert d.ttl("k") is None

    def test_ttl_zero_is_at_once(self, d: Dict) -> None:
        """Stored and gone."""
        d["k"] = 1
        d.set("k", 2, ttl=0)

        assert "k" not in d

    def test_default_ttl(self, make_dict: MakeDict, clock) -> None:
        """It holds wherever nothing else is said."""
        d = make_dict(default_ttl=10)
        d["assigned"] = 1
        d.set("set", 1)
        d.set("forever", 1, ttl=FOREVER)
        d.set("own", 1, ttl=20)
        d.create("created", 1)
        d.setdefault("defaulted", 1)
        d.get_or_set("computed", int)
        d.increment("counted")
        d.append("appended", "x")
        d.set_many({"many": 1})
        d.update(updated=1)

        ttls = {key: d.ttl(key) for key in d}
        assert (ttls.pop("forever"), ttls.pop("own")) == (None, 20)
        assert set(ttls.values()) == {10}
        clock.tick(10)
        assert list(d) == ["forever", "own"]

    def test_default_ttl_is_checked_first(self, make_dict: MakeDict) -> None:
        """A bad one is refused when the dict is made."""
        with pytest.raises(ValueError, match="ttl"):
            make_dict(default_ttl=-1)

    def test_assignment_clears(self, d: Dict) -> None:
        """A plain assignment is a new start: no time-to-live, no metadata."""
        for write in (lambda: d.__setitem__("k", 2), lambda: d.set("k", 2), lambda: d.set_many({"k": 2})):
            d.set("k", 1, ttl=10, metadata={"a": 1})
            write()

            assert d.ttl("k") is None
            assert d.info("k").metadata == {}

    def test_changes_in_place_keep(self, d: Dict, clock) -> None:
        """What changes a value keeps its time-to-live, metadata and creation."""
        d.set("n", 1, ttl=10, metadata={"a": 1})
        d.set("s", "x", ttl=10, metadata={"a": 1})
        d.set("l", [1], ttl=10, metadata={"a": 1})
        created = d.info("n").created_at
        clock.tick(1)
        d.increment("n")
        d.compare_and_swap("n", 2, 3)
        d.append("s", "y")
        with d.edit("l") as value:
            value.append(2)

        assert d == {"n": 3, "s": "xy", "l": [1, 2]}
        for key in d:
            assert d.ttl(key) == 9
            assert d.info(key).metadata == {"a": 1}
            assert d.info(key).created_at == created

    def test_expire_touch_persist(self, d: Dict, clock) -> None:
        """A time-to-live can be set, started again and taken away, without a new value."""
        d["k"] = 1

        assert d.expire("k", 10) is True
        clock.tick(6)
        assert d.touch("k", 10) is True
        clock.tick(6)
        assert d.ttl("k") == 4
        assert d.persist("k") is True
        clock.tick(6)
        assert (d.ttl("k"), d["k"]) == (None, 1)

    def test_touch_uses_the_default(self, make_dict: MakeDict, clock) -> None:
        """Without a time-to-live of its own, `touch` starts ``default_ttl`` again; without one, the key stays."""
        d, forever = make_dict(default_ttl=10), make_dict()
        d["k"] = forever["k"] = 1
        clock.tick(6)
        d.touch("k")
        forever.touch("k")

        assert d.ttl("k") == 10
        assert forever.ttl("k") is None

    def test_expire_forever(self, d: Dict) -> None:
        """FOREVER is a time-to-live like others."""
        d.set("k", 1, ttl=10)
        d.expire("k", FOREVER)

        assert d.ttl("k") is None

    def test_cleanup_expired(self, d: Dict, clock) -> None:
        """What has expired is removed, and counted."""
        d.set_many({"a": 1, "b": 2}, ttl=5)
        d["c"] = 3
        clock.tick(5)

        assert d.cleanup_expired() == 2
        assert d.cleanup_expired() == 0
        clock.tick(-5)
        assert list(d) == ["c"]

    def test_clock_that_goes_back(self, d: Dict, clock) -> None:
        """Reading removes nothing, so a key can live again."""
        d.set("k", 1, ttl=5)
        clock.tick(5)
        gone = "k" in d
        clock.tick(-1)

        assert not gone
        assert d["k"] == 1

    # ---- metadata and info

    def test_info(self, d: Dict, clock) -> None:
        """All that is known of a key, frozen."""
        d.set("k", "value", ttl=10, metadata={"a": [1]})
        info = d.info("k")

        assert info.created_at == pytest.approx(clock.now, abs=1e-3)
        assert info.expires_at == clock.now + 10
        assert info.size == len(b'"value"')
        assert info.metadata == {"a": [1]}
        with pytest.raises(AttributeError):
            info.size = 5  # type: ignore[misc]
        with pytest.raises(TypeError):
            info.metadata["a"] = 5  # type: ignore[index]

    def test_checksum_is_that_of_the_bytes(self, d: Dict) -> None:
        """Anyone can compute it from the stored bytes."""
        d["k"] = "value"
        expected = crc32(b'"value"')

        assert d.info("k").checksum == f"crc32:{expected:08x}"

    def test_version_changes_with_every_change(self, d: Dict) -> None:
        """Also with those of time-to-live and metadata."""
        d["k"] = 1
        versions = [d.info("k").version]
        for change in (
            lambda: d.__setitem__("k", 1),
            lambda: d.expire("k", 10),
            lambda: d.set_metadata("k", {"a": 1}),
            lambda: d.increment("k"),
        ):
            change()
            versions.append(d.info("k").version)

        assert versions == sorted(set(versions))

    def test_metadata_merge_and_replace(self, d: Dict) -> None:
        """Merged by default; an empty replacement takes it away."""
        d.set("k", 1, ttl=10, metadata={"a": 1, "b": {"x": None}})
        d.set_metadata("k", {"a": 2, "c": "é"})
        merged = d.info("k").metadata
        d.set_metadata("k", {"d": True}, replace=True)
        replaced = d.info("k").metadata
        d.set_metadata("k", {}, replace=True)

        assert merged == {"a": 2, "b": {"x": None}, "c": "é"}
        assert replaced == {"d": True}
        assert d.info("k").metadata == {}
        assert (d["k"], d.ttl("k")) == (1, 10)

    def test_metadata_of_a_missing_key(self, d: Dict) -> None:
        """There is nothing that it could be about."""
        with pytest.raises(KeyError) as caught:
            d.set_metadata("k", {"a": 1})
        assert caught.value.args == ("k",)

    @pytest.mark.parametrize("metadata", [{1: 2}, {"a": object()}, [("a", 1)], "a", 5])
    def test_metadata_refused(self, d: Dict, metadata: Any) -> None:
        """Keys are str, values what the JSON codec takes, and a refusal changes nothing."""
        d.set("k", 1, metadata={"x": 1})
        for write in (
            lambda: d.set("k", 2, metadata=metadata),
            lambda: d.create("new", 2, metadata=metadata),
            lambda: d.set_metadata("k", metadata),
            lambda: d.set_metadata("k", metadata, replace=True),
        ):
            with pytest.raises(InvalidValueError):
                write()
        assert d == {"k": 1}
        assert d.info("k").metadata == {"x": 1}

    @pytest.mark.parametrize("text", ["\ud800", "\0", "é" * 50_000, "$dict"])
    def test_metadata_of_any_text(self, d: Dict, text: str) -> None:
        """Names and values come back as they were."""
        d.set("k", 1, metadata={text: text})

        assert d.info("k").metadata == {text: text}

    # ---- get_or_set

    def test_get_or_set(self, d: Dict) -> None:
        """Computed where nothing is, and only there."""
        calls = []
        for number in (1, 2):
            found = d.get_or_set("k", lambda number=number: calls.append(number) or [number], ttl=10)
            assert found == [1]

        assert calls == [1]
        assert (d["k"], d.ttl("k")) == ([1], 10)

    def test_get_or_set_calls_its_factory_once(self, d: Dict) -> None:
        """With many threads waiting there is one computation, and all get its result, each its own object."""
        calls = []
        entered = threading.Event()

        def factory() -> list[int]:
            calls.append(1)
            entered.wait(0.05)
            return [5]

        results = in_threads(lambda _: d.get_or_set("k", factory))
        assert calls == [1]
        assert results == [[5]] * THREADS
        assert len({id(result) for result in results}) == THREADS

    def test_get_or_set_shares_what_expires_at_once(self, d: Dict) -> None:
        """Waiters get the one result even where nothing of it stays."""
        calls = []

        def factory() -> int:
            wait_until(lambda: waiting() == THREADS - 1)
            calls.append(1)
            return 7

        assert in_threads(lambda _: d.get_or_set("k", factory, ttl=0)) == [7] * THREADS
        assert calls == [1]

    def test_get_or_set_failing_factory(self, d: Dict) -> None:
        """The exception goes to the thread that ran it; one that waited runs next."""
        calls = []

        def factory() -> str:
            calls.append(1)
            threading.Event().wait(0.01)
            if len(calls) <= 3:
                raise ZeroDivisionError
            return "done"

        def work(_: int) -> str:
            try:
                return d.get_or_set("k", factory)
            except ZeroDivisionError:
                return "failed"

        results = in_threads(work)
        assert sorted(results) == ["done"] * (THREADS - 3) + ["failed"] * 3
        assert len(calls) == 4

    def test_get_or_set_of_several_keys_at_once(self, d: Dict) -> None:
        """A computation holds up only those who want the same key."""
        barrier = threading.Barrier(THREADS, timeout=30)

        def factory() -> int:
            return barrier.wait() * 0 + 1

        results = in_threads(lambda number: d.get_or_set(f"k{number}", factory))
        assert results == [1] * THREADS

    def test_get_or_set_within_itself(self, d: Dict) -> None:
        """Asking for the key that is being computed is an error and no deadlock; other keys are fine."""
        with pytest.raises(RuntimeError, match="k"):
            d.get_or_set("k", lambda: d.get_or_set("k", int))
        nested = d.get_or_set("a", lambda: d.get_or_set("b", lambda: 2) + 1)

        assert nested == 3
        assert d == {"b": 2, "a": 3}

    def test_get_or_set_in_a_circle(self, d: Dict) -> None:
        """Two threads that compute what the other waits for end with an error in one of them."""
        barrier = threading.Barrier(2, timeout=30)
        names = "ab"

        def work(number: int) -> object:
            def factory() -> object:
                barrier.wait()
                return d.get_or_set(names[1 - number], lambda: "inner")

            try:
                return d.get_or_set(names[number], factory)
            except RuntimeError:
                return "circle"

        results = in_threads(work, 2)
        assert "circle" in results
        assert results.count("circle") == 1

    def test_get_or_set_gives_way_to_an_assignment(self, d: Dict) -> None:
        """What was stored while the factory ran stays, and is the result."""

        def factory() -> str:
            d["k"] = "assigned"
            return "computed"

        assert d.get_or_set("k", factory) == "assigned"
        assert d == {"k": "assigned"}

    def test_get_or_set_does_not_hold_the_lock(self, d: Dict) -> None:
        """Others write while a factory runs."""

        def factory() -> str:
            thread = threading.Thread(target=d.__setitem__, args=("other", 1))
            thread.start()
            thread.join(30)
            return "computed" if "other" in d else "blocked"

        assert d.get_or_set("k", factory) == "computed"

    def test_get_or_set_refused_value(self, d: Dict) -> None:
        """A result that cannot be stored is an error, and leaves no marker behind."""
        with pytest.raises(InvalidValueError):
            d.get_or_set("k", object)

        assert d.get_or_set("k", int) == 0

    # ---- edit

    def test_edit(self, d: Dict) -> None:
        """What the block did to the value is stored at its end."""
        d["k"] = {"a": [1]}
        with d.edit("k") as value:
            value["a"].append(2)
            inside = d["k"]

        assert inside == {"a": [1]}
        assert d["k"] == {"a": [1, 2]}

    def test_edit_missing_key(self, d: Dict) -> None:
        """There is nothing to edit."""
        for key in ("k", object()):
            with pytest.raises(KeyError), d.edit(key):
                pytest.fail("the block ran")

    def test_edit_that_raises(self, d: Dict) -> None:
        """Nothing of a failed block is stored."""
        d["k"] = [1]
        with pytest.raises(ZeroDivisionError), d.edit("k") as value:
            append_and_fail(value)

        assert d["k"] == [1]

    def test_edit_without_change_writes_nothing(self, d: Dict) -> None:
        """The version stays, and so does what somebody else wrote meanwhile."""
        d["k"] = [1]
        version = d.info("k").version
        with d.edit("k"):
            pass
        same = d.info("k").version
        with d.edit("k"):
            d["k"] = [5]

        assert same == version
        assert d["k"] == [5]

    @pytest.mark.parametrize(
        "meanwhile",
        [
            lambda d: d.__setitem__("k", [5]),
            lambda d: d.__setitem__("k", [1]),
            lambda d: d.delete("k"),
            lambda d: d.expire("k", 5),
            lambda d: d.set_metadata("k", {"a": 1}),
            lambda d: d.rename("k", "l"),
        ],
        ids=["other value", "same value", "delete", "expire", "metadata", "rename"],
    )
    def test_edit_conflict(self, d: Dict, meanwhile: Callable[[Dict], object]) -> None:
        """A key that was changed meanwhile, in whatever way, is left as it is."""
        d["k"] = [1]

        def change() -> Dict:
            with d.edit("k") as value:
                value.append(2)
                meanwhile(d)
            return d

        with pytest.raises(ConflictError, match="'k'"):
            change()
        assert [1, 2] not in d.values()

    def test_edit_of_an_expired_key(self, d: Dict, clock) -> None:
        """A key that expires in the block is not brought back."""
        d.set("k", [1], ttl=5)

        def change() -> None:
            with d.edit("k") as value:
                value.append(2)
                clock.tick(5)

        with pytest.raises(ConflictError):
            change()
        assert "k" not in d

    def test_edit_refused_value(self, d: Dict) -> None:
        """A value that cannot be stored leaves the old one."""
        d["k"] = [1]

        def change() -> None:
            with d.edit("k") as value:
                value.append(object())

        with pytest.raises(InvalidValueError):
            change()
        assert d["k"] == [1]

    # ---- increment, append, compare_and_swap

    def test_increment(self, d: Dict) -> None:
        """A missing key counts from 0; the sum is stored and returned."""
        assert d.increment("n") == 1
        assert d.increment("n", 5) == 6
        assert d.increment("n", -0.5) == 5.5
        assert d.increment("m", 2.5) == 2.5
        assert d == {"n": 5.5, "m": 2.5}
        assert type(d["n"]) is float

    def test_increment_of_large_numbers(self, d: Dict) -> None:
        """Integers have no end."""
        d["n"] = 10**30

        assert d.increment("n") == 10**30 + 1
        assert d["n"] == 10**30 + 1

    @pytest.mark.parametrize("value", [True, "1", None, [1], 1j])
    def test_increment_refuses(self, d: Dict, value: Any) -> None:
        """Only int and float are added, bool is neither, and a refusal changes nothing."""
        d["n"] = 1
        with pytest.raises(TypeError, match="int or float"):
            d.increment("n", value)
        with pytest.raises(TypeError, match="int or float"):
            d.increment("missing", value)
        assert d == {"n": 1}
        if value != 1j:
            d["n"] = value
            with pytest.raises(TypeError, match="int or float"):
                d.increment("n")
            assert d == {"n": value}

    @pytest.mark.parametrize(("first", "second"), [("a", "b"), (b"a", b"b"), ([1], [[2]])])
    def test_append(self, d: Dict, first: Any, second: Any) -> None:
        """A missing key becomes the tail; after that both are joined, and the whole is returned."""
        assert d.append("k", first) == first
        assert d.append("k", second) == first + second
        assert d["k"] == first + second

    @pytest.mark.parametrize(
        ("value", "tail"),
        [("a", b"b"), (b"a", "b"), ([1], "b"), ([1], (2,)), (1, "a"), ("a", 1), ((1,), (2,)), ({}, {})],
    )
    def test_append_refuses(self, d: Dict, value: Any, tail: Any) -> None:
        """Only two str, two bytes or two lists are joined."""
        d["k"] = value
        with pytest.raises(TypeError, match="append joins"):
            d.append("k", tail)
        assert d == {"k": value}

    def test_append_does_not_change_its_argument(self, d: Dict) -> None:
        """The list that was given stays the caller's."""
        tail = [1]
        whole = d.append("k", tail)
        whole.append(5)

        assert tail == [1]
        assert d["k"] == [1]

    def test_compare_and_swap(self, d: Dict) -> None:
        """Replaced only where the value is the expected one."""
        d["k"] = {"a": 1}

        assert d.compare_and_swap("k", {"a": 2}, 0) is False
        assert d["k"] == {"a": 1}
        assert d.compare_and_swap("k", {"a": 1}, 0) is True
        assert d["k"] == 0

    def test_compare_and_swap_of_a_missing_key(self, d: Dict) -> None:
        """It equals nothing, not even None."""
        for key in ("k", object()):
            assert d.compare_and_swap(key, None, 1) is False
        assert d == {}

    def test_compare_and_swap_refused_value(self, d: Dict) -> None:
        """A value that cannot be stored leaves the old one."""
        d["k"] = 1
        with pytest.raises(InvalidValueError):
            d.compare_and_swap("k", 1, object())
        assert d["k"] == 1

    # ---- many, rename, copy

    def test_get_many(self, d: Dict) -> None:
        """What is there, in the order of asking, by the keys that were given."""
        d.update({"a": 1, 2: [3], "c": None})

        found = d.get_many(["c", "missing", 2.0, object(), "a"])
        assert found == {"c": None, 2: [3], "a": 1}
        assert repr(list(found)) == "['c', 2.0, 'a']"

    @pytest.mark.parametrize("form", [dict, lambda pairs: pairs, iter])
    def test_set_many(self, d: Dict, form: Callable[[Any], Any]) -> None:
        """From a mapping or pairs, in order, whatever the keys are."""
        pairs = [("a", 1), (True, 2), ("b", 3), (1, 4), ((1.0,), 5)]
        d.set_many(form(pairs), ttl=10)

        assert repr(d) == repr(dict(pairs))
        assert {d.ttl(key) for key in d} == {10}

    def test_set_many_refuses_whole(self, d: Dict) -> None:
        """One bad pair, and nothing is stored."""
        for bad in ({"a": 1, "b": object()}, {"a": 1, object(): 2}, [("a", 1), (1, 2, 3)]):
            with pytest.raises((TypeError, ValueError)):
                d.set_many(bad)
        assert d == {}

    def test_delete_many(self, d: Dict) -> None:
        """Each key is told about, also those that never can be there."""
        d.update({"a": 1, 2: 3, "c": 4})
        odd = object()

        assert d.delete_many(["a", "missing", 2, odd]) == {"a": True, "missing": False, 2: True, odd: False}
        assert d == {"c": 4}

    def test_rename(self, d: Dict, clock) -> None:
        """Value, creation, time-to-live and metadata move; the place is a new one."""
        d.set("a", [1], ttl=10, metadata={"x": 1})
        d["b"] = 2
        created = d.info("a").created_at
        clock.tick(1)
        d.rename("a", 3)

        assert list(d.items()) == [("b", 2), (3, [1])]
        assert (d.info(3).created_at, d.ttl(3), d.info(3).metadata) == (created, 9, {"x": 1})

    def test_rename_refused(self, d: Dict) -> None:
        """A missing source is KeyError, a target that is there KeyExistsError, and nothing has changed."""
        d.update(a=1, b=2)
        for missing in ("x", object()):
            with pytest.raises(KeyError) as caught:
                d.rename(missing, "b")
            assert caught.value.args == (missing,)
        with pytest.raises(KeyExistsError) as refused:
            d.rename("a", "b")
        with pytest.raises(InvalidKeyError):
            d.rename("a", object())

        assert refused.value.key == "b"
        assert d == {"a": 1, "b": 2}

    def test_rename_to_itself(self, d: Dict) -> None:
        """Nothing happens, except that a missing key is still missing."""
        d.update(a=1, b=2)
        d.rename("a", "a")
        with pytest.raises(KeyError):
            d.rename("x", "x")

        assert list(d) == ["a", "b"]

    def test_copy_key(self, d: Dict, clock) -> None:
        """The copy has the value, time-to-live and metadata, and is a key of its own."""
        d.set("a", [1], ttl=10, metadata={"x": 1})
        clock.tick(1)
        d.copy_key("a", "b")
        d["a"] = [2]

        assert d == {"a": [2], "b": [1]}
        assert (d.ttl("b"), d.info("b").metadata) == (9, {"x": 1})
        assert d.info("b").created_at == pytest.approx(clock.now, abs=1e-3)

    def test_copy_key_refused(self, d: Dict) -> None:
        """As rename is; and a key is no copy of itself."""
        d.update(a=1, b=2)
        with pytest.raises(KeyError) as caught:
            d.copy_key("x", "b")
        for target in ("b", "a"):
            with pytest.raises(KeyExistsError) as refused:
                d.copy_key("a", target)
            assert refused.value.key == target

        assert caught.value.args == ("x",)
        assert d == {"a": 1, "b": 2}

    # ---- limits, codecs, lock

    def test_limits(self, make_dict: MakeDict) -> None:
        """A key or value beyond a limit is refused with limit and size, however it is written."""
        d = make_dict(limits=Limits(key_chars=5, value_bytes=10))
        d["k"] = "x"
        for write in (
            lambda: d.__setitem__("k", "x" * 20),
            lambda: d.create("new", "x" * 20),
            lambda: d.setdefault("new", "x" * 20),
            lambda: d.append("k", "x" * 20),
            lambda: d.compare_and_swap("k", "x", "x" * 20),
            lambda: d.get_or_set("new", lambda: "x" * 20),
            lambda: d.set_many({"new": 1, "k": "x" * 20}),
        ):
            with pytest.raises(LimitError) as caught:
                write()
            assert (caught.value.limit, caught.value.allowed) == ("value_bytes", 10)
        for write in (
            lambda: d.__setitem__("too long", 1),
            lambda: d.increment("too long"),
            lambda: d.rename("k", "too long"),
            lambda: d.copy_key("k", "too long"),
        ):
            with pytest.raises(LimitError) as caught:
                write()
            assert caught.value.limit == "key_chars"
        assert d == {"k": "x"}
        assert "too long" not in d

    def test_total_bytes(self, make_dict: MakeDict, clock) -> None:
        """The expired go first, then there is a refusal."""
        d = make_dict(limits=Limits(total_bytes=20))
        d.set("old", "x" * 10, ttl=5)
        with pytest.raises(LimitError):
            d["k"] = "x" * 15
        clock.tick(5)
        d["k"] = "x" * 15

        assert list(d) == ["k"]

    def test_json_object_only(self, make_dict: MakeDict) -> None:
        """Whatever is no object is refused."""
        d = make_dict(limits=Limits(json_object_only=True))
        d["k"] = {"a": 1}
        with pytest.raises(InvalidValueError):
            d["k"] = [1]
        assert d == {"k": {"a": 1}}

    def test_other_codecs(self, make_dict: MakeDict) -> None:
        """Bytes as they are, anything by pickle, or a codec of one's own."""

        class Upper:
            name = "upper"

            def dumps(self, value: object) -> bytes:
                return str(value).upper().encode()

            def loads(self, payload: bytes) -> object:
                return payload.decode()

        raw, pickled, own = make_dict(codec="raw"), make_dict(codec="pickle"), make_dict(codec=Upper())
        raw["k"], pickled["k"], own["k"] = b"\x00", range(3), "abc"

        assert (raw["k"], pickled["k"], own["k"]) == (b"\x00", range(3), "ABC")
        with pytest.raises(InvalidValueError):
            raw["k"] = "text"

    def test_lock_is_held_around_every_mutation(self, make_dict: MakeDict) -> None:
        """Each operation that changes something takes the lock that was given, and gives it back."""
        lock = CountingLock()
        d = make_dict(lock=lock)
        mutations: list[Callable[[], object]] = [
            lambda: d.__setitem__("a", [1]),
            lambda: d.set("b", 1),
            lambda: d.create("c", "x"),
            lambda: d.setdefault("d", 1),
            lambda: d.get_or_set("e", int),
            lambda: edit(d),
            lambda: d.increment("b"),
            lambda: d.append("c", "y"),
            lambda: d.compare_and_swap("b", 2, 3),
            lambda: d.expire("a", 10),
            lambda: d.touch("a"),
            lambda: d.persist("a"),
            lambda: d.set_metadata("a", {"x": 1}),
            lambda: d.rename("a", "z"),
            lambda: d.copy_key("z", "y"),
            lambda: d.set_many({"m": 1, "n": 2}),
            lambda: d.delete_many(["m"]),
            lambda: d.update(o=1),
            lambda: d.pop("o"),
            lambda: d.popitem(),
            lambda: d.delete("n"),
            lambda: d.__delitem__("y"),
            lambda: d.cleanup_expired(),
            lambda: d.clear(),
        ]

        def edit(d: Dict) -> None:
            with d.edit("a") as value:
                value.append(2)

        for mutate in mutations:
            before = lock.taken
            mutate()
            assert lock.taken > before
            assert not lock.locked()

    # ---- transactions

    def test_transaction_makes_all_changes(self, d: Dict, clock) -> None:
        """What was set, changed, renamed and deleted in the block is there after it, in the order it was made."""
        d.update(a=1, b=[1], c="x", e=0)
        d.set("t", "t", ttl=50, metadata={"of": "t"})
        with d.transaction() as t:
            t["new"] = (1, 2)
            d["a"] = 2
            d.append("b", [2])
            d.increment("e", 5)
            del d["c"]
            d["c"] = "again"
            d.rename("t", "moved")
            d.expire("a", 9)
            d.set_metadata("e", {"of": "e"})

        assert list(d.items()) == [("a", 2), ("b", [1, 2]), ("e", 5), ("new", (1, 2)), ("c", "again"), ("moved", "t")]
        assert list(reversed(d)) == list(d)[::-1]
        assert (d.ttl("a"), d.ttl("moved"), d.ttl("e")) == (9, 50, None)
        assert d.info("moved").metadata == {"of": "t"}
        assert d.info("e").metadata == {"of": "e"}
        clock.tick(10)
        assert len(d) == 5

    def test_transaction_that_raises_changes_nothing(self, d: Dict) -> None:
        """An exception leaves values, order, expiry and metadata as they were, and goes on."""
        d.set("a", 1, ttl=5, metadata={"of": "a"})
        d["b"] = [1]
        version = d.info("a").version
        with pytest.raises(ZeroDivisionError), d.transaction():
            d["a"] = 2
            del d["b"]
            d["c"] = 3
            d.clear()
            d["d"] = 1 / 0

        assert d == {"a": 1, "b": [1]}
        assert list(d) == ["a", "b"]
        assert (d.ttl("a"), d.info("a").metadata, d.info("a").version) == (5, {"of": "a"}, version)
        d["c"] = 1
        assert list(d) == ["a", "b", "c"]

    def test_transaction_reads_its_own_changes(self, d: Dict, clock) -> None:
        """All of the dict tells, inside the block, what it will be."""
        d.update(a=1, b=2, c=3)
        with d.transaction():
            d["b"] = 20
            del d["a"]
            d["n"] = 4
            d.set("t", 5, ttl=5)
            d["a"] = 10

            assert list(d.items()) == [("b", 20), ("c", 3), ("n", 4), ("t", 5), ("a", 10)]
            assert list(reversed(d.keys())) == ["a", "t", "n", "c", "b"]
            assert (len(d), "n" in d, "x" in d, d.get("x"), d["b"]) == (5, True, False, None, 20)
            assert d.get_many(["a", "x", "c"]) == {"a": 10, "c": 3}
            assert d.setdefault("s", 6) == 6
            assert d.get_or_set("s", lambda: 7) == 6
            assert d.get_or_set("g", lambda: 8) == 8
            assert d.pop("g") == 8
            assert d.popitem() == ("s", 6)
            assert d.compare_and_swap("c", 3, 30)
            d.append("l", [1])
            with d.edit("l") as value:
                value.append(2)
            assert d["l"] == [1, 2]
            clock.tick(5)
            assert "t" not in d
            assert len(d) == 5
            d.clear()
            assert (len(d), list(d), d == {}) == (0, [], True)
            d["last"] = 1

        assert d == {"last": 1}

    def test_transaction_with_keys_of_all_types(self, d: Dict) -> None:
        """Keys come back as they were spelled, from inside and after."""
        with d.transaction():
            d[True] = "yes"
            d[1.5] = d[None] = d[(1, "x")] = d["=x"] = "v"
            inside = list(d)

        assert inside == list(d) == [True, 1.5, None, (1, "x"), "=x"]
        assert type(next(iter(d))) is bool

    def test_iteration_in_a_transaction_ends_when_keys_change(self, d: Dict) -> None:
        """As outside of it."""
        d.update(a=1, b=2)
        with d.transaction():
            for change in (lambda: d.update(c=1), lambda: d.pop("a"), lambda: d.rename("b", "n")):
                keys = iter(d)
                next(keys)
                change()
                with pytest.raises(RuntimeError, match="changed size"):
                    next(keys)

    def test_inner_transaction_is_part_of_the_outer(self, d: Dict) -> None:
        """It is committed with the outer one; failing by itself, it takes along only what it did."""
        with d.transaction():
            d["a"] = 1
            with d.transaction():
                d["b"] = 2
            with pytest.raises(ZeroDivisionError), d.transaction():
                del d["a"]
                d["c"] = 1 / 0
            with pytest.raises(InvalidValueError):
                d.set_many([("a", 2), ("bad", object())])
            assert d == {"a": 1, "b": 2}
        with pytest.raises(ZeroDivisionError), d.transaction():
            with d.transaction():
                d["a"] = 3
            d["a"] = 1 / 0

        assert d == {"a": 1, "b": 2}

    def test_others_see_a_transaction_when_it_has_ended(self, d: Dict) -> None:
        """Threads read what was there before, all of it, and their changes come after."""
        d.update(a=1, b=1)
        inside, seen = threading.Event(), threading.Event()

        def other() -> tuple[object, ...]:
            inside.wait()
            before = d["a"], "new" in d, d.get("b"), d.info("a").size
            seen.set()
            d.increment("a")
            return before

        def work(number: int) -> tuple[object, ...] | None:
            if number:
                return other()
            with d.transaction():
                d["a"] = 2
                d["new"] = 1
                del d["b"]
                inside.set()
                seen.wait()
                assert d["a"] == 2
            return None

        _, before = in_threads(work, 2)
        assert before == (1, False, 1, 1)
        assert d == {"a": 3, "new": 1}

    def test_threads_move_between_accounts(self, d: Dict) -> None:
        """Transfers of many threads lose nothing, and get_many sees none half done."""
        accounts = [f"account {number}" for number in range(5)]
        d.update(dict.fromkeys(accounts, 100))

        def work(number: int) -> set[int]:
            sums = set()
            for turn in range(15):
                source, target = accounts[(number + turn) % 5], accounts[(number + 3 * turn + 1) % 5]
                with d.transaction():
                    d.increment(source, -1)
                    d.increment(target, 1)
                sums.add(sum(d.get_many(accounts).values()))
            return sums

        assert set().union(*in_threads(work, 6)) == {500}

    def test_expect(self, d: Dict) -> None:
        """A transaction that expects another version fails at its end, and changes nothing."""
        d["a"] = 1
        version = d.info("a").version
        with d.transaction():
            d.expect("a", version=version)
            d.expect("new", version=None)
            d["a"] = d["new"] = 2
        with pytest.raises(ConflictError), d.transaction():
            d.expect("a", version=version)
            d["a"] = 3
        with pytest.raises(ConflictError), d.transaction():
            d.expect("new", version=None)
            del d["new"]

        assert d == {"a": 2, "new": 2}
        with pytest.raises(RuntimeError, match="inside"):
            d.expect("a", version=1)

    def test_store_cannot_close_in_a_transaction(self, d: Dict) -> None:
        """It would leave the block without what it is in."""
        with d.transaction():
            d["a"] = 1
            with pytest.raises(RuntimeError, match="transaction"):
                d.close()

        assert d == {"a": 1}

    def test_many_keys_are_changed_as_one(self, make_dict: MakeDict) -> None:
        """Where one pair is refused, or the store would be too large, none is stored."""
        d = make_dict(limits=Limits(total_bytes=20, key_chars=5))
        d["a"] = 1
        for bad in ({"b": 2, "c": object()}, {"b": 2, "toolong": 1}, {"b": "x" * 10, "c": "x" * 10}):
            with pytest.raises((TypeError, ValueError)):
                d.set_many(bad)
            with pytest.raises((TypeError, ValueError)):
                d.update(bad)
        assert d == {"a": 1}
        with pytest.raises(LimitError), d.transaction():
            d["a"] = "x" * 10
            d["b"] = "x" * 10

        assert d == {"a": 1}
        with d.transaction():
            d["b"] = "x" * 15
            d["b"] = "x" * 14
        assert d.delete_many(["a", "b", "c"]) == {"a": True, "b": True, "c": False}

    def test_writeback_in_a_transaction(self, make_dict: MakeDict) -> None:
        """What was handed out for a key goes with the transaction that changed it."""
        d = make_dict(writeback=True)
        d["a"] = [1]
        with pytest.raises(ZeroDivisionError), d.transaction():
            d["a"] = [2]
            d["a"].append(3)
            d["b"] = 1 / 0
        assert d["a"] == [1]
        with d.transaction():
            d["a"] = [2]
            d["a"].append(3)
        d.flush()

        assert d["a"] == [2, 3]

    # ---- threads

    def test_threads_count_exactly(self, d: Dict) -> None:
        """No increment, no piece of a list or text is lost."""
        rounds = 12

        def work(number: int) -> None:
            for _ in range(rounds):
                d.increment("n")
                d.append("s", "x")
                d.append("l", [number])

        in_threads(work)
        assert d["n"] == THREADS * rounds
        assert d["s"] == "x" * (THREADS * rounds)
        assert sorted(d["l"]) == sorted(list(range(THREADS)) * rounds)

    def test_threads_swap_and_edit_exactly(self, d: Dict) -> None:
        """Those who lose know it, and repeating gets all there."""
        rounds = 8
        d["n"], d["l"] = 0, []

        def work(number: int) -> None:
            for _ in range(rounds):
                while not d.compare_and_swap("n", n := d["n"], n + 1):
                    pass
                while True:
                    try:
                        with d.edit("l") as value:
                            value.append(number)
                        break
                    except ConflictError:
                        pass

        in_threads(work)
        assert d["n"] == THREADS * rounds
        assert sorted(d["l"]) == sorted(list(range(THREADS)) * rounds)

    def test_threads_win_once(self, d: Dict) -> None:
        """Of all who create, take, move or delete the same key, one does."""
        keys = [f"k{number}" for number in range(8)]

        def created(number: int, key: str) -> bool:
            try:
                d.create(key, number)
            except KeyExistsError:
                return False
            return True

        def renamed(number: int, key: str) -> bool:
            try:
                d.rename(key, f"{key}/{number}")
            except KeyError:
                return False
            return True

        races: list[tuple[bool, Callable[[int, str], object]]] = [
            (True, created),
            (False, lambda _, key: d.delete(key)),
            (True, lambda number, key: d.setdefault(key, number) == number),
            (False, lambda _, key: d.pop(key, None) is not None),
            (True, lambda number, key: d.get_or_set(key, lambda: number) == number),
            (False, renamed),
        ]
        for fills, race in races:
            results = in_threads(lambda number, race=race: [race(number, key) for key in keys])

            assert [sum(map(bool, won)) for won in zip(*results, strict=True)] == [1] * len(keys)
            assert (set(d) == set(keys)) is fills
        assert len(d) == len(keys)

    def test_threads_popitem_once(self, d: Dict) -> None:
        """Every pair goes to exactly one thread."""
        d.set_many({f"k{number}": number for number in range(48)})

        def work(_: int) -> list[tuple[str, int]]:
            taken = []
            while True:
                try:
                    taken.append(d.popitem())
                except KeyError:
                    return taken

        taken = [pair for pairs in in_threads(work) for pair in pairs]
        assert sorted(taken) == sorted((f"k{number}", number) for number in range(48))

    def test_threads_merge_metadata(self, d: Dict) -> None:
        """No merge is lost."""
        d["k"] = 1

        in_threads(lambda number: [d.set_metadata("k", {f"{number}/{turn}": turn}) for turn in range(10)])
        assert len(d.info("k").metadata) == THREADS * 10

    def test_threads_mixing_everything(self, d: Dict, clock) -> None:
        """Every kind of mutation at once, each thread on keys of its own and all on shared ones: exact at the end."""

        def work(number: int) -> None:
            for turn in range(6):
                key = f"{number}/{turn}"
                d[key] = [turn]
                d.set(key, [turn], ttl=50, metadata={"t": turn})
                d.append(key, [number])
                d.expire(key, 5 if turn % 2 else 50)
                d.set_metadata(key, {"n": number})
                d.copy_key(key, key + "c")
                d.rename(key + "c", key + "r")
                d.set_many({key + "m": 1, key + "n": 2})
                d.delete_many([key + "m"])
                d.pop(key + "n")
                with d.edit(key) as value:
                    value.append("e")
                d.increment("shared")
                d.setdefault("first", number)
                if turn % 5 == 0:
                    del d[key]
                assert "shared" in d
                assert len(d) > 1

        in_threads(work)
        assert d["shared"] == THREADS * 6
        expected = {"shared", "first"}
        for number in range(THREADS):
            for turn in range(6):
                expected |= {f"{number}/{turn}r"} | ({f"{number}/{turn}"} if turn % 5 else set())
        assert set(d) == expected
        assert d["3/4"] == [4, 3, "e"]
        assert d.info("3/4").metadata == {"t": 4, "n": 3}
        clock.tick(5)
        assert len(d) == len([key for key in expected if "/" not in key or int(key.split("/")[1].strip("r")) % 2 == 0])

    # ---- cleanup thread, closing

    def test_cleanup_thread(self, make_dict: MakeDict, clock) -> None:
        """With an interval, expired keys go by themselves, and the thread ends with the dict."""
        d = make_dict(cleanup_interval=0.005)
        threads = [thread for thread in threading.enumerate() if thread.name == "diskdict-cleanup"]
        d.set_many({"a": 1, "b": 2}, ttl=5)
        clock.tick(5)
        wait_until(lambda: has_swept(d, clock))
        d.close()

        assert len(threads) == 1
        assert threads[0].daemon
        assert not threads[0].is_alive()

    @pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), True, "1"])
    def test_cleanup_interval_refused(self, make_dict: MakeDict, interval: Any) -> None:
        """A bad interval is refused before anything is opened."""
        with pytest.raises(ValueError, match=r"cleanup_interval|ttl"):
            make_dict(cleanup_interval=interval)

    def test_context_manager_closes(self, d: Dict) -> None:
        """After the block nothing works, and says so."""
        with d as inside:
            d["k"] = 1
            assert inside is d

        for use in (
            lambda: d["k"],
            lambda: d.get("k"),
            lambda: d.__setitem__("k", 1),
            lambda: d.__delitem__("k"),
            lambda: "k" in d,
            lambda: len(d),
            lambda: list(d),
            lambda: d.pop("k", None),
            lambda: d.setdefault("k", 1),
            lambda: d.increment("n"),
            lambda: d.get_or_set("k", int),
            lambda: d.info("k"),
            lambda: d.get_many(["k"]),
            lambda: d.rename("k", "l"),
            lambda: d.cleanup_expired(),
            lambda: d.clear(),
        ):
            with pytest.raises(ClosedError):
                use()

    def test_closing_twice_does_nothing(self, d: Dict) -> None:
        """Closing and flushing again is for `finally` blocks."""
        d.close()
        d.close()

    # ---- writeback

    def test_writeback_remembers_changes(self, make_dict: MakeDict) -> None:
        """A value handed out is the key's one object, and its changes are kept."""
        d = make_dict(writeback=True)
        d["k"] = [1]
        d["k"].append(2)
        d.setdefault("s", {})["a"] = 1
        d.get_or_set("g", list).append(5)

        assert d["k"] is d["k"]
        assert d == {"k": [1, 2], "s": {"a": 1}, "g": [5]}
        assert list(d.values()) == [[1, 2], {"a": 1}, [5]]

    def test_writeback_flush_stores(self, make_dict: MakeDict, clock) -> None:
        """`flush` writes what changed, keeps time-to-live and metadata, and leaves the unchanged alone."""
        d = make_dict(writeback=True)
        d.set("k", [1], ttl=10, metadata={"a": 1})
        d["same"] = [1]
        version = d.info("same").version
        d["k"].append(2)
        d["same"].append(2)
        d["same"].pop()
        d.flush()

        assert stored(d, "k") == [1, 2]
        assert (d.ttl("k"), d.info("k").metadata) == (10, {"a": 1})
        assert d.info("same").version == version

    @pytest.mark.parametrize(
        ("use", "expected"),
        [
            (lambda d: d.info("k").size, 5),
            (lambda d: d.append("k", [3]), [1, 2, 3]),
            (lambda d: d.compare_and_swap("k", [1, 2], 0), True),
            (lambda d: (d.rename("k", "l"), d["l"])[1], [1, 2]),
            (lambda d: (d.copy_key("k", "l"), d["l"])[1], [1, 2]),
            (lambda d: d.get_many(["k"]), {"k": [1, 2]}),
            (lambda d: d.pop("k"), [1, 2]),
            (lambda d: d.popitem(), ("k", [1, 2])),
            (lambda d: d.copy(), {"k": [1, 2]}),
            (lambda d: d.get("k"), [1, 2]),
        ],
    )
    def test_writeback_is_seen_by_every_operation(
        self, make_dict: MakeDict, use: Callable[[Dict], object], expected: object
    ) -> None:
        """Whoever looks at the stored bytes finds the changes in them."""
        d = make_dict(writeback=True)
        d["k"] = [1]
        d["k"].append(2)

        assert use(d) == expected

    def test_writeback_and_edit(self, make_dict: MakeDict) -> None:
        """An edit begins with the changes made so far; a failed one leaves them as they were."""
        d = make_dict(writeback=True)
        d["k"] = [1]
        d["k"].append(2)
        with d.edit("k") as value:
            value.append(3)
        with pytest.raises(ZeroDivisionError), d.edit("k") as value:
            append_and_fail(value)

        assert d["k"] == [1, 2, 3]
        d.flush()
        assert stored(d, "k") == [1, 2, 3]

    def test_writeback_moves_along(self, make_dict: MakeDict) -> None:
        """A renamed key keeps the object that was handed out."""
        d = make_dict(writeback=True)
        d["k"] = value = [1]
        d.rename("k", "l")
        value.append(2)

        assert d["l"] is value
        d.flush()
        assert stored(d, "l") == [1, 2]

    @pytest.mark.parametrize(
        "forget",
        [
            lambda d, clock: d.delete("k"),
            lambda d, clock: d.pop("k"),
            lambda d, clock: d.clear(),
            lambda d, clock: d.delete_many(["k"]),
            lambda d, clock: d.popitem(),
            lambda d, clock: clock.tick(10),
        ],
        ids=["delete", "pop", "clear", "delete_many", "popitem", "expiry"],
    )
    def test_writeback_forgets_what_is_gone(
        self, make_dict: MakeDict, clock, forget: Callable[[Dict, Any], object]
    ) -> None:
        """A key that was removed does not come back by a later change of its value."""
        d = make_dict(writeback=True)
        d.set("k", [1], ttl=10)
        value = d["k"]
        forget(d, clock)
        value.append(2)
        d.flush()

        assert d == {}
        assert d.get("k") is None

    def test_writeback_reads_nothing_that_has_expired(self, make_dict: MakeDict, clock) -> None:
        """Holding a value does not keep its key alive."""
        d = make_dict(writeback=True)
        d.set("k", [1], ttl=10)
        d["k"].append(2)
        clock.tick(10)

        assert d.get("k") is None
        assert d.setdefault("k", [3]) == [3]
        assert d["k"] == [3]

    def test_threads_flush_beside_new_ttls(self, make_dict: MakeDict) -> None:
        """Writing back repeats when the key changes under its hands, and loses neither change."""
        d = make_dict(writeback=True)
        d["k"] = []
        done = threading.Event()

        def work(number: int) -> None:
            if number:
                while not done.is_set():
                    d.expire("k", 100)
                return
            try:
                for turn in range(15):
                    d["k"].append(turn)
                    d.flush()
            finally:
                done.set()

        in_threads(work, 3)
        assert stored(d, "k") == list(range(15))
        assert d.ttl("k") == 100

    @pytest.mark.parametrize(
        "overwrite",
        [
            lambda d: d.__setitem__("k", [5]),
            lambda d: d.set_many({"k": [5]}),
            lambda d: d.compare_and_swap("k", [1], [5]),
            lambda d: d._store.put("k", b"[5]"),
        ],
        ids=["assignment", "set_many", "compare_and_swap", "somebody else"],
    )
    def test_writeback_forgets_what_was_overwritten(
        self, make_dict: MakeDict, overwrite: Callable[[Dict], object]
    ) -> None:
        """A change of the old value does not undo the new one."""
        d = make_dict(writeback=True)
        d["k"] = [1]
        old = d["k"]
        overwrite(d)
        old.append(2)

        assert d["k"] == [5]
        d.flush()
        assert stored(d, "k") == [5]

    def test_writeback_survives_a_new_ttl(self, make_dict: MakeDict, clock) -> None:
        """Changing time-to-live or metadata does not part a key from its object."""
        d = make_dict(writeback=True)
        d["k"] = value = [1]
        d.expire("k", 10)
        d.set_metadata("k", {"a": 1})
        value.append(2)

        assert d["k"] is value
        d.flush()
        assert stored(d, "k") == [1, 2]
        assert d.ttl("k") == 10

    def test_writeback_writes_all_it_can(self, make_dict: MakeDict) -> None:
        """One value that cannot be stored is an error that names its key, after all others were stored."""
        d = make_dict(writeback=True)
        d.update({"bad": [1], ("good", 1): [1]})
        d["bad"].append(object())
        d["good", 1].append(2)
        with pytest.raises(InvalidValueError) as caught:
            d.flush()

        assert any("'bad'" in note for note in caught.value.__notes__)
        assert stored(d, ("good", 1)) == [1, 2]
        d["bad"] = 0

    def test_writeback_close_stores(self, make_dict: MakeDict) -> None:
        """`close` flushes first, and closes even where that fails."""
        d = make_dict(writeback=True)
        d["bad"] = [1]
        d["bad"].append(object())
        with pytest.raises(InvalidValueError):
            d.close()
        with pytest.raises(ClosedError):
            d["bad"]

    def test_writeback_limits(self, make_dict: MakeDict) -> None:
        """A value that has grown beyond a limit is refused when it is written back."""
        d = make_dict(writeback=True, limits=Limits(value_bytes=10))
        d["k"] = [1]
        d["k"].extend(range(20))
        with pytest.raises(LimitError):
            d.flush()
        assert stored(d, "k") == [1]
        del d["k"]

    def test_no_warnings(self, make_dict: MakeDict) -> None:
        """Ordinary use says nothing."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with make_dict() as d:
                d.update(SAMPLES)
                assert isinstance(d.copy(), Mapping)


def append_and_fail(value: list[object]) -> None:
    """Change a value and fail."""
    value.append("half done")
    raise ZeroDivisionError


def stored(d: Dict, key: object) -> object:
    """Return the value that the store has for a key, past whatever the dict remembers."""
    text, _ = d._values.key(key)
    payload = d._store.read(text)
    assert payload is not None
    return d._values.loads(payload)


def has_swept(d: Dict, clock: Any) -> bool:
    """Say whether nothing is left that a clock going back would bring to life."""
    clock.tick(-5)
    alive = len(d)
    clock.tick(5)
    return not alive


def waiting() -> int:
    """Return how many threads wait for what another one computes."""
    return sum(map(_waits, sys._current_frames().values()))


def _waits(frame: FrameType | None) -> bool:
    while frame is not None and frame.f_code is not Flights._wait.__code__:
        frame = frame.f_back
    return frame is not None


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that another thread does."""
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("it did not happen")

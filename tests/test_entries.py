"""`entries` and `restore` carry keys from one dict to another, with all that belongs to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from clocks import Clock

from diskdict import DiskDict, Entry, InvalidKeyError, InvalidValueError, LimitError, Limits, open_dict
from diskdict.core import StoreDict

Dict = StoreDict[object, object]


@pytest.fixture(params=["memory:", "folder"])
def d(request: pytest.FixtureRequest, folder: Path, clock: Clock) -> Iterator[Dict]:
    with open_dict(request.param if request.param == "memory:" else folder, clock=clock) as made:
        yield made


@pytest.fixture
def other(tmp_path: Path, clock: Clock) -> Iterator[DiskDict[object, object]]:
    with DiskDict(tmp_path / "other", clock=clock, default_ttl=1) as made:
        yield made


def test_what_entries_gives_restore_makes(d: Dict, other: Dict, clock: Clock) -> None:
    """Order, value, spelling, expiry, creation and metadata are those of before; default_ttl adds nothing."""
    d["b"], d[True], d["=x"] = 1, {2}, b"3"
    d.set("a", None, ttl=50, metadata={"n": 1})
    clock.now += 10

    other.restore(d.entries())

    assert list(other.entries()) == list(d.entries())
    assert repr(list(other)) == "['b', True, '=x', 'a']"
    assert (other.expires_at("a"), other.ttl("b")) == (d.expires_at("a"), None)
    assert other.info("a").created_at == clock.now - 10


def test_entries_of_a_writeback_dict_has_what_changed(folder: Path) -> None:
    """What was handed out and changed is carried as it is by now."""
    with DiskDict[str, list[int]](folder, writeback=True) as d:
        d["a"] = []
        d["a"].append(1)

        assert [entry.value for entry in d.entries()] == [[1]]


def test_restore_leaves_place_and_creation_of_what_is_there(d: Dict, clock: Clock) -> None:
    """Only value, expiry and metadata are those of the entry."""
    d["a"], d["b"] = 1, 2
    born = clock.now
    clock.now += 10

    d.restore([Entry("b", 3, created_at=1.0), Entry("a", 4, clock.now + 5, metadata={"m": 1})])

    assert list(d.items()) == [("a", 4), ("b", 3)]
    assert d.info("b").created_at == born
    assert (d.ttl("a"), d.info("a").metadata) == (5, {"m": 1})


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (Entry([], 1), InvalidKeyError),
        (Entry("k", object()), InvalidValueError),
        (Entry("k", 1, metadata={1: 2}), InvalidValueError),  # type: ignore[dict-item]
        *(
            (Entry("k", 1, **{name: time}), ValueError)  # type: ignore[arg-type]
            for name, time in product(("expires_at", "created_at"), (math.nan, math.inf, -1, True, "1", 10**400))
        ),
    ],
)
def test_restore_refuses_all_where_one_is_refused(
    d: Dict, wrong: Entry[object, object], error: type[Exception]
) -> None:
    """Nothing of it is stored, and a note says which key it was."""
    with pytest.raises(error) as caught:
        d.restore([Entry("first", 1), wrong])

    assert caught.value.__notes__ == [f"key {wrong.key!r}"]
    assert d == {}


def test_restore_holds_the_limits(folder: Path) -> None:
    """As every other way to write."""
    with DiskDict[str, str](folder, limits=Limits(value_bytes=10)) as d:
        with pytest.raises(LimitError):
            d.restore([Entry("a", "x" * 20)])

        assert d == {}

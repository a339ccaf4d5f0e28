"""Software from PyPI and the standard library that takes a dict takes a `DiskDict`, and what it kept is there later."""

from __future__ import annotations

import json
import shelve
import string
from collections import ChainMap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cachetools
import pytest
import zict
from dogpile.cache import make_region
from dogpile.cache.api import NO_VALUE

from diskdict import DiskDict

Dict = DiskDict[Any, Any]
Open = Callable[..., Dict]


@pytest.fixture
def opened(folder: Path, clock) -> Iterator[Open]:
    """Opens the folder on the test's clock, and closes what was opened."""
    made: list[Dict] = []

    def open_it(**options: Any) -> Dict:
        made.append(DiskDict(folder, **{"clock": clock} | options))
        return made[-1]

    yield open_it
    for d in made:
        d.close()


# ---- zict


def test_zict_buffer_spills_to_the_folder(opened: Open) -> None:
    """What does not fit in memory lies in the folder, and comes back when it is used."""
    slow = opened()
    buffer = zict.Buffer({}, slow, n=2)
    for number in range(5):
        buffer[f"k{number}"] = {"n": number}
    spilled = dict(slow)
    back = buffer["k0"]

    assert spilled == {f"k{number}": {"n": number} for number in range(3)}
    assert back == {"n": 0}
    assert "k0" in buffer.fast
    assert "k0" not in slow
    assert dict(buffer) == {f"k{number}": {"n": number} for number in range(5)}


def test_zict_buffer_flushes_into_the_folder(opened: Open) -> None:
    """What was spilled is there in the next process, changed and deleted keys as they were left."""
    with opened() as slow:
        buffer = zict.Buffer({}, slow, n=1)
        buffer.update({"a": 1, "b": 2, "c": 3})
        buffer["a"] = 10
        del buffer["b"]
        buffer.fast.evict()
        buffer.close()
    with opened() as slow:
        assert slow == {"a": 10, "c": 3}


def test_zict_lru_keeps_a_folder_small(opened: Open) -> None:
    """An LRU over a folder removes the files that were not used for longest, by their weight."""
    evicted: list[str] = []
    d = opened()
    lru = zict.LRU(10, d, weight=lambda key, value: len(value), on_evict=lambda key, value: evicted.append(key))
    for key in "abc":
        lru[key] = "xxx"
    lru["a"]
    lru["d"] = "xxxx"

    assert evicted == ["b"]
    assert dict(d) == {"a": "xxx", "c": "xxx", "d": "xxxx"}
    assert len(lru) == 3


def test_zict_func_over_a_raw_folder(opened: Open) -> None:
    """Values can be turned to bytes outside, and are in the file as they are."""
    d = opened(codec="raw")
    mapping = zict.Func(str.encode, bytes.decode, d)
    mapping["k"] = "blå"

    assert mapping["k"] == "blå"
    assert d.path_for("k").read_bytes() == "blå".encode()


def test_zict_sieve_with_a_folder(opened: Open) -> None:
    """A folder can be one of several places."""
    small, large = opened(), {}
    sieve = zict.Sieve({True: small, False: large}, lambda key, value: len(value) < 5)
    sieve.update({("a", 1): "abc", "b": "abcdef"})
    sieve[("a", 1)] = "longer now"

    assert dict(small) == {}
    assert large == {("a", 1): "longer now", "b": "abcdef"}
    sieve["b"] = "abc"
    assert dict(small) == {"b": "abc"}


# ---- cachetools


def test_cachetools_memoises_by_tuple_keys(opened: Open) -> None:
    """Results of a function lie in the folder under tuples of its arguments, for the next process too."""
    calls: list[Any] = []

    def area(width: float, height: float = 1, name: str | None = None) -> dict[str, Any]:
        calls.append((width, height, name))
        return {"area": width * height, "name": name}

    with opened() as d:
        cached = cachetools.cached(d, key=lambda *args: args)(area)
        first = [cached(2, 3), cached(2, 3), cached(2.0, 3), cached(2, 3, "x")]
        keys = list(d)
    with opened() as d:
        again = cachetools.cached(d, key=lambda *args: args)(area)(2, 3, "x")

    assert first == [{"area": 6, "name": None}] * 3 + [{"area": 6, "name": "x"}]
    assert keys == [(2, 3), (2, 3, "x")]
    assert again == {"area": 6, "name": "x"}
    assert calls == [(2, 3, None), (2, 3, "x")]


def test_cachetools_keys_of_keyword_arguments(opened: Open) -> None:
    """cachetools marks those with an object, which is no key for a folder: results are right, and not kept.

    It takes the refusal, a ValueError, for that of a cache that has no room; ``key=`` gives keys that can be kept.
    """
    calls: list[int] = []
    d = opened()

    @cachetools.cached(d)
    def double(*, x: int) -> int:
        calls.append(x)
        return 2 * x

    assert (double(x=1), double(x=1)) == (2, 2)
    assert calls == [1, 1]
    assert d == {}


def test_cachetools_with_a_ttl(opened: Open, clock) -> None:
    """Expired results are computed again."""
    calls: list[int] = []
    d = opened(default_ttl=5)

    @cachetools.cached(d, key=lambda x: (x,))
    def double(x: int) -> int:
        calls.append(x)
        return 2 * x

    results = [double(1), double(1)]
    clock.tick(5)
    results.append(double(1))

    assert results == [2, 2, 2]
    assert calls == [1, 1]


# ---- dogpile.cache


def region_over(d: Dict) -> Any:
    return make_region().configure("dogpile.cache.memory_pickle", expiration_time=3600, arguments={"cache_dict": d})


def test_dogpile_region_in_a_folder(opened: Open) -> None:
    """A region's values, pickled by dogpile, are bytes in the folder and are found by the next process."""
    calls: list[str] = []

    def create() -> dict[str, object]:
        calls.append("made")
        return {"when": (1, 2)}

    with opened() as d:
        region = region_over(d)
        first = region.get_or_create("k", create), region.get_or_create("k", create)
        region.set_multi({"a": 1, "b": [2]})
        kinds = {type(value) for value in d.values()}
    with opened() as d:
        region = region_over(d)
        later = region.get_or_create("k", create), region.get_multi(["a", "b", "missing"])
        region.delete("k")
        region.delete_multi(["a", "missing"])
        gone = region.get("k"), region.get("a")

        assert list(d) == ["b"]
    assert first == ({"when": (1, 2)},) * 2
    assert kinds == {bytes}
    assert later == ({"when": (1, 2)}, [1, [2], NO_VALUE])
    assert gone == (NO_VALUE, NO_VALUE)
    assert calls == ["made"]


def test_dogpile_decorator_with_a_mangler(opened: Open) -> None:
    """Keys that a region makes are file names one can read."""
    d = opened(codec="raw")
    region = region_over(d)

    @region.cache_on_arguments(namespace="users")
    def name_of(number: int) -> str:
        return f"user {number}"

    names = name_of(1), name_of(1), name_of(2)
    name_of.invalidate(1)

    assert names == ("user 1", "user 1", "user 2")
    assert [key.split("|")[-1] for key in d] == ["2"]


# ---- the standard library


def test_shelf_over_a_raw_folder(opened: Open) -> None:
    """shelve pickles keys to bytes and values to bytes; both are stored as they are, and found by the next process."""
    with shelve.Shelf(opened(codec="raw")) as shelf:
        shelf["k"] = {"any": {1, 2}, "object": complex(1, 2)}
        shelf["ключ"] = None
        del shelf["ключ"]
        shelf["l"] = [1]
    with shelve.Shelf(opened(codec="raw"), writeback=True) as shelf:
        shelf["l"].append(2)
        found = dict(shelf)
    with opened(codec="raw") as d:
        assert list(d) == [b"k", b"l"]
    with shelve.Shelf(opened(codec="raw")) as shelf:
        assert shelf["l"] == [1, 2]

    assert found == {"k": {"any": {1, 2}, "object": complex(1, 2)}, "l": [1, 2]}


def test_shelf_closes_its_folder(opened: Open, folder: Path) -> None:
    """Closing the shelf frees the folder and leaves it clean."""
    d = opened(codec="raw")
    with shelve.Shelf(d) as shelf:
        shelf["k"] = 1

    with pytest.raises(ValueError, match="closed"):
        shelf["k"]
    with opened(codec="raw") as d:
        assert d.verify().ok


def test_chain_of_settings(opened: Open) -> None:
    """A folder is a layer of settings: reads fall through to the next, writes go to the first."""
    user = opened()
    user["colour"] = "green"
    settings = ChainMap(user, {"colour": "blue", "size": 5})
    settings["name"] = "x"
    child = settings.new_child({"colour": "red"})

    assert dict(settings) == {"colour": "green", "size": 5, "name": "x"}
    assert (child["colour"], child["name"], len(child)) == ("red", "x", 3)
    assert user == {"colour": "green", "name": "x"}
    del settings["colour"]
    assert settings["colour"] == "blue"


def test_folder_behind_others(opened: Open) -> None:
    """Defaults can be the ones that are on disk."""
    defaults = opened()
    defaults.update(colour="blue", size=5)
    settings = ChainMap({}, defaults)
    settings["colour"] = "red"

    assert (settings["colour"], settings["size"]) == ("red", 5)
    assert defaults["colour"] == "blue"


def test_template(opened: Open) -> None:
    """A folder fills in a text."""
    d = opened()
    d.update(name="Ada", n=2, unused=[1])

    assert string.Template("$name has $n: ${missing}").safe_substitute(d) == "Ada has 2: ${missing}"
    assert string.Template("$name has $n").substitute(d, n=3) == "Ada has 3"
    with pytest.raises(KeyError, match="missing"):
        string.Template("$missing").substitute(d)
    assert "{name} has {n}".format_map(d) == "Ada has 2"


def test_json_round_trip(opened: Open) -> None:
    """What is in the folder is what JSON makes of it, and can be put back in one go."""
    content = {"text": "blå\n\0", "list": [1, 2.5, None, True, {"deep": [[]]}], "": "", "a/b": 10**15, "é": -0.5}
    with opened() as d:
        d.update(content)
        text = json.dumps(dict(d))
        d.clear()
        d.update(json.loads(text))
    with opened() as d:
        assert dict(d) == json.loads(text) == content
        assert list(d) == list(content)


def test_match_statement(opened: Open) -> None:
    """A pattern for mappings matches."""
    d = opened()
    d.update(kind="circle", radius=2, colour="red")
    match d:
        case {"kind": "circle", "radius": radius, **rest}:
            found = radius, rest
        case _:
            found = None

    assert found == (2, {"colour": "red"})

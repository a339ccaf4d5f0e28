"""Each row of the README's table "Coming from …" is executed, both sides of it, and shows what it says."""

from __future__ import annotations

import os
import re
import shelve
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import key_value_ds
import pytest
from diskcache import Cache
from iodict import IODict

from diskdict import (
    DataStore,
    DiskDict,
    InvalidValueError,
    KeyExistsError,
    KeyNotFoundError,
    LimitError,
    Limits,
    StoreLockedError,
    get_instance,
)

README = Path(__file__).parent.parent / "README.rst"
ROW = re.compile(r"   \* - (iodict|shelve|diskcache|key-value-ds)\n     - ``(.+)``\n     - ``(.+)``\n     - .+")

Names = dict[str, Any]
Check = Callable[[Names, Any, Any], None]
CHECKS: dict[str, Check] = {}


def row(there: str) -> Callable[[Check], Check]:
    """Register what has to hold after the row whose left side is `there` was executed."""

    def register(check: Check) -> Check:
        CHECKS[there] = check
        return check

    return register


@row("db = IODict(path)")
def opened(names: Names, there: Any, here: Any) -> None:
    names["db"]["k"] = names["d"]["k"] = {"a": 1}
    assert names["d"].path_for("k").read_bytes() == b'{"a":1}'
    with pytest.raises(StoreLockedError):
        DiskDict(names["d"].path)


@row('db.setdefault("k", 1)')
def setdefault(names: Names, there: Any, here: Any) -> None:
    assert (names["db"]["k"], names["d"]["k"], here) == (1, "old", "old")


@row('db.pop("missing", 0)')
def pop(names: Names, there: Any, here: Any) -> None:
    assert isinstance(there, KeyError)
    assert here == 0


@row("db.popitem()")
def popitem(names: Names, there: Any, here: Any) -> None:
    assert there == "old"
    assert here == ("k", "old")
    assert names["d"].popitem() == ("last", 2)


@row("db.copy()")
def copied(names: Names, there: Any, here: Any) -> None:
    assert there is names["db"]
    assert type(here) is dict
    assert here == names["d"]


@row('db.fromkeys(["a", "b"], 0)')
def fromkeys(names: Names, there: Any, here: Any) -> None:
    assert (names["db"]["a"], names["d"]["a"]) == (0, 0)
    with DiskDict.fromkeys("ab", 0, path=names["other"]) as made:
        assert made == {"a": 0, "b": 0}


@row("s = shelve.open(file)")
def opened_shelf(names: Names, there: Any, here: Any) -> None:
    names["s"]["k"] = names["d"]["k"] = [1]
    assert names["d"].path_for("k").read_text() == "[1]"


@row("s = shelve.open(file, writeback=True)")
def writeback(names: Names, there: Any, here: Any) -> None:
    d = names["d"]
    d["k"], d["other"] = [1], [2]
    d.flush()
    version = d.info("other").version
    d["k"].append(2)
    d["other"].copy()
    d.flush()
    assert d.path_for("k").read_text() == "[1,2]"
    assert d.info("other").version == version


@row("s.sync()")
def synced(names: Names, there: Any, here: Any) -> None:
    names["d"]["k"] = "new"
    assert names["d"].path_for("k").read_text() == '"new"'


@row('s = shelve.open(file, flag="r")')
def read_only(names: Names, there: Any, here: Any) -> None:
    with DiskDict(names["path"], readonly=True) as beside:
        assert beside["k"] == names["d"]["k"] == "old"
    with pytest.raises(StoreLockedError):
        DiskDict(names["path"])


@row('s["k"] = 1 + 2j')
def any_object(names: Names, there: Any, here: Any) -> None:
    names["d"]["k"] = 1 + 2j
    assert names["d"]["k"] == names["s"]["k"] == 1 + 2j
    with DiskDict(names["other"]) as plain, pytest.raises(InvalidValueError, match="pickle"):
        plain["k"] = 1 + 2j


@row('cache.set("k", 1, expire=60)')
def expiring(names: Names, there: Any, here: Any) -> None:
    assert 50 < names["d"].ttl("k") <= 60


@row('cache.add("k", 1)')
def added(names: Names, there: Any, here: Any) -> None:
    assert there is False
    assert isinstance(here, KeyExistsError)


@row('cache.incr("n", 2)')
def incremented(names: Names, there: Any, here: Any) -> None:
    assert (there, here) == (2, 2)
    assert names["d"].increment("n", 2**70 + 0.5) == 2**70 + 2.5


@row('cache.touch("k", expire=60)')
def touched(names: Names, there: Any, here: Any) -> None:
    assert there is here is True
    assert not names["d"].touch("missing", 60)


@row('cache.get("k", expire_time=True)')
def expiry(names: Names, there: Any, here: Any) -> None:
    assert there == here == ("old", None)


@row("cache.expire()")
def expired(names: Names, there: Any, here: Any) -> None:
    names["d"].set("gone", 1, ttl=0)
    assert "gone" not in names["d"]
    assert names["d"].cleanup_expired() == 1


@row("cache.memoize()(function)")
def memoised(names: Names, there: Any, here: Any) -> None:
    assert there() == "computed"
    assert here == "old"
    assert names["d"].get_or_set("new", names["function"]) == "computed"


@row("cache = Cache(path, size_limit=2**20)")
def limited(names: Names, there: Any, here: Any) -> None:
    with pytest.raises(LimitError):
        names["d"]["k"] = "x" * 2**20


@row("cache.check()")
def checked(names: Names, there: Any, here: Any) -> None:
    assert there == []
    assert here.ok


@row("ds = key_value_ds.get_instance(name)")
def instance(names: Names, there: Any, here: Any) -> None:
    names["store"].create("k", {"n": 1})
    assert Path(names["file"]).stat().st_size == key_value_ds.config.MAX_LOCAL_STORAGE_SIZE
    assert (names["store"].path / "data").is_dir()


@row('ds.create("k", {"n": 1}, ttl=60)')
def created(names: Names, there: Any, here: Any) -> None:
    with DiskDict(names["other"]) as beside:
        beside.set("k", 1, ttl=60)
        assert 50 < beside.ttl("k") <= 60
    names["store"].create("short", {}, ttl=0.001)
    names["ds"].create("short", {}, ttl=0.9)
    value, _, ttl = names["ds"]._DataStore__data["short"]
    assert (value, ttl) == ({}, 0)
    time.sleep(0.002)
    assert "short" not in names["store"]


@row('ds.create("expired", {})')
def created_again(names: Names, there: Any, here: Any) -> None:
    assert isinstance(there, ValueError)
    assert here is None
    assert names["store"]["expired"] == {}


@row('ds.create("large", {"x": "y" * 20_000})')
def created_large(names: Names, there: Any, here: Any) -> None:
    assert there is None
    assert isinstance(here, LimitError)


@row('ds.get("missing")')
def missing(names: Names, there: Any, here: Any) -> None:
    assert type(there) is ValueError
    assert isinstance(here, KeyNotFoundError)
    assert isinstance(here, ValueError)
    assert isinstance(here, KeyError)


@row('ds.get("old").update(n=2)')
def changed(names: Names, there: Any, here: Any) -> None:
    assert (names["ds"].get("old"), names["store"].get("old")) == ({"n": 2}, {"n": 1})


@row('ds.delete("missing")')
def deleted(names: Names, there: Any, here: Any) -> None:
    assert there is None
    assert isinstance(here, KeyNotFoundError)


@row("ds.delete_all()")
def all_deleted(names: Names, there: Any, here: Any) -> None:
    assert (there, here) == (None, 1)


def evaluated(code: str, names: Names) -> Any:
    """Execute one side of a row; return its value, or the error it raised."""
    try:
        if re.match(r"[\w\"\[\]]+ = ", code):
            exec(code, names)
            return None
        return eval(code, names)
    except Exception as error:
        return error


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall(README.read_text(encoding="utf-8"))


@pytest.fixture
def names(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Names:
    """What the code of a row may use: stores of both kinds with two keys, unless the row opens its own."""
    found: Names = {"IODict": IODict, "Cache": Cache, "shelve": shelve, "DiskDict": DiskDict, "Limits": Limits}
    found |= {"path": str(tmp_path / "here"), "file": str(tmp_path / "there"), "other": str(tmp_path / "other")}
    found["new"] = str(tmp_path / "new")
    found |= {"key_value_ds": key_value_ds, "get_instance": get_instance, "name": "there"}
    found["function"] = lambda: "computed"
    origin, there, here = request.getfixturevalue("cells")
    if origin == "key-value-ds":
        monkeypatch.setattr(key_value_ds.config, "LOCAL_STORAGE_PREPEND_PATH", str(tmp_path))
        monkeypatch.setattr(key_value_ds.config, "MAX_LOCAL_STORAGE_SIZE", 100_000)
        if not there.startswith("ds = "):
            found["ds"], found["store"] = key_value_ds.get_instance("there"), DataStore(found["path"])
            for store in (found["ds"], found["store"]):
                store.create("old", {"n": 1})
                store.create("expired", {}, ttl=0)
            time.sleep(0.002)
        return found
    with DiskDict(found["path"]) as d:
        d["k"], d["last"] = "old", 2
    if not here.startswith("d = "):
        found["d"] = DiskDict(found["path"])
    if origin == "shelve":
        with shelve.open(found["file"]) as shelf:
            shelf["k"] = "old"
        found["s"] = shelve.open(found["file"])
    elif not there.startswith(("db = ", "cache = ")):
        store = IODict(found["file"]) if origin == "iodict" else Cache(found["file"])
        store["k"] = "old"
        found["db" if origin == "iodict" else "cache"] = store
    return found


@pytest.mark.parametrize("cells", rows(), ids=lambda cells: cells[1])
def test_a_row_does_what_it_says(cells: tuple[str, str, str], names: Names) -> None:
    """Both sides of a row run, and differ as its last column says."""
    _, there, here = cells
    shelf = names.get("s")
    if there.startswith("s = "):
        shelf.close()

    if there.endswith("(path)") or "Cache(path" in there:
        there_names = names | {"path": names["file"]}
        left = evaluated(there, there_names)
        names |= {name: there_names[name] for name in ("db", "cache") if name in there_names}
    else:
        left = evaluated(there, names)
    right = evaluated(here, names)
    try:
        CHECKS[there](names, left, right)
    finally:
        for name in ("d", "s", "cache", "store"):
            if name in names:
                names[name].close()
        if "ds" in names:
            names["ds"]._DataStore__mmap.close()
            os.close(names["ds"]._DataStore__fd)


def test_every_row_is_checked() -> None:
    """The table and the checks are the same set, and none was lost in parsing."""
    assert {there for _, there, _ in rows()} == set(CHECKS)
    table = README.read_text(encoding="utf-8").partition("\nComing from iodict,")[2]
    assert len(rows()) == table.count("   * - ") - 1

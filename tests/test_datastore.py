"""`DataStore`: objects by key, created, read and deleted within limits; and `get_instance`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clocks import Clock
from folders import kill, tree, use_sidecars
from test_regressions import run

from diskdict import (
    FOREVER,
    ClosedError,
    DataStore,
    DiskDict,
    FormatError,
    InvalidKeyError,
    InvalidValueError,
    KeyExistsError,
    KeyNotFoundError,
    LimitError,
    Limits,
    ReadOnlyError,
    get_instance,
)

Open = Callable[..., DataStore]


@pytest.fixture(params=["attributes", "sidecars"], autouse=True)
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where expiry is kept."""
    if request.param == "sidecars":
        use_sidecars(monkeypatch)


@pytest.fixture
def opened(folder: Path, clock: Clock) -> Iterator[Open]:
    """Opens the folder on the test's clock, and closes what was opened."""
    made: list[DataStore] = []

    def open_it(**options: Any) -> DataStore:
        made.append(DataStore(folder, **{"clock": clock} | options))
        return made[-1]

    yield open_it
    for store in made:
        store.close()


@pytest.fixture
def store(opened: Open) -> DataStore:
    return opened()


# ---- create, read, delete


@pytest.mark.parametrize("read", [DataStore.get, DataStore.read, DataStore.__getitem__], ids=["get", "read", "[]"])
def test_what_was_created_is_read(store: DataStore, read: Callable[[DataStore, str], object]) -> None:
    """By any of three names, and what comes back is a copy."""
    value: dict[str, object] = {"age": 34, "of": ["x", None, 1.5, {"y": True}]}
    store.create("anna", value)
    value["age"] = 35
    found = read(store, "anna")

    assert found == {"age": 34, "of": ["x", None, 1.5, {"y": True}]}
    assert read(store, "anna") is not found


def test_created_twice(store: DataStore) -> None:
    """The second is refused by an error that is a KeyError and a ValueError, and the first value stays."""
    store.create("k", {"n": 1})
    with pytest.raises(KeyExistsError) as refused:
        store.create("k", {"n": 2})

    assert isinstance(refused.value, KeyError)
    assert isinstance(refused.value, ValueError)
    assert refused.value.key == "k"
    assert store["k"] == {"n": 1}


ASK: dict[str, Callable[[DataStore, Any], object]] = {
    "get": lambda store, key: store.get(key),
    "read": lambda store, key: store.read(key),
    "[]": lambda store, key: store[key],
    "delete": lambda store, key: store.delete(key),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_missing_key(store: DataStore, clock: Clock, ask: Callable[[DataStore, str], object]) -> None:
    """A key that was never there, was deleted or has expired is not found: a KeyError and a ValueError."""
    store.create("deleted", {})
    store.delete("deleted")
    store.create("expired", {}, ttl=5)
    clock.tick(5)

    for key in ("never", "deleted", "expired", "longer than any key there can be in this store"):
        with pytest.raises(KeyNotFoundError) as missing:
            ask(store, key)
        assert isinstance(missing.value, KeyError)
        assert isinstance(missing.value, ValueError)
        assert key in str(missing.value)
        assert key not in store


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
@pytest.mark.parametrize("key", [1, None, b"k", ("k",), 1.5])
def test_key_that_is_no_str(store: DataStore, ask: Callable[[DataStore, object], object], key: object) -> None:
    """It is refused by an error that is a TypeError and a ValueError, and is not in the store."""
    with pytest.raises(InvalidKeyError) as refused:
        ask(store, key)
    with pytest.raises(InvalidKeyError):
        store.create(key, {})  # type: ignore[arg-type]

    assert isinstance(refused.value, TypeError)
    assert isinstance(refused.value, ValueError)
    assert key not in store
    assert not list(store)


@pytest.mark.parametrize("value", [1, "x", None, [1], b"x", (1,), True, Limits()], ids=repr)
def test_value_that_is_no_object(store: DataStore, value: Any) -> None:
    """It is refused by an error that is a TypeError and a ValueError; nothing is stored."""
    with pytest.raises(InvalidValueError) as refused:
        store.create("k", value)

    assert isinstance(refused.value, TypeError)
    assert isinstance(refused.value, ValueError)
    assert "k" not in store


def test_expired_key_is_created_again(store: DataStore, clock: Clock) -> None:
    """As if it had never been there, with the time-to-live that is given now."""
    store.create("k", {"n": 1}, ttl=5)
    with pytest.raises(KeyExistsError):
        store.create("k", {"n": 2})
    clock.tick(5)
    store.create("k", {"n": 3})
    clock.tick(1_000)

    assert store["k"] == {"n": 3}


def test_default_ttl(opened: Open, clock: Clock) -> None:
    """What is created without a time-to-live has that of the store, and FOREVER none."""
    store = opened(default_ttl=5)
    store.create("short", {})
    store.create("long", {}, ttl=FOREVER)
    clock.tick(6)

    assert list(store) == ["long"]


@pytest.mark.parametrize("ttl", [-1, "5", float("nan"), True])
def test_bad_ttl(store: DataStore, ttl: Any) -> None:
    """It is refused, and nothing is stored."""
    with pytest.raises((TypeError, ValueError)):
        store.create("k", {}, ttl=ttl)
    assert "k" not in store


def test_len_and_iteration(store: DataStore, clock: Clock) -> None:
    """They know live keys, in the order in which they were created."""
    for key in ("b", "a", "c"):
        store.create(key, {}, ttl=5 if key == "a" else None)
    assert (len(store), list(store)) == (3, ["b", "a", "c"])
    clock.tick(5)

    assert (len(store), list(store)) == (2, ["b", "c"])


def test_delete_all(store: DataStore, clock: Clock, folder: Path) -> None:
    """Every key goes, those that have expired from the disk, too; it says how many were alive."""
    for number in range(5):
        store.create(f"k{number}", {}, ttl=5 if number % 2 else None)
    clock.tick(5)

    assert store.delete_all() == 3
    assert (len(store), list(store), store.delete_all()) == (0, [], 0)
    assert not list((folder / "data").glob("*/k*"))


def test_create_many(store: DataStore) -> None:
    """All of them are there."""
    store.create_many({f"k{number}": {"n": number} for number in range(100)}, ttl=1_000)

    assert [store[f"k{number}"] for number in range(100)] == [{"n": number} for number in range(100)]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (("there", {}), KeyExistsError),
        (("k", 1), InvalidValueError),
        ((1, {}), InvalidKeyError),
        (("k" * 33, {}), LimitError),
        (("k", {"x": "y" * 17_000}), LimitError),
    ],
    ids=repr,
)
def test_create_many_or_none(store: DataStore, folder: Path, last: tuple[Any, Any], error: type[Exception]) -> None:
    """Where one is refused none is there, whichever it is."""
    store.create("there", {"n": 0})
    before = tree(folder / "data")
    with pytest.raises(error):
        store.create_many({"first": {"n": 1}, last[0]: last[1]})

    assert list(store) == ["there"]
    assert tree(folder / "data") == before


# ---- limits


def test_key_length(store: DataStore) -> None:
    """32 characters, not bytes; one more is refused by an error that says both numbers."""
    store.create("ä" * 32, {})
    with pytest.raises(LimitError, match=r"32.*33") as refused:
        store.create("ä" * 33, {})

    assert (refused.value.limit, refused.value.allowed, refused.value.met) == ("key_chars", 32, 33)
    assert isinstance(refused.value, ValueError)
    assert list(store) == ["ä" * 32]


def test_value_size(store: DataStore) -> None:
    """16 KiB as JSON; one byte more is refused by an error that says both numbers, and leaves nothing."""
    room = 16_384 - len('{"x":""}')
    store.create("fits", {"x": "y" * room})
    with pytest.raises(LimitError) as refused:
        store.create("k", {"x": "y" * (room + 1)})

    assert (refused.value.limit, refused.value.allowed, refused.value.met) == ("value_bytes", 16_384, 16_385)
    assert list(store) == ["fits"]


def test_total_size(opened: Open, clock: Clock) -> None:
    """All values together stay within the limit; what has expired makes room by itself."""
    store = opened(total_bytes=1_000)
    store.create("a", {"x": "y" * 400}, ttl=5)
    store.create("b", {"x": "y" * 400})
    with pytest.raises(LimitError) as refused:
        store.create("c", {"x": "y" * 400})
    assert (refused.value.limit, refused.value.allowed, refused.value.met) == ("total_bytes", 1_000, 3 * 408)
    assert list(store) == ["a", "b"]
    clock.tick(5)
    store.create("c", {"x": "y" * 400})

    assert list(store) == ["b", "c"]


def test_total_size_is_never_passed_by_threads(opened: Open) -> None:
    """However many create at the same time."""
    store = opened(total_bytes=5_000)
    errors: list[Exception] = []

    def work(number: int) -> None:
        for turn in range(20):
            try:
                store.create(f"{number} {turn}", {"x": "y" * 92})
            except LimitError as error:
                errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store) == 50
    assert len(errors) == 8 * 20 - 50


def test_limits_are_kept(opened: Open) -> None:
    """Who opens the folder again without a word has those that it was made with, and can change one of them."""
    opened(key_chars=5, value_bytes=20, total_bytes=100).close()
    store = opened()
    for key, value in (("123456", {}), ("k", {"x": "y" * 20})):
        with pytest.raises(LimitError):
            store.create(key, value)
    store.close()
    store = opened(key_chars=6)
    store.create("123456", {})
    with pytest.raises(LimitError):
        store.create("k", {"x": "y" * 20})


def test_limits_hold_for_a_plain_dict(opened: Open, folder: Path) -> None:
    """Opened as a `DiskDict` the folder refuses what the store would, and the store reads what that has put."""
    opened().close()
    with DiskDict[Any, Any](folder) as d:
        for key, value in (("k", [1]), ("k", {"x": "y" * 17_000}), ("k" * 33, {}), (1, {})):
            with pytest.raises(ValueError, match=r"store takes|allows"):
                d[key] = value
        d["k"] = {"n": 1}

    assert opened()["k"] == {"n": 1}


# ---- the folder


def test_another_kind_of_folder_is_refused(folder: Path) -> None:
    """A dict's is, and the error names both."""
    with DiskDict(folder) as d:
        d["k"] = 1
    with pytest.raises(FormatError, match=r"'dict'.*'datastore'"):
        DataStore(folder)
    with DiskDict(folder) as d:
        assert d["k"] == 1


def test_path(opened: Open, folder: Path) -> None:
    """It is known, absolute, and in the repr."""
    store = opened()

    assert store.path == folder
    assert repr(store) == f"DataStore({str(folder)!r})"


def test_without_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes a folder of its own in the user's data folder, and says where."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with DataStore() as one, DataStore() as other:
        one.create("k", {})

        assert one.path != other.path
        assert one.path.is_relative_to(tmp_path)
        assert "k" not in other


def test_one_process_at_a_time(store: DataStore, folder: Path) -> None:
    """Another one is refused and told who has it; afterwards it may."""
    code = "import sys, diskdict; diskdict.DataStore(sys.argv[1]).create('k', {})"
    refused = run(f"try:\n    {code}\nexcept Exception as error:\n    print(type(error).__name__)", folder)
    store.close()
    run(code, folder)

    assert refused == "StoreLockedError\n"
    with DataStore(folder, readonly=True) as other:
        assert list(other) == ["k"]


def test_readonly(opened: Open) -> None:
    """It reads and refuses to change."""
    opened().close()
    store = opened(readonly=True)

    for change in (lambda: store.create("k", {}), lambda: store.create_many({"k": {}})):
        with pytest.raises(ReadOnlyError):
            change()
    assert len(store) == 0


def test_closed(store: DataStore) -> None:
    """Closing twice does nothing, and everything else says that it is closed."""
    store.close()
    store.close()

    for act in (lambda: store.create("k", {}), lambda: store.get("k"), lambda: store.delete("k"), lambda: len(store)):
        with pytest.raises(ClosedError):
            act()


@pytest.mark.parametrize("durability", ["process", "interval", "full"])
def test_killed_process_loses_nothing(opened: Open, durability: str) -> None:
    """What was created is there for the next who opens the folder."""
    store = opened(durability=durability)
    store.create("k", {"n": 1}, ttl=100)
    store.create_many({"l": {}, "m": {}})
    kill(store._objects)

    assert list(opened()) == ["k", "l", "m"]


# ---- get_instance


def test_instance_stays_open(folder: Path) -> None:
    """A second one is refused although nobody has kept the first."""
    code = """
        import gc, sys, diskdict
        diskdict.get_instance(sys.argv[1]).create("k", {})
        gc.collect()
        try:
            diskdict.get_instance(sys.argv[1])
        except diskdict.StoreLockedError as error:
            print(error.path)
    """

    assert run(code, folder) == f"{folder}\n"


def test_instance_is_opened_again_when_closed(folder: Path) -> None:
    """And has what the first one had."""
    with get_instance(folder) as store:
        store.create("k", {"n": 1})
    with get_instance(folder) as store:
        assert store["k"] == {"n": 1}


def test_instance_is_closed_at_exit(folder: Path) -> None:
    """A program that never closes it leaves a clean folder, and says nothing."""
    said = run("import sys, diskdict; diskdict.get_instance(sys.argv[1]).create('k', {})", folder)

    assert said == ""
    with DataStore(folder) as store:
        assert list(store) == ["k"]

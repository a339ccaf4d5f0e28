"""`KVStore` over folders and memory keeps its contract, and does what is of its own."""

from __future__ import annotations

import asyncio
import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest
from clocks import Clock
from kvstore_contract import KVStoreContract, MakeKV

from diskdict import (
    DiskDict,
    DurableQueue,
    FormatError,
    KeyExistsError,
    KVStore,
    StoreLockedError,
    SyncKVStore,
    migrate_store,
    migrate_store_sync,
)
from diskdict.backends.memory import MemoryStore
from diskdict.codecs import JSON
from diskdict.kv.connection import Connection
from diskdict.migrate import OnConflict


class TestOverMemory(KVStoreContract):
    """The contract without a disk."""

    @pytest.fixture
    def make_kv(self, clock: Clock) -> MakeKV:
        return lambda **options: KVStore("memory", clock=clock, **options)


class TestOverFolder(KVStoreContract):
    """The contract in a folder."""

    @pytest.fixture
    def make_kv(self, tmp_path: Path, clock: Clock) -> MakeKV:
        return lambda **options: KVStore("file", {"path": tmp_path / "kv"}, clock=clock, **options)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "kv"


def test_folder_keeps_what_was_set(path: Path) -> None:
    """Each key one readable file, found again by whoever opens it."""
    with KVStore("file", {"path": path}).sync as kv:
        kv.set("app.db.host", "localhost")
        kv.namespace("x").set("app.db.host", "other")

    with KVStore.from_url(path).sync as kv:
        assert kv.get("app.db.host") == "localhost"
        assert kv.namespace("x").get("app.db.host") == "other"
    with DiskDict(path) as d:
        assert d["app.db.host"] == "localhost"
        assert d["x", "app.db.host"] == "other"


def test_one_folder_is_open_twice_in_a_process(path: Path) -> None:
    """Two stores share one handle, and the last to close gives the folder back; another process is kept out."""
    first, second = KVStore("file", {"path": path}).sync, KVStore("file", {"path": path}, "b").sync
    first.set("k", 1)
    second.set("k", 2)

    first.close()
    assert second.get("k") == 2
    with pytest.raises(StoreLockedError):
        DiskDict(path)
    second.close()

    with DiskDict(path) as d:
        assert dict(d) == {"k": 1, ("b", "k"): 2}


def test_folder_of_a_dict_is_a_store_too(path: Path) -> None:
    """Who has begun with a dict goes on with patterns."""
    with DiskDict(path) as d:
        d["a.b"] = 1
        d[7] = "no text"

    with KVStore("file", {"path": path}).sync as kv:
        assert kv.keys() == ["a.b"]
        assert kv.keys("a.*") == ["a.b"]


def test_folder_of_another_kind_is_refused(tmp_path: Path) -> None:
    """Both kinds are named."""
    DurableQueue(tmp_path / "q").close()

    with KVStore("file", {"path": tmp_path / "q"}).sync as kv, pytest.raises(FormatError, match=r"queue.*kv"):
        kv.get("k")


def test_nothing_is_made_before_the_first_operation(path: Path) -> None:
    """Construction connects to nothing and needs no loop."""
    store = KVStore("file", {"path": path}, auto_cleanup=True, cleanup_interval=0.01)

    assert not path.exists()
    asyncio.run(store.close())
    assert not path.exists()


def test_store_survives_its_loop(path: Path) -> None:
    """One `asyncio.run` after the other, with tasks at the same time in each."""
    store = KVStore("file", {"path": path})

    async def count() -> None:
        await asyncio.gather(*(store.increment("n") for _ in range(50)))

    asyncio.run(count())
    asyncio.run(count())
    assert store.sync.get("n") == 100
    asyncio.run(store.close())


def test_operations_on_one_key_do_not_count_the_others() -> None:
    """Nobody pays for a length that was not asked for: on a server that is a round trip."""

    class Uncounted(MemoryStore):
        def count(self) -> int:
            raise AssertionError

    kv = SyncKVStore(
        Connection(lambda _: Uncounted(), path=None, codec="json", default_ttl=None, cleanup_interval=None)
    )

    kv.set("k", 1)
    assert kv.increment("k") == 2
    assert kv.get_many(["k"]) == {"k": 2}
    assert kv.delete("k")


def test_cleanup_runs_in_the_background_until_close(clock: Clock) -> None:
    """From the first operation on."""
    kv = KVStore("memory", auto_cleanup=True, cleanup_interval=0.001, clock=clock).sync
    gone = threading.Event()
    store = kv._connection.store()
    sweep = store.sweep
    store.sweep = lambda *args: (sweep(*args) and gone.set()) or 0  # type: ignore[method-assign]
    kv.set("k", 1, ttl=5)

    clock.tick(5)

    assert gone.wait(10)
    kv.close()


def test_subclass_writes_values_of_its_own(path: Path) -> None:
    """What it makes itself it is given back as custom; what it leaves to the store stays as it was."""

    class Complex(KVStore):
        kinds: ClassVar[list[str]] = []

        def serialize(self, value: object) -> bytes:
            return repr(value).encode() if isinstance(value, complex) else super().serialize(value)

        def deserialize(self, data: bytes, value_type: str) -> object:
            self.kinds.append(value_type)
            return complex(data.decode()) if value_type == "custom" else super().deserialize(data, value_type)

    with Complex("file", {"path": path}).sync as kv:
        kv.set_many({"c": 1 + 2j, "s": "x", "n": 1, "d": {"a": 1}, "b": b"\x00"})
        assert kv.get_many("csndb") == {"c": 1 + 2j, "s": "x", "n": 1, "d": {"a": 1}, "b": b"\x00"}
        assert Complex.kinds == ["custom", "str", "int", "dict", "bytes"]


@pytest.mark.parametrize(
    ("backend", "config", "said"),
    [
        ("nosuch", None, "'nosuch'.*'file'"),
        ("file", {}, "path"),
        ("file", {"path": "x", "pat": 1}, "'pat'"),
        ("memory", {"path": "x"}, "'path'"),
        ("url", {"url": "nosuch://x"}, "nosuch:"),
    ],
)
def test_wrong_settings_are_named(backend: str, config: dict[str, object] | None, said: str) -> None:
    """Where they are given, before anything is opened."""
    with pytest.raises(ValueError, match=said):
        KVStore(backend, config)


@pytest.mark.parametrize("separator", ["", "*", "a?", "{"])
def test_separator_that_is_none(separator: str) -> None:
    """It would mean something else in a pattern."""
    with pytest.raises(ValueError, match="separator"):
        KVStore("memory", separator=separator)


def test_codec_and_subclass_are_one_too_many() -> None:
    """Either says how values are written."""

    class Own(KVStore):
        def serialize(self, value: object) -> bytes:
            return b"x"

    with pytest.raises(ValueError, match="codec"):
        Own("memory", codec=JSON)


def test_both_faces_have_the_same_methods() -> None:
    """With the same parameters."""
    own = {"run", "sync", "from_url", "serialize", "deserialize", "iter_keys"}
    ours = {name for name in vars(KVStore) if not name.startswith("_")} - own
    theirs = {name for name in vars(SyncKVStore) if not name.startswith("_")} - {"closed", "codec", "store"}

    assert ours == theirs
    for name in ours:
        first, second = inspect.signature(getattr(KVStore, name)), inspect.signature(getattr(SyncKVStore, name))
        assert list(first.parameters) == list(second.parameters), name


async def _iterated(store: KVStore) -> list[str]:
    return [key async for key in store.iter_keys("a.*")]


def test_iter_keys(path: Path) -> None:
    """One after the other, by `async for`."""
    store = KVStore("file", {"path": path})
    store.sync.set_many({"a.x": 1, "a.y": 1, "b": 1})

    assert asyncio.run(_iterated(store)) == ["a.x", "a.y"]
    asyncio.run(store.close())


def test_cancelled_task_harms_nobody() -> None:
    """Before its call is made, or after: the others have what they asked for."""

    async def main() -> None:
        store = KVStore("memory")
        for turns in range(3):
            await store.set("k", turns)
            tasks = [asyncio.create_task(store.get("k")) for _ in range(5)]
            for _ in range(turns):
                await asyncio.sleep(0)
            tasks[2].cancel()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(found.pop(2), asyncio.CancelledError)
            assert found == [turns] * 4
        await store.close()

    asyncio.run(main())


def test_loops_of_several_threads_share_a_store() -> None:
    """Each hears of its own calls."""
    store = KVStore("memory")

    async def main(name: str) -> int:
        for number in range(200):
            await asyncio.gather(*(store.set(f"{name}.{key}", number) for key in range(5)))
            assert await asyncio.gather(*(store.get(f"{name}.{key}") for key in range(5))) == [number] * 5
        return len(await store.keys(f"{name}.*"))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda name: asyncio.run(main(name)), "abcd")) == [5] * 4
    asyncio.run(store.close())


def test_coroutine_as_factory() -> None:
    """It is awaited for a missing key alone."""

    async def main() -> list[object]:
        async def factory() -> int:
            return 7

        async with KVStore("memory") as store:
            return [await store.get_or_set("k", factory), await store.get_or_set("k", lambda: 8)]

    assert asyncio.run(main()) == [7, 7]


def filled(kv: SyncKVStore) -> SyncKVStore:
    for number in range(25):
        kv.set(f"app.{number}", {"n": number}, {"tag": number}, ttl=1000 if number % 2 else None)
    kv.namespace("space").set("app.1", b"\x00")
    return kv


def contents(kv: SyncKVStore) -> list[object]:
    """All that is to be carried."""
    names = kv.keys()
    known = [(name, kv.get(name), kv.get_metadata(name)["tag"], kv.ttl(name)) for name in names]
    return [known, kv.namespace("space").get_pattern("**")]


def test_there_and_back(tmp_path: Path, clock: Clock) -> None:
    """From a folder to memory and into another folder: the same keys in the same order, with all that is known."""
    with (
        KVStore("file", {"path": tmp_path / "a"}, clock=clock).sync as first,
        KVStore("memory", clock=clock).sync as second,
        KVStore("file", {"path": tmp_path / "b"}, clock=clock).sync as third,
    ):
        filled(first)
        seen: list[tuple[int, int]] = []

        assert migrate_store_sync(first, second, 10, progress=lambda *done: seen.append(done)) == (26, 0, 0)
        assert migrate_store_sync(second, third) == (26, 0, 0)

        assert contents(first) == contents(second) == contents(third)
        assert seen == [(10, 26), (20, 26), (26, 26)]
        created = [kv.get_metadata("app.1")["created_at"] for kv in (first, third)]
        assert created[0] == created[1]


def test_migration_completes_when_it_is_run_again(clock: Clock) -> None:
    """What is there as it is to be is left, whatever ended the first."""
    with KVStore("memory", clock=clock).sync as source, KVStore("memory", clock=clock).sync as target:
        filled(source)

        def stop(done: int, of: int) -> None:
            raise InterruptedError(done)

        with pytest.raises(InterruptedError):
            migrate_store_sync(source, target, 10, progress=stop)

        assert migrate_store_sync(source, target) == (16, 10, 0)
        assert contents(source) == contents(target)


@pytest.mark.parametrize(("on_conflict", "value"), [("skip", "mine"), ("overwrite", {"n": 3})])
def test_conflicts(on_conflict: OnConflict, value: object, clock: Clock) -> None:
    """Left, or replaced, as was asked; else an error, and nothing of that batch is copied."""
    with KVStore("memory", clock=clock).sync as source, KVStore("memory", clock=clock).sync as target:
        filled(source)
        target.set("app.3", "mine")

        with pytest.raises(KeyExistsError, match=r"app\.3"):
            migrate_store_sync(source, target)
        assert target.keys() == ["app.3"]
        migrate_store_sync(source, target, on_conflict=on_conflict)

        assert target.get("app.3") == value
        assert target.count_pattern() == 25


def test_remaining_time_is_carried_between_clocks(clock: Clock) -> None:
    """Whatever the other clock says."""
    with KVStore("memory", clock=clock).sync as source, KVStore("memory", clock=Clock(5_000.0)).sync as target:
        source.set("k", 1, ttl=100)

        migrate_store_sync(source, target)

        assert target.ttl("k") == pytest.approx(100)


def test_stores_of_different_codecs_are_not_migrated() -> None:
    """Both are named."""
    with (
        KVStore("memory", codec="raw").sync as source,
        KVStore("memory").sync as target,
        pytest.raises(ValueError, match=r"'raw'.*'json'"),
    ):
        migrate_store_sync(source, target)


def test_migration_waits_in_a_thread(clock: Clock) -> None:
    """The coroutine does the same."""

    async def main() -> object:
        async with KVStore("memory", clock=clock) as source, KVStore("memory", clock=clock) as target:
            await source.set("k", 1)
            return await migrate_store(source, target), await target.get("k")

    assert asyncio.run(main()) == ((1, 0, 0), 1)

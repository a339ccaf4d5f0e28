"""`CachedStore` keeps the contract of all stores and mappings, and nobody can tell it from the store below it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

import pytest
from clocks import Clock
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from mapping_contract import Dict, MakeDict, MappingContract
from store_contract import MakeStore, StoreContract, in_threads

from diskdict.backends.memory import MemoryStore
from diskdict.caching import CachedStore
from diskdict.core import StoreDict
from diskdict.errors import ClosedError, ConflictError, CorruptValueError
from diskdict.store import ABSENT, NEVER, OnlyIf, Record, Store


class TestCachedStore(StoreContract):
    """The contract with a memory before the store."""

    @pytest.fixture
    def make_store(self) -> MakeStore:
        return lambda clock, **options: CachedStore(MemoryStore(clock=clock, **options))


class TestCachedDict(MappingContract):
    """The contract with a memory before the store."""

    @pytest.fixture
    def make_dict(self, clock: Clock) -> MakeDict:
        def make(*, lock: Any = None, limits: Any = None, **options: Any) -> Dict:
            store = CachedStore(MemoryStore(clock=clock, lock=lock, limits=limits))
            return StoreDict(store, limits=limits, **options)

        return make


KEYS = ("a", "b", "c")


class Paused(MemoryStore):
    """A store whose answers take as long as somebody wants, and which counts what it is asked."""

    def __init__(self, clock: Callable[[], float] | None = None) -> None:
        super().__init__(clock=clock or Clock())
        self.asked = 0
        self.before_answering: Callable[[], None] | None = None

    def get(self, key: str) -> Record | None:
        self.asked += 1
        found = super().get(key)
        pause, self.before_answering = self.before_answering, None
        if pause is not None:
            pause()
        return found


@pytest.fixture
def base() -> Paused:
    return Paused()


@pytest.fixture
def store(base: Paused) -> CachedStore:
    return CachedStore(base)


def test_every_method_of_a_store_is_thought_of() -> None:
    """None is left to the defaults of the ABC, which would go round the memory or be slower than the store's own."""
    methods = {name for name, value in vars(Store).items() if callable(value) and not name.startswith("_")}

    assert methods <= vars(CachedStore).keys()


def test_what_a_store_says_of_itself() -> None:
    """Is said with a memory before it, too."""
    base = MemoryStore()
    attributes = Store.__annotations__.keys()
    for name in attributes:
        setattr(base, name, Clock() if name == "clock" else f"its {name}")
    store = CachedStore(base)

    assert {name: getattr(store, name) for name in attributes} == {name: getattr(base, name) for name in attributes}


def test_what_was_read_is_not_asked_for_again(base: Paused, store: CachedStore) -> None:
    """Whether it is there or missing, and by whichever question."""
    base.put("k", b"1")
    for _ in range(3):
        assert store.read("k") == b"1"
        assert store.read("missing") is None
        assert store.stat("k")[:2] == base.stat("k")[:2]  # type: ignore[index]
        assert store.contains("k")
        assert not store.contains("missing")
    base.asked = 0
    assert store.read("k") == b"1"
    assert store.get_many(["missing", "k", "k"]).keys() == {"k"}

    assert base.asked == 0


def test_stats_count_keys(base: Paused, store: CachedStore) -> None:
    """Each key that is asked for is a hit or a miss; what had to go is counted by why."""
    small = CachedStore(base, size=2)
    for key in KEYS:
        small.put(key, b"1")
        small.read(key)
        small.read(key)
    small.get_many(["b", "c"])
    small.delete("c")

    assert small.cache_stats() == (5, 3, 1, 1, 1, True)


def test_oldest_goes_first(base: Paused) -> None:
    """What was asked for last stays."""
    store = CachedStore(base, size=2)
    for key in ("a", "b", "a", "c"):
        store.read(key)
    asked = base.asked

    store.read("a")
    assert base.asked == asked
    store.read("b")
    assert base.asked == asked + 1


def test_others_are_seen_after_the_ttl(base: Paused) -> None:
    """Not a moment later, counted from when the store was asked."""
    ticks = Clock(0.0)
    store = CachedStore(base, ttl=10, ticks=ticks)
    store.read("k")
    base.put("k", b"1")

    ticks.tick(9.9)
    assert store.read("k") is None
    ticks.tick(0.1)
    assert store.read("k") == b"1"


def test_without_a_ttl_others_are_not_seen(base: Paused, store: CachedStore) -> None:
    """But by `get`, which what is decided is decided by, and by all who ask afterwards."""
    store.read("k")
    base.put("k", b"1")
    assert store.read("k") is None

    assert store.get("k") is not None
    assert store.read("k") == b"1"


def test_nobody_is_told_what_is_older_than_what_another_has_read(base: Paused, store: CachedStore) -> None:
    """Who asks the store has all others ask it until the answer is there."""
    store.read("k")
    base.put("k", b"1")
    told: list[bytes | None] = []
    base.before_answering = lambda: told.append(store.read("k"))
    store.get("k")

    assert told == [b"1"]


def test_what_is_decided_asks_the_store(base: Paused) -> None:
    """Counting, comparing and creating go by what is there, whatever was read before."""
    d: StoreDict[str, Any] = StoreDict(CachedStore(base))
    other: StoreDict[str, Any] = StoreDict(base)
    assert d.get("n") is None
    other["n"] = 41

    assert d.increment("n") == 42
    other["n"] = 1
    assert not d.compare_and_swap("n", 42, 0)
    assert d.compare_and_swap("n", 1, 2)
    other["x"] = 1
    assert d.get("x") == 1
    del other["x"]
    d.create("x", 2)
    assert d.pop("x") == 2
    assert d.get("m") is None
    other["m"] = 1
    d.set_metadata("m", {"a": 1})
    with d.transaction():
        other["m"] = 2
        assert d["m"] == 2


def test_read_that_began_before_a_write(base: Paused, store: CachedStore) -> None:
    """It gives what it found, which is not kept."""
    base.put("k", b"old")
    base.before_answering = lambda: store.put("k", b"new") and None

    assert store.read("k") == b"old"
    assert store.read("k") == b"new"


def test_read_during_a_write_is_not_kept(base: Paused, store: CachedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The write is not known to have been made before it returns."""
    base.put("k", b"old")
    put = base.put

    def slow(*args: Any, **options: Any) -> int | None:
        assert store.read("k") == b"old"
        return put(*args, **options)

    monkeypatch.setattr(base, "put", slow)
    store.put("k", b"new")

    assert store.read("k") == b"new"


def test_batch_of_keys_is_of_one_moment(base: Paused, store: CachedStore) -> None:
    """Where one of them has to be asked for, all are."""
    store.put_many({"a": b"1", "b": b"1"})
    store.read("a")
    base.put_many({"a": b"2", "b": b"2"})

    assert {record.payload for record in store.get_many("ab").values()} == {b"2"}


def test_damage_that_was_met_is_forgotten(base: Paused, store: CachedStore) -> None:
    """So that it is asked for again when it was mended."""
    store.put("k", b"x")
    store.read("k")
    with pytest.raises(CorruptValueError, match="bad"):
        store.reject("k", b"x", "bad")

    base.put("k", b"y")
    assert store.read("k") == b"y"


def test_failed_reads_leave_nothing_behind(base: Paused, store: CachedStore) -> None:
    """No lease, which would stay for good."""

    def fail() -> None:
        raise ConnectionError

    base.before_answering = fail
    with pytest.raises(ConnectionError):
        store.read("k")

    assert not store._recent._leases
    assert store.cache_stats().size == 0


def test_closed(store: CachedStore) -> None:
    """What is remembered is not told after the end."""
    store.put("k", b"1")
    store.read("k")
    store.close()

    for ask in (store.read, store.get, store.stat, store.contains):
        with pytest.raises(ClosedError):
            ask("k")


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
def test_size_that_is_none(size: Any) -> None:
    """It is a number of keys."""
    with pytest.raises(ValueError, match="cache_size"):
        CachedStore(MemoryStore(), size=size)


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), "1"])
def test_ttl_that_is_none(ttl: Any) -> None:
    """It is a number of seconds."""
    with pytest.raises(ValueError, match="cache_ttl"):
        CachedStore(MemoryStore(), ttl=ttl)


def test_threads_never_see_what_was_replaced() -> None:
    """Each thread reads what it has written, and nobody a number below one that was written before he asked."""
    store = CachedStore(MemoryStore(), size=4)
    done = [0] * len(KEYS)

    def work(number: int) -> None:
        key = KEYS[number % len(KEYS)]
        place = number % len(KEYS)
        for turn in range(1, 400):
            if number < len(KEYS):
                store.put(key, b"%d" % turn)
                done[place] = turn
            least = done[place]
            assert int(store.read(key) or 0) >= least
            records = store.get_many(KEYS)
            assert key not in records or int(records[key].payload) >= least

    in_threads(work, 9)
    assert not store._recent._leases
    assert not store._recent._changing
    assert store.cache_stats().hits


def test_threads_never_see_half_of_a_change() -> None:
    """Keys that are changed as one are read as one."""
    store = CachedStore(MemoryStore())
    d: StoreDict[str, int] = StoreDict(store)
    d.update(a=0, b=0)
    ended = threading.Event()

    def work(number: int) -> None:
        if number:
            while not ended.is_set():
                assert len(set(d.get_many("ab").values())) == 1
                d.get("a")
            return
        for turn in range(300):
            d.set_many({"a": turn, "b": turn})
        ended.set()

    in_threads(work, 4)


def test_forked_child_knows_nothing(base: Paused, store: CachedStore) -> None:
    """Nobody tells it what others change, before it has asked for that."""
    store.put("k", b"1")
    store.read("k")

    store.abandon()
    assert not store.cache_stats().active
    base.put("k", b"2")
    assert store.read("k") == b"2"
    assert store.cache_stats().active


class Teller(MemoryStore):
    """A store that tells of changes when it is told to."""

    def tell(self, listener: Any) -> bool:
        self.listener = listener
        return True


def test_store_that_tells(clock: Clock) -> None:
    """Nothing is remembered before it tells, nor after it has ceased to; what it tells of is forgotten."""
    base = Teller(clock=clock)
    store = CachedStore(base)

    def sees(payload: bytes) -> bool:
        store.read("k")
        base.put("k", payload)
        return store.read("k") == payload

    assert sees(b"1")
    base.listener.reset(told=True)
    assert not sees(b"2")
    base.listener.changed(["k"])
    assert store.read("k") == b"2"
    base.listener.reset(told=True)
    assert sees(b"3") is False
    base.listener.reset(told=False)
    assert sees(b"4")
    store.close()
    base.listener.reset(told=True)
    assert not store.cache_stats().active


def test_told_during_a_read(clock: Clock) -> None:
    """What was read before the word came is not kept."""

    class Both(Teller, Paused):
        pass

    base = Both(clock)
    store = CachedStore(base)
    store.read("x")
    base.listener.reset(told=True)
    for tell in (lambda: base.listener.changed(["k"]), lambda: base.listener.reset(told=True)):
        base.put("k", b"old")
        base.listener.changed(["k"])

        def change(tell: Callable[[], None] = tell) -> None:
            base.put("k", b"new")
            tell()

        base.before_answering = change
        assert store.read("k") == b"old"
        assert store.read("k") == b"new"


names = st.sampled_from(KEYS)
some_names = st.lists(names, max_size=4)
payloads = st.sampled_from([b"", b"x", b"yy"])
ttls = st.sampled_from([NEVER, NEVER, 0.0, 1.0, 5.0])


class Alike(RuleBasedStateMachine):
    """A store with a small memory before it, and one without: both are asked and told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.ticks = Clock(), Clock(0.0)
        self.base, self.plain = MemoryStore(clock=self.clock), MemoryStore(clock=self.clock)
        self.cached = CachedStore(self.base, size=2, ttl=8, ticks=self.ticks)

    def both(self, deed: Callable[[Store], object], *, others: bool = False) -> None:
        """Do the same with both; `others` changes the one below the memory, which is told of it."""
        found = []
        for store in (self.base if others else self.cached, self.plain):
            try:
                found.append(deed(store))
            except ConflictError:
                found.append("conflict")
        assert found[0] == found[1]

    def only_if(self, key: str, choice: int) -> OnlyIf:
        stat = self.plain.stat(key)
        return (None, ABSENT, 0, None if stat is None else stat.version)[choice]

    @rule(keys=some_names, alone=st.booleans())
    def read(self, keys: list[str], alone: bool) -> None:
        def deed(store: Store) -> object:
            if not alone:
                return [(store.read(key), store.stat(key), store.contains(key), store.get(key)) for key in keys]
            with store.exclusive():
                return [(store.get_many(keys), [store.read(key) for key in keys])]

        self.both(deed)

    @rule(keys=some_names)
    def read_many(self, keys: list[str]) -> None:
        self.both(lambda store: store.get_many(keys))

    @rule(key=names, payload=payloads, ttl=ttls, choice=st.integers(0, 3), others=st.booleans())
    def put(self, key: str, payload: bytes, ttl: float, choice: int, others: bool) -> None:
        expires, only_if = self.clock() + ttl, self.only_if(key, choice)
        self.both(lambda store: store.put(key, payload, expires=expires, only_if=only_if), others=others)
        self.tell([key], others)

    @rule(
        key=names, ttl=st.none() | ttls, meta=st.sampled_from([None, "", '{"a":1}']), choice=st.sampled_from([0, 2, 3])
    )
    def amend(self, key: str, ttl: float | None, meta: str | None, choice: int) -> None:
        expires, only_if = None if ttl is None else self.clock() + ttl, self.only_if(key, choice)
        self.both(lambda store: store.amend(key, expires=expires, meta=meta, only_if=only_if))  # type: ignore[arg-type]

    @rule(key=names, choice=st.sampled_from([0, 2, 3]), others=st.booleans())
    def delete(self, key: str, choice: int, others: bool) -> None:
        only_if = self.only_if(key, choice)
        self.both(lambda store: store.delete(key, only_if=only_if), others=others)  # type: ignore[arg-type]
        self.tell([key], others)

    @rule(source=names, goal=names, others=st.booleans())
    def rename(self, source: str, goal: str, others: bool) -> None:
        if source != goal:
            self.both(lambda store: store.rename(source, goal), others=others)
            self.tell([source, goal], others)

    @rule(keys=some_names, payload=payloads)
    def put_many(self, keys: list[str], payload: bytes) -> None:
        self.both(lambda store: store.put_many(dict.fromkeys(keys, payload)))

    @rule(keys=some_names)
    def delete_many(self, keys: list[str]) -> None:
        self.both(lambda store: store.delete_many(keys))

    @rule(key=names, other=names, choice=st.integers(0, 3))
    def commit(self, key: str, other: str, choice: int) -> None:
        expected = {key: self.only_if(key, choice or 1)}

        def deed(store: Store) -> None:
            with store.exclusive():
                number = store.number()
                record = Record(b"c", number, 1.0, 1.0, NEVER, number, None, None)
                store.commit_if(expected, {other: None, key: record})

        self.both(deed)

    @rule(limit=st.sampled_from([None, 0, 1]))
    def sweep(self, limit: int | None) -> None:
        self.both(lambda store: store.sweep(limit))

    @rule(seconds=st.sampled_from([0.5, 1.0, 5.0, -1.0, -5.0]))
    def tick(self, seconds: float) -> None:
        self.clock.tick(seconds)
        self.ticks.tick(abs(seconds))

    def tell(self, keys: Collection[str], others: bool) -> None:
        if others:
            self.cached.changed(keys)

    @invariant()
    def is_small(self) -> None:
        assert self.cached.cache_stats().size <= 2
        assert not self.cached._recent._leases


USUAL = settings(deadline=None, max_examples=30, stateful_step_count=30, phases=set(Phase) - {Phase.explain})


@pytest.mark.parametrize(
    "rounds", [USUAL, pytest.param(settings(USUAL, max_examples=800), marks=pytest.mark.torture)], ids=["few", "many"]
)
def test_nobody_can_tell_it_from_the_store(rounds: settings) -> None:
    """Whatever is done, by way of it or by others who tell, and whatever the clock does."""
    run_state_machine_as_test(Alike, settings=rounds)

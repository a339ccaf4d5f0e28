"""A DiskDict and a plain dict, driven together by Hypothesis: whatever is done to both, they tell the same.

Between the steps time passes, the store is closed and opened in other ways, its process crashes (the handle is let go
of as it is), and a Ctrl-C comes at any place where the interpreter lets one through. After each step both are compared,
and `verify` looks the files over.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import deeds
import pytest
from crash_child import descriptors
from deeds import At
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from interrupts import Interrupted

from diskdict import FOREVER, DiskDict, attributes
from diskdict.errors import KeyExistsError

LONG = settings(deadline=None, max_examples=2_000, stateful_step_count=60, suppress_health_check=list(HealthCheck))
# A failing row of changes is made shorter by `make torture`: that takes minutes.
USUAL = settings(LONG, max_examples=20, stateful_step_count=25, phases=set(Phase) - {Phase.shrink, Phase.explain})

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None

KEYS: list[Any] = ["a", "b", "C", "new", "last", "long " * 60, "", 1, True, 1.5, (1, "x"), None, b"\xff"]
STEPS = ["set", "delete", "expire", "rename"]
keys = st.sampled_from(KEYS)
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.binary(max_size=5),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.just("large " * 3_000),
)
ttls = st.sampled_from([None, None, FOREVER, 0, 1, 2.5, 10, 1_000])
metadata = st.one_of(
    st.none(),
    st.dictionaries(st.sampled_from("xy"), st.integers(0, 3), max_size=2),
    st.just({"x": "heavy " * 12_000}),
)


class Known(NamedTuple):
    """What the model has of a key."""

    value: Any
    expires: float | None
    metadata: dict[str, Any]
    created: float


Model = dict[Any, Known]


class Both(RuleBasedStateMachine):
    """A DiskDict in a folder, and the dict that it must be like."""

    home: ClassVar[str] = "attributes"
    options: ClassVar[dict[str, Any]] = {}
    checked: ClassVar[int] = 1
    """Of so many steps the files are looked at after one; to look at them has them written."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = attributes.calls, attributes.PACKAGE
        deeds.use(self.home)
        self.folder = tempfile.mkdtemp(dir=MEMORY, prefix="diskdict-tests-")
        self.clock = At()
        self.model: Model = {}
        self.lazy = True
        self.littered = False
        self.steps = 0
        self.d = self.opened()

    @initialize(lazy=st.booleans())
    def look(self, lazy: bool) -> None:
        """Be `lazy` to have the index out of memory at most steps: only single keys are asked for then."""
        self.lazy = lazy

    def teardown(self) -> None:
        self.they_tell_the_same()
        self.d.close()
        shutil.rmtree(self.folder)
        attributes.calls, attributes.PACKAGE = self.calls  # type: ignore[misc]

    def opened(self, **options: Any) -> DiskDict[Any, Any]:
        return DiskDict(f"{self.folder}/store", clock=self.clock, shards=4, **self.options, **options)

    # ---- the model

    def there(self) -> Model:
        """Return the records that have not expired; nothing else is there from now on."""
        now = self.clock.now
        self.model = {key: known for key, known in self.model.items() if known.expires is None or known.expires > now}
        return self.model

    def known(self, key: Any) -> Known | None:
        return self.there().get(key)

    def expiry(self, ttl: Any) -> float | None:
        return None if ttl is None or ttl is FOREVER else self.clock.now + ttl

    def put(self, key: Any, value: Any, ttl: Any = None, metadata: dict[str, Any] | None = None) -> None:
        old = self.known(key)
        created = self.clock.now if old is None else old.created
        self.model[key] = Known(value, self.expiry(ttl), metadata or {}, created)

    def change(self, key: Any, value: Any) -> None:
        """Replace a value and nothing else."""
        old = self.known(key)
        if old is None:
            self.put(key, value)
        else:
            self.model[key] = old._replace(value=value)

    def told(self, d: DiskDict[Any, Any]) -> Model:
        """Return what a dict tells."""
        found = {}
        for key, value in d.items():
            info = d.info(key)
            found[key] = Known(value, info.expires_at, dict(info.metadata), info.created_at)
        return found

    # ---- changes

    @rule(key=keys, value=values, ttl=ttls, metadata=metadata)
    def set(self, key: Any, value: Any, ttl: Any, metadata: dict[str, Any] | None) -> None:
        self.d.set(key, value, ttl=ttl, metadata=metadata)
        self.put(key, value, ttl, metadata)

    @rule(key=keys, value=values)
    def assign(self, key: Any, value: Any) -> None:
        self.d[key] = value
        self.put(key, value)

    @rule(key=keys, value=values, ttl=ttls)
    def create(self, key: Any, value: Any, ttl: Any) -> None:
        if self.known(key) is None:
            self.d.create(key, value, ttl=ttl)
            self.put(key, value, ttl)
        else:
            with pytest.raises(KeyExistsError):
                self.d.create(key, value, ttl=ttl)

    @rule(key=keys, value=values)
    def setdefault(self, key: Any, value: Any) -> None:
        known = self.known(key)
        assert exact(self.d.setdefault(key, value)) == exact(value if known is None else known.value)
        if known is None:
            self.put(key, value)

    @rule(key=keys, value=values, ttl=ttls)
    def get_or_set(self, key: Any, value: Any, ttl: Any) -> None:
        known = self.known(key)
        got = self.d.get_or_set(key, lambda: value, ttl=ttl)
        assert exact(got) == exact(value if known is None else known.value)
        if known is None:
            self.put(key, value, ttl)

    @rule(items=st.dictionaries(keys, values, max_size=4), ttl=ttls)
    def set_many(self, items: dict[Any, Any], ttl: Any) -> None:
        self.d.set_many(items, ttl=ttl)
        for key, value in items.items():
            self.put(key, value, ttl)

    @rule(items=st.dictionaries(keys, values, max_size=4))
    def update(self, items: dict[Any, Any]) -> None:
        self.d.update(items)
        for key, value in items.items():
            self.put(key, value)

    @rule(key=keys)
    def delete(self, key: Any) -> None:
        assert self.d.delete(key) == (self.known(key) is not None)
        self.model.pop(key, None)

    @rule(key=keys)
    def pop(self, key: Any) -> None:
        known = self.known(key)
        assert exact(self.d.pop(key, "none")) == exact("none" if known is None else known.value)
        self.model.pop(key, None)

    @rule(last=st.booleans())
    def popitem(self, last: bool) -> None:
        if not self.there():
            with pytest.raises(KeyError):
                self.d.popitem(last=last)
            return
        key = list(self.model)[-1 if last else 0]
        assert exact(self.d.popitem(last=last)) == exact((key, self.model.pop(key).value))

    @rule(asked=st.lists(keys, unique=True, max_size=4))
    def delete_many(self, asked: list[Any]) -> None:
        assert self.d.delete_many(asked) == {key: self.known(key) is not None for key in asked}
        for key in asked:
            self.model.pop(key, None)

    @rule()
    def clear(self) -> None:
        self.d.clear()
        self.model = {}

    @rule(key=keys, delta=st.integers(-9, 9))
    def increment(self, key: Any, delta: int) -> None:
        known = self.known(key)
        if known is None or type(known.value) is int:
            total = delta + (0 if known is None else known.value)
            assert self.d.increment(key, delta) == total
            self.change(key, total)
        else:
            with pytest.raises(TypeError):
                self.d.increment(key, delta)

    @rule(key=keys, tail=st.sampled_from(["x", b"x", [1]]))
    def append(self, key: Any, tail: Any) -> None:
        known = self.known(key)
        if known is None or type(known.value) is type(tail):
            whole = tail if known is None else known.value + tail
            assert exact(self.d.append(key, tail)) == exact(whole)
            self.change(key, whole)
        else:
            with pytest.raises(TypeError):
                self.d.append(key, tail)

    @rule(key=keys, hit=st.booleans(), value=values)
    def compare_and_swap(self, key: Any, hit: bool, value: Any) -> None:
        known = self.known(key)
        old = known.value if known is not None and hit else "none such"
        assert self.d.compare_and_swap(key, old, value) == (known is not None and hit)
        if known is not None and hit:
            self.change(key, value)

    @rule(key=keys)
    def edit(self, key: Any) -> None:
        known = self.known(key)
        if known is None:
            with pytest.raises(KeyError), self.d.edit(key):
                pass
        elif type(known.value) is list:
            with self.d.edit(key) as value:
                value.append(0)
            self.change(key, [*known.value, 0])

    @rule(key=keys, ttl=ttls, how=st.sampled_from(["expire", "touch", "persist"]))
    def change_expiry(self, key: Any, ttl: Any, how: str) -> None:
        known = self.known(key)
        done = self.d.persist(key) if how == "persist" else getattr(self.d, how)(key, ttl)
        assert done == (known is not None)
        if known is not None:
            self.model[key] = known._replace(expires=None if how == "persist" else self.expiry(ttl))

    @rule(key=keys, metadata=metadata, replace=st.booleans())
    def set_metadata(self, key: Any, metadata: dict[str, Any] | None, replace: bool) -> None:
        known = self.known(key)
        given = metadata or {}
        if known is None:
            with pytest.raises(KeyError):
                self.d.set_metadata(key, given, replace=replace)
        else:
            self.d.set_metadata(key, given, replace=replace)
            self.model[key] = known._replace(metadata=given if replace else {**known.metadata, **given})

    @rule(source=keys, to=keys)
    def rename(self, source: Any, to: Any) -> None:
        known = self.known(source)
        if known is None:
            with pytest.raises(KeyError):
                self.d.rename(source, to)
        elif source != to and to in self.model:
            with pytest.raises(KeyExistsError):
                self.d.rename(source, to)
        else:
            self.d.rename(source, to)
            if source != to:
                self.model[to] = self.model.pop(source)

    @rule(source=keys, to=keys)
    def copy_key(self, source: Any, to: Any) -> None:
        known = self.known(source)
        if known is None:
            with pytest.raises(KeyError):
                self.d.copy_key(source, to)
        elif to in self.model:
            with pytest.raises(KeyExistsError):
                self.d.copy_key(source, to)
        else:
            self.d.copy_key(source, to)
            self.model[to] = known._replace(created=self.clock.now)

    # ---- what happens between changes

    @rule(seconds=st.sampled_from([0.5, 1, 3, 20]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def cleanup_expired(self) -> None:
        self.d.cleanup_expired()
        self.there()
        assert self.d.stats().expired == 0

    @rule()
    def repair(self) -> None:
        self.d.repair()
        self.littered = False

    @rule(readonly=st.booleans(), cache_bytes=st.sampled_from([0, 100, 100_000]))
    def reopen(self, readonly: bool, cache_bytes: int) -> None:
        self.d.close()
        if readonly:
            with self.opened(readonly=True) as d:
                assert exact(self.told(d)) == exact(self.there())
        self.d = self.opened(cache_bytes=cache_bytes)

    @rule()
    def crash(self) -> None:
        """As when the process is killed: nothing is written any more, the system closes the descriptors."""
        self.d._folder.abandon()
        self.d = self.opened()

    @rule(
        at=st.integers(1, 250),
        killed=st.booleans(),
        key=keys,
        to=keys,
        value=values,
        ttl=ttls,
        kind=st.sampled_from(["set", "transaction", "delete", "expire", "popitem", "rename", "clear up"]),
    )
    def interruption(self, at: int, killed: bool, key: Any, to: Any, value: Any, ttl: Any, kind: str) -> None:
        """A Ctrl-C within a change, after which the process ends or goes on: old or new."""
        old = dict(self.there())
        deed: Callable[[], object] = {
            "set": lambda: self.d.set(key, value, ttl=ttl, metadata={"x": 1}),
            "delete": lambda: self.d.delete(key),
            "expire": lambda: self.d.expire(key, ttl),
            "popitem": lambda: self.d.popitem(),
            "rename": lambda: self.d.rename(key, to),
            "clear up": lambda: self.d.cleanup_expired(),
            "transaction": lambda: self.change_some(key, to, value, ttl),
        }[kind]
        before = descriptors()
        with contextlib.suppress(KeyboardInterrupt, KeyError), Interrupted(at).armed():
            deed()
        for fd in descriptors() - before - {self.d._folder.journal._fd}:
            os.close(fd)  # Python itself has lost it, between getting it from the system and giving it a name
        if killed:
            self.d._folder.abandon()
            self.d = self.opened()
        self.littered = True
        if kind == "set":
            self.put(key, value, ttl, {"x": 1})
        elif kind == "delete":
            self.model.pop(key, None)
        elif kind == "expire" and key in old:
            self.model[key] = old[key]._replace(expires=self.expiry(ttl))
        elif kind == "popitem" and old:
            self.model.popitem()
        elif kind == "transaction":
            self.put(key, value, ttl)
            self.model.pop(to, None)
            self.put("last", value)
        elif kind == "rename" and key in old and to not in old:
            self.model[to] = self.model.pop(key)
        found = self.told(self.d)
        assert deeds.allowed(found, old, self.there(), key if kind == "rename" else None)
        self.model = found

    def change_some(self, key: Any, to: Any, value: Any, ttl: Any) -> None:
        with self.d.transaction():
            self.d.set(key, value, ttl=ttl)
            self.d.delete(to)
            self.d["last"] = value

    @rule(
        steps=st.lists(
            st.tuples(st.sampled_from(["set", "delete", "expire", "rename"]), keys, keys, values, ttls), max_size=6
        ),
        fails=st.booleans(),
        killed=st.booleans(),
    )
    def transaction(self, steps: list[tuple[str, Any, Any, Any, Any]], fails: bool, killed: bool) -> None:
        """Several changes as one, or none where the block raises; the process may end after."""
        before = dict(self.there())
        with contextlib.suppress(ZeroDivisionError), self.d.transaction():
            for step in steps:
                self.step(*step)
            self.single_keys_are_found()
            assert self.lazy or exact(self.told(self.d)) == exact(self.there())
            if fails:
                self.model = before
                raise ZeroDivisionError
        if killed:
            self.crash()

    def step(self, kind: str, key: Any, to: Any, value: Any, ttl: Any) -> None:
        there = self.there()
        if kind == "set":
            self.d.set(key, value, ttl=ttl, metadata={"x": 1})
            self.put(key, value, ttl, {"x": 1})
        elif kind == "delete":
            assert self.d.delete(key) == (there.pop(key, None) is not None)
        elif kind == "expire":
            assert self.d.expire(key, ttl) == (key in there)
            if key in there:
                self.model[key] = there[key]._replace(expires=self.expiry(ttl))
        elif key in there and to not in there:
            self.d.rename(key, to)
            self.model[to] = self.model.pop(key)

    # ---- what holds after each of them

    @invariant()
    def single_keys_are_found(self) -> None:
        there = self.there()
        for key in KEYS:
            assert (key in self.d) == (key in there)
            assert exact(self.d.get(key, "none")) == exact(there[key].value if key in there else "none")

    @precondition(lambda self: not self.lazy)
    @invariant()
    def they_tell_the_same(self) -> None:
        there = self.there()
        assert exact(self.told(self.d)) == exact(there)
        assert len(self.d) == len(there)
        assert [*reversed(self.d)] == [*reversed(there)]
        self.steps += 1
        if self.steps % self.checked:
            return
        counted = self.d.stats().payload_bytes
        files = [path for path in Path(self.folder).glob("store/data/*/*") if not path.name.startswith(".")]
        assert counted == sum(path.stat().st_size for path in files)

    @invariant()
    def files_are_whole(self) -> None:
        if self.steps % self.checked:
            return
        harmless = {"orphaned", "unfinished"} if self.littered else set()
        assert {problem.problem for problem in self.d.verify().problems} <= harmless


class BothBySidecars(Both):
    """The same on a filesystem without attributes."""

    home = "sidecars"


class BothBehind(Both):
    """The same with the journal first, and files that follow when they are asked for or there are too many."""

    options: ClassVar = {"durability": "interval", "interval": 3_600, "buffer_bytes": 5_000}
    checked = 5


class BothOnDisk(BothBySidecars):
    """The same with each change on disk before it counts."""

    options: ClassVar = {"durability": "full", "interval": 3_600, "buffer_bytes": 5_000}
    checked = 5


def bears_interruptions(test: Callable[..., None]) -> Callable[..., None]:
    """Let a test be interrupted where nobody can be told.

    Between the making of an iterator over a folder and the use of it, which leaves it to the interpreter to close; and
    while an older dict is collected.
    """
    for warning in (
        "unclosed scandir iterator:ResourceWarning",
        "Exception ignored in. .function StoreDict.__del__:pytest.PytestUnraisableExceptionWarning",
    ):
        test = pytest.mark.filterwarnings(f"ignore:{warning}")(test)
    return test


def exact(value: Any) -> Any:
    """Return something that is equal only for equal values of the same types at every depth, in the same order."""
    if isinstance(value, dict):
        return "dict", [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [exact(item) for item in value]
    return type(value).__name__, value


@pytest.mark.no_cover
@bears_interruptions
@pytest.mark.parametrize("machine", [Both, BothBySidecars, BothBehind, BothOnDisk])
def test_dict_and_disk_dict(machine: type[Both]) -> None:
    """They tell the same after any row of changes, with crashes and interruptions."""
    run_state_machine_as_test(machine, settings=USUAL)


@pytest.mark.torture
@bears_interruptions
@pytest.mark.parametrize("machine", [Both, BothBySidecars, BothBehind, BothOnDisk])
def test_dict_and_disk_dict_for_long(machine: type[Both]) -> None:
    """The same for longer."""
    faulthandler.cancel_dump_traceback_later()  # it would end the run after two minutes
    run_state_machine_as_test(machine, settings=LONG)

"""What the processes of `test_crash` do, and the plain model of what must be found after them.

A `Deed` is one change of a dict. `plan` draws an endless row of them from a seed, in the child that is to be killed and
in the parent that foresees what must be there: `foreseen` does to a plain dict of `Seen` what `perform` does to a
DiskDict.
"""

from __future__ import annotations

import contextlib
import dis
import itertools
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import faults
from interrupts import Interrupted

from diskdict import DiskDict, attributes
from diskdict.attributes import Calls

START = 1_700_000_000.0
SAME = b"always the same"

LONG = "long " * 60
KEYS: list[Any] = ["a", "b", "KEY", "naïve/..", "new", LONG + "1", LONG + "2", 1, True, (1, "x"), -2.5, "c", "d", "e"]
SIZES = [1, 1, 10, 100, 100, 100, 4_000, 70_000, 200_000]

Homes = dict[str, list[int]]
HOMES: Homes = {"attributes": [0, 100, 1_500], "sidecars": [0, 100], "some sidecars": [0, 2_500, 66_000]}
"""Where attributes are kept, and characters of metadata. No filesystem has room for the longest in an attribute."""


class Seen(NamedTuple):
    """All that a dict tells of a key."""

    value: bytes
    expires: float | None
    metadata: dict[str, Any]
    created: float


Records = dict[Any, Seen]


class Deed(NamedTuple):
    """A change: what is done to which key at what time, and with what."""

    kind: str
    now: float
    key: Any
    value: bytes = b""
    ttl: float | None = None
    metadata: dict[str, Any] | None = None
    target: Any = None


class At:
    """A clock that stands."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def use(home: str) -> None:
    """Have this process find a filesystem without attributes if `home` is sidecars."""
    if home == "sidecars":
        refused = Calls(faults.without_attributes, faults.without_attributes, faults.without_attributes)  # type: ignore[arg-type]
        attributes.calls = attributes.PACKAGE = refused  # type: ignore[misc]


def plan(seed: int, first: int, lengths: list[int]) -> Iterator[Deed]:
    """Yield deeds without end, numbered and timed from `first`."""
    chance = random.Random(seed)
    for number in itertools.count(first):
        kind = chance.choices(
            ["put", "delete", "expire", "persist", "describe", "rename", "popitem"], [9, 3, 1, 1, 2, 3, 1]
        )[0]
        size = chance.choice(SIZES)
        value = SAME if not chance.randrange(4) else (b"%d|" % number * (size // 2 + 1))[:size]
        ttl = chance.choice([None, None, 3.0, 1e6 + number])
        metadata = {"number": number, "pad": "m" * chance.choice(lengths)} if chance.randrange(3) else None
        yield Deed(kind, START + number, chance.choice(KEYS), value, ttl, metadata, chance.choice(KEYS))


def perform(d: DiskDict[Any, Any], deed: Deed) -> None:
    """Do it."""
    kind, _, key, value, ttl, metadata, target = deed
    try:
        if kind == "put":
            d.set(key, value, ttl=ttl, metadata=metadata)
        elif kind == "delete":
            d.delete(key)
        elif kind == "expire":
            d.expire(key, ttl)
        elif kind == "persist":
            d.persist(key)
        elif kind == "describe":
            d.set_metadata(key, metadata or {}, replace=True)
        elif kind == "rename":
            d.rename(key, target)
        elif kind == "popitem":
            d.popitem()
    except KeyError:
        pass  # the key is not there, or the target is


def foreseen(records: Records, deed: Deed) -> Records:
    """Return what is there after a deed."""
    kind, now, key, value, ttl, metadata, target = deed
    there = alive(records, now)
    old = there.get(key)
    expires = None if ttl is None else now + ttl
    if kind == "put":
        there[key] = Seen(value, expires, metadata or {}, now if old is None else old.created)
    elif old is None and kind != "popitem":
        pass
    elif kind == "delete":
        del there[key]
    elif kind == "expire":
        there[key] = old._replace(expires=expires)
    elif kind == "persist":
        there[key] = old._replace(expires=None)
    elif kind == "describe":
        there[key] = old._replace(metadata=metadata or {})
    elif kind == "rename" and target not in there:
        there[target] = there.pop(key)
    elif kind == "popitem" and there:
        there.popitem()
    return there


def alive(records: Records, now: float) -> Records:
    """Return the records that have not expired."""
    return {key: seen for key, seen in records.items() if seen.expires is None or seen.expires > now}


def exactly(records: Records) -> list[tuple[str, Any, Seen]]:
    """Return what two dicts must agree in: order, keys of the same types, and all else."""
    return [(type(key).__name__, key, seen) for key, seen in records.items()]


def seen_in(d: DiskDict[Any, Any]) -> Records:
    """Return all that `d` tells."""
    found = {}
    for key, value in d.items():
        info = d.info(key)
        found[key] = Seen(value, info.expires_at, dict(info.metadata), info.created_at)
    return found


def opened(folder: Path, clock: Callable[[], float], **options: Any) -> DiskDict[Any, Any]:
    """Return the dict of these tests."""
    return DiskDict(folder, codec="raw", clock=clock, shards=16, **options)


def write_until_killed(say: Callable[[object], None], folder: Path, home: str, seed: int, first: int) -> None:
    """Do deed after deed, and say the number of each when it is done."""
    use(home)
    clock = At(START + first)
    d = opened(folder, clock)
    if seed % 2:
        len(d)
    for number, deed in enumerate(plan(seed, first, HOMES[home]), first):
        clock.now = deed.now
        perform(d, deed)
        say(number)


# ---- one change, stopped at each of its calls


class Scene(NamedTuple):
    """What is there, and the change that is made to it.

    ``commit`` is the call that makes a change count, if just one does: before it everything is old, after it everything
    new. ``moves`` is the key that is renamed.
    """

    setting: Callable[[DiskDict[Any, Any], At], object]
    act: Callable[[DiskDict[Any, Any]], object]
    commit: str | None = None
    moves: Any = None

    def committed(self, fate: faults.Plan) -> bool:
        """Whether the call was made that makes the change count."""
        made = (call.arguments[-1] for call in fate.done if call.name == self.commit)
        return any(not os.path.basename(path).startswith(".") for path in made)


def _pair(d: DiskDict[Any, Any], clock: At) -> None:
    d.set("a", b"first", ttl=1_000, metadata={"of": "first"})
    d.set("b", b"second")
    d.set(LONG, b"long", ttl=2_000)


def _heavy(d: DiskDict[Any, Any], clock: At) -> None:
    """`a` needs a sidecar everywhere."""
    d.set("a", b"first", ttl=1_000, metadata={"pad": "m" * 66_000})
    d.set("b", b"second")


def _with_expired(d: DiskDict[Any, Any], clock: At) -> None:
    _pair(d, clock)
    d.set("c", b"expired!", ttl=1, metadata={"of": "expired"})
    d.set(LONG + "x", b"expired", ttl=1)
    clock.now += 5


def _spelled(d: DiskDict[Any, Any], clock: At) -> None:
    d.set(True, b"yes", ttl=1_000)
    d.set("b", b"second")


HEAVY = {"pad": "n" * 66_000}

SCENES = {
    "first put": Scene(lambda d, clock: None, lambda d: d.set("c", b"third", ttl=5), "replace"),
    "put": Scene(_pair, lambda d: d.set("c", b"third", ttl=5, metadata={"of": "third"}), "replace"),
    "put long key": Scene(_pair, lambda d: d.set(LONG + "2", b"third", ttl=5), "replace"),
    "put heavy": Scene(_pair, lambda d: d.set("c", b"third", metadata=HEAVY), "replace"),
    "overwrite": Scene(_pair, lambda d: d.set("a", b"newer", ttl=5, metadata={"of": "newer"}), "replace"),
    "overwrite by the same": Scene(_pair, lambda d: d.set("a", b"first", ttl=5)),
    "overwrite long key": Scene(_pair, lambda d: d.set(LONG, b"newer", ttl=5), "replace"),
    "overwrite to heavy": Scene(_pair, lambda d: d.set("a", b"newer", ttl=5, metadata=HEAVY), "replace"),
    "overwrite heavy": Scene(_heavy, lambda d: d.set("a", b"newer", ttl=5), "replace"),
    "overwrite heavy by heavy": Scene(_heavy, lambda d: d.set("a", b"newer", ttl=5, metadata=HEAVY), "replace"),
    "overwrite expired": Scene(_with_expired, lambda d: d.set("c", b"new life"), "replace"),
    "overwrite spelled": Scene(_spelled, lambda d: d.set(1, b"no", ttl=5), "replace"),
    "delete": Scene(_pair, lambda d: d.delete("a"), "unlink"),
    "delete long key": Scene(_pair, lambda d: d.delete(LONG), "unlink"),
    "delete heavy": Scene(_heavy, lambda d: d.delete("a"), "unlink"),
    "popitem": Scene(_pair, lambda d: d.popitem(), "unlink"),
    "expire": Scene(_pair, lambda d: d.expire("a", 7)),
    "persist": Scene(_pair, lambda d: d.persist("a")),
    "expire heavy": Scene(_heavy, lambda d: d.expire("a", 7)),
    "describe": Scene(_pair, lambda d: d.set_metadata("a", {"of": "newer"})),
    "describe for the first time": Scene(_pair, lambda d: d.set_metadata("b", {"of": "newer"})),
    "describe no more": Scene(_pair, lambda d: d.set_metadata("a", {}, replace=True)),
    "describe to heavy": Scene(_pair, lambda d: d.set_metadata("a", HEAVY)),
    "describe heavy": Scene(_heavy, lambda d: d.set_metadata("a", {"of": "newer"}, replace=True)),
    "rename": Scene(_pair, lambda d: d.rename("a", "c"), moves="a"),
    "rename long key": Scene(_pair, lambda d: d.rename(LONG, LONG + "2"), moves=LONG),
    "rename to long key": Scene(_pair, lambda d: d.rename("a", LONG + "2"), moves="a"),
    "rename heavy": Scene(_heavy, lambda d: d.rename("a", "c"), moves="a"),
    "rename over expired": Scene(_with_expired, lambda d: d.rename("a", "c"), moves="a"),
    "rename over expired long key": Scene(_with_expired, lambda d: d.rename("a", LONG + "x"), moves="a"),
    "rename to spelled": Scene(_pair, lambda d: d.rename("a", True), moves="a"),
    "rename spelled": Scene(_spelled, lambda d: d.rename(True, "c"), moves=True),
    "clean up": Scene(_with_expired, lambda d: d.cleanup_expired()),
    "close": Scene(_pair, lambda d: (len(d), d.close())),
    "verify": Scene(_pair, lambda d: d.verify()),
    "repair": Scene(_pair, lambda d: d.repair()),
}


def prepare(folder: Path, home: str, scene: str) -> float:
    """Set the scene; return the time that it is then."""
    use(home)
    clock = At()
    with opened(folder, clock) as d:
        SCENES[scene].setting(d, clock)
    return clock.now


def play(folder: Path, home: str, scene: str, now: float, fate: faults.Plan) -> faults.Plan:
    """Make the change of a scene while `fate` sees the calls; return what came of it."""
    use(home)
    with opened(folder, At(now)) as d, faults.armed(fate):
        SCENES[scene].act(d)
    return fate


# ---- one change, one of whose calls fails


class Trial(NamedTuple):
    """What came of a change that something happened to.

    ``seen`` is what the same handle tells afterwards, ``reopened`` what another one tells when one more key was put and
    the first was closed; ``astray`` says what else is wrong.
    """

    fired: str
    error: str | None
    committed: bool
    seen: Records
    reopened: Records
    astray: list[str]


AFTER = "put afterwards"


def endure(folder: Path, home: str, scene: str, now: float, fate: faults.Plan, *, loaded: bool) -> Trial:
    """Make the change of a scene while `fate` has one of the calls fail."""
    use(home)
    clock = At(now)
    with opened(folder, clock) as d:
        if loaded:
            len(d)
        return _aftermath(d, folder, clock, fate, _failing(d, scene, fate), scene)


def _failing(d: DiskDict[Any, Any], scene: str, fate: faults.Plan) -> str | None:
    try:
        with faults.armed(fate):
            SCENES[scene].act(d)
    except OSError as error:
        return repr(error)
    return None


def _aftermath(
    d: DiskDict[Any, Any], folder: Path, clock: At, fate: faults.Plan, error: str | None, scene: str
) -> Trial:
    astray = []
    if fate.fired != "unlink":
        astray += [f"left {name}" for name in temporaries(folder)]
    seen = {}
    if d._folder.is_open:
        seen = seen_in(d)
        if d.stats().payload_bytes != sum(size for size in _sizes(folder)):
            astray.append(f"{d.stats().payload_bytes} bytes are counted, {sum(_sizes(folder))} are there")
        if len(d) != len(seen):
            astray.append(f"len is {len(d)}, {len(seen)} are there")
        d[AFTER] = b"afterwards"
        d.close()
    with opened(folder, clock) as other:
        reopened = seen_in(other)
        problems = other.verify().problems
    reopened.pop(AFTER, None)
    astray += [str(problem) for problem in problems if fate.fired != "unlink" or problem.problem != "orphaned"]
    return Trial(fate.fired, error, SCENES[scene].committed(fate), seen, reopened, astray)


def temporaries(folder: Path) -> list[str]:
    """Return the files that only a change on its way may have."""
    return [path.name for path in (folder / "data").glob("*/.new*") if path.name in (".new", ".new-attr")]


def _sizes(folder: Path) -> Iterator[int]:
    return (path.stat().st_size for path in (folder / "data").glob("*/*") if not path.name.startswith("."))


def endure_all(
    folder: Path, home: str, scene: str, now: float, fates: list[faults.Plan], *, loaded: bool
) -> Iterator[Trial]:
    """Try each fate in a copy of the folder, until one has nothing left to strike."""
    for fate in fates:
        place = folder.with_name(f"{folder.name}-try-{fate.at}")
        shutil.copytree(folder, place)
        before = descriptors()
        trial = endure(place, home, scene, now, fate, loaded=loaded)
        shutil.rmtree(place)
        if not trial.fired:
            return
        if descriptors() != before:
            trial.astray.append(f"{descriptors() - before} descriptors are open")
        yield trial


def descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(os.listdir("/dev/fd"))


# ---- one change, interrupted


class Stopped(NamedTuple):
    """What came of a change that was interrupted at a place, or where the change came to its end."""

    where: str
    seen: Records
    reopened: Records
    astray: list[str]


def stopped(
    folder: Path, home: str, scene: str, now: float, at: int, *, loaded: bool, lock: Any = None
) -> Stopped:
    """Interrupt the change of a scene at a place, and go on with the handle."""
    use(home)
    clock = At(now)
    interrupted = Interrupted(at)
    with opened(folder, clock, lock=lock) as d:
        if loaded:
            len(d)
        with contextlib.suppress(KeyboardInterrupt), interrupted.armed():
            SCENES[scene].act(d)
        return Stopped(interrupted.where, *_after_interruption(d, folder, clock))


def _after_interruption(d: DiskDict[Any, Any], folder: Path, clock: At) -> tuple[Records, Records, list[str]]:
    astray = []
    seen = {}
    if d._folder.is_open:
        if not _free(d._folder.exclusive()):
            astray.append("the lock is held")
        seen = seen_in(d)
        if d.stats().payload_bytes != sum(_sizes(folder)):
            astray.append(f"{d.stats().payload_bytes} bytes are counted, {sum(_sizes(folder))} are there")
        if len(d) != len(seen):
            astray.append(f"len is {len(d)}, {len(seen)} are there")
        d[AFTER] = b"afterwards"
    d.close()
    with opened(folder, clock) as other:
        reopened = seen_in(other)
        problems = other.verify().problems
    reopened.pop(AFTER, None)
    astray += [str(problem) for problem in problems if problem.problem not in ("orphaned", "unfinished")]
    return seen, reopened, astray


def _free(lock: Any) -> bool:
    def take() -> None:
        taken.append(lock._lock.acquire(False) if hasattr(lock, "_lock") else lock.acquire(False))
        if taken[0]:
            (lock._lock if hasattr(lock, "_lock") else lock).release()

    taken: list[bool] = []
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return taken[0]


def stopped_everywhere(folder: Path, home: str, scene: str, now: float, **options: Any) -> Iterator[Stopped]:
    """Interrupt the change of a scene at each place, each time in a copy of the folder."""
    for at in itertools.count(1):
        place = folder.with_name(f"{folder.name}-stop-{at}")
        shutil.copytree(folder, place)
        result = stopped(place, home, scene, now, at, **options)
        shutil.rmtree(place)
        if not result.where:
            return
        yield result

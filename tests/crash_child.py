"""What the processes of `tests/torture` do: write until they are killed, and go on after what befell a change.

All of this runs in processes of its own, started by a `crew.Crew`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faults
from deeds import HOMES, SCENES, At, Records, alive, allowed, exactly, foreseen, opened, perform, plan, seen_in, use
from interrupts import Interrupted

from diskdict import DiskDict, copying
from diskdict.errors import DurabilityError

AFTER = "put afterwards"

left_behind: list[DiskDict[Any, Any]] = []


DURABILITIES: dict[str, dict[str, Any]] = {
    "process": {},
    "interval": {"durability": "interval", "interval": 0.003, "buffer_bytes": 100_000},
    "full": {"durability": "full", "interval": 0.003, "buffer_bytes": 100_000},
}
"""How the writers that are to be killed open their folder: such that files are written at all times."""


def write_until_killed(
    say: Callable[[object], None], folder: Path, home: str, seed: int, first: int, durability: str
) -> None:
    """Do deed after deed, and say the number of each when it is done."""
    for number in _written(folder, home, seed, first, durability):
        say(number)


def write_until_power_fails(
    say: Callable[[object], None],
    folder: Path,
    home: str,
    seed: int,
    first: int,
    durability: str,
    pause: float = 0,
) -> None:
    """Do deed after deed, and say when each was done; with pauses, some so long that the files follow the journal."""
    for number in _written(folder, home, seed, first, durability):
        say(time.monotonic())
        time.sleep(pause if number % 20 else 20 * pause)


def _written(folder: Path, home: str, seed: int, first: int, durability: str) -> Iterator[int]:
    use(home)
    have_helpers()
    clock = At()
    d = opened(folder, clock, **DURABILITIES[durability])
    if seed % 2:
        len(d)
    for number, deed in enumerate(plan(seed, first, HOMES[home]), first):
        clock.now = deed.now
        perform(d, deed)
        yield number


def have_helpers() -> None:
    """Have this process copy files of a fraction of a megabyte by two threads, as it does those that are large."""
    copying._LARGE, copying._LARGE_STEP = 1 << 17, 1 << 15  # type: ignore[misc]


class Trial(NamedTuple):
    """What came of a change that something happened to.

    ``where`` is the call or the place that it happened at, ``error`` what came of it. ``committed`` says whether the
    call was made that makes the change count. ``seen`` is what the same handle tells afterwards, ``reopened`` what
    another one tells when one more key was put and the first was closed, ``problems`` what it finds wrong with files;
    ``astray`` says what else is wrong.
    """

    where: str
    error: str | None
    committed: bool
    seen: Records
    reopened: Records
    problems: set[str]
    astray: list[str]


class Place(NamedTuple):
    """A scene in a folder, of which each trial takes a copy."""

    folder: Path
    home: str
    scene: str
    durability: str = "process"

    def prepare(self) -> None:
        """Set the scene."""
        use(self.home)
        with opened(self.folder, At()) as d:
            SCENES[self.scene].setting(d)

    def play(self, fate: faults.Plan) -> int:
        """Make the change in the folder itself, while `fate` sees the calls; return how many it counted."""
        use(self.home)
        with self._opened_in(self.folder) as d, faults.armed(fate):
            self._act(d)
        return fate.count

    def _opened_in(self, folder: Path) -> DiskDict[Any, Any]:
        """Open the folder such that nothing but the change has its files written."""
        return opened(folder, At(self.now), durability=self.durability, interval=3_600)

    def _act(self, d: DiskDict[Any, Any]) -> None:
        """Make the change, and have it in the files."""
        SCENES[self.scene].act(d)
        if self.durability != "process":
            d.flush()

    def make(self, fate: faults.Plan) -> int:
        """Make an empty store at the folder while `fate` sees the calls; return how many it counted."""
        use(self.home)
        with faults.armed(fate), opened(self.folder, At(self.now)):
            return fate.count

    def leave(self) -> None:
        """Set the scene, make the change while no file can be replaced, and keep the folder open."""
        use(self.home)
        d = opened(self.folder, At(self.now))
        SCENES[self.scene].setting(d)
        with faults.armed(faults.Refuse("replace")):
            SCENES[self.scene].act(d)
        left_behind.append(d)

    def watch(self) -> tuple[list[str], list[str]]:
        """Make the change in the folder itself; return the names of its calls, and of those that bring it to files."""
        use(self.home)
        with self._opened_in(self.folder) as d:
            with faults.armed(faults.Plan()) as change:
                SCENES[self.scene].act(d)
            with faults.armed(faults.Plan()) as flush:
                d.flush()
        return [call.name for call in change.done], [call.name for call in flush.done]

    @property
    def now(self) -> float:
        """The time of the change."""
        return SCENES[self.scene].now

    def fail(self, fates: Iterable[faults.Plan], *, loaded: bool = True) -> list[Trial]:
        """Make the change with one call after the other failing, until there is no other."""
        use(self.home)
        return list(itertools.takewhile(_happened, (self._failed(fate, loaded) for fate in fates)))

    def _failed(self, fate: faults.Plan, loaded: bool) -> Trial:
        before = descriptors()
        error = None
        with self._copy() as folder, self._opened_in(folder) as d:
            if loaded:
                len(d)
            try:
                with faults.armed(fate):
                    self._act(d)
            except OSError as failure:
                error = repr(failure)
            trial = self._aftermath(d, folder, fate.fired, error)
        return trial._replace(committed=self._committed(fate), astray=trial.astray + left_open(before))

    def _committed(self, fate: faults.Plan) -> bool:
        made = (str(call.arguments[-1]) for call in fate.done if call.name == SCENES[self.scene].commit)
        return any(not os.path.basename(path).startswith(".") for path in made)

    def interrupt(self, places: Iterable[int], *, loaded: bool = True) -> list[Trial]:
        """Make the change with an interruption at one place after the other, until there is no other."""
        use(self.home)
        return list(itertools.takewhile(_happened, (self._interrupted(Interrupted(at), loaded) for at in places)))

    def _interrupted(self, interrupted: Interrupted, loaded: bool) -> Trial:
        with self._copy() as folder, self._opened_in(folder) as d:
            if loaded:
                len(d)
            with contextlib.suppress(KeyboardInterrupt), interrupted.armed():
                self._act(d)
            return self._aftermath(d, folder, interrupted.where, "KeyboardInterrupt")

    def starve(self, places: Iterable[int], *, loaded: bool = True) -> list[Trial]:
        """Make the change with one allocation of memory after the other failing, until that makes no difference."""
        use(self.home)
        met: list[Trial] = []
        spared = 0
        for at in places:
            trial = self._starved(at, loaded)
            if _happened(trial):
                met.append(trial)
            # There are some that Python itself can do without.
            spared = 0 if _happened(trial) else spared + 1
            if spared > 20:
                break
        return met

    def _starved(self, at: int, loaded: bool) -> Trial:
        import _testcapi  # not every Python has it

        where = ""
        with self._copy() as folder, self._opened_in(folder) as d:
            if loaded:
                len(d)
            try:
                _testcapi.set_nomemory(at, at + 1)
                try:
                    self._act(d)
                finally:
                    _testcapi.remove_mem_hooks()
            except Exception as error:
                # Not always a MemoryError: parts of Python itself tell it in other ways.
                where = f"allocation {at}: {error!r}"
            return self._aftermath(d, folder, where, where or None)

    def _aftermath(self, d: DiskDict[Any, Any], folder: Path, where: str, error: str | None) -> Trial:
        astray = []
        seen = {}
        if d._folder.is_open:
            if not is_free(d._folder._lock):
                os._exit(3)  # whatever follows would wait for ever
            seen = seen_in(d)
            try:
                # This also brings into the files what a transaction could not.
                d[AFTER] = b"afterwards"
            except DurabilityError:
                pass
            else:
                astray += ["it goes on after a sync has failed"] * (error is not None and "DurabilityError" in error)
                astray += miscounted(d, folder)
        # What could not be made durable stays in the journal, and closing says so.
        with contextlib.suppress(DurabilityError):
            d.close()
        with opened(folder, At(self.now)) as other:
            reopened = seen_in(other)
            problems = {each.problem for each in other.verify().problems}
        reopened.pop(AFTER, None)
        return Trial(where, error, False, seen, reopened, set(problems), astray)

    def open(self, fates: Iterable[faults.Plan]) -> list[Trial]:
        """Open the folder with one call after the other failing, and then at once again."""
        use(self.home)
        return list(itertools.takewhile(_happened, (self._opened(fate) for fate in fates)))

    def _opened(self, fate: faults.Plan) -> Trial:
        before = descriptors()
        error = None
        with self._copy() as folder:
            try:
                with faults.armed(fate):
                    d = opened(folder, At(self.now))
            except OSError as failure:
                error = repr(failure)
                d = opened(folder, At(self.now))
            with d:
                seen = seen_in(d)
                problems = {each.problem for each in d.verify().problems}
        return Trial(fate.fired, error, False, seen, seen, set(problems), left_open(before))

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Path]:
        """Give a folder as the scene begins; where nothing is, a path where nothing is."""
        place = self.folder.with_name(f"{self.folder.name}-trial")
        if self.folder.exists():
            shutil.copytree(self.folder, place)
        try:
            yield place
        finally:
            shutil.rmtree(place)


def _happened(trial: Trial) -> bool:
    return bool(trial.where)


def interrupted_by_timer(folder: Path, home: str, durability: str, seed: int, rounds: int) -> tuple[int, list[str]]:
    """Do deeds while a timer interrupts them; return how many it met, and what went wrong."""
    use(home)
    have_helpers()
    chance = random.Random(seed)
    clock = At()
    met, wrong = 0, []
    records: Records = {}
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    d = opened(folder, clock, **DURABILITIES[durability])
    for number, deed in enumerate(itertools.islice(plan(seed, 0, HOMES[home]), rounds)):
        clock.now = deed.now
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-6, 2e-4))
                perform(d, deed)
            finally:
                # Whatever was raised: a timer that goes off later would hide it.
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            met += 1
        found = seen_in(d)
        if not allowed(found, alive(records, deed.now), foreseen(records, deed), deed.moves):
            wrong.append(f"{number}: {deed} gave {found}")
        wrong += [f"{number}: after {deed} {what}" for what in miscounted(d, folder)]
        if number % 20 == 19:
            d.close()
            d = opened(folder, clock, **DURABILITIES[durability])
            if exactly(seen_in(d)) != exactly(found):
                wrong.append(f"{number}: after {deed} {found} was seen, on disk is {seen_in(d)}")
        records = found
    wrong += [str(each) for each in d.verify().problems if each.problem not in ("orphaned", "unfinished")]
    d.close()
    return met, wrong


def miscounted(d: DiskDict[Any, Any], folder: Path) -> list[str]:
    """Return what `d` counts otherwise than the files in its folder are."""
    # First: it has in the files what an interrupted commit has left in the journal.
    stats = d.stats()
    counted = stats.keys + stats.expired, stats.payload_bytes
    values = [path for path in (folder / "data").glob("*/*") if not path.name.startswith(".")]
    there = len(values), sum(path.stat().st_size for path in values)
    return [f"{counted} values and bytes are counted, {there} are there"] if counted != there else []


def is_free(lock: Any) -> bool:
    """Return whether another thread could take the lock."""
    taken = []

    def take() -> None:
        taken.append(lock.acquire(False))
        if taken[0]:
            lock.release()

    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    return bool(taken[0])


def descriptors() -> set[int]:
    """Return the descriptors that this process has open."""
    found = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the one of the listing itself
            os.fstat(int(name))
            found.add(int(name))
    return found


def left_open(before: set[int]) -> list[str]:
    """Say which descriptors are open that were not."""
    return [f"descriptor {fd} is left open" for fd in descriptors() - before]


def fill(folder: Path, limit: int) -> list[str]:
    """Put what is larger than any file of this process may be; return what is wrong then."""
    import resource

    with opened(folder, At()) as d:
        d["a"] = b"first"
        before = descriptors()
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        wrong = []
        for key in ("a", "b", "long " * 60):
            try:
                d[key] = b"x" * (limit + 1)
                wrong.append(f"{key} was put")
            except OSError:
                pass
        d["c"] = b"x" * limit
        if dict(d) != {"a": b"first", "c": b"x" * limit}:
            wrong.append(f"there is {list(d)}")
        return wrong + [str(each) for each in d.verify().problems] + left_open(before)

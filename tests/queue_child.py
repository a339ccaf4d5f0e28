"""What the processes do that use a durable queue until they are killed, and what comes of a change that goes wrong.

All of this runs in processes of its own, started by a `crew.Crew`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faults
from clocks import Clock
from crash_child import descriptors as open_descriptors
from crash_child import is_free, left_open
from interrupts import Interrupted
from queue_model import (
    CLASSES,
    PIECEMEAL,
    START,
    Deed,
    Model,
    Told,
    adopted,
    explained,
    foreseen,
    found_in,
    perform,
    plan,
    told,
)

from diskdict import DurabilityError, StoreLockedError


class Way(NamedTuple):
    """How a queue is opened."""

    order: str = "fifo"
    durability: str = "process"
    visibility: float | None = None
    max_deliveries: int | None = None
    maxsize: int = 0

    @property
    def limits(self) -> dict[str, Any]:
        return {"visibility": self.visibility, "max_deliveries": self.max_deliveries, "maxsize": self.maxsize}

    def options(self, clock: Clock, interval: float = 0.003) -> dict[str, Any]:
        return {"durability": self.durability, "interval": interval, "clock": clock, **self.limits}

    def opened(self, folder: Path, clock: Clock) -> Any:
        return CLASSES[self.order](folder, **self.options(clock))

    def modelled(self, clock: Clock) -> Model:
        return Model(self.order, clock, **self.limits)


# ---- until they are killed


def write_until_killed(say: Callable[[object], None], folder: Path, way: Way, seed: int, first: int) -> None:
    """Do deed after deed, and say the number of each when it is done."""
    clock = Clock(START + first)
    q = way.opened(folder, clock)
    hand: list[Any] = []
    for number, deed in enumerate(plan(seed, first, delivered=way.visibility is not None), first):
        clock.now = deed.now
        q.counts()  # what time has given back is given back before an acknowledgement that comes too late
        perform(q, hand, deed)
        say(number)


def work_until_killed(say: Callable[[object], None], folder: Path, way: Way, seed: int, threads: int) -> None:
    """Have threads put and threads get, and say what was put and what is done with."""
    pipe = threading.Lock()

    def tell(*word: object) -> None:
        with pipe:
            say(word)

    with way.opened(folder, Clock()) as q:
        workers = [
            threading.Thread(
                target=_put_on if number % 2 else _get_on, args=(q, tell, random.Random(seed), seed, number)
            )
            for number in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def _put_on(q: Any, tell: Callable[..., None], chance: random.Random, seed: int, producer: int) -> None:
    for number in itertools.count():
        size = chance.choice([1, 1, 2, 30])
        parts = [[producer, seed, number, part, size, "x" * chance.choice([0, 100, 5_000])] for part in range(size)]
        if size == 1:
            q.put(parts[0])
        else:
            q.put_many(parts)
        tell("put", [part[:5] for part in parts])


def _get_on(q: Any, tell: Callable[..., None], chance: random.Random, seed: int, consumer: int) -> None:
    while True:
        for each in [q.get()] if chance.random() < 0.5 else q.get_many(3):
            if type(each) is list:
                tell("done", [each[:5]])
            elif chance.random() < 0.2:
                q.nack(each)
            elif q.ack(each):
                tell("done", [each.value[:5]])


# ---- a change that goes wrong


def deed(kind: str, *numbers: int, size: int = 3, **fields: Any) -> Deed:
    """Return a deed with values of these numbers."""
    values = [[number % 3, number, 0, "x" * size] for number in numbers]
    return Deed(
        **{"kind": kind, "now": START, "values": values, "delay": 0, "key": None, "count": 2, "which": 0} | fields
    )


FILLED = [deed("put", 1), deed("put", 2, key="k"), deed("put_many", 3, 4, 5), deed("put", 6, delay=50.5)]
TAKEN = [*FILLED, deed("get"), deed("get_many")]
LARGE = 700_000
TWO_FILES = [deed("put", 1, size=LARGE), deed("put", 2, size=LARGE)]
REOPENED = deed("reopen")

PLAIN = Way()
DELIVERED = Way(visibility=10.5)
MORTAL = Way(visibility=10.5, max_deliveries=1)


class Scene(NamedTuple):
    """A queue opened in a way, what was done to it, and the change."""

    way: Way
    setting: list[Deed]
    act: Deed


SCENES = {
    "first put": Scene(PLAIN, [], deed("put", 7)),
    "put": Scene(PLAIN, FILLED, deed("put", 7, delay=5.5, key="l")),
    "put again": Scene(PLAIN, FILLED, deed("put", 7, key="k")),
    "put after opening": Scene(PLAIN, [*FILLED, REOPENED], deed("put", 7)),
    "put into a new file": Scene(PLAIN, TWO_FILES[:1], deed("put", 7, size=LARGE)),
    "put what is long": Scene(PLAIN, FILLED, deed("put", 7, size=3 * LARGE)),
    "first put of many": Scene(PLAIN, [], deed("put_many", 7, 8, 9)),
    "put many": Scene(PLAIN, FILLED, deed("put_many", 7, 8, 9, 10, 11)),
    "put many into a new file": Scene(PLAIN, TWO_FILES[:1], deed("put_many", 7, 8, 9, size=LARGE)),
    "put many later": Scene(PLAIN, FILLED, deed("put_many", 7, 8, delay=5.5)),
    "get": Scene(PLAIN, FILLED, deed("get")),
    "get after opening": Scene(PLAIN, [*FILLED, REOPENED], deed("get")),
    "get the last of a file": Scene(PLAIN, [*TWO_FILES, REOPENED], deed("get")),
    "get the last": Scene(PLAIN, FILLED[:1], deed("get")),
    "get what was delayed": Scene(PLAIN, FILLED, deed("get", now=START + 99)),
    "get many": Scene(PLAIN, FILLED, deed("get_many", count=4)),
    "get many of two files": Scene(PLAIN, [*TWO_FILES, deed("put", 3)], deed("get_many", count=3)),
    "clear": Scene(PLAIN, FILLED, deed("clear")),
    "clear two files": Scene(PLAIN, TWO_FILES, deed("clear")),
    "be given": Scene(DELIVERED, FILLED, deed("get")),
    "be given many": Scene(DELIVERED, FILLED, deed("get_many", count=4)),
    "be given after opening": Scene(DELIVERED, [*TAKEN, REOPENED], deed("get")),
    "be given what came back": Scene(DELIVERED, TAKEN, deed("get_many", count=9, now=START + 20)),
    "ack": Scene(DELIVERED, TAKEN, deed("ack", which=1)),
    "ack late": Scene(DELIVERED, TAKEN, deed("ack", which=1, now=START + 20)),
    "ack the last of a file": Scene(DELIVERED, [*TWO_FILES, deed("get")], deed("ack")),
    "nack": Scene(DELIVERED, TAKEN, deed("nack", which=1)),
    "nack with delay": Scene(DELIVERED, TAKEN, deed("nack", which=1, delay=5.5)),
    "extend": Scene(DELIVERED, TAKEN, deed("extend", which=1)),
    "clear what is in flight": Scene(DELIVERED, TAKEN, deed("clear")),
    "die": Scene(MORTAL, TAKEN, deed("nack", which=1)),
    "die of the time": Scene(MORTAL, TAKEN, deed("get", now=START + 20)),
    "die again": Scene(MORTAL, [*TAKEN, deed("nack", which=1)], deed("nack")),
    "close": Scene(DELIVERED, TAKEN, deed("close")),
    "requeue": Scene(MORTAL, [*TAKEN, deed("nack", which=1)], deed("requeue")),
}
AFTERWARDS = deed("put", 99)


class Stage:
    """A scene that is played in a folder, by a queue and by a model."""

    def __init__(self, folder: Path, way: Way, scene: Scene) -> None:
        self.folder = folder
        self.clock = Clock(START)
        self.way = way
        self.act = scene.act
        self.model = way.modelled(self.clock)
        self.hand: list[Any] = []
        self.model_hand: list[Any] = []
        self.q = way.opened(folder, self.clock)
        for each in scene.setting:
            self._set(each)
        self.clock.now = scene.act.now
        self.before = self.model.copy()
        self.outcome = perform(self.model, self.model_hand, scene.act)

    def _set(self, each: Deed) -> None:
        if each.kind == "reopen":
            self.q.close()
            self.q = self.way.opened(self.folder, self.clock)
            self.model.reopen()
            self.hand.clear()
            self.model_hand.clear()
        else:
            assert perform(self.q, self.hand, each) == perform(self.model, self.model_hand, each)

    def play(self) -> object:
        """Make the change."""
        return perform(self.q, self.hand, self.act)

    @property
    def is_piecemeal(self) -> bool:
        return self.act.kind in PIECEMEAL

    def judge_outcome(self, error: OSError | None, outcome: object) -> list[str]:
        """Say what is wrong with what came of a change, in the eyes of who has made it."""
        tells = told(self.q)
        if self.is_piecemeal:
            got = [value for value, *_ in map(_bare, outcome)] if isinstance(outcome, list) else []
            both = sorted(got + tells.ready)
            if not got and error is not None and self.act.kind == "clear":
                return []
            return [] if both == sorted(self.before) else [f"{error!r}, got {short(got)}, and there is {short(tells)}"]
        old, new = told(self.before), told(self.model)
        if error is None and outcome != self.outcome:
            return [f"it returned {short(outcome)} in place of {short(self.outcome)}"]
        # An item that could not be buried is left out, with a warning, and is buried later.
        late = error is None and tells.ready == new.ready and all(each in new.dead for each in tells.dead)
        early = len(new.dead) != len(old.dead) and tells in (new, told_of_both(old, new))
        if late or early or tells == (new if error is None else old):
            return []
        return [f"{error!r}, and it tells {short(tells)}, neither {short(old)} nor {short(new)}"]

    def go_on(self) -> None:
        """Put another item."""
        perform(self.q, [], AFTERWARDS)
        for each in (self.before, self.model):
            perform(each, [], AFTERWARDS)

    def judge_folder(self) -> list[str]:
        """Open the closed folder; say what is wrong in it."""
        found = found_in(self.folder, self.way.order, **self.way.options(self.clock))
        if explained(found, self.before, self.model, self.act.kind):
            return []
        old, new = foreseen(self.before), foreseen(self.model)
        return [f"{short(found)} is there, neither {short(old)} nor {short(new)}"]


def told_of_both(old: Told, new: Told) -> Told:
    """Return what a queue tells while a letter that was put anew is a letter still."""
    return Told(new.ready, (*new.counts[:3], old.counts[3]), old.dead)


def _bare(given: Any) -> tuple[Any, ...]:
    """Return what `perform` tells of an item that was got, its value first."""
    return given if isinstance(given, tuple) else (given,)


def short(what: object) -> str:
    """Return what is told, without the ends of values."""
    return re.sub("x{4,}", "x…", repr(what))


def play_and_die(folder: Path, way: Way, name: str, fate: faults.Plan) -> int:
    """Make the change of a scene while `fate` sees the calls; return how many it counted."""
    stage = Stage(folder, way, SCENES[name])
    with faults.armed(fate):
        stage.play()
    return fate.count


def fail(folder: Path, way: Way, name: str, fates: Iterable[faults.Plan]) -> tuple[int, list[str]]:
    """Make the change with one call after the other failing; return how many there were, and what was wrong."""
    wrong: list[str] = []
    for number, fate in enumerate(fates):
        with _place(folder) as place:
            what = _failed(Stage(place, way, SCENES[name]), fate)
        if not fate.fired:
            return number, wrong
        wrong += [f"{name}, call {number + 1}, {fate.fired}: {each}" for each in what]
    return -1, ["it makes more calls than that"]


def _failed(stage: Stage, fate: faults.Plan) -> list[str]:
    error: OSError | None = None
    outcome = None
    try:
        with faults.armed(fate):
            outcome = stage.play()
    except OSError as failure:
        error = failure
    if stage.act.kind == "close":
        stage.q.close()
        return stage.judge_folder()
    wrong = []
    refused = isinstance(error, DurabilityError)
    if not refused:
        wrong += stage.judge_outcome(error, outcome)
    try:
        stage.go_on()
        # The dead letters are a store of their own.
        wrong += ["it goes on after a sync has failed"] * (refused and stage.act.kind not in ("nack", "requeue"))
    except DurabilityError:
        wrong += ["it does not go on"] * (not refused and fate.fired not in faults.SYNCING)
    with contextlib.suppress(DurabilityError):
        stage.q.close()
    if error is None and not stage.is_piecemeal:
        stage.before = stage.model
    elif not refused and not stage.is_piecemeal and stage.act.kind != "requeue":
        stage.model = stage.before
    return wrong + stage.judge_folder()


def interrupt(folder: Path, way: Way, name: str, places: Iterable[int]) -> tuple[int, list[str]]:
    """Make the change with an interruption at one place after the other; return how many, and what was wrong."""
    wrong: list[str] = []
    for number, at in enumerate(places):
        interrupted = Interrupted(at)
        with _place(folder) as place:
            what = _interrupted(Stage(place, way, SCENES[name]), interrupted)
        if not interrupted.where:
            return number, wrong
        wrong += [f"{name}, place {at}, {interrupted.where}: {each}" for each in what]
    return -1, ["it has more places than that"]


def _interrupted(stage: Stage, interrupted: Interrupted) -> list[str]:
    with contextlib.suppress(KeyboardInterrupt), interrupted.armed():
        stage.play()
    if not is_free(stage.q.mutex):
        os._exit(3)  # whatever follows would wait for ever
    if stage.act.kind == "close":
        stage.q.close()
        try:
            return stage.judge_folder()
        except StoreLockedError as error:
            return [repr(error)]
    wrong = []
    old, new, seen = [*stage.before], [*stage.model], [*stage.q]
    untouched = [value for value in old if value in new]
    if [value for value in seen if value in untouched] != untouched or any(each not in old + new for each in seen):
        wrong.append(f"{short(seen)} can be had, of {short(old)} or {short(new)}")
    stage.go_on()
    stage.q.close()
    return wrong + stage.judge_folder()


def interrupted_by_timer(folder: Path, way: Way, seed: int, rounds: int) -> tuple[int, list[str]]:
    """Do deeds while a timer interrupts them; return how many it met, and what went wrong."""
    chance = random.Random(seed)
    clock = Clock(START)
    met, wrong = 0, []
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    model = way.modelled(clock)
    hands: tuple[list[Any], list[Any]] = [], []
    q = way.opened(folder, clock)
    for each in itertools.islice(plan(seed, 0, delivered=way.visibility is not None), rounds):
        clock.now = each.now
        before = model.copy()
        perform(model, hands[1], each)
        try:
            try:
                signal.setitimer(signal.ITIMER_REAL, chance.uniform(5e-6, 2e-4))
                perform(q, hands[0], each)
            finally:
                # Whatever was raised: a timer that goes off later would hide it.
                signal.setitimer(signal.ITIMER_REAL, 0)
        except KeyboardInterrupt:
            met += 1
            q.close()
            found = found_in(folder, way.order, **way.options(clock))
            if not explained(found, before, model, each.kind):
                return met, [*wrong, f"{each} gave {found} of {foreseen(before)}"]
            model = adopted(found, before, model)
            model.reopen()
            for hand in hands:
                hand.clear()
            q = way.opened(folder, clock)
        if told(q) != told(model):
            return met, [*wrong, f"after {each} it tells {told(q)}, not {told(model)}"]
    q.close()
    return met, wrong


# ---- opening


def open_wrongly(folder: Path, way: Way, fates: Iterable[faults.Plan]) -> tuple[int, list[str]]:
    """Open and close a copy of a folder with one call after the other failing, and then again."""
    wrong: list[str] = []
    with _place(folder.with_name("first")) as place:
        expected = _opened_and_told(shutil.copytree(folder, place), way)
    for number, fate in enumerate(fates):
        before = open_descriptors()
        with _place(folder.with_name("copy")) as place:
            shutil.copytree(folder, place)
            with contextlib.suppress(OSError), faults.armed(fate), way.opened(place, Clock(START)):
                pass
            if not fate.fired:
                return number, wrong
            found = _opened_and_told(place, way)
        if found != expected:
            wrong.append(f"{number + 1}, {fate.fired}: {short(found)} in place of {short(expected)}")
        wrong += [f"{number + 1}, {fate.fired}: {each}" for each in left_open(before)]
    return -1, ["there are more places than that"]


def _opened_and_told(folder: Path, way: Way) -> object:
    with way.opened(folder, Clock(START)) as q:
        return told(q)


@contextlib.contextmanager
def _place(folder: Path) -> Iterator[Path]:
    """Give a path where nothing is, and leave nothing there."""
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

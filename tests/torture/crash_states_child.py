"""What a power cut at any moment of a row of changes may leave, built and opened: `judge`, in a process of its own."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import faults
from crash_rows import MOVED_IN, Case, Recording
from crash_states import KINDS, Disk, Kind, State, build
from deeds import START, At, Records, Seen, exactly, opened, seen_in, use
from recording import Given, Step, Sync
from uploading import LARGE, Face, source_of

from diskdict import CorruptValueError, DiskDict, journal
from diskdict.blobs import drafts

NO_HEAD = "its first line is damaged"
"""Of a journal that was never synced the first sector may be missing alone, and then it looks damaged."""


class Verdict(NamedTuple):
    """How many states were looked at, how many of them differ, and what is wrong with some."""

    states: int
    different: int
    wrong: list[str]


class Moment(NamedTuple):
    """After which call the power is cut, on what kind of disk.

    ``begun`` is the last step that began, ``sure`` the last that must be there. ``given`` is the last that had a
    file of the caller's on disk, to move it in.
    """

    kind: Kind
    call: int
    begun: int
    sure: int
    given: int = 0


class Found(NamedTuple):
    """What a store tells that is opened after a power cut.

    ``damaged`` are keys whose values are refused, ``stripped`` those without attributes. ``error`` says why the store
    does not open, or of what it warns. ``source`` is what the caller's own file holds, if it is there.
    """

    records: Records
    damaged: frozenset[str]
    stripped: frozenset[str]
    error: str
    source: bytes | None = None


def judge(folder: Path, cases: Iterable[Case], limit: int, overlooked: Collection[str | None]) -> Verdict:
    """Look at the states that each case may leave; `overlooked` is what `Recorder` takes it for."""
    states = different = 0
    wrong: list[str] = []
    for case in cases:
        use(case.home)
        recording = Recording(case, _made(folder), overlooked)
        found: dict[State, Found] = {}
        for moment, state in _states(case, recording, limit):
            states += 1
            if state not in found:
                found[state] = _look(folder, state)
            what = _wrong(case, recording.told, moment, found[state]) or _lost(
                case, recording.told, moment, found[state]
            )
            if what:
                wrong.append(f"{case}, {moment}: {what} in {_listed(state)}")
        different += len(found)
    return Verdict(states, different, wrong)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _states(case: Case, recording: Recording, limit: int) -> Iterator[tuple[Moment, State]]:
    for kind in KINDS:
        chance = random.Random(f"{kind} {case}")
        disk = Disk(kind)
        moment = Moment(kind, 0, 0, 0)
        for call, event in enumerate(recording.events):
            disk.do(event)
            moment = moment._replace(call=call)
            if isinstance(event, Step):
                moment = moment._replace(begun=event.number)
                if event.done:
                    lasts = case.durability == "full" or recording.lasts[event.number]
                    moment = moment._replace(sure=event.number if lasts else moment.sure)
            elif isinstance(event, Given):
                moment = moment._replace(given=moment.begun)
            # A sync takes some of the states of before away, and so does no step that only begins.
            quiet = isinstance(event, Sync | Given) or event == Step(moment.begun, done=False)
            if call >= recording.first and not quiet:
                for state in disk.states(chance, limit):
                    yield moment, state


def _look(folder: Path, state: State) -> Found:
    try:
        build(state, str(_made(folder)))
        source = source_of(folder / "store")
        return _found(folder / "store")._replace(source=source.read_bytes() if source.exists() else None)
    finally:
        shutil.rmtree(folder)


def _listed(state: State) -> str:
    """Return the files of a state in short."""
    return ", ".join(f"{path}: {data.size} {data.content[:80]!r}" for path, data, _ in state if data is not None)


def _found(folder: Path) -> Found:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            d = opened(folder, At())
        except Exception as error:  # whatever it is, the store does not open
            return Found({}, frozenset(), frozenset(), repr(error))
        try:
            records, damaged = _read(d)
        finally:
            d._folder.abandon()
    # The clock stands: what seems to have been created at another time has lost what was known of it.
    lost = {key for key, seen in records.items() if seen.created != START}
    warnings_given = [str(each.message) for each in warned if NO_HEAD not in str(each.message)]
    return Found(records, frozenset(damaged), frozenset(lost), "; ".join(warnings_given))


def _read(d: DiskDict[Any, Any]) -> tuple[Records, set[str]]:
    """Return what can be read, and the keys of what cannot."""
    try:
        return seen_in(d), set()
    except CorruptValueError:
        pass
    records: Records = {}
    damaged = set()
    for key in list(d):
        try:
            value, info = d[key], d.info(key)
        except CorruptValueError:
            damaged.add(key)
        else:
            records[key] = Seen(value, info.expires_at, dict(info.metadata), info.created_at)
    return records, damaged


def _wrong(case: Case, told: list[Records], moment: Moment, found: Found) -> str:
    """Say what is wrong with what is left at a moment, or nothing."""
    if found.error:
        return found.error
    past = told[moment.sure : moment.begun + 1]
    if case.durability != "process":
        right = not found.damaged and exactly(found.records) in [exactly(records) for records in past]
        return "" if right else f"{found} is none of {past}"
    # Where a sidecar may be lost, and on a weak disk an attribute, a value without it counts as one put there by hand.
    stripped = found.stripped if moment.kind == "weak" else frozenset()
    for key in {*found.records, *found.damaged, *itertools.chain(*past)} - stripped:
        values = [records.get(key) for records in past]
        damaged = key in found.damaged and any(value != values[0] for value in values)
        if not damaged and (key in found.damaged or not _among(found.records.get(key), values, moment.kind)):
            return f"{key} never was as in {found}, but {values}"
    return ""


def _lost(case: Case, told: list[Records], moment: Moment, found: Found) -> str:
    """Say which file that was moved in is neither there nor a value, or nothing."""
    if case.durability == "process" and moment.kind == "weak":
        return ""  # that one name goes says nothing of whether another has come
    for number, name in enumerate(case.row[: moment.given], 1):
        key = MOVED_IN.get(name)
        first, *later = [records.get(key) for records in told[number : moment.begun + 1]]
        # Once it is to be changed again, what is left is a matter of that.
        if first is None or any(seen != first for seen in later):
            continue
        there = found.records.get(key)
        if (there is None or there.value != first.value) and found.source != first.value:
            return f"what was moved to {key} is neither there nor the value in {found}"
    return ""


def _among(seen: Seen | None, values: list[Seen | None], kind: Kind) -> bool:
    """Return whether a key had this; on a weak disk a renamed value may have an expiry that it had before."""
    if kind == "weak" and seen is not None:
        return seen.value in [each.value for each in values if each is not None]
    return seen in values


def moved_as_a_copy(folder: Path) -> list[str]:
    """Move in a file that has two names, so that it has to be copied; return the last calls that change anything."""
    folder.mkdir()
    source = source_of(folder / "store")
    source.write_bytes(LARGE)
    os.link(source, folder / "other")
    with opened(folder / "store", At()) as d, faults.armed(faults.Plan()) as plan:
        Face(d).put_file("a", source, move=True)
    return [call.name for call in plan.done if call.name in ("replace", "syncfs", "unlink")][-3:]


def have_little() -> None:
    """Have this process write each value beside the others that comes as a stream, be it ever so short."""
    drafts.PIECE = 8  # type: ignore[misc]


class _Any(int):
    """A checksum that is found to be the right one."""

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def believe_checksums() -> None:
    """Have this process believe every group of a journal: only of these it takes the checksum by a memoryview."""

    def checksum(content: bytes | memoryview, *seed: int) -> int:
        return _Any() if isinstance(content, memoryview) else zlib.crc32(content, *seed)

    journal.crc32 = checksum  # type: ignore[attr-defined]

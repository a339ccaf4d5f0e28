"""What a process does that is short of descriptors or memory."""

from __future__ import annotations

import errno
import itertools
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from crash_child import DURABILITIES
from deeds import HOMES, At, Records, alive, allowed, exactly, foreseen, opened, perform, plan, seen_in, use

from diskdict import DiskDict

LARGE = "x" * (48 << 20)
LITTLE = 16 << 20
"""Bytes of memory that are left to a process, too few for the text above."""


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    """Have no more of something for a while."""
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Have the system give no descriptor."""
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    with limited(resource.RLIMIT_NOFILE, lowest):
        yield


def refused(act: Any, wrong: list[str]) -> bool:
    """Do something without descriptors, and return whether it was refused; how is noted if it is not by EMFILE."""
    try:
        with no_descriptors():
            act()
    except OSError as error:
        if error.errno != errno.EMFILE:
            wrong.append(repr(error))
        return True
    return False


def work_without_descriptors(folder: Path, home: str, durability: str, deeds: int) -> tuple[int, list[str]]:
    """Do deeds while there are no descriptors; return how many were refused, and what went wrong."""
    use(home)
    clock = At()
    times, wrong = 0, []
    records: Records = {}
    if not refused(lambda: opened(folder, clock).close(), wrong):
        wrong.append("a store was opened without descriptors")
    row = plan(1, 0, HOMES[home])
    for _ in range(3):
        with opened(folder, clock, **DURABILITIES[durability]) as d:
            for deed in itertools.islice(row, 10):
                clock.now = deed.now
                perform(d, deed)
                records = foreseen(records, deed)
            for deed in itertools.islice(row, deeds // 3):
                clock.now = deed.now
                failed = refused(lambda deed=deed: perform(d, deed), wrong)
                new = foreseen(records, deed)
                found = seen_in(d)
                times += failed
                if not allowed(found, alive(records, clock.now) if failed else new, new, deed.moves):
                    wrong.append(f"{deed}, {failed=}, gave {found} of {records}")
                records = found
            times += refused(lambda d=d: seen_in(d), wrong)
        with opened(folder, clock) as d:
            if exactly(seen_in(d)) != exactly(alive(records, clock.now)):
                wrong.append(f"{seen_in(d)} was left of {records}")
            wrong += [str(each) for each in d.verify().problems]
    return times, wrong


REFUSED = MemoryError, OSError
"""What too little memory is told by: a file that cannot be read as a whole is too large."""


def work_without_memory(folder: Path, durability: str) -> list[str]:
    """Read and write what is larger than the memory that is left; return what went wrong."""
    wrong = []
    with DiskDict[str, str](folder, **DURABILITIES[durability]) as d:
        d["large"] = LARGE
        d["small"] = "first"
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        with limited(resource.RLIMIT_AS, taken + LITTLE):
            for act in (
                lambda: d["large"],
                lambda: d.update(small=LARGE),
                lambda: d.set_many({"other": "third", "small": LARGE}),
                lambda: dict(d),
            ):
                try:
                    act()
                    wrong.append("there was memory enough")
                except REFUSED:
                    pass
            d["small"] += " and second"
        with limited(resource.RLIMIT_AS, taken + 2 * len(LARGE)):
            # Enough for its bytes, and not for what becomes of them.
            try:
                d["large"]
                wrong.append("there was memory enough to read")
            except REFUSED:
                pass
        if dict(d) != {"large": LARGE, "small": "first and second"}:
            wrong.append(f"there is {[*d]}")
        wrong += [str(each) for each in d.verify().problems]
    return wrong

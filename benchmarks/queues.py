"""Measure DurableQueue beside other queues that keep on disk what they hold, in one interleaved run.

In each round every queue does every row that it can promise, by turns, as in ``bench.py``; told are medians. Then come
costs by number of items that wait, and opening. Run as ``python benchmarks/queues.py``, as root or with ``--dir DIR``.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from contenders import Contender, small_items
from queue_contenders import (
    AT_LEAST_ONCE,
    AT_MOST_ONCE,
    PEERS,
    PUT_BY,
    AckQueue,
    AckQueueFull,
    DiskDeque,
    DiskDequeFull,
    FileQueueSaved,
    IoDictQueue,
    Ours,
    OursFull,
    OursHeld,
    OursHeldFull,
    Queued,
)
from report import WORD, ahead_of, by_number, heading, machine, operations, table, version
from rows import (
    QUEUE_GET,
    QUEUE_GET_MANY,
    QUEUE_HOLD,
    QUEUE_PAIR,
    QUEUE_PAIR_TAKEN,
    QUEUE_PUT,
    QUEUE_PUT_MANY,
    QUEUE_ROWS,
    QUEUE_TAKE,
    Row,
    full,
)
from scratch import ScratchError, filesystem, scratch
from sizes import Costs
from turns import Kinds, Turns, blocks

from diskdict import DurableQueue

Queue = DurableQueue[object, object]

PACKAGES = ("ujson", "persist-queue", "diskcache", "iodict")
SYNCED = 1_000
"""Operations of a row of which each waits for the disk."""
CHUNK = 1_000
"""Items that are put at once where nobody looks at the clock."""
PASSED = 500
"""Items that are put, then got, in queues of different sizes, in blocks of `PART`."""
PART = 25
REPEATS = 5
SIZED: Sequence[tuple[type[Queued], Sequence[Row], int]] = (
    (Ours, (QUEUE_PUT, QUEUE_GET), 1_000_000),
    (OursHeld, (QUEUE_TAKE,), 1_000_000),
    (FileQueueSaved, (QUEUE_PUT, QUEUE_GET), 100_000),
    (AckQueue, (QUEUE_PUT, QUEUE_TAKE), 100_000),
    (DiskDeque, (QUEUE_PUT, QUEUE_GET), 100_000),
    (IoDictQueue, (QUEUE_PUT, QUEUE_GET), 10_000),
)
"""What is done in queues of different sizes, and how many items wait at most: more would take others too long."""


class Bench(Turns):
    """A run: on what, and by whom."""

    def __init__(self, folder: Path, items: int, seed: int) -> None:
        super().__init__(folder, seed)
        self.values = values(items)

    def round(self) -> None:
        every = blocks(self.values)
        self.do(PUT_BY, [QUEUE_PUT], every)
        self.do(AT_MOST_ONCE, [QUEUE_GET], every, filled=True)
        self.do(AT_MOST_ONCE, [QUEUE_PAIR], every)
        self.do(AT_LEAST_ONCE, [QUEUE_HOLD], every, filled=True)
        self.do(AT_LEAST_ONCE, [QUEUE_TAKE], every, filled=True)
        self.do(AT_LEAST_ONCE, [QUEUE_PAIR_TAKEN], every)
        self.do((Ours, DiskDeque), [QUEUE_PUT_MANY, QUEUE_GET_MANY], every)

        some = blocks(self.values[:SYNCED])
        self.do((OursFull, AckQueueFull, DiskDequeFull), [full(QUEUE_PUT)], some)
        self.do((OursFull, DiskDequeFull), [full(QUEUE_GET)], some, filled=True)
        self.do((OursFull, DiskDequeFull), [full(QUEUE_PAIR)], some)
        self.do((OursHeldFull, AckQueueFull), [full(QUEUE_TAKE)], some, filled=True)
        self.do((OursHeldFull, AckQueueFull), [full(QUEUE_PAIR_TAKEN)], some)
        self.do((OursFull, DiskDequeFull), [full(QUEUE_PUT_MANY), full(QUEUE_GET_MANY)], every)

    def do(self, kinds: Kinds, rows: Sequence[Row], work: Sequence[Sequence[object]], *, filled: bool = False) -> None:
        """Do rows one after the other with queues that are empty, or hold as much as a row takes and were reopened."""
        lanes = self.fresh(kinds)
        if filled:
            for lane in lanes:
                fill(lane.put, sum(map(len, work)))
            self.reopen(lanes)
        for row in rows:
            self.measure(row, lanes, work)
        self.clear(lanes)

    def by_number(self, sizes: Sequence[int]) -> Costs:
        """Return what operations cost where so many other items wait; queues of one kind take turns."""
        costs: Costs = {}
        for kind, rows, most in SIZED if sizes else ():
            lanes = self.of_sizes([size for size in sizes if size <= most], kind)
            for row in rows:
                named = row._replace(name=f"{kind.name}: {row.name}")
                self.measure(named, lanes, blocks(values(PASSED), PART))
                found = self.medians.pop(named.name, {})
                costs[named.name] = {int(size): statistics.median(taken) for size, taken in found.items()}
            self.clear(lanes)
        return costs

    def of_sizes(self, sizes: Sequence[int], kind: type[Queued]) -> list[Contender]:
        """Return queues of one kind, each open again with so many items and named after their number."""
        lanes: list[Contender] = []
        for size in sizes:
            folder = self.folder / str(size)
            folder.mkdir()
            lane = kind(str(folder))
            lane.name = str(size)
            lane.open()
            fill(lane.put_many, size)
            lanes.append(lane)
        self.reopen(lanes)
        return lanes


def opening(folder: Path, sizes: Sequence[int]) -> Costs:
    """Return the milliseconds that it takes to open a queue of ours with so many items."""
    costs: Costs = {}
    for size in sizes:
        place = str(folder / str(size))
        with Queue(place) as queue:
            fill(queue.put_many, size)
        for name, killed in (("after close", False), ("after a kill", True)):
            taken = [open_and_get(place, killed) for _ in range(REPEATS)]
            for what, seconds in zip(("open", "open + first get"), zip(*taken, strict=True), strict=True):
                costs.setdefault(f"{what}, {name}", {})[size] = statistics.median(seconds) * 1e3
        shutil.rmtree(place)
    return costs


def open_and_get(folder: str, killed: bool) -> tuple[float, float]:
    """Open a queue, after its user was killed or not; return how long that took, and how long until it gave an item."""
    if killed:
        subprocess.run([sys.executable, __file__, "--die-in", folder], check=True)
    gc.collect()
    start = time.perf_counter()
    with Queue(folder) as queue:
        opened = time.perf_counter() - start
        queue.get()
        return opened, time.perf_counter() - start


def use_and_die(folder: str) -> None:
    """Use a queue and end as a killed process does."""
    queue = Queue(folder)
    queue.put(values(1)[0])
    os._exit(0)


def fill(put_many: Callable[[Sequence[object]], object], count: int) -> None:
    """Put so many items into a queue by what takes several."""
    for start in range(0, count, CHUNK):
        put_many(values(min(CHUNK, count - start)))


def values(count: int) -> list[object]:
    return [value for _, value in small_items(count)]


def text(bench: Bench, costs: Costs, opened: Costs, conditions: dict[str, object]) -> str:
    """Return everything as reStructuredText."""
    verdicts = [ahead_of(bench.medians, peer, Ours.name, QUEUE_ROWS) for peer in PEERS]
    parts = [
        heading("Conditions"),
        *(f"- {name}: {value}" for name, value in conditions.items()),
        heading("Targets"),
        table(("what", Ours.name, ""), [(one.name, one.reached, WORD[one.met]) for one in verdicts]),
        heading("Microseconds an operation (median of the rounds' medians)"),
        table(*operations(bench.medians, QUEUE_ROWS)),
    ]
    if costs:
        parts += [heading("By number of items that wait (µs an operation)"), table(*by_number(costs))]
    if opened:
        parts += [heading("Opening (ms)"), table(*by_number(opened))]
    if bench.absent:
        parts += [heading("Not measured"), *(f"- {name}: {reason}" for name, reason in bench.absent.items())]
    return "\n".join(parts)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure DurableQueue beside other queues.")
    parser.add_argument("--dir", type=Path, help="measure in this folder instead of on an ext4 image of our own")
    parser.add_argument("--items", type=int, default=5_000, help="of a row (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="items that wait (default: %(default)s)")
    parser.add_argument("--opened", default="100000,1000000", help="items in what is opened (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns (default: %(default)s)")
    parser.add_argument("--die-in", metavar="DIR", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.die_in:
        use_and_die(options.die_in)
    # A terminated run unmounts and removes what it made, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with scratch(options.dir) as folder:
            print(run(options, folder))
    except ScratchError as reason:
        sys.exit(f"No filesystem of our own to measure on: {reason}.\nName a folder on a journaled one: --dir DIR")


def run(options: argparse.Namespace, folder: Path) -> str:
    bench = Bench(folder, options.items, options.seed)
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
        bench.round()
    print(f"queues of {options.sizes} items", file=sys.stderr)
    costs = bench.by_number(numbers(options.sizes))
    print(f"opening queues of {options.opened} items", file=sys.stderr)
    opened = opening(folder, numbers(options.opened))
    conditions = machine() | {
        "filesystem": filesystem(folder),
        "items": options.items,
        "rounds": options.rounds,
        "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
    }
    return text(bench, costs, opened, conditions)


def numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


if __name__ == "__main__":
    main()

"""Measure single operations of DiskDict beside raw file calls and other stores, in one interleaved run.

In each round every contender starts with an empty folder and does every row. A row goes by turns: a thousand operations
by one contender, the same by the next, in an order that is shuffled each time, so that whatever else the machine does
meets all of them alike. Told are medians: of the blocks of a hundred of a round, then of the rounds; and the median of
the rounds' ratios to the baseline of the same round.

It runs on a journaled ext4 of its own, made in an image file and mounted, which takes root: without a journal, ext4
makes creates after deletes up to 25 times slower, which would mislead. Otherwise name a folder with ``--dir``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from contenders import (
    FOR_THREADS,
    KNOW_TTL,
    PEERS,
    TO_BEAT,
    Contender,
    InProcess,
    Item,
    Lmdb,
    LmdbSynced,
    OneThread,
    Ours,
    OursCached,
    OursFull,
    OursInterval,
    RawFiles,
    SqliteFull,
    small_items,
)
from large import large_store
from plots import draw
from report import Results, as_json, machine, text, version
from rows import (
    CONTAINS,
    DELETE,
    GET,
    GET_BIG,
    GET_CACHED,
    GET_PENDING,
    GET_TTL,
    GET_UNCLEAN,
    INSERT,
    INSERT_INTERVAL,
    ITERATE,
    LEN,
    MISS,
    MIX,
    OVERWRITE,
    OVERWRITE_INTERVAL,
    PUT_BIG,
    PUT_FULL,
    PUT_FULL_SQLITE,
    PUT_FULL_THREADS,
    PUT_MANY_FULL,
    PUT_TTL,
)
from scratch import ScratchError, filesystem, scratch
from sizes import by_size
from turns import Kinds, Turns, blocks, timed

from diskdict import DiskDict

PACKAGES = ("ujson", "xattr", *(kind.package.partition(".")[0] for kind in PEERS if kind.package))
SYNCED = 1_000
"""Operations of a row of which each waits for the disk."""
BIG_VALUES, BIG_BLOCK, BIG_BYTES = 60, 2, 1 << 20


class Bench(Turns):
    """A run: on what, and by whom."""

    def __init__(self, folder: Path, keys: int, seed: int, peers: Kinds) -> None:
        super().__init__(folder, seed)
        self.items = small_items(keys)
        self.kinds: Kinds = (RawFiles, Ours, *peers)

    def round(self) -> None:
        keys = [key for key, _ in self.items]
        shuffled = self.random.sample(keys, len(keys))
        again = self.random.sample(self.items, len(self.items))
        missing = [f"{key}.not" for key in shuffled]

        lanes = self.fresh(self.kinds)
        self.measure(INSERT, lanes, blocks(self.items))
        self.reopen(lanes)
        self.measure(GET, lanes, blocks(shuffled))
        self.warm(lanes)
        self.measure(CONTAINS, lanes, blocks(shuffled))
        self.measure(MISS, lanes, blocks(missing))
        self.measure(LEN, lanes, blocks(shuffled)[:20])
        self.measure(ITERATE, lanes, [keys] * 5)
        self.reopen(lanes)
        self.measure(OVERWRITE, lanes, blocks(again))
        self.measure(DELETE, lanes, blocks(shuffled))
        self.clear(lanes)

        lanes = self.fresh([kind for kind in self.kinds if kind in KNOW_TTL])
        self.measure(PUT_TTL, lanes, blocks(self.items))
        self.reopen(lanes)
        self.measure(GET_TTL, lanes, blocks(shuffled))
        self.clear(lanes)

        self.measure_unclean(shuffled)
        self.measure_journal(keys)

        big = [(f"picture.{number:03d}", self.random.randbytes(BIG_BYTES)) for number in range(BIG_VALUES)]
        lanes = self.fresh(self.kinds)
        self.measure(PUT_BIG, lanes, blocks(big, BIG_BLOCK))
        self.reopen(lanes)
        self.measure(GET_BIG, lanes, blocks([key for key, _ in big], BIG_BLOCK))
        self.clear(lanes)

    def measure_journal(self, keys: Sequence[str]) -> None:
        """Put with the journal before the files, beside stores that promise as much."""
        lanes = self.fresh([OursInterval, Lmdb])
        self.measure(INSERT_INTERVAL, lanes, blocks(self.items))
        self.measure(GET_PENDING, lanes, blocks(keys))
        self.measure(OVERWRITE_INTERVAL, lanes, blocks(self.items))
        self.clear(lanes)

        lanes = self.fresh([OursCached, Lmdb])
        for lane in lanes:
            lane.put(lane.items(self.items))
            lane.get(lane.names(keys))
        self.measure(GET_CACHED, lanes, blocks(keys))
        self.clear(lanes)

        lanes = self.fresh([kind for kind in self.kinds if kind in FOR_THREADS])
        for lane in lanes:
            lane.put(lane.items(self.items))
        self.measure(MIX, lanes, blocks(self.items))
        self.clear(lanes)

        some = blocks(self.items[:SYNCED])
        lanes = self.fresh([OursFull, LmdbSynced, SqliteFull])
        self.measure(PUT_FULL, lanes, some)
        more = [(f"{key}.more", value) for key, value in self.items[:SYNCED]]
        self.measure(PUT_FULL_SQLITE, lanes, blocks(more))
        self.clear(lanes)

        lanes = self.fresh([OursFull, OneThread])
        self.measure(PUT_FULL_THREADS, lanes, some)
        self.clear(lanes)

        lanes = self.fresh([OursFull, InProcess])
        self.measure(PUT_MANY_FULL, lanes, blocks(self.items, 1_000))
        self.clear(lanes)

    def measure_unclean(self, shuffled: Sequence[str]) -> None:
        """Get from a store whose writer was killed, so that every value is checked when it is read."""
        floor = self.fresh([RawFiles])
        floor[0].put(floor[0].items(self.items))
        folder = self.folder / Ours.name
        folder.mkdir()
        command = [sys.executable, __file__, "--die-after-filling", str(folder), "--keys", str(len(self.items))]
        subprocess.run(command, check=True)
        ours = Ours(str(folder))
        ours.open()
        lanes = [*floor, ours]
        self.measure(GET_UNCLEAN, lanes, blocks(shuffled))
        self.clear(lanes)

    def warm(self, lanes: list[Contender]) -> None:
        """Let each one load what it keeps of its keys, so that rows of look-ups do not measure that."""
        for lane in lanes:
            for row in (CONTAINS, LEN):
                if row.name not in lane.without:
                    timed(row, lane, [self.items[0][0]])


def fill_and_die(folder: str, items: Sequence[Item]) -> None:
    """Fill a store and end as a killed process does."""
    store = DiskDict[str, object](folder)
    for key, value in items:
        store[key] = value
    os._exit(0)


def run(options: argparse.Namespace) -> Results:
    with scratch(options.dir) as folder:
        bench = Bench(folder, options.keys, options.seed, () if options.no_peers else PEERS)
        conditions = machine() | {
            "filesystem": filesystem(folder),
            "keys": options.keys,
            "rounds": options.rounds,
            "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        }
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            bench.round()
        print(f"a store of {options.large:,} keys", file=sys.stderr)
        figures = large_store(str(folder / "large"), small_items(options.large)) if options.large else {}
        print(f"stores of {options.sizes} keys", file=sys.stderr)
        sizes = [int(size) for size in options.sizes.split(",") if size]
        costs = by_size(folder, sizes, small_items, options.seed)
        return Results(bench.medians, figures, bench.absent, conditions, costs)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure DiskDict beside raw file calls and other stores.")
    parser.add_argument("--dir", type=Path, help="measure in this folder instead of on an ext4 image of our own")
    parser.add_argument("--keys", type=int, default=10_000, help="keys of each store (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--large", type=int, default=100_000, help="keys of the large store, 0 for none (default: %(default)s)"
    )
    parser.add_argument(
        "--sizes",
        default="1000,10000,100000",
        help="keys of the stores whose costs are compared, with commas (default: %(default)s)",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="draw what was measured, as SVG, into DIR")
    parser.add_argument("--no-peers", action="store_true", help="only raw file calls and DiskDict")
    parser.add_argument("--seed", type=int, default=1, help="of order and bytes (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured to FILE")
    parser.add_argument("--die-after-filling", metavar="DIR", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.die_after_filling:
        fill_and_die(options.die_after_filling, small_items(options.keys))
    # A terminated run unmounts and removes what it made, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        results = run(options)
    except ScratchError as reason:
        sys.exit(f"No filesystem of our own to measure on: {reason}.\nName a folder on a journaled one: --dir DIR")
    print(text(results, TO_BEAT))
    if options.plots:
        for path in draw(options.plots, results.medians, results.costs):
            print(f"drawn: {path}")
    if options.json:
        options.json.write_text(json.dumps(as_json(results, TO_BEAT), indent=1) + "\n")


if __name__ == "__main__":
    main()

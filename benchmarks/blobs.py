"""Measure BlobStore beside plain files and other stores of files in a folder, in one interleaved run.

In each round every contender copies files of each size in, reads them and copies them out, by turns, as in
``bench.py``; told are medians. Run as ``python benchmarks/blobs.py``, as root or with ``--dir DIR``.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

from blob_contenders import KINDS, PEERS, FsspecWhole, Ours
from report import WORD, ahead_of, heading, machine, operations, ratio, table, version
from rows import BLOB_GET, BLOB_PUT, BLOB_READ, BLOB_ROWS, BLOB_SIZES
from scratch import ScratchError, filesystem, scratch
from turns import Turns, blocks

PACKAGES = ("xattr", "isal", "minimalkv", "fsspec")
MOST = 1_000
"""Files of a size and a round."""
BYTES = 256 << 20
"""What they take together, at most."""


class Bench(Turns):
    """A run."""

    def round(self) -> None:
        for size, name in BLOB_SIZES.items():
            count = max(4, min(MOST, BYTES // size))
            source = self.folder / "source"
            source.write_bytes(self.random.randbytes(size))
            keys = [f"file.{number:05d}" for number in range(count)]
            lanes = self.fresh(KINDS)
            work = [(key, str(source)) for key in keys]
            block = max(1, count // 20)
            self.measure(BLOB_PUT[name], lanes, blocks(work, block))
            self.reopen(lanes)
            reading = [lane for lane in lanes if not isinstance(lane, FsspecWhole)]
            self.measure(BLOB_READ[name], reading, blocks(self.random.sample(keys, count), block))
            self.measure(BLOB_GET[name], lanes, blocks(keys, block))
            self.clear(lanes)
            source.unlink()


def text(bench: Bench, conditions: dict[str, object]) -> str:
    """Return everything as reStructuredText."""
    reached = [(row, ratio(bench.medians, row, Ours.name)) for row in BLOB_ROWS]
    targets = [
        (row.name, f"x {found:.2f}", f"x {row.limit:.2f} of {row.baseline}", WORD[found <= row.limit])
        for row, found in reached
        if found is not None
    ]
    ahead = [ahead_of(bench.medians, peer, Ours.name, BLOB_ROWS) for peer in PEERS]
    targets += [(one.name, one.reached, one.target, WORD[one.met]) for one in ahead]
    parts = [
        heading("Conditions"),
        *(f"- {name}: {value}" for name, value in conditions.items()),
        heading("Targets"),
        table(("what", Ours.name, "target", ""), targets),
        heading("Microseconds a file (median of the rounds' medians)"),
        table(*operations(bench.medians, BLOB_ROWS)),
    ]
    if bench.absent:
        parts += [heading("Not measured"), *(f"- {name}: {reason}" for name, reason in bench.absent.items())]
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure BlobStore beside plain files and other stores of files.")
    parser.add_argument("--dir", type=Path, help="measure in this folder instead of on an ext4 image of our own")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, help="of the order of turns (default: %(default)s)")
    options = parser.parse_args()
    # A terminated run unmounts and removes what it made, as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with scratch(options.dir) as folder:
            bench = Bench(folder, options.seed)
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
                bench.round()
            conditions = machine() | {
                "filesystem": filesystem(folder),
                "rounds": options.rounds,
                "load": f"{os.getloadavg()[0]:.1f}",
                "versions": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
            }
            print(text(bench, conditions))
    except ScratchError as reason:
        sys.exit(f"No filesystem of our own to measure on: {reason}.\nName a folder on a journaled one: --dir DIR")


if __name__ == "__main__":
    main()

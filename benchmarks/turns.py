"""Rows are done by turns: some blocks by one contender, the same by the next, in an order shuffled each time."""

from __future__ import annotations

import gc
import os
import random
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from contenders import Contender
from report import Medians
from rows import READS, Row

BLOCK = 100
"""Operations between two looks at the clock."""
TURN = 10
"""Blocks that a contender does before the next one has its turn: enough to have the processor's caches for itself."""
PATIENCE = 5.0
"""Seconds after which a contender has shown enough of a row that only reads."""

Kinds = Sequence[type[Contender]]


class Block(NamedTuple):
    """Some operations in a row, and what they took together."""

    seconds: float
    operations: int


class Turns:
    """What is measured in a folder, and what came out so far: the median of each row of each round, by contender."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.medians: Medians = {}
        self.absent: dict[str, str] = {}

    def fresh(self, kinds: Kinds) -> list[Contender]:
        """Return a contender of each kind, open on an empty folder; one that cannot be is noted and left out."""
        lanes = []
        for kind in kinds:
            folder = self.folder / kind.name
            folder.mkdir()
            try:
                lane = kind(str(folder))
                lane.open()
            except Exception as error:
                self.note(kind.name, error)
                shutil.rmtree(folder)
            else:
                lanes.append(lane)
        os.sync()
        return lanes

    def reopen(self, lanes: list[Contender]) -> None:
        for lane in lanes:
            lane.close()
            lane.open()
        os.sync()

    def clear(self, lanes: list[Contender]) -> None:
        for lane in lanes:
            lane.close()
            shutil.rmtree(lane.folder)

    def measure(self, row: Row, lanes: list[Contender], work: Sequence[Sequence[Any]]) -> None:
        """Do a row with all contenders, block by block, and note the medians of this round."""
        taken: dict[str, list[Block]] = {lane.name: [] for lane in lanes if row.name not in lane.without}
        gc.collect()
        gc.disable()
        for turn in blocks(work, TURN):
            for lane in self.random.sample(lanes, len(lanes)):
                if lane.name in taken:
                    try:
                        take_turn(row, lane, turn, taken[lane.name])
                    except Exception as error:
                        self.note(f"{lane.name}, {row.name}", error)
                        del taken[lane.name]
        gc.enable()
        for name, done in taken.items():
            median = statistics.median(block.seconds * 1e6 / block.operations for block in done)
            self.medians.setdefault(row.name, {}).setdefault(name, []).append(median)

    def note(self, what: str, error: Exception) -> None:
        self.absent[what] = f"{type(error).__name__}: {error}"


def take_turn(row: Row, lane: Contender, turn: Sequence[Sequence[Any]], taken: list[Block]) -> None:
    """Do some blocks of a row and note each; less, where that would go on for too long."""
    for work in turn:
        if row.method in READS and sum(block.seconds for block in taken) > PATIENCE:
            return
        taken.append(timed(row, lane, work))


def timed(row: Row, lane: Contender, work: Sequence[Any]) -> Block:
    arguments = lane.items(work) if row.method.startswith("put") else lane.names(work)
    if row.name in lane.slow:
        arguments = arguments[:1]
    method = getattr(lane, row.method)
    start = time.perf_counter_ns()
    method(arguments)
    return Block((time.perf_counter_ns() - start) / 1e9, len(arguments))


def blocks(work: Sequence[Any], size: int = BLOCK) -> list[Sequence[Any]]:
    return [work[start : start + size] for start in range(0, len(work), size)]

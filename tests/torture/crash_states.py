"""The states that a filesystem may leave when the power is cut: `Disk`, for what `recording.Recorder` has noted.

After T. S. Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), whose tool ALICE does this for whole
programs. Three filesystems are known, by what they promise of calls that no sync has made sure:

ordered
    ext4 with data=ordered (Documentation/filesystems/ext4, "Data Mode" and "auto_da_alloc"). What changes names and
    attributes is on disk in its order, up to some call. A file that has grown is as long as what is there of it, and
    blocks are allocated late, so that a name may be there with an empty file; but a file renamed over another one is
    there as it was written.
late
    ext4 with data=writeback, and xfs. Names and attributes as before. Of what was written to a file there may be
    nothing, half or all, and zeros in place of the rest.
weak
    No order at all, as POSIX has it: each call that changes names or an attribute is on disk or not, each by itself. A
    file synced has its bytes and attributes on disk, a folder synced the names in it. A rename is one step here, too.

With the first two a sync also has on disk what came before the last change of the name or an attribute of the file, or
of a name in the folder, that is synced; with all of them syncfs has everything there.

Sectors of 512 bytes are written whole. Those that are written in place, as into space reserved before, are each old or
new, independently: none, all, all up to some write, one half, every other one, and where they are few each alone and
each missing. Space is reserved, and cut off, in no order with the names.

`Disk.states` gives all combinations where they are few, or draws some. The end of a file that is reserved, all zeros,
is built no longer than `_RESERVE`: it would take most of the time. Times and the numbers of inodes are those of the
state that is built, so that an index kept from before is never taken for current.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from crash_bytes import Data, variants, whole
from recording import FOLDER, Attribute, Event, Names, Resize, Sync, Write

Kind = Literal["ordered", "late", "weak"]
KINDS: Final[tuple[Kind, ...]] = ("ordered", "late", "weak")
_RESERVE: Final = 512

Attributes = tuple[tuple[str, bytes], ...]


class Entry(NamedTuple):
    """A path and the file there, or a folder, which has no data."""

    path: str
    data: Data | None
    attributes: Attributes


State = tuple[Entry, ...]


def build(state: State, folder: str) -> None:
    """Have a state be what is in a folder."""
    for path, data, attributes in state:
        there = f"{folder}/{path}"
        if data is None:
            os.mkdir(there)
            continue
        fd = os.open(there, os.O_CREAT | os.O_WRONLY, 0o600)
        try:
            os.write(fd, data.content)
            if data.size > len(data.content):
                os.ftruncate(fd, min(data.size, len(data.content) + _RESERVE))
            for name, value in attributes:
                os.setxattr(fd, name, value)
        finally:
            os.close(fd)


class _Pending:
    """A call that changes names or an attribute and is not known to be on disk with all before it."""

    def __init__(self, event: Names | Attribute) -> None:
        self.event = event
        self.sure = False


class _Tree:
    """Names and attributes."""

    def __init__(self, names: dict[str, int], attributes: dict[int, Attributes]) -> None:
        self.names = names
        self.attributes = attributes
        self.whole: set[int] = set()  # files that were renamed over others

    def copy(self) -> _Tree:
        """Return one in which nothing was renamed yet."""
        return _Tree(self.names.copy(), self.attributes.copy())

    def apply(self, event: Names | Attribute) -> None:
        if isinstance(event, Attribute):
            known = dict(self.attributes.get(event.file, ()))
            if event.value is None:
                known.pop(event.name, None)
            else:
                known[event.name] = event.value
            self.attributes[event.file] = tuple(sorted(known.items()))
            return
        for path, file in event.entries:
            if file is None:
                self.names.pop(path, None)
            else:
                self.names[path] = file
        if event.replaced is not None:
            self.whole.add(event.replaced)

    def reachable(self) -> list[tuple[str, int]]:
        """Return the paths whose folders are there, and what is at them."""
        found = []
        folders = {""}
        for path, file in sorted(self.names.items()):
            if path.rpartition("/")[0] in folders:
                found.append((path, file))
                if file == FOLDER:
                    folders.add(path)
        return found


class Disk:
    """What is on disk for sure, and what may be, of what was done so far to a filesystem of a kind."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._sure = _Tree({}, {})
        self._pending: list[_Pending] = []
        self._data: dict[int, Data] = {}
        self._written: dict[int, list[Write | Resize]] = {}
        self._variants: dict[int, list[Data]] = {}

    def do(self, event: Event) -> None:
        """Have a call made."""
        if isinstance(event, (Names, Attribute)):
            self._pending.append(_Pending(event))
        elif isinstance(event, (Write, Resize)):
            self._written.setdefault(event.file, []).append(event)
            self._variants.pop(event.file, None)
        elif isinstance(event, Sync):
            self._sync(event.what)

    def _sync(self, what: int | str | None) -> None:
        for file in [*self._written] if what is None else [what]:
            if isinstance(file, int):
                self._keep(file)
        concerned = [pending for pending in self._pending if what is None or self._concerns(pending.event, what)]
        for pending in concerned:
            pending.sure = True
        if self._kind != "weak" and concerned:
            for pending in itertools.takewhile(lambda each: each is not concerned[-1], self._pending):
                pending.sure = True
        while self._pending and self._pending[0].sure:
            event = self._pending.pop(0).event
            self._sure.apply(event)
            if self._kind == "ordered" and isinstance(event, Names) and event.replaced is not None:
                self._keep(event.replaced)

    def _concerns(self, event: Names | Attribute, what: int | str) -> bool:
        if isinstance(event, Attribute):
            return event.file == what
        if isinstance(what, int):
            return self._kind != "weak" and any(file == what for _, file in event.entries)
        return any(path.rpartition("/")[0] == what for path, _ in event.entries)

    def _keep(self, file: int) -> None:
        self._data[file] = whole(self._data.get(file, Data()), self._written.pop(file, []))
        self._variants.pop(file, None)

    def states(self, chance: random.Random, limit: int) -> Iterator[State]:
        """Yield all states that may be left now, equal ones more than once, or `limit` of them drawn by chance."""
        trees = self._trees(chance, limit)
        files = [[(path, file, self._data_of(file, tree)) for path, file in tree.reachable()] for tree in trees]
        if sum(math.prod(len(choices) for *_, choices in each) for each in files) <= limit:
            for tree, each in zip(trees, files, strict=True):
                for chosen in itertools.product(*(choices for *_, choices in each)):
                    yield _state(tree, each, chosen)
            return
        # The two ends first: all that was done, and no more than what is sure.
        yield _state(trees[-1], files[-1], [choices[-1] for *_, choices in files[-1]])
        yield _state(trees[0], files[0], [choices[0] for *_, choices in files[0]])
        for number in (chance.randrange(len(trees)) for _ in range(limit - 2)):
            yield _state(trees[number], files[number], [chance.choice(choices) for *_, choices in files[number]])

    def _trees(self, chance: random.Random, limit: int) -> list[_Tree]:
        """Return what names and attributes may be, from the least to all that was done."""
        if self._kind != "weak":
            count = len(self._pending)
            lengths = range(count + 1)
            if count >= limit:
                lengths = sorted({0, count, *chance.sample(lengths, limit - 2)})
            return [self._with(self._pending[:length]) for length in lengths]
        loose = [each for each in self._pending if not each.sure]
        if 2 ** len(loose) <= limit:
            subsets = [list(itertools.compress(loose, bits)) for bits in itertools.product((0, 1), repeat=len(loose))]
        else:
            subsets = [[], *(self._drawn(loose, chance) for _ in range(limit - 2)), loose]
        return [self._with(subset) for subset in subsets]

    def _drawn(self, loose: list[_Pending], chance: random.Random) -> list[_Pending]:
        one, share = chance.choice(loose), chance.choice((0.2, 0.5, 0.8))
        alone, missing = [one], [each for each in loose if each is not one]
        return chance.choice((alone, missing, [each for each in loose if chance.random() < share]))

    def _with(self, chosen: list[_Pending]) -> _Tree:
        tree = self._sure.copy()
        for pending in self._pending:
            if pending.sure or pending in chosen:
                tree.apply(pending.event)
        return tree

    def _data_of(self, file: int, tree: _Tree) -> list[Data | None]:
        """Return what a file may hold, from the least to all that was written."""
        if file == FOLDER:
            return [None]
        if file not in self._variants:
            base, written = self._data.get(file, Data()), self._written.get(file, [])
            self._variants[file] = variants(base, written, ordered=self._kind == "ordered")
        if self._kind == "ordered" and file in tree.whole:
            return [self._variants[file][-1]]
        return [*self._variants[file]]


def _state(tree: _Tree, files: list[tuple[str, int, list[Data | None]]], data: Sequence[Data | None]) -> State:
    return tuple(
        Entry(path, chosen, tree.attributes.get(file, ())) for (path, file, _), chosen in zip(files, data, strict=True)
    )

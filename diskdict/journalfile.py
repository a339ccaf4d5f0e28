"""The journal of a store that is open, as a file: `Journal`."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from typing import Final, NamedTuple

from diskdict.files import READ_WRITE, Folder, reserve, sync, write_at
from diskdict.journal import (
    NO_GROUP,
    SECTOR,
    Change,
    Group,
    Reading,
    Remove,
    decode,
    encode_group,
    encode_head,
    encode_put,
    seed_of,
)
from diskdict.layout import JOURNAL
from diskdict.store import Record
from diskdict.syncing import SharedSync

_KEPT: Final = 4 << 20  # bytes that the file may stay long for the next groups
_STEP: Final = 4 << 20  # bytes reserved at a time
_SPARE: Final = 64 << 10  # bytes reserved that only removals use: they are what makes room on a full disk
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Position(NamedTuple):
    """How many groups were written since the journal was opened, and where in the file the next one begins."""

    sequence: int
    end: int


_START: Final = Position(0, SECTOR)


class Journal:
    """The journal of a store that is open.

    Parameters
    ----------
    folder: Folder
        The store's folder.
    reserved: bool
        Reserve space ahead of what is written: a sync of it takes a third of the time then.

    Notes
    -----
    The caller holds the mutation lock, but for `sync_through`. The file is made when the first group is written and
    removed by `remove`.
    """

    def __init__(self, folder: Folder, *, reserved: bool) -> None:
        self._folder = folder
        self._fd: int | None = None
        self._epoch = self._seed = 0
        self._reserves = reserved
        self._reserved = 0
        self._begun = False
        self._named = False  # on disk
        self._forgotten = 0
        self.position = _START
        self._shared = SharedSync(self._sync, lambda: self.position.sequence)

    @property
    def synced(self) -> int:
        """The number of the last group that is known to be on disk."""
        return self._shared.synced

    @property
    def holds_groups(self) -> bool:
        """Whether anything is kept since `restart`."""
        return self.position.end > SECTOR

    def write(self, changes: Iterable[Change]) -> Position:
        """Write the changes as one group behind those that are kept; return what to `keep` once they count."""
        fd, first, group = self._opened(), self._forgotten, tuple(changes)
        number = self.position.sequence + 1 - first
        spare = 0 if all(isinstance(change, Remove) for change in group) else _SPARE
        return self._write(fd, encode_group(Group(number, self.synced - first, group), self._epoch), spare)

    def write_put(self, key: str, record: Record) -> Position:
        """Do as `write` does with one `Put`."""
        fd, first = self._opened(), self._forgotten
        number = self.position.sequence + 1 - first
        return self._write(fd, encode_put(key, record, number, self.synced - first, self._seed), _SPARE)

    def _opened(self) -> int:
        new = self._fd is None
        if self._fd is None:
            self._fd = self._folder.open(JOURNAL, READ_WRITE | os.O_CREAT)
        if not self._begun:
            # Interrupted while it was begun, its first line may be that of before, or none.
            self.restart(durable=not new)
        return self._fd

    def _write(self, fd: int, group: bytes, spare: int) -> Position:
        sequence, at = self.position
        end = at + len(group)
        if end + spare > self._reserved and self._reserves:
            self._reserve(fd, end + spare)
        write_at(fd, group, at)
        return Position(sequence + 1, end)

    def _reserve(self, fd: int, end: int) -> None:
        for goal in (end + _STEP - end % _STEP, end):
            try:
                reserve(fd, self._reserved, goal - self._reserved)
            except OSError as error:
                if error.errno in _NO_SPACE:
                    # Some filesystems, ext4 for one, keep all that they found before they found no more.
                    os.ftruncate(fd, max(self._reserved, self.position.end))
                    if goal == end:
                        raise
                else:
                    # Not every filesystem can. If something else is the matter, writing tells.
                    self._reserves = False
                    return
            else:
                self._reserved = goal
                return

    def keep(self, written: Position) -> None:
        """Have a group that was written count."""
        self.position = written

    def take_back(self, position: Position) -> None:
        """Take back all that was written behind a position."""
        self.position = position
        if self._fd is not None:
            with contextlib.suppress(OSError):
                write_at(self._fd, NO_GROUP, position.end)

    def restart(self, *, durable: bool = False) -> None:
        """Forget all groups: what they say was done."""
        if self._fd is None:
            return
        # A sync under way tells afterwards how far it has come, and that is to be before this.
        with self._shared.turn, self._shared.round():
            self._begun = False
            self._epoch = int.from_bytes(os.urandom(7))
            self._seed = seed_of(self._epoch)
            write_at(self._fd, encode_head(self._epoch), 0)
            if self.position.end > _KEPT:
                os.ftruncate(self._fd, SECTOR)
                self._reserved = 0
            self._forgotten = self._shared.synced = self.position.sequence
            self.position = Position(self._forgotten, SECTOR)
            self._begun = True
            if durable:
                self._shared.now()

    def sync_through(self, sequence: int) -> None:
        """Return once all groups up to `sequence` are on disk, as `SharedSync.through` does."""
        self._shared.through(sequence)

    def _sync(self) -> None:
        if self._fd is not None:
            sync(self._fd)
            if not self._named:
                self._folder.sync()
                self._named = True

    def remove(self) -> None:
        """Remove the file, of which nothing is needed any longer."""
        if self._fd is not None:
            self.close()
            self._folder.discard(JOURNAL)

    def close(self) -> None:
        """Close the file and leave it as it is."""
        self._begun = False
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)


def load(folder: Folder) -> Reading | None:
    """Return what the journal of a store holds, None where there is no journal."""
    try:
        return decode(folder.read(JOURNAL))
    except FileNotFoundError:
        return None

"""The files of items that are open, and which of them are to be synced: `SegmentFiles`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Final

from diskdict.files import READ_WRITE, READ_WRITE_NEW, Folder, sync_data
from diskdict.mutex import Exclusive

_MOST_OPEN: Final = 64
Refusal = Callable[[], AbstractContextManager[None]]


class Segment:
    """One file: the number of its first byte, where it ends, how many items are there and how many bytes they are."""

    __slots__ = ("damaged", "end", "fd", "first", "gaps", "live", "name", "reserved", "room", "salt", "unsure", "used")

    def __init__(self, first: int, salt: int, end: int = 0, live: int = 0, used: int = 0, gaps: int = 0) -> None:
        self.name = f"{first:016d}.{salt:08x}.items"
        self.first = first
        self.salt = salt
        self.end = end
        self.live = live
        self.used = used
        self.damaged = 0  # places that nobody has set aside yet
        self.fd = -1
        self.reserved = 0
        self.room = 0  # where appending needs a closer look
        self.gaps = gaps  # bytes that are not on disk
        self.unsure = False  # whether anything may lie behind the end


class SegmentFiles:
    """Opens what is needed and closes what was not needed for long, but nothing that is being synced.

    Parameters
    ----------
    data: Folder
        Where the files are.
    lasting: bool
        Whether they will be synced.
    refusal: callable
        Makes the context in which a sync that fails is the end of changes.

    Notes
    -----
    The caller excludes other threads, but within the block of `to_sync`. ``changes`` counts all changes.
    """

    def __init__(self, data: Folder, *, lasting: bool, refusal: Refusal) -> None:
        self._data = data
        self._lasting = lasting
        self.refusal = refusal
        self._open: dict[int, Segment] = {}
        self._doomed: list[int] = []
        self._syncing = False
        self._unsynced: dict[Segment, int] = {}
        self._names = self._names_synced = 0  # how often files were made and removed
        self.changes = 0

    def changed(self, segment: Segment) -> None:
        """Count a change of a file."""
        self.changes += 1
        if self._lasting:
            self._unsynced[segment] = self.changes

    def create(self, segment: Segment) -> None:
        """Make a file, anew if it is there."""
        if segment.fd >= 0:
            self.close(segment)
        segment.fd = self._data.create(segment.name, READ_WRITE_NEW)
        self._open[segment.first] = segment
        self._names += 1

    def fd(self, segment: Segment) -> int:
        """Return the descriptor of a file, opened if it is not open."""
        if segment.fd < 0:
            if len(self._open) >= _MOST_OPEN:
                self.close(next(iter(self._open.values())))
            segment.fd = self._data.open(segment.name, READ_WRITE)
            self._open[segment.first] = segment
        return segment.fd

    def close(self, segment: Segment) -> None:
        """Close a file that is open."""
        fd, segment.fd = segment.fd, -1
        segment.room = 0
        self._open.pop(segment.first, None)
        if self._syncing:
            self._doomed.append(fd)
        elif fd >= 0:
            os.close(fd)

    def remove(self, segment: Segment) -> None:
        """Remove a file; if files are synced, not before what was taken from it is on disk."""
        if self._lasting:
            # Should its name come back after a power cut, its items must not.
            with self.refusal():
                sync_data(self.fd(segment))
        self.close(segment)
        self._unsynced.pop(segment, None)
        self._names += 1
        self._data.discard(segment.name)

    @contextlib.contextmanager
    def to_sync(self, exclusive: Exclusive) -> Iterator[list[int]]:
        """Within the block no descriptor that is to be synced, as given, is closed; after it they count as synced.

        The lock is that which the callers of everything else hold.
        """
        try:
            with exclusive:
                self._syncing = True
                known, names = dict(self._unsynced), self._names
                descriptors = [self.fd(segment) for segment in known]
            yield descriptors
            if names != self._names_synced:
                self._data.sync()
                self._names_synced = names
            with exclusive:
                for segment, change in known.items():
                    if self._unsynced.get(segment) == change:
                        del self._unsynced[segment]
        finally:
            with exclusive:
                self._let_go()

    def _let_go(self) -> None:
        self._syncing = False
        while self._doomed:
            os.close(self._doomed.pop())

    def close_all(self) -> None:
        """Close all files."""
        for segment in list(self._open.values()):
            self.close(segment)
        self._let_go()

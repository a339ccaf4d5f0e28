"""The files that the items of a queue lie in: `Segments`."""

from __future__ import annotations

import contextlib
import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final

from diskdict.errors import CorruptValueError
from diskdict.files import READ_WRITE, READ_WRITE_NEW, Folder, read_at, reserve, sync_data, write_at
from diskdict.queues import items
from diskdict.queues.items import HEAD, REMOVED, UNFINISHED, WAITING, Damage, Entry, Item

LONG: Final = 1 << 20
"""Bytes after which a new file is begun."""
_AHEAD: Final = 64 << 10  # bytes read at a time
_MOST_OPEN: Final = 64  # files
_SPARSE: Final = 4  # times what the items take, before gaps are given back
_FEW: Final = 8  # files whose gaps do not matter
_TEMPORARY: Final = ".new"
_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENODEV})


class Segment:
    """One file: the number of its first byte, where it ends, how many items were put in it and how many are there."""

    __slots__ = ("count", "end", "fd", "first", "live", "name", "reserved", "salt", "size", "unsure")

    def __init__(self, first: int, salt: int, end: int = 0, count: int = 0, live: int = 0, size: int = 0) -> None:
        self.name = f"{first:016d}.{salt:08x}.items"
        self.first = first
        self.salt = salt
        self.end = end
        self.count = count
        self.live = live
        self.fd = -1
        self.reserved = 0
        self.size = size  # without gaps
        self.unsure = False  # whether anything may lie behind the end


class Segments:
    """Items one behind the other, in files of about a megabyte each; an item's id is the number of its first byte.

    Parameters
    ----------
    data: Folder
        Where the files are.
    lasting: bool
        Have what was removed on disk before its file is.

    Notes
    -----
    The caller excludes other threads, but for `sync` of what `unsynced` has given. Killed at any moment each item is
    there or not, and several that were written together all or none.
    """

    def __init__(self, data: Folder, *, lasting: bool) -> None:
        self._data = data
        self._lasting = lasting
        self._all: list[Segment] = []
        self._firsts: list[int] = []
        self._open: dict[int, Segment] = {}
        self._doomed: list[int] = []  # descriptors that a sync may be using
        self._unsynced: dict[Segment, int] = {}
        self._names_unsynced = False
        self._window = b""
        self._window_at = 0
        self.syncing = False
        self.changes = 0

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Take over the files that are there, in order."""
        self._all = list(segments)
        self._firsts = [segment.first for segment in segments]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._all)

    @property
    def live(self) -> int:
        """How many items are there."""
        return sum(segment.live for segment in self._all)

    def append(self, payload: bytes, put_time: float, due: float = 0.0, key: bytes = b"") -> int:
        """Write an item; return its id."""
        segment = self._tail(HEAD + len(key) + len(payload) + 1)
        at = segment.end
        number = segment.first + at
        self._write(segment, items.encode(payload, number, segment.salt, put_time, due, key), 1)
        return number

    def append_all(self, payloads: Sequence[bytes], put_time: float, due: float = 0.0) -> list[int]:
        """Write items, all or none; return their ids."""
        segment = self._tail(sum(map(len, payloads)) + (HEAD + 1) * len(payloads))
        at = number = segment.first + segment.end
        numbers, pieces, state = [], [], UNFINISHED
        for payload in payloads:
            pieces.append(items.encode(payload, number, segment.salt, put_time, due, state=state))
            numbers.append(number)
            number += len(pieces[-1])
            state = WAITING
        self._write(segment, b"".join(pieces), len(pieces), at - segment.first)
        return numbers

    def _write(self, segment: Segment, content: bytes, count: int, first: int | None = None) -> None:
        if segment.unsure:
            self._cut(segment)
        segment.unsure = True
        write_at(segment.fd, content, segment.end)
        if first is not None:
            if self._lasting:
                sync_data(segment.fd)
            write_at(segment.fd, WAITING, first)
        segment.end += len(content)
        segment.size += len(content)
        segment.count += count
        segment.live += count
        segment.unsure = False
        self._changed(segment)

    def _cut(self, segment: Segment) -> None:
        # What a write that failed or was interrupted has left there must not be taken for items.
        os.ftruncate(segment.fd, segment.end)
        segment.reserved = segment.end
        segment.unsure = False

    def _changed(self, segment: Segment) -> None:
        self.changes += 1
        if self._lasting:
            self._unsynced[segment] = self.changes

    def _tail(self, wanted: int) -> Segment:
        segment = self._all[-1] if self._all else None
        if segment is None or (segment.end + wanted > LONG and segment.end):
            segment = self._begin(0 if segment is None else segment.first + segment.end)
        if segment.fd < 0:
            self._fd(segment)
        if segment.end + wanted > segment.reserved:
            self._reserve(segment, max(LONG, segment.end + wanted))
        return segment

    def _begin(self, first: int) -> Segment:
        if self._all:
            full = self._all[-1]
            self._fd(full)
            self._cut(full)
            self._close_gaps()
        segment = Segment(first, int.from_bytes(os.urandom(4)))
        segment.fd = self._data.create(segment.name, READ_WRITE_NEW)
        try:
            self._reserve(segment, LONG)
        except BaseException:
            os.close(segment.fd)
            self._data.discard(segment.name)
            raise
        self._open[first] = segment
        self._all.append(segment)
        self._firsts.append(first)
        self._names_unsynced = True
        if len(self._all) > 1 and not self._all[-2].live:
            self._drop(self._all[-2])
        return segment

    def _reserve(self, segment: Segment, end: int) -> None:
        # A sync of what has its place already takes a third of the time, and a full disk is met here alone.
        try:
            reserve(segment.fd, segment.reserved, end - segment.reserved)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                if segment.reserved:
                    self._cut(segment)
                raise
        segment.reserved = end

    def read(self, number: int, *, before: bool = False) -> Item:
        """Return an item. CorruptValueError where it is damaged. Reads others along, those `before` it or behind."""
        segment, at = self._of(number), number - self._window_at
        if at >= 0:
            # Cut off by the end of what was read, or damaged: the next look tells.
            with contextlib.suppress(ValueError):
                return items.decode(self._window, at, number, segment.salt)
        try:
            at = self._look(segment, number, before=before)
            return items.decode(self._window, at, number, segment.salt)
        except ValueError as error:
            raise CorruptValueError(number, f"{self._data.path}/{segment.name}", str(error)) from None

    def _look(self, segment: Segment, number: int, *, before: bool) -> int:
        fd, at = self._fd(segment), number - segment.first
        start = max(0, at + _AHEAD // 8 - _AHEAD) if before else at
        end = min(segment.end, start + _AHEAD)
        self._window, self._window_at = read_at(fd, end - start, start), segment.first + start
        needed = items.length(self._window, at - start)
        if at - start + needed <= len(self._window):
            return at - start
        self._window = b""
        if at + needed > segment.end:
            raise ValueError("an item that is cut off")
        self._window, self._window_at = read_at(fd, needed, at), number
        return 0

    def raw(self, number: int) -> bytes:
        """Return what lies in the place of a damaged item, up to the next that is whole."""
        segment = self._of(number)
        content = read_at(self._fd(segment), segment.end, 0)
        at = number - segment.first
        return content[at : items.end_of_damage(content, at, segment.first, segment.salt)]

    def remove(self, number: int) -> None:
        """Remove an item."""
        segment = self._of(number)
        fd = segment.fd if segment.fd >= 0 else self._fd(segment)
        write_at(fd, REMOVED, number - segment.first)
        segment.live -= 1
        self._changed(segment)
        if not segment.live and segment is not self._all[-1]:
            self._drop(segment)

    def amend(self, number: int, due: float, deliveries: int) -> None:
        """Write down when an item can be had and how often it was given."""
        segment = self._of(number)
        write_at(self._fd(segment), items.encode_state(due, deliveries), number - segment.first + items.STATE_AT)
        self._changed(segment)

    def content(self, segment: Segment, damage: Damage) -> bytes:
        """Return what is damaged."""
        return read_at(self._fd(segment), damage.end - damage.at, damage.at)

    def erase(self, segment: Segment, damage: Damage) -> None:
        """Have what is damaged be no item."""
        write_at(self._fd(segment), bytes(damage.end - damage.at), damage.at)
        self._changed(segment)

    def clear(self) -> None:
        """Remove all items."""
        for segment in self._all[:-1]:
            self._drop(segment)
        for segment in self._all:
            for entry in list(self.look_through(segment)):
                if isinstance(entry, Entry) and entry.waiting:
                    write_at(self._fd(segment), REMOVED, entry.at)
            segment.live = 0
            self._changed(segment)

    def look_through(self, segment: Segment) -> Iterator[Entry | Damage]:
        """Yield what a file holds."""
        content = read_at(self._fd(segment), segment.end, 0)
        return items.walk(content, segment.first, segment.salt, last=segment is self._all[-1])

    def _of(self, number: int) -> Segment:
        return self._all[bisect_right(self._firsts, number) - 1]

    def _fd(self, segment: Segment) -> int:
        if segment.fd < 0:
            if len(self._open) >= _MOST_OPEN:
                oldest = next(each for each in self._open.values() if each is not self._all[-1])
                self._close(oldest)
            segment.fd = self._data.open(segment.name, READ_WRITE)
            self._open[segment.first] = segment
        return segment.fd

    def _close(self, segment: Segment) -> None:
        fd, segment.fd = segment.fd, -1
        self._open.pop(segment.first, None)
        if self.syncing:
            self._doomed.append(fd)
        elif fd >= 0:
            os.close(fd)

    def _drop(self, segment: Segment) -> None:
        if self._lasting:
            # Should its name come back after a power cut, its items must not.
            sync_data(self._fd(segment))
        self._close(segment)
        self._unsynced.pop(segment, None)
        self._names_unsynced = True
        place = self._firsts.index(segment.first)
        del self._all[place], self._firsts[place]
        self._data.discard(segment.name)

    def _close_gaps(self) -> None:
        if len(self._all) <= _FEW:
            return
        used = sum(segment.size * segment.live // max(1, segment.count) for segment in self._all)
        if sum(segment.size for segment in self._all) < _SPARSE * used + _FEW * LONG:
            return
        for segment in sorted(self._all[:-1], key=lambda each: each.live * LONG // max(1, each.count))[: _FEW // 2]:
            with contextlib.suppress(OSError):
                self._rewrite(segment)

    def _rewrite(self, segment: Segment) -> None:
        """Write a file anew with what is left in it, all in its place: what is not written takes no space."""
        kept = [each for each in self.look_through(segment) if isinstance(each, Damage) or each.waiting]
        if len(kept) == segment.count:
            return
        fd = self._data.create(_TEMPORARY)
        try:
            for each in kept:
                write_at(fd, read_at(self._fd(segment), each.end - each.at, each.at), each.at)
            os.ftruncate(fd, segment.end)
            if self._lasting:
                sync_data(fd)
            # Interrupted anywhere from here, it is opened again by its name, whichever file has that by then.
            self._close(segment)
            self._data.replace(_TEMPORARY, segment.name)
            if self._lasting:
                self._data.sync()
        except BaseException:
            self._data.discard(_TEMPORARY)
            raise
        finally:
            os.close(fd)
        segment.count, segment.size = len(kept), sum(each.end - each.at for each in kept)

    @contextlib.contextmanager
    def to_sync(self, exclusive: AbstractContextManager[object]) -> Iterator[list[int]]:
        """Within the block no descriptor that is to be synced, as given, is closed; after it they count as synced."""
        with exclusive:
            self.syncing = True
            known, names = dict(self._unsynced), self._names_unsynced
            descriptors = [self._fd(segment) for segment in known]
        try:
            yield descriptors
            if names:
                self._data.sync()
            with exclusive:
                for segment, change in known.items():
                    if self._unsynced.get(segment) == change:
                        del self._unsynced[segment]
                self._names_unsynced &= not names
        finally:
            with exclusive:
                self._let_go()

    def _let_go(self) -> None:
        self.syncing = False
        while self._doomed:
            os.close(self._doomed.pop())

    def trim(self) -> None:
        """Give back what was reserved and is not used."""
        if self._all:
            self._fd(self._all[-1])
            self._cut(self._all[-1])

    def close(self) -> None:
        """Close all files."""
        for segment in list(self._open.values()):
            self._close(segment)
        self._let_go()

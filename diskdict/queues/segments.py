"""Items in files, one behind the other: `Segments`."""

from __future__ import annotations

import contextlib
import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from diskdict.errors import CorruptValueError
from diskdict.files import Folder, read_at, reserve, sync_data, write_at
from diskdict.queues import items
from diskdict.queues.items import HEAD, REMOVED, UNFINISHED, WAITING, Damage, Entry
from diskdict.queues.segmentfiles import Refusal, Segment, SegmentFiles

LONG: Final = 1 << 20
"""Bytes after which a new file is begun."""
_AHEAD: Final = 64 << 10  # bytes read at a time
_SPARSE: Final = 4  # times what the items take, before gaps are given back
_FEW: Final = 8  # files whose gaps do not matter
_TEMPORARY: Final = ".new"
_first: Final = attrgetter("first")
_UNSUPPORTED: Final = frozenset({errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ENODEV})


class Segments:
    """Items one behind the other, in files of about a megabyte each; an item's id is the number of its first byte.

    Parameters
    ----------
    data: Folder
        Where the files are.
    lasting, refusal:
        As in `SegmentFiles`.

    Notes
    -----
    The caller excludes other threads. Killed at any moment each item is there or not, and several that were written
    together all or none. ``files`` are those that are open.
    """

    def __init__(self, data: Folder, *, lasting: bool, refusal: Refusal) -> None:
        self._data = data
        self._lasting = lasting
        self.files = SegmentFiles(data, lasting=lasting, refusal=refusal)
        self._all: list[Segment] = []
        self._tail = self._near = Segment(0, 0)  # without a file
        self._next: Segment | None = None
        self._window = b""
        self._window_at = 0

    def adopt(self, segments: Sequence[Segment]) -> None:
        """Take over the files that are there, in order."""
        self._all = list(segments)
        if segments:
            self._tail = self._near = segments[-1]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._all)

    @property
    def live(self) -> int:
        """How many items are there."""
        return sum(segment.live for segment in self._all)

    def append(self, payload: bytes, put_time: float, due: float = 0.0, key: bytes = b"") -> int:
        """Write an item; return its id."""
        segment = self._tail
        if segment.end + HEAD + len(key) + len(payload) >= segment.room:
            segment = self._with_room(HEAD + len(key) + len(payload) + 1)
        number = segment.first + segment.end
        content = items.encode(payload, number, segment.salt, put_time, due, key)
        if segment.unsure:
            self._cut(segment)
        segment.unsure = True
        write_at(segment.fd, content, segment.end)
        segment.count += 1
        segment.live += 1
        segment.end += len(content)
        segment.unsure = False
        self.files.changed(segment)
        return number

    def append_all(self, payloads: Sequence[bytes], put_time: float, due: float = 0.0) -> list[int]:
        """Write items, all or none; return their ids."""
        segment = self._with_room(sum(map(len, payloads)) + (HEAD + 1) * len(payloads))
        at, number = segment.end, segment.first + segment.end
        numbers, pieces, state = [], [], UNFINISHED
        for payload in payloads:
            pieces.append(items.encode(payload, number, segment.salt, put_time, due, state=state))
            numbers.append(number)
            number += len(pieces[-1])
            state = WAITING
        if segment.unsure:
            self._cut(segment)
        segment.unsure = True
        write_at(segment.fd, b"".join(pieces), at)
        if self._lasting:
            sync_data(segment.fd)
        write_at(segment.fd, WAITING, at)
        segment.count += len(pieces)
        # Before the end: interrupted between, they do not fit what is in memory, and are looked for at the next start.
        segment.live += len(pieces)
        segment.end = number - segment.first
        segment.unsure = False
        self.files.changed(segment)
        return numbers

    def _cut(self, segment: Segment) -> None:
        # What a write that failed or was interrupted has left there must not be taken for items.
        os.ftruncate(segment.fd, segment.end)
        segment.reserved = segment.end
        segment.room = 0
        segment.unsure = False

    def _with_room(self, wanted: int) -> Segment:
        segment = self._all[-1] if self._all else self._begin(0)
        if segment.end + wanted > LONG and segment.end:
            segment = self._begin(segment.first + segment.end)
        self._tail = segment
        self.files.fd(segment)
        if segment.end + wanted > segment.reserved:
            self._reserve(segment, max(LONG, segment.end + wanted))
        segment.room = LONG
        return segment

    def _begin(self, first: int) -> Segment:
        if self._all:
            self.trim()
            self._close_gaps()
        # Interrupted, it is begun again under the same name: of two with one number either might be the one.
        if self._next is None or self._next.first != first:
            self._next = Segment(first, int.from_bytes(os.urandom(4)))
        segment = self._next
        try:
            self.files.create(segment)
            self._reserve(segment, LONG)
        except BaseException:
            self.files.close(segment)
            self._data.discard(segment.name)
            raise
        self._all.append(segment)
        self._next = None
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

    def read(self, number: int, *, before: bool = False) -> bytes:
        """Return the payload of an item. Reads others along, those `before` it or behind.

        CorruptValueError where it is damaged.
        """
        segment, at = self._of(number), number - self._window_at
        if 0 <= at < len(self._window) - HEAD:
            payload = items.decode(self._window, at, number, segment.salt)
            if payload is not None:
                return payload
        at = self._look(segment, number, before=before)
        payload = items.decode(self._window, at, number, segment.salt)
        if payload is None:
            where = f"{self._data.path}/{segment.name}"
            raise CorruptValueError(number, where, "what lies in the file is not what was put")
        return payload

    def _look(self, segment: Segment, number: int, *, before: bool) -> int:
        fd, at = self.files.fd(segment), number - segment.first
        start = max(0, at + _AHEAD // 8 - _AHEAD) if before else at
        size = min(segment.end - start, _AHEAD)
        self._window, self._window_at = read_at(fd, size, start), segment.first + start
        needed = items.size(self._window, at - start)
        if size - (at - start) < needed <= segment.end - at:
            self._window, self._window_at = read_at(fd, needed, at), number
        return number - self._window_at

    def put_time(self, number: int) -> float:
        """Return the time of the ``put`` of the item that was read last."""
        return items.put_time(self._window, number - self._window_at)

    def raw(self, number: int) -> bytes:
        """Return what lies in the place of a damaged item, up to the next that is whole."""
        segment = self._of(number)
        content = read_at(self.files.fd(segment), segment.end, 0)
        at = number - segment.first
        return content[at : max(at + HEAD, items.end_of_damage(content, at, segment.first, segment.salt))]

    def remove(self, number: int) -> None:
        """Remove an item."""
        segment = self._of(number)
        fd = segment.fd if segment.fd >= 0 else self.files.fd(segment)
        write_at(fd, REMOVED, number - segment.first)
        segment.live -= 1
        self.files.changed(segment)
        if not segment.live and segment is not self._all[-1]:
            self._drop(segment)

    def amend(self, number: int, due: float, deliveries: int) -> None:
        """Write down when an item can be had and how often it was given."""
        segment = self._of(number)
        write_at(self.files.fd(segment), items.encode_state(due, deliveries), number - segment.first + items.STATE_AT)
        self.files.changed(segment)

    def content(self, segment: Segment, damage: Damage) -> bytes:
        """Return what is damaged."""
        return read_at(self.files.fd(segment), damage.end - damage.at, damage.at)

    def erase(self, segment: Segment, damage: Damage) -> None:
        """Have what is damaged be no item."""
        write_at(self.files.fd(segment), bytes(damage.end - damage.at), damage.at)
        self.files.changed(segment)

    def clear(self) -> None:
        """Remove all items."""
        for segment in self._all[:-1]:
            self._drop(segment)
        for segment in self._all:
            for entry in list(self.look_through(segment)):
                if isinstance(entry, Entry) and entry.waiting:
                    write_at(self.files.fd(segment), REMOVED, entry.at)
            segment.live = 0
            self.files.changed(segment)

    def look_through(self, segment: Segment) -> Iterator[Entry | Damage]:
        """Yield what a file holds."""
        content = read_at(self.files.fd(segment), segment.end, 0)
        return items.walk(content, segment.first, segment.salt, last=segment is self._all[-1])

    def _of(self, number: int) -> Segment:
        segment = self._near
        if not segment.first <= number < segment.first + segment.end:
            self._near = segment = self._all[bisect_right(self._all, number, key=_first) - 1]
        return segment

    def _drop(self, segment: Segment) -> None:
        self._all.remove(segment)
        # Its items are gone. Where the file cannot go, it is found to be empty at the next opening.
        with contextlib.suppress(OSError):
            self.files.remove(segment)

    def _close_gaps(self) -> None:
        if len(self._all) <= _FEW:
            return
        sizes = [segment.end - segment.gaps for segment in self._all]
        used = sum(size * each.live // max(1, each.count) for size, each in zip(sizes, self._all, strict=True))
        if sum(sizes) < _SPARSE * used + _FEW * LONG:
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
                write_at(fd, read_at(self.files.fd(segment), each.end - each.at, each.at), each.at)
            os.ftruncate(fd, segment.end)
            # Always: a power cut must not have the new name without what is long on disk under the old one.
            sync_data(fd)
            # Interrupted anywhere from here, it is opened again by its name, whichever file has that by then.
            self.files.close(segment)
            self._data.replace(_TEMPORARY, segment.name)
            if self._lasting:
                self._data.sync()
        except BaseException:
            self._data.discard(_TEMPORARY)
            raise
        finally:
            os.close(fd)
        segment.count, segment.gaps = len(kept), segment.end - sum(each.end - each.at for each in kept)

    def trim(self) -> None:
        """Give back what was reserved and is not used."""
        if self._all:
            self.files.fd(self._all[-1])
            self._cut(self._all[-1])

"""Items in files, one behind the other: `Segments`."""

from __future__ import annotations

import contextlib
import errno
import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from operator import attrgetter
from typing import Final

from diskdict.errors import CorruptValueError, LimitError
from diskdict.files import Folder, read_at, reserve, sync_data, write_at
from diskdict.queues import items
from diskdict.queues.gaps import LONG, close_gaps
from diskdict.queues.items import HEAD, MAX_LENGTH, REMOVED, UNFINISHED, WAITING, Damage, Entry
from diskdict.queues.segmentfiles import Refusal, Segment, SegmentFiles

_AHEAD: Final = 64 << 10  # bytes read at a time
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
        self._last = self.last_size = 0  # the item that was read last, and its bytes but for a key

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
        segment.used += len(content)
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
            with self.files.refusal():
                sync_data(segment.fd)
        write_at(segment.fd, WAITING, at)
        segment.used += number - segment.first - at
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
        if wanted > MAX_LENGTH:
            raise LimitError("an item", MAX_LENGTH, wanted, "bytes")
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
            if self._lasting:
                # Were it longer after a power cut, its zeros would have the numbers of the next file's items.
                with self.files.refusal():
                    sync_data(self._all[-1].fd)
            close_gaps(self._data, self.files, self._all[:-1], lasting=self._lasting)
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
        if len(self._all) > 1:
            self._drop_if_empty(self._all[-2])
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
                self._last, self.last_size = number, HEAD + len(payload) + 1
                return payload
        at = self._look(segment, number, before=before)
        payload = items.decode(self._window, at, number, segment.salt)
        if payload is None:
            where = f"{self._data.path}/{segment.name}"
            raise CorruptValueError(number, where, "what lies in the file is not what was put")
        self._last, self.last_size = number, HEAD + len(payload) + 1
        if len(self._window) > _AHEAD:
            # Of a large value its head is all that may be asked for.
            self._window = self._window[:HEAD]
        return payload

    def _look(self, segment: Segment, number: int, *, before: bool) -> int:
        fd, at = self.files.fd(segment), number - segment.first
        # Who jumps about needs no more than the item.
        ahead = _AHEAD if abs(number - self._last) < _AHEAD else _AHEAD // 16
        start = max(0, at + ahead // 8 - ahead) if before else at
        size = max(0, min(segment.end - start, ahead))
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

    def remove(self, number: int, size: int = 0) -> None:
        """Remove an item, of so many bytes if that is known."""
        segment = self._of(number)
        fd = segment.fd if segment.fd >= 0 else self.files.fd(segment)
        write_at(fd, REMOVED, number - segment.first)
        segment.used -= size or segment.used // max(1, segment.live)
        segment.live -= 1
        self.files.changed(segment)
        self._drop_if_empty(segment)

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
        segment.damaged -= 1
        self.files.changed(segment)

    def clear(self) -> None:
        """Remove all items."""
        for segment in self._all[:-1]:
            # Should it not go, nothing is to be in it.
            os.ftruncate(self.files.fd(segment), 0)
            self._drop(segment)
        for segment in self._all:
            for entry in list(self.look_through(segment)):
                if isinstance(entry, Entry) and entry.waiting:
                    write_at(self.files.fd(segment), REMOVED, entry.at)
            segment.live = segment.used = 0
            self.files.changed(segment)

    def drop_empty(self) -> None:
        """Remove the files that a process which was killed has left without items."""
        for segment in self._all[:-1]:
            self._drop_if_empty(segment)

    def _drop_if_empty(self, segment: Segment) -> None:
        if not segment.live and not segment.damaged and segment is not self._all[-1]:
            self._drop(segment)

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
        self._near = self._all[-1]
        # Its items are gone. Where the file cannot go, it is found to be empty at the next opening.
        with contextlib.suppress(OSError):
            self.files.remove(segment)

    def trim(self) -> None:
        """Give back what was reserved and is not used."""
        if self._all:
            self.files.fd(self._all[-1])
            self._cut(self._all[-1])

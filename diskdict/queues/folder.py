"""The folder of a queue: opening it, finding what is in it, closing it: `QueueFolder`."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import ujson

from diskdict.errors import DurabilityError
from diskdict.files import sync_data, sync_filesystem
from diskdict.layout import DATA, INDEX, LOCK, MANIFEST
from diskdict.ledger import Ledger
from diskdict.manifest import Manifest
from diskdict.mutex import Exclusive
from diskdict.opening import Opened, Way, open_folder
from diskdict.queues.items import Damage, walk
from diskdict.queues.segmentfiles import Segment
from diskdict.queues.segments import Segments
from diskdict.syncing import Refusing, SharedSync

KIND: Final = "queue"
_MAGIC: Final = b"diskdict queue 1 "
_TEMPORARY: Final = INDEX + ".new"
_NAME: Final = re.compile(r"(\d{16})\.([0-9a-f]{8})\.items")


class Mark(NamedTuple):
    """What is known of an item that does not simply wait for the first time."""

    due: float = 0.0
    deliveries: int = 0
    key: str = ""


class Content(NamedTuple):
    """The items of a queue: ids in the order of their ``put``, what is known of some of them, and what is damaged."""

    ids: array[int]
    marks: dict[int, Mark]
    damaged: list[tuple[Segment, Damage]]

    def marked(self) -> list[int]:
        """Return the ids that something is known of."""
        places = ((bisect_left(self.ids, number), number) for number in self.marks)
        return [number for place, number in places if place < len(self.ids) and self.ids[place] == number]


class QueueFolder(Refusing):
    """A folder of items that is open and locked; ``segments`` are its files.

    Parameters
    ----------
    path, codec, perm:
        As in `DiskDict`.
    way: Way
        How to open it.
    lasting: bool
        Whether it will be synced.
    exclusive: context manager
        The lock of the queue. Who calls `begin` holds it, for all else nobody does.
    """

    def __init__(
        self, path: str, codec: str, way: Way, *, perm: int | None, lasting: bool, exclusive: Exclusive
    ) -> None:
        wanted = Manifest(KIND, codec, 1, mode=perm)
        self._opened: Opened = open_folder(path, wanted, way, shards_given=False, limits_given=False)
        self.folder, self.data = self._opened.folder, self._opened.data
        self._exclusive = exclusive
        self._lasting = lasting
        self._ledger = Ledger(self._opened.lockfile, self._opened.page)
        self._ledger.refusal = self.refusal
        self.segments = Segments(self.data, lasting=lasting, refusal=self.refusal)
        self._shared = SharedSync(self._sync, lambda: self.changes)
        self.unchanged = True
        self.refused: Callable[[], Callable[[], None] | None] = lambda: None
        self._left = False

    @contextlib.contextmanager
    def refusal(self) -> Iterator[None]:
        """Have a sync that fails in the block be the last, as `Refusing.refusal` does; ``refused`` is told."""
        try:
            with super().refusal():
                yield
        except DurabilityError:
            told = self.refused()
            if told is not None:
                told()
            raise

    @property
    def closed(self) -> bool:
        """Whether the folder was given back."""
        return self._opened.lockfile is None or self._opened.lockfile.fd < 0

    def find(self) -> Content:
        """Return what is in the folder."""
        names = sorted(name for name, regular in self.data.list() if regular and _NAME.fullmatch(name))
        known = self._known(names)
        if known is not None:
            return known
        # It must not fit again, whatever becomes of the lockfile.
        if self.folder.discard(INDEX):
            self.folder.sync()
        return self._scan(names)

    def _known(self, names: list[str]) -> Content | None:
        """Return what the last close has written down, None where that is not there or is not of these files."""
        try:
            head, _, body = self.folder.read(INDEX).partition(b"\n")
            if head != b"%s%08x" % (_MAGIC, zlib.crc32(body)):
                return None
            line, _, rest = body.partition(b"\n")
            document = ujson.loads(line)
            segments = []
            for name, (end, live, used, gaps) in zip(names, document["segments"], strict=True):
                if self.data.stat(name).st_size != end:
                    return None
                segments.append(_segment(name, end, live, used, gaps))
            if document["names"] != names or document["ceiling"] != self._ledger.page.ceiling:
                return None
            marks = {int(number): Mark(*mark) for number, mark in document["marks"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None
        ids = _little_endian(array("q", rest))
        self.segments.adopt(segments)
        return Content(ids, marks, [])

    def _scan(self, names: list[str]) -> Content:
        content = Content(array("q"), {}, [])
        segments = []
        for name in names:
            segment = _segment(name)
            segments.append(segment)
            # One that was cut and is longer after a power cut ends all the same where the next one begins.
            after = _NAME.fullmatch(names[len(segments)]) if len(segments) < len(names) else None
            held = self.data.read(name)
            length = len(held) if after is None else min(len(held), int(after[1]) - segment.first)
            _look_through(segment, held[:length], content, last=after is None)
        self.segments.adopt(segments)
        return content

    @property
    def changes(self) -> int:
        """The number of the last change, for `sync`."""
        return self.segments.files.changes

    def begin(self) -> None:
        """Say, durably, that the queue is being changed, before the first change."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        self._ledger.begin()
        self.unchanged = False
        self.segments.drop_empty()

    def sync(self, change: int) -> None:
        """Return once all changes up to `change` are on disk; of the threads that wait one syncs for all."""
        if self.failure is not None:
            raise self.failure.with_traceback(None)
        with self.refusal():
            if self._lasting:
                self._shared.through(change)
            else:
                sync_filesystem(self.folder.fd)

    def _sync(self) -> None:
        with self.segments.files.to_sync(self._exclusive) as descriptors:
            for fd in descriptors:
                sync_data(fd)

    def close(self, content: Content | None) -> None:
        """Give the folder back; `content`, where it is known, is found again without looking."""
        # Once: interrupted, the next opening looks for what is there.
        left, self._left = self._left or self.unchanged or self.failure is not None, True
        # A sync under way has its files open.
        with self._shared.turn, self._shared.round(), contextlib.ExitStack() as stack:
            for step in (self.folder.close, self._ledger.release, self.data.close, self.segments.files.close_all):
                stack.callback(step)
            if not left:
                self.segments.trim()
                with self.refusal():
                    sync_filesystem(self.folder.fd)
                self._shared.synced = self.changes
                self._keep(content)
                self._ledger.end()

    def destroy(self) -> None:
        """Remove all of the queue; the folder, too, if nothing else is in it."""
        with self._shared.turn, self._shared.round():
            self._left = True
            self._shared.synced = self.changes
            self.segments.files.close_all()
            self.folder.remove_tree(DATA)
            for name in (INDEX, LOCK, MANIFEST):
                self.folder.discard(name)
            with contextlib.suppress(OSError):
                os.rmdir(self.folder.path)

    def _keep(self, content: Content | None) -> None:
        if content is None or len(content.ids) != self.segments.live:
            self.folder.discard(INDEX)
            return
        segments = list(self.segments)
        document = {
            # Raised on disk before the next change: this is never taken for what came later.
            "ceiling": self._ledger.page.ceiling,
            "names": [segment.name for segment in segments],
            "segments": [(segment.end, segment.live, segment.used, segment.gaps) for segment in segments],
            "marks": {str(number): mark for number, mark in content.marks.items()},
        }
        body = b"%s\n%s" % (ujson.dumps(document).encode(), _little_endian(content.ids).tobytes())
        try:
            self.folder.write(INDEX, b"%s%08x\n%s" % (_MAGIC, zlib.crc32(body), body), _TEMPORARY)
        except OSError:
            self.folder.discard(INDEX)

    def abandon(self) -> None:
        """Close the copy of this handle in a forked child: unlock nothing, write nothing."""
        self.segments.files.close_all()
        self.data.close()
        self._ledger.abandon()
        self.folder.close()


def _segment(name: str, *numbers: int) -> Segment:
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"no file of items: {name!r}")
    return Segment(int(found[1]), int(found[2], 16), *numbers)


def _look_through(segment: Segment, content: bytes, found: Content, *, last: bool) -> None:
    first, ids = segment.first, found.ids
    end, used, before = 0, 0, len(ids)
    for each in walk(content, first, segment.salt, last=last):
        end = each.end
        if isinstance(each, Damage):
            found.damaged.append((segment, each))
            segment.damaged += 1
            continue
        at, _, waiting, due, deliveries, key = each
        if waiting:
            used += end - at
            ids.append(first + at)
            if due or deliveries or key:
                found.marks[first + at] = Mark(due, deliveries, key)
    segment.end = end if last else len(content)
    segment.live = len(ids) - before
    segment.used = used
    segment.unsure = last


def _little_endian(numbers: array[int]) -> array[int]:
    if sys.byteorder == "little":
        return numbers
    swapped = numbers[:]
    swapped.byteswap()
    return swapped

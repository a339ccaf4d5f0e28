"""What is stored under keys, as who reads sees it: `Seeing`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from diskdict.backends.objects.apart import Apart
from diskdict.backends.objects.bucket import BESIDE, Bucket, Seen, Stamp
from diskdict.backends.objects.lines import Line, last_line, parsed
from diskdict.backends.objects.names import FOLDER, LONG, before, begins, key_of, name_of
from diskdict.backends.objects.streams import Payload
from diskdict.errors import CorruptValueError
from diskdict.store import Stat

CHANGES: Final = "changes"
"""Where it is said of changes of several keys whether they were made."""
MADE: Final = b"made"
NOT_MADE: Final = b"not made"

_REMEMBERED: Final = 100_000
"""States of objects that are kept in mind."""


class View(NamedTuple):
    """What is there for who asks: the state that a change is to find, None for nothing, and the record, if any."""

    stamp: Stamp | None = None
    key: str = ""
    stat: Stat | None = None
    payload: bytes = b""


class Seeing:
    """The objects of keys, to be looked at.

    Parameters
    ----------
    bucket: Bucket
        Where they are.
    codec: str
        The name of the codec.
    """

    def __init__(self, bucket: Bucket, codec: str) -> None:
        self.bucket = bucket
        self.apart = Apart(bucket, codec)
        self._known: dict[str, View] = {}
        self._turn = threading.Lock()

    def read(self, key: str) -> View:
        """Return what is there, with the payload."""
        while True:
            view = self._filled(self._view(name_of(key), whole=True))
            if view is not None:
                return view

    def look(self, key: str) -> View:
        """Return what is there, without the payload."""
        return self._view(name_of(key), whole=False)

    def known(self, key: str) -> View | None:
        """Return what was there when it was last seen here, without the payload; None if it was not, or is old."""
        return self._known.get(name_of(key))

    def _view(self, name: str, *, whole: bool) -> View:
        while True:
            seen = self._seen(name, whole)
            if seen is None:
                return View()
            line = self._line(name, seen)
            made = line.change is not None and self.made(line.change)
            # Nothing is said of a change that has not been made yet, nor of one that has been all through.
            if made is not None or self._stamp_of(name) == seen.stamp:
                return self._shown(name, seen, line, made is True)

    def _filled(self, view: View) -> View | None:
        """Return what is there with a payload that lies apart, too; None if it is another by now."""
        if view.stat is None or view.stat.size < self.apart.least:
            return view
        payload = self.apart.get(view.key, view.stat)
        if payload is None and self._stamp_of(name_of(view.key)) == view.stamp:
            raise CorruptValueError(view.key, "", "the object with its payload is missing")
        return None if payload is None else view._replace(payload=payload)

    def _seen(self, name: str, whole: bool) -> Seen | None:
        seen = self.bucket.get(name, head=not whole)
        if seen is None:
            self._forget(name)
        elif not whole and seen.beside is None:
            return self.bucket.get(name)
        return seen

    def _line(self, name: str, seen: Seen) -> Line:
        return parsed(seen.beside or last_line(seen.body), key_of(name) if name.startswith(f"{FOLDER}/") else name)

    def _stamp_of(self, name: str) -> Stamp | None:
        seen = self.bucket.get(name, head=True)
        return None if seen is None else seen.stamp

    def _shown(self, name: str, seen: Seen, line: Line, made: bool) -> View:
        stat, begin = line.record, 0
        if made:
            stat, begin = line.after, 0 if line.record is None else self._size_beside(line.record)
        key = key_of(name) if line.key is None else line.key
        size = 0 if stat is None else self._size_beside(stat)
        view = View(seen.stamp, key, stat, seen.body[begin : begin + size])
        if line.change is None and line.grave is None:
            self._remember(name, view._replace(payload=b""))
        return view

    def _size_beside(self, stat: Stat) -> int:
        """Return how many bytes a payload has in the object of its key."""
        return stat.size if stat.size < self.apart.least else 0

    def _remember(self, name: str, view: View) -> None:
        with self._turn:
            self._known.pop(name, None)
            self._known[name] = view
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]

    def _forget(self, name: str) -> None:
        with self._turn:
            self._known.pop(name, None)

    def made(self, change: str) -> bool | None:
        """Say whether a change of several keys was made; None where that is not decided, or not known any more."""
        found = self.bucket.get(f"{CHANGES}/{change}")
        return None if found is None else found.body.startswith(MADE + b"\n")

    def streamed(self, key: str) -> Payload | None:
        """Return the payload as it comes; None where that is not possible, or nothing is there."""
        name = name_of(key)
        found = self.bucket.result(name)
        beside = None if found is None else found.attributes.get(BESIDE)
        line = None if beside is None else parsed(beside, key)
        if found is None or line is None or line.change is not None or line.record is None:
            return None
        if line.record.size >= self.apart.least:
            return self.apart.streamed(key, line.record)
        return Payload(iter(found.stream()), line.record.size, self.bucket.server)

    def listed(self, prefix: str) -> Iterator[tuple[str, View | None]]:
        """Yield the names of objects whose keys may begin with `prefix`, and what is known of their present state."""
        beginning = begins(prefix)
        for folder, after in ((FOLDER, before(beginning)), (LONG, None)):
            for name, stamp, _ in self.bucket.names(folder, after):
                if folder == FOLDER and not name.startswith(beginning):
                    if self.bucket.is_sorted and name > beginning:
                        break
                    continue
                view = self._known.get(name)
                yield name, view if view is not None and view.stamp == stamp else None

    def described(self, name: str) -> View:
        """Return what an object that was listed is by now, without the payload."""
        return self._view(name, whole=False)

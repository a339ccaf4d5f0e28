"""What is stored under keys, as who reads sees it: `Seeing`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Final, NamedTuple

from diskdict.backends.objects.apart import Apart
from diskdict.backends.objects.bucket import Bucket, Seen, Stamp
from diskdict.backends.objects.lines import Given, Held, Line, last_line, parsed, sound
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
    """What is there for who asks: the state that a change is to find, None for nothing, and the record, if any.

    A payload that has an object of its own is there only where somebody has asked for it.
    """

    stamp: Stamp | None = None
    key: str = ""
    held: Held | None = None
    payload: bytes = b""

    @property
    def stat(self) -> Stat | None:
        """The record without its payload."""
        return None if self.held is None else self.held.stat


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
        if view.held is None or not self.apart.has(view.held):
            return view
        payload = self.apart.get(view.key, view.held)
        self._check_payload(view, there=payload is not None)
        return None if payload is None else view._replace(payload=payload)

    def opened(self, view: View) -> Payload | None:
        """Return the payload that lies apart, and is not empty, as a stream; None if it is another by now."""
        payload = None if view.held is None else self.apart.opened(view.key, view.held)
        self._check_payload(view, there=payload is not None)
        return payload

    def _check_payload(self, view: View, *, there: bool) -> None:
        if not there and self._stamp_of(name_of(view.key)) == view.stamp:
            raise CorruptValueError(view.key, "", "the object with its payload is missing")

    def given(self, view: View) -> Given | None:
        """Return what is there as it may be written again; CorruptValueError where a payload beside it is damaged."""
        if view.held is None:
            return None
        return Given(view.held, None if self.apart.has(view.held) else sound(view.key, view.held.stat, view.payload))

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
        held, begin = line.record, 0
        if made:
            held, begin = line.after, self._size_beside(line.record)
        key = key_of(name) if line.key is None else line.key
        view = View(seen.stamp, key, held, seen.body[begin : begin + self._size_beside(held)])
        if line.change is None and line.grave is None:
            self._remember(name, view._replace(payload=b""))
        return view

    def _size_beside(self, held: Held | None) -> int:
        """Return how many bytes a payload has in the object of its key."""
        return 0 if held is None or self.apart.has(held) else held.stat.size

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

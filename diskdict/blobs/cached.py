"""A quick store before a slow one: `Cached`."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from diskdict.blobs.face import Blobs
from diskdict.blobs.layers import Terms, TtlSecs
from diskdict.blobs.streams import Draft
from diskdict.blobs.wrappers import Wrapper
from diskdict.errors import ConflictError, LimitError


class Cached(Wrapper):
    """A store whose values are copied to a quicker one when they are first read, and read from there.

    Parameters
    ----------
    front: Blobs
        Where the copies are: a folder on a local disk, memory. It is nobody else's.
    store: Blobs
        Where the values are.

    Notes
    -----
    What is changed here leaves the front before it is changed, and comes back when it is read again: killed at any
    moment, the front has nothing that the store had not. Threads may share it. What others change in the store is not
    seen while there is a copy: give the front a ``default_ttl_secs`` for that. What expires expires in both.

    Examples
    --------
    >>> from diskdict import BlobStore
    >>> front, slow = BlobStore("memory:", default_ttl_secs=60), BlobStore("memory:")
    >>> blobs = Cached(front, slow)
    >>> blobs.put("logo", b"...")
    'logo'
    >>> front.keys(), blobs.get("logo"), front.keys()
    ([], b'...', ['logo'])
    """

    def __init__(self, front: Blobs, store: Blobs) -> None:
        super().__init__(store)
        if not isinstance(front, Blobs):
            raise TypeError(f"the front is a BlobStore or a wrapper of one, not {front!r}")
        self.front = front
        self._begin()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._changing: Counter[str] = Counter()
        self._changes = 0

    @contextlib.contextmanager
    def _change(self, *keys: str) -> Iterator[None]:
        with self._lock:
            self._changing.update(keys)
        try:
            for key in keys:
                self.front.remove(key)
            yield
        finally:
            with self._lock:
                self._changes += 1
                self._changing -= Counter(keys)

    def reading(self, key: str) -> BinaryIO | None:
        kept = self.front.reading(key)
        if kept is not None:
            return kept
        ticket = self._changes
        found = self.store.whole(key)
        if found is None:
            return None
        stat, content = found
        terms = Terms(self.front.default_ttl_secs, like=stat)
        # A front that is full is one that has no copy; what others replace meanwhile has none either.
        with content, contextlib.suppress(OSError, LimitError, ConflictError), self.front.writing(key, terms) as draft:
            draft.take(content)
            with self._lock:
                # What somebody changes meanwhile is not to come back.
                if ticket == self._changes and not self._changing[key]:
                    draft.finish()
        return self.front.reading(key) or self.store.reading(key)

    def writing(self, key: str, terms: Terms) -> Draft:
        return _Behind(self, key, terms, self.store.writing(key, terms))

    def remove(self, key: str) -> bool:
        with self._change(key):
            return self.store.remove(key)

    def moving(self, source: str, target: str) -> bool:
        with self._change(source, target):
            return self.store.moving(source, target)

    def prolong(self, key: str, ttl: TtlSecs) -> bool:
        with self._change(key):
            return self.store.prolong(key, ttl)

    def close(self) -> None:
        try:
            self.front.close()
        finally:
            self.store.close()

    def __getstate__(self) -> dict[str, object]:
        return {"front": self.front, "store": self.store}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self._begin()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.front!r}, {self.store!r})"


class _Behind(Draft):
    """A value on its way to the store behind."""

    def __init__(self, cached: Cached, key: str, terms: Terms, draft: Draft) -> None:
        self._cached, self._draft = cached, draft
        self._keys = [key] if terms.instead_of is None else [key, terms.instead_of]

    def write(self, piece: bytes | bytearray | memoryview) -> None:
        self._draft.write(piece)

    def take(self, source: BinaryIO) -> None:
        self._draft.take(source)

    def adopt(self, path: str, status: os.stat_result) -> bool:
        return self._draft.adopt(path, status)

    def finish(self) -> None:
        with self._cached._change(*self._keys):
            self._draft.finish()

    def discard(self) -> None:
        self._draft.discard()

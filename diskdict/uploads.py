"""Payloads that are written piece by piece: `Upload`, how a store is given one: `upload_to`, and those with URLs."""

from __future__ import annotations

import abc
import io
import os
from typing import BinaryIO, Final, NamedTuple

from diskdict.errors import ConflictError
from diskdict.store import NEVER, OnlyIf, Record, Store

_PIECE: Final = 1 << 18
_IN_MEMORY: Final = 1 << 20


class Source(NamedTuple):
    """A record that is to go when another comes, if it still has this version."""

    key: str
    version: int


class Stored(io.RawIOBase):
    """A payload of a store as a stream, that its store may copy without anybody reading it."""

    size: int
    """Bytes that it has."""


class Upload(abc.ABC):
    """A payload on its way into a store. Nobody sees anything of it before `finish`.

    Notes
    -----
    One thread uses it, any number of them may be under way. One that ends without `finish` is to be discarded; a kill
    leaves nothing that a store would show.
    """

    length: int = 0
    """Bytes that it has."""
    lasting: bool = False
    """Whether it is to be on disk when it is finished, since what it was made of goes then."""

    @abc.abstractmethod
    def write(self, piece: bytes | memoryview) -> None:
        """Add to the end of the payload."""

    def take(self, source: BinaryIO) -> None:
        """Add all that a file has from where it stands; nothing is added after it."""
        while piece := source.read(_PIECE):
            self.write(piece)

    def adopt(self, path: str, status: os.stat_result) -> bool:  # noqa: ARG002  # for stores of files
        """Have the file at a path be all of the payload under one more name; return False where that cannot be.

        `status` tells it from one that others put there meanwhile. Its first name is for the caller to remove in the
        end. It is as it was where the upload is not finished; a kill while it is being finished may leave it with the
        permission bits and the attributes of a value, and with a second name, never with other content.
        """
        return False

    @abc.abstractmethod
    def finish(
        self,
        key: str,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
        instead_of: Source | None = None,
    ) -> int | None:
        """Make it the payload of a key, as `Store.put` does, or with `instead_of` remove that in the same moment.

        `created` and `only_if` are those of `Store.put`, and for what replaces nothing. Returns the version, or None
        where `only_if` did not hold, or `instead_of` was changed or removed; then nothing has been.
        """

    @abc.abstractmethod
    def discard(self) -> None:
        """Leave nothing of it, if it was not finished."""


class Uploading(abc.ABC):
    """What a store has that takes payloads piece by piece without having them in memory."""

    @abc.abstractmethod
    def upload(self) -> Upload:
        """Begin an upload."""

    @abc.abstractmethod
    def move_over(self, source: str, target: str) -> bool:
        """Do what the function of this name does."""


class Located(abc.ABC):
    """What a store has whose payloads others can read at a URL."""

    @abc.abstractmethod
    def location(self, key: str) -> str:
        """Return the URL of a payload; KeyError where it has to be there and is not."""


class Gathered(Upload):
    """The payload for a store that takes it whole: gathered in memory, a large one in a temporary file."""

    def __init__(self, store: Store) -> None:
        self._store = store
        import tempfile  # takes longer to load than most of this package

        self._pieces = tempfile.SpooledTemporaryFile(_IN_MEMORY)

    def write(self, piece: bytes | memoryview) -> None:
        self._pieces.write(piece)
        self.length += len(piece)

    def finish(
        self,
        key: str,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
        instead_of: Source | None = None,
    ) -> int | None:
        self._pieces.seek(0)
        with self._pieces:
            payload = self._pieces.read()
        if instead_of is None:
            return self._store.put(key, payload, expires=expires, meta=meta, created=created, only_if=only_if)
        return take_place(self._store, key, payload, expires, meta, instead_of)

    def discard(self) -> None:
        self._pieces.close()


def upload_to(store: Store) -> Upload:
    """Begin an upload to any store."""
    return store.upload() if isinstance(store, Uploading) else Gathered(store)


def move_over(store: Store, source: str, target: str) -> bool:
    """Move a live record to a key that may have one, which goes in the same moment; return whether there was one.

    It goes last and keeps all else.
    """
    if isinstance(store, Uploading):
        return store.move_over(source, target)
    while True:
        record = store.get(source)
        if record is None:
            return False
        instead_of = Source(source, record.version)
        if take_place(store, target, record.payload, record.expires, record.meta, instead_of) is not None:
            return True


def take_place(
    store: Store, key: str, payload: bytes, expires: float, meta: str | None, instead_of: Source
) -> int | None:
    """Put a payload and remove another record in the same moment; return the version, None if that was changed."""
    with store.exclusive():
        stat = store.stat(instead_of.key)
        if stat is None:
            return None
        number = store.number()
        record = Record(payload, number, stat.created, store.clock(), expires, number, meta, None)
        try:
            store.commit_if({instead_of.key: instead_of.version}, {key: record, instead_of.key: None})
        except ConflictError:
            return None
        return number

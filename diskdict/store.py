"""The seam between values and records: `Store`, the `Record` it keeps, and the arithmetic of time-to-live.

Above the seam are the mappings, queues and blobs that people use; they speak of keys and values. Below it are the
backends; they speak of key texts and bytes. A backend is a `Store` and passes the contract in the tests.
"""

from __future__ import annotations

import abc
import io
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from enum import Enum
from typing import BinaryIO, Final, Literal, NamedTuple

from diskdict.criteria import Criteria
from diskdict.errors import ConflictError, CorruptValueError

Clock = Callable[[], float]

NEVER: Final = math.inf
"""The expiry of a record that has no time-to-live."""


class Mark(Enum):
    """Values that stand for no value: one each, compared by identity."""

    FOREVER = "FOREVER"
    NOT_SET = "NOT_SET"
    ABSENT = "ABSENT"

    def __repr__(self) -> str:
        return self.value


FOREVER: Final = Mark.FOREVER
"""As ``ttl=``: never expires, whatever ``default_ttl`` says."""
NOT_SET: Final = Mark.NOT_SET
"""As a default: the caller gave nothing, where ``None`` would be something."""
ABSENT: Final = Mark.ABSENT
"""As ``only_if=``: write only where no live record is."""

Seconds = int | float | timedelta
Ttl = int | float | timedelta | Literal[Mark.FOREVER] | None
OnlyIf = int | Literal[Mark.ABSENT] | None


class Record(NamedTuple):
    """What a store keeps under a key.

    ``order`` places the record in iteration, ``version`` changes with every change of it; both come from one counter of
    the store. ``created``, ``updated`` and ``expires`` are seconds since the epoch, ``expires`` is `NEVER` without a
    time-to-live. ``meta`` is the text of a JSON object. ``spelling`` is the text of the key as it was first given,
    where that differs from its canonical text (``True`` for ``1``).
    """

    payload: bytes
    order: int
    created: float
    updated: float
    expires: float
    version: int
    meta: str | None
    spelling: str | None


Records = dict[str, Record | None]
"""Records by key, None where there is to be none."""


class Stat(NamedTuple):
    """A record without its payload: ``size`` in bytes and ``checksum`` (CRC-32) instead. The rest is as in `Record`."""

    size: int
    checksum: int
    order: int
    created: float
    updated: float
    expires: float
    version: int
    meta: str | None
    spelling: str | None


def expiry(ttl: Ttl, default: Ttl, now: float) -> float:
    """Return the absolute time at which something stored at `now` expires.

    ``ttl`` is seconds (int, float or timedelta), `FOREVER`, or None for ``default``. Anything else, and negative, NaN
    and infinite numbers, are a ValueError.
    """
    ttl = default if ttl is None else ttl
    if ttl is None or ttl is FOREVER:
        return NEVER
    return now + seconds(ttl)


def seconds(ttl: Ttl) -> float:
    """Return a time-to-live as a float of seconds, or raise a ValueError that names it."""
    ttl = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0 <= ttl < math.inf:
        raise ValueError(f"a ttl is seconds from 0 (int, float, timedelta), FOREVER or None, not {ttl!r}")
    try:
        return float(ttl)
    except OverflowError:
        raise ValueError("a ttl of more seconds than a float can hold; use FOREVER") from None


class Store(abc.ABC):
    """Records by key text: what every backend does.

    Keys are str of any content, the texts of `diskdict.keys`. An expired record is absent for every operation. Each
    operation is atomic for its key; `exclusive` makes several operations of one thread exclude all other changes.

    Parameters
    ----------
    clock: callable
        Gives the time now in seconds since the epoch, ``time.time`` by default.
    """

    clock: Clock
    readonly: bool = False
    codec: str | None = None
    """The name of the codec of the payloads, where the store has found one with them."""
    shared: bool = False
    """Whether others may change the records while `exclusive` is held here, and end a stream by a ConflictError."""

    @abc.abstractmethod
    def get(self, key: str) -> Record | None:
        """Return the live record of `key`, or None. Raises CorruptValueError where the payload is damaged."""

    @abc.abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Return the live record of `key` without its payload, or None."""

    @abc.abstractmethod
    def put(
        self,
        key: str,
        payload: bytes,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        spelling: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
    ) -> int | None:
        """Write the record whole and return its version, or None where `only_if` did not hold and nothing was written.

        `only_if` is None (always), `ABSENT` (only where no live record is) or the version that must be there. A live
        record keeps its order, its ``created`` and its spelling; a new one goes last, created now unless `created` says
        when.
        """

    @abc.abstractmethod
    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        """Change expiry or metadata of a live record, leave its payload; return the new version.

        None leaves what is there; an empty text removes the metadata. Returns None, having changed nothing, where no
        live record is, or not with the version `only_if`.
        """

    @abc.abstractmethod
    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        """Remove the record; return whether a live one was there (and had the version `only_if`, if given)."""

    @abc.abstractmethod
    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        """Return an iterator over the texts of all live keys that begin with `prefix`, in the order of insertion.

        Raises RuntimeError at the next step after the number of keys was changed. The clock is read once.
        """

    def scan_keys(self) -> Iterator[str] | None:
        """Return what `scan` returns if all those texts are keys as they stand, or None where some may have to be read.

        A text that begins with ``=`` is that of a key of another type, or of a str that begins so.
        """
        return None

    def scan_like(self, pieces: Sequence[str]) -> Iterator[str]:
        """Return what `scan` returns, at least those texts that are `pieces` with anything between them."""
        return self.scan(pieces[0])

    def scan_meta(self, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]] | None:  # noqa: ARG002
        """Return, in order, keys that begin so with their metadata, at least where it fits; None: ask for each."""
        return None

    @abc.abstractmethod
    def contains(self, key: str) -> bool:
        """Return whether a live record is there."""

    @abc.abstractmethod
    def count(self) -> int:
        """Return the number of live records."""

    @abc.abstractmethod
    def spelling(self, key: str) -> str:
        """Return the text of the key as it was first given: `key` itself unless the record says otherwise."""

    @abc.abstractmethod
    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the mutation lock. Operations of the same thread join in; those of others wait."""

    @abc.abstractmethod
    def sweep(self, limit: int | None = None) -> int:
        """Remove expired records, at most `limit`; return how many."""

    @abc.abstractmethod
    def number(self) -> int:
        """Return a number above all orders and versions there are, for a record to `commit`."""

    @abc.abstractmethod
    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        """Make all changes as one: each key has its record afterwards, or none where that is None.

        Order and version of the records come from `number`. `amended` are keys whose payload is the one they have. The
        caller holds the mutation lock. Who reads sees all changes or none; after a failure, or a kill, too.
        """

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        """Commit where each key of `expected` has that version, or with `ABSENT` is not there.

        ConflictError, and nothing is changed, where one has not.
        """
        for key, version in expected.items():
            stat = self.stat(key)
            if version != (ABSENT if stat is None else stat.version):
                raise ConflictError(f"{key!r} was changed or removed by others; read it again and repeat")
        if changes:
            self.commit(changes, amended=amended)

    def groups(self, keys: Iterable[str]) -> Iterable[Collection[str]]:
        """Return keys in their order, in groups that one `commit` may change: all, where they lie in one place."""
        return [list(keys)]

    def check_growth(self, growth: int) -> None:  # noqa: B027  # for stores that have such a limit
        """Raise LimitError where the store may not become `growth` bytes larger."""

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything. Closing twice does nothing; any other use afterwards raises ClosedError."""

    def read(self, key: str) -> bytes | None:
        """Return the payload of a live record, or None: `get` for those who need no more."""
        record = self.get(key)
        return None if record is None else record.payload

    def reject(self, key: str, payload: bytes, detail: str) -> None:  # noqa: ARG002  # for stores that set it aside
        """Say that a payload that was read, whole as it is, is no value.

        Raises CorruptValueError, or returns where the store is to treat such a key as missing.
        """
        raise CorruptValueError(key, "", detail)

    def open(self, key: str) -> BinaryIO | None:
        """Return a stream over the payload as it is now, which can seek, whatever is put later; or None."""
        return None if (payload := self.read(key)) is None else io.BytesIO(payload)

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        """Return the live records among `keys`."""
        return {key: record for key in keys if (record := self.get(key)) is not None}

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        """Put each payload, with its spelling if it has one. Atomic for each key, not for all unless `shared`."""
        with self.exclusive():
            for key, payload in payloads.items():
                self.put(key, payload, expires=expires, spelling=(spellings or {}).get(key))

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        """Delete each key; say for each whether it was there. Atomic as `put_many` is."""
        with self.exclusive():
            return {key: self.delete(key) for key in keys}

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        """Move a live record to a key that has none; it goes last and keeps all else.

        Returns True, or None where `source` is absent, or False where `target` is there; then nothing has changed.
        """
        with self.exclusive():
            record = self.get(source)
            if record is None:
                return None
            done = self.put(
                target,
                record.payload,
                expires=record.expires,
                meta=record.meta,
                spelling=spelling,
                created=record.created,
                only_if=ABSENT,
            )
            return done is not None and self.delete(source)

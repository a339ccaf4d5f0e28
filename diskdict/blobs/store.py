"""Files by key: `BlobStore`, over a folder or any other store."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import BinaryIO, ClassVar, Final, TypedDict, Unpack, cast

from diskdict import keys as texts
from diskdict.backends import open_store, scheme_of
from diskdict.backends.file import Durability, FolderStore
from diskdict.blobs.drafts import StoreDraft
from diskdict.blobs.face import Blobs
from diskdict.blobs.layers import Path, Terms, TtlSecs
from diskdict.blobs.rules import rule_of
from diskdict.blobs.streams import Draft
from diskdict.disk import DiskDict
from diskdict.errors import FormatError, InvalidValueError
from diskdict.ids import MakeId, uuid4
from diskdict.limits import Limits, checked
from diskdict.opening import path_of_url
from diskdict.store import NEVER, NOT_SET, Clock, Stat, Store, Ttl, expiry
from diskdict.uploads import Located, move_over

UrlOf = Callable[[str], str]
"""Gives the URL of a key."""


class FolderOptions(TypedDict, total=False):
    """What the folder of a blob store may be told; each as in `DiskDict`."""

    durability: Durability
    readonly: bool
    create: bool
    timeout: float
    perm: int | None


class Exact:
    """Bytes as they are, empty ones too."""

    name: Final = "bytes"

    def dumps(self, value: object) -> bytes:
        """Return `value`, which must be bytes."""
        if not isinstance(value, bytes):
            raise InvalidValueError(f"a value is bytes, not {type(value).__qualname__}")
        return value

    def loads(self, payload: bytes) -> bytes:
        """Return the payload."""
        return payload


class BlobDict(DiskDict[str, bytes]):
    """The dict in the folder of a `BlobStore`."""

    _kind: ClassVar[str] = "blobs"

    @property
    def folder(self) -> FolderStore:
        """The records."""
        return self._folder


class BlobStore(Blobs):
    """Values of bytes under keys of str: files in a folder, or records of any other store.

    Parameters
    ----------
    where: str, os.PathLike or Store
        A folder, which is made where there is none, a URL as `diskdict.open_store` takes it, or a store.
    keys: "default", "extended", "any" or a compiled expression
        What keys may be: see `diskdict.blobs.rules`.
    ids: callable
        Makes the key for ``put(None, …)``; see `diskdict.ids`.
    default_ttl_secs: int, float or timedelta
        Seconds that a value lives when nothing else is said; for ever by default.
    url: str or callable, optional
        What `url_for` puts before a key, which is percent-encoded, or a function that gives the URL of a key. By
        default that of the file.
    limits: Limits, optional
        What the store refuses.
    clock: callable
        The time in seconds since the epoch, for stores in this process.
    durability, readonly, create, timeout, perm:
        As in `diskdict.DiskDict`, for a folder.

    Raises
    ------
    What opening the store raises; FormatError for a folder that is no blob store.

    Notes
    -----
    In a folder each value is one file with nothing else in it, as large as the disk lets it be; in a bucket each is one
    object, of 78 GiB at most. Only what goes to other stores is in memory as a whole. Threads may share a store, one
    process at a time may write to a folder; killed at any moment it leaves each key old or new. It can be pickled
    unless it was made over a store: in the same process it is the same store, elsewhere it opens when it is first used.

    Examples
    --------
    >>> import tempfile
    >>> with BlobStore(tempfile.mkdtemp()) as blobs:
    ...     blobs.put("logo.png", b"...")
    ...     with blobs.open("report.csv", "wb") as file:
    ...         _ = file.write(b"1,2,3")
    ...     blobs.get("report.csv")
    'logo.png'
    b'1,2,3'
    """

    def __init__(
        self,
        where: Path | Store,
        *,
        keys: str | re.Pattern[str] = "default",
        ids: MakeId = uuid4,
        default_ttl_secs: TtlSecs = NOT_SET,
        url: str | UrlOf | None = None,
        limits: Limits | None = None,
        clock: Clock = time.time,
        **folder: Unpack[FolderOptions],
    ) -> None:
        self._rule = rule_of(keys)
        if not callable(ids):
            raise TypeError(f"ids is a function, as those of diskdict.ids, not {ids!r}")
        self._ids = ids
        self._url = url
        self._default_ttl: TtlSecs = NOT_SET
        self.default_ttl_secs = default_ttl_secs
        self._where = where if isinstance(where, Store) else os.fsdecode(where)
        self._limits = checked(limits)
        self._options = folder
        self._clock = clock
        self._over = self._opened()

    def _opened(self) -> BlobDict | Store:
        where = self._where
        if not isinstance(where, Store) and scheme_of(where) == "file":
            limits = self._limits if any(self._limits) else None
            made = BlobDict(path_of_url(where), codec=Exact(), limits=limits, clock=self._clock, **self._options)
            self._limits = made.folder.limits
            return made
        if self._options:
            raise ValueError(f"{next(iter(self._options))!r} is for folders; this store is in none")
        if isinstance(where, FolderStore) and not where.takes_empty:
            raise FormatError(f"{where.folder.path} is of a kind whose values are never empty; give its path")
        return where if isinstance(where, Store) else open_store(where, codec=Exact.name, clock=self._clock)

    @cached_property
    def store(self) -> Store:
        """The records."""
        return self._over.folder if isinstance(self._over, BlobDict) else self._over

    def check(self, key: object) -> str:
        return self._rule.check(key)

    def reading(self, key: str) -> BinaryIO | None:
        return self.store.open(texts.encode(key))

    def writing(self, key: str, terms: Terms) -> Draft:
        text = texts.encode(key)
        self._limits.check_key(key, text)
        if terms.ttl is not None:
            # Before anything is written; what it is counts from the end.
            self.expires(terms.ttl)
        return StoreDraft(self.store, text, terms, self._limits, self.expires)

    def stat(self, key: str) -> Stat | None:
        return self.store.stat(texts.encode(key))

    def remove(self, key: str) -> bool:
        return self.store.delete(texts.encode(key))

    def names(self, prefix: str) -> Iterator[str]:
        begin = texts.encode(prefix) if prefix else ""
        for text in self._texts(begin if begin[:1] != "=" else ""):
            key = texts.decode(text)
            if isinstance(key, str) and key.startswith(prefix):
                yield key

    def _texts(self, begin: str) -> Iterable[str]:
        if self.store.shared:
            return self.store.scan(begin)
        # All at once: others may put and delete while somebody looks through them.
        with self.store.exclusive():
            return list(self.store.scan(begin))

    def moving(self, source: str, target: str) -> bool:
        self._limits.check_key(target, texts.encode(target))
        return move_over(self.store, texts.encode(source), texts.encode(target))

    def prolong(self, key: str, ttl: TtlSecs) -> bool:
        text, expires = texts.encode(key), self.expires(ttl)
        while (stat := self.store.stat(text)) is not None:
            if stat.expires >= expires or self.store.amend(text, expires=expires, only_if=stat.version) is not None:
                return True
        return False

    def make_id(self, content: BinaryIO) -> str:
        return self._ids(content)

    def location(self, key: str) -> str:
        if callable(self._url):
            return self._url(key)
        if self._url is not None:
            from urllib.parse import quote  # import time, and only for a URL

            return self._url + quote(key, safe="")
        store = self.store
        if isinstance(store, Located):
            return store.location(texts.encode(key))
        raise ValueError("this store has no URLs of its own; give it url=, a prefix or a function")

    @property
    def default_ttl_secs(self) -> TtlSecs:
        return self._default_ttl

    @default_ttl_secs.setter
    def default_ttl_secs(self, ttl: TtlSecs) -> None:
        expiry(_ttl(ttl), None, 0.0)
        self._default_ttl = ttl

    def expires(self, ttl: TtlSecs) -> float:
        """Return when what is stored now expires."""
        if ttl is NOT_SET:
            return NEVER
        return expiry(_ttl(ttl), _ttl(self._default_ttl), self.store.clock())

    def close(self) -> None:
        self._over.close()

    def __getstate__(self) -> dict[str, object]:
        state = self.__dict__.copy()
        state.pop("store", None)
        if isinstance(self._where, Store):
            raise TypeError("a blob store over a store that was given cannot be pickled; one over a path or URL can")
        if not isinstance(self._over, BlobDict):
            del state["_over"]
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        if "_over" not in state:
            self._over = self._opened()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._where!r})"


def _ttl(ttl: TtlSecs) -> Ttl:
    return None if ttl is NOT_SET else cast(Ttl, ttl)

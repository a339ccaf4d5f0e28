"""What a blob store, or a wrapper of one, has to do: `Layer`. What people call is built on that alone."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from diskdict.blobs.streams import Draft
from diskdict.store import Mark, Stat, Ttl

Path = str | os.PathLike[str]
TtlSecs = Ttl | Mark


class Terms(NamedTuple):
    """What a value is stored with.

    ``ttl`` is as people give it. ``like`` is a stat whose metadata it takes instead, and whose expiry, unless that of
    ``ttl`` comes first. ``instead_of`` is a key that goes in the same moment, if it still has the version of ``like``;
    `Draft.finish` raises ConflictError where it has not. ``moved`` says that what the value is made of goes afterwards.
    """

    ttl: TtlSecs = None
    meta: str | None = None
    like: Stat | None = None
    instead_of: str | None = None
    moved: bool = False


class Layer(abc.ABC):
    """A blob store as wrappers see it. Keys have been checked, but by `check` itself."""

    @abc.abstractmethod
    def check(self, key: object) -> str:
        """Return a key, or raise InvalidKeyError for one that cannot be."""

    @abc.abstractmethod
    def reading(self, key: str) -> BinaryIO | None:
        """Return a stream over the value as it is now, which can seek; None where there is none."""

    @abc.abstractmethod
    def writing(self, key: str, terms: Terms) -> Draft:
        """Begin a value."""

    @abc.abstractmethod
    def stat(self, key: str) -> Stat | None:
        """Return what is known of a value, None where there is none."""

    def whole(self, key: str) -> tuple[Stat, BinaryIO] | None:
        """Return what is known of a value and a stream over that very one, None where there is none."""
        while (stat := self.stat(key)) is not None and (stream := self.reading(key)) is not None:
            try:
                again = self.stat(key)
            except BaseException:
                stream.close()
                raise
            # Else somebody has put another one between the two.
            if again is not None and again.version == stat.version:
                return stat, stream
            stream.close()
        return None

    @abc.abstractmethod
    def remove(self, key: str) -> bool:
        """Remove a key; return whether it was there."""

    @abc.abstractmethod
    def names(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in the order of insertion."""

    @abc.abstractmethod
    def moving(self, source: str, target: str) -> bool:
        """Give a value another key, whatever is there; return whether there was one."""

    @abc.abstractmethod
    def prolong(self, key: str, ttl: TtlSecs) -> bool:
        """Have a key live on for this long at least, as if stored now; return whether it was there."""

    @abc.abstractmethod
    def make_id(self, content: BinaryIO) -> str:
        """Return a key for a content."""

    @abc.abstractmethod
    def location(self, key: str) -> str:
        """Return the URL of a key."""

    @property
    @abc.abstractmethod
    def default_ttl_secs(self) -> TtlSecs:
        """Seconds that a value lives when nothing else is said; FOREVER or NOT_SET for always. It can be set."""

    @default_ttl_secs.setter
    @abc.abstractmethod
    def default_ttl_secs(self, ttl: TtlSecs) -> None: ...

    @abc.abstractmethod
    def close(self) -> None:
        """Release everything. Closing twice does nothing."""

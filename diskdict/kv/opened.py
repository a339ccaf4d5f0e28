"""How a `KVStore` is made, and how its operations are run: `Opened`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Literal, ParamSpec, Self, TypeVar

from diskdict.caching import SIZE
from diskdict.codecs import Codec
from diskdict.kv.access import RESOLUTION, Accesses
from diskdict.kv.addresses import Config, address_of
from diskdict.kv.calling import Calls
from diskdict.kv.clients import brought
from diskdict.kv.connection import caching_of, connection_to
from diskdict.kv.tree import SyncKVStore
from diskdict.kv.values import Overridable, codec_of, deserialize, serialize
from diskdict.store import Clock, Seconds, Ttl

P = ParamSpec("P")
T = TypeVar("T")


class Opened:
    """A store with two faces, the asynchronous one of which is this. Use `KVStore`, which says what is what."""

    def __init__(
        self,
        backend: str = "file",
        config: Config | None = None,
        namespace: str | None = None,
        auto_cleanup: bool = False,  # a setting among settings
        cleanup_interval: float = 60,
        cache: Literal["memory"] | None = None,
        cache_ttl: Seconds | None = None,
        cache_size: int = SIZE,
        separator: str = ".",
        default_ttl: Ttl = None,
        client: object = None,
        *,
        codec: str | Codec | None = None,
        clock: Clock = time.time,
        track_access: bool = False,
        access_resolution: Seconds = RESOLUTION,
    ) -> None:
        accesses = Accesses(access_resolution)
        overridden = type(self).serialize is not Opened.serialize or type(self).deserialize is not Opened.deserialize
        connection = connection_to(
            address_of(backend, config) if client is None else brought(client, backend, config),
            codec=codec_of(codec, Overridable(self.serialize, self.deserialize) if overridden else None),
            default_ttl=default_ttl,
            cleanup_interval=cleanup_interval if auto_cleanup else None,
            caching=caching_of(cache, cache_ttl, cache_size),
            accesses=accesses if track_access else None,
            clock=clock,
        )
        self._over(SyncKVStore(connection, namespace, separator), Calls(connection))

    @classmethod
    def from_url(
        cls,
        url: str | os.PathLike[str],
        namespace: str | None = None,
        *,
        auto_cleanup: bool = False,
        cleanup_interval: float = 60,
        cache: Literal["memory"] | None = None,
        cache_ttl: Seconds | None = None,
        cache_size: int = SIZE,
        separator: str = ".",
        default_ttl: Ttl = None,
        codec: str | Codec | None = None,
        clock: Clock = time.time,
        track_access: bool = False,
        access_resolution: Seconds = RESOLUTION,
    ) -> Self:
        """Return the store at a URL, in a folder or in a JSON file: those of `diskdict.open_dict`."""
        return cls(
            "url",
            {"url": os.fspath(url)},
            namespace,
            auto_cleanup,
            cleanup_interval,
            cache,
            cache_ttl,
            cache_size,
            separator,
            default_ttl,
            codec=codec,
            clock=clock,
            track_access=track_access,
            access_resolution=access_resolution,
        )

    def _over(self, sync: SyncKVStore, calls: Calls) -> None:
        self._sync = sync
        self._calls = calls

    @property
    def sync(self) -> SyncKVStore:
        """The same store for those who do not wait with ``await``."""
        return self._sync

    def serialize(self, value: object) -> bytes:
        """Return the bytes of a value: for subclasses, which call this for what they leave to it."""
        return serialize(value)

    def deserialize(self, data: bytes, value_type: str) -> object:  # noqa: ARG002  # for subclasses
        """Return the value of bytes.

        `value_type` is ``"custom"`` for what a subclass's `serialize` has made, else the name of a type.
        """
        return deserialize(data)

    async def run(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function gives, called in one of the store's threads."""
        return await self._calls.run(method, *args, **kwargs)

"""Clients that people bring with them: what a `KVStore` may be made of besides an address: `Brought`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from diskdict.backends import CLIENTS, store_over
from diskdict.kv.addresses import Config
from diskdict.store import Clock, Store

DEFAULT: Final = "file"
"""The backend where none is named."""


class _Library(NamedTuple):
    """What clients of a library are backends for, which settings go with them, and how such a client is called."""

    backends: tuple[str, ...]
    settings: tuple[str, ...]
    called: str


_LIBRARIES: Final = {
    "redis": _Library(("redis",), ("prefix",), "a redis.Redis or redis.cluster.RedisCluster"),
    "psycopg_pool": _Library(("postgres",), ("table",), "a psycopg_pool.ConnectionPool"),
    "obstore": _Library(("s3", "gcs", "azure"), (), "a store of obstore"),
}
_STORES: Final = {"S3Store": "s3", "GCSStore": "gcs", "AzureStore": "azure"}
_TAKEN: Final = ", ".join(library.called for library in _LIBRARIES.values())


class Brought(NamedTuple):
    """A client, the library that it is of, and the settings that go with it."""

    client: object
    library: str
    settings: Mapping[str, str]

    def connect(self, codec: str, clock: Clock) -> Store:
        """Return the store that it leads to."""
        return store_over(self.client, self.library, codec=codec, clock=clock, settings=self.settings)


def brought(client: object, backend: str, config: Config | None) -> Brought:
    """Return what is known of a client.

    Raises TypeError for what is none, an asynchronous one too, and ValueError where backend or settings contradict it.
    """
    library = _library_of(client)
    known = _LIBRARIES[library]
    only = next((_STORES[kind.__name__] for kind in type(client).__mro__ if kind.__name__ in _STORES), None)
    backends = known.backends if only is None else (only,)
    if backend not in (DEFAULT, *backends):
        raise ValueError(f"backend={backend!r}, and client= is for {' or '.join(map(repr, backends))}")
    given = dict(config or {})
    for name in given:
        if name not in known.settings:
            there = f"; config may have {', '.join(known.settings)}" if known.settings else ""
            raise ValueError(f"client= says where the store is, and config[{name!r}] says so too{there}")
    return Brought(client, library, {name: str(value) for name, value in given.items()})


def _library_of(client: object) -> str:
    """Return the library of a client. Nothing is imported for that: who has a client has imported it."""
    name = type(client).__name__
    for kind in type(client).__mro__:
        library, _, rest = kind.__module__.partition(".")
        if "asyncio" in rest.split(".") or (library.startswith("psycopg") and kind.__name__.startswith("Async")):
            raise TypeError(f"client= takes a synchronous client, not the asynchronous {name}: KVStore has its threads")
        if library in CLIENTS:
            return library
        if library == "psycopg":
            raise TypeError(f"client= takes a psycopg_pool.ConnectionPool, not a single {name}")
    raise TypeError(f"client= takes {_TAKEN}, not {name}")

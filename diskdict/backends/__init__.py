"""Where records live. `open_store` finds the backend by the scheme of a URL; a new backend is one line here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib import import_module
from typing import Final, Protocol

from diskdict.limits import Limits
from diskdict.mutex import LockLike
from diskdict.opening import is_one_file, path_of_url
from diskdict.store import Clock, Store

BACKENDS: Final = {
    "file": "diskdict.backends.file",
    "memory": "diskdict.backends.memory",
    "http": "diskdict.backends.http",
    "https": "diskdict.backends.http",
    "postgresql": "diskdict.backends.postgres.store",
    "postgres": "diskdict.backends.postgres.store",
    "redis": "diskdict.backends.redis.store",
    "rediss": "diskdict.backends.redis.store",
    "redis+cluster": "diskdict.backends.redis.store",
    "rediss+cluster": "diskdict.backends.redis.store",
    "s3": "diskdict.backends.objects.store",
    "gs": "diskdict.backends.objects.store",
    "az": "diskdict.backends.objects.store",
    "elasticsearch": "diskdict.backends.elastic.store",
    "elasticsearch+https": "diskdict.backends.elastic.store",
}
"""The module of each scheme; its ``open_url`` makes the store."""
_ONE_FILE: Final = "diskdict.backends.jsonfile.store"


CLIENTS: Final = {
    "obstore": "diskdict.backends.objects",
    "psycopg_pool": "diskdict.backends.postgres.given",
    "redis": "diskdict.backends.redis.given",
}
"""The module for clients of each library; its ``over_client`` makes the store."""


class OpenUrl(Protocol):
    """How a backend makes a store of a URL."""

    def __call__(
        self,
        url: str,
        *,
        codec: str,
        clock: Clock,
        lock: LockLike | None,
        limits: Limits | None,
    ) -> Store: ...


class OverClient(Protocol):
    """How a backend makes a store of a client that somebody else has made, and closes."""

    def __call__(self, client: object, *, codec: str, clock: Clock, **settings: str) -> Store: ...


def scheme_of(url: str) -> str:
    """Return the scheme of a URL, ``"file"`` for a path without one; a ValueError for one that nobody knows."""
    scheme, colon, _ = url.partition(":")
    if colon and scheme in BACKENDS:
        return scheme
    # One letter is a drive.
    if "://" in url or (colon and scheme.isalnum() and len(scheme) > 1):
        known = ", ".join(f"{name}:" for name in BACKENDS)
        # The rest may hold a password.
        raise ValueError(f"no backend for '{scheme}:'; a URL of a store begins with one of {known}")
    return "file"


def in_one_file(url: str) -> bool:
    """Return whether a URL is that of a store in one file."""
    return scheme_of(url) == "file" and is_one_file(os.path.expanduser(path_of_url(url)))


def open_store(
    url: str,
    *,
    codec: str = "json",
    clock: Clock = time.time,
    lock: LockLike | None = None,
    limits: Limits | None = None,
) -> Store:
    """Return the store that `url` names: ``"memory:"``, ``"file:///some/folder"``, or the path of a folder; with the
    extras of these names ``"http://host:port"``, ``"redis://host:port"`` and ``"elasticsearch://host:port/index"``;
    with the extra ``objects`` ``"s3://bucket"``, ``"gs://bucket"`` and ``"az://container"``.

    The path of a file, and one that ends in ``.json``, ``.json.gz`` or ``.json.zst``, is a store in one file.

    `codec` is the name of the codec of its values, for stores that keep that name.
    """
    module = _ONE_FILE if in_one_file(url) else BACKENDS[scheme_of(url)]
    open_url: OpenUrl = import_module(module).open_url
    return open_url(url, codec=codec, clock=clock, lock=lock, limits=limits)


def store_over(client: object, library: str, *, codec: str, clock: Clock, settings: Mapping[str, str]) -> Store:
    """Return the store that a client of a library of `CLIENTS` leads to."""
    over_client: OverClient = import_module(CLIENTS[library]).over_client
    return over_client(client, codec=codec, clock=clock, **settings)

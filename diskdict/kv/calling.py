"""How the calls of an asynchronous store are made: `Calls`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Literal, ParamSpec, TypeVar

from diskdict.kv.connection import Connection
from diskdict.kv.gathering import Gathered
from diskdict.kv.names import StoreKey
from diskdict.kv.several import Several

P = ParamSpec("P")
T = TypeVar("T")
_MOST: Final = 16


class Calls:
    """The calls of a store and of its namespaces, in threads that are made when they are needed.

    Parameters
    ----------
    connection: Connection
        The store.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._made: ThreadPoolExecutor | None = None
        several = Several(connection)
        self._gets: Gathered[StoreKey, object] = Gathered(several.get, self._threads)
        self._sets: Gathered[tuple[StoreKey, object], Literal[True]] = Gathered(several.set, self._threads)

    async def get(self, key: StoreKey) -> object:
        """Return a value, NOT_SET where there is none: asked for together with others who ask now."""
        return await self._gets.call(key)

    async def set(self, key: StoreKey, value: object) -> Literal[True]:
        """Store a value, together with others who do so now."""
        return await self._sets.call((key, value))

    async def run(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function gives, called in one of the threads."""
        threads = self._threads()
        if threads is None:
            return method(*args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(threads, partial(method, *args, **kwargs))

    def _threads(self) -> ThreadPoolExecutor | None:
        # A store that is closed says so itself, and needs no thread for that.
        if self._connection.closed:
            return None
        if self._made is None:
            self._made = ThreadPoolExecutor(_MOST, thread_name_prefix="diskdict-kv")
        return self._made

    def end(self) -> None:
        """End the threads, when they have done what they are at."""
        made, self._made = self._made, None
        if made is not None:
            made.shutdown()

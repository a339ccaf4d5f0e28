"""Calls about single keys, each for itself, made for many who ask at the same time: `Several`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal, NamedTuple, ParamSpec, TypeVar

from diskdict import keys
from diskdict.errors import CorruptValueError
from diskdict.kv.connection import Connection
from diskdict.kv.names import StoreKey
from diskdict.store import NOT_SET, Store

P = ParamSpec("P")
T = TypeVar("T")

_BYTES: Final = 1 << 20
"""Payloads that are sent together, but for the last of them."""


class Raised(NamedTuple):
    """What a call raises in place of a result."""

    error: Exception


class Several:
    """Makes calls in the order in which they are given, in few round trips where the store is on a server.

    Parameters
    ----------
    connection: Connection
        The store.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, asked: Sequence[StoreKey]) -> list[object | Raised]:
        """Return the value of each key, a new one for each who asks, and NOT_SET where there is none."""
        values = self._values(asked)
        if self._connection.accesses is not None:
            read = {key for key, value in zip(asked, values, strict=True) if not _is_none(value)}
            self._connection.accesses.note(self._connection.store(), read)
        return values

    def _values(self, asked: Sequence[StoreKey]) -> list[object | Raised]:
        over, store = self._connection.over(), self._connection.store()
        if len(asked) == 1 or not store.shared:
            return [_attempt(over.get, key, NOT_SET) for key in asked]
        texts = [keys.encode(key) for key in asked]
        try:
            records = store.get_many(list(dict.fromkeys(texts)))
        except CorruptValueError:
            # Who has asked for another key is not to hear of it.
            return [_attempt(over.get, key, NOT_SET) for key in asked]
        loads = self._connection.codec.loads
        found = [_attempt(loads, records[text].payload) if text in records else NOT_SET for text in texts]
        return [
            _attempt(over.get, key, NOT_SET) if isinstance(value, Raised) else value
            for key, value in zip(asked, found, strict=True)
        ]

    def set(self, pairs: Sequence[tuple[StoreKey, object]]) -> list[Literal[True] | Raised]:
        """Store the value of each pair; of two for one key the second stays."""
        store = self._connection.store()
        if len(pairs) == 1 or not store.shared:
            return [self._set(pair) for pair in pairs]
        came: list[Literal[True] | Raised] = [True] * len(pairs)
        portion: dict[int, tuple[str, bytes]] = {}
        size, dumps = 0, self._connection.codec.dumps
        for number, (key, value) in enumerate(pairs):
            payload = _attempt(dumps, value)
            if isinstance(payload, Raised):
                came[number] = payload
                continue
            portion[number] = keys.encode(key), payload
            size += len(payload)
            if size > _BYTES:
                self._put(store, portion, pairs, came)
                portion, size = {}, 0
        self._put(store, portion, pairs, came)
        return came

    def _put(
        self,
        store: Store,
        portion: dict[int, tuple[str, bytes]],
        pairs: Sequence[tuple[StoreKey, object]],
        came: list[Literal[True] | Raised],
    ) -> None:
        if not portion:
            return
        done = _attempt(store.put_many, dict(portion.values()), expires=self._connection.expiry())
        if isinstance(done, Raised):
            # Refused as a whole, for one of them: nothing was stored.
            refused = isinstance(done.error, (ValueError, TypeError))
            came_of = {number: self._set(pairs[number]) if refused else done for number in portion}
            for number, each in came_of.items():
                came[number] = each

    def _set(self, pair: tuple[StoreKey, object]) -> Literal[True] | Raised:
        done = _attempt(self._connection.over().set, *pair)
        return done if isinstance(done, Raised) else True


def _is_none(value: object) -> bool:
    return value is NOT_SET or isinstance(value, Raised)


def _attempt(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | Raised:
    try:
        return call(*args, **kwargs)
    except Exception as error:  # noqa: BLE001  # handed to who has asked
        return Raised(error)

"""Values by the text of their key: what stands between the face of a dict and a store of bytes: `Values`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, NamedTuple, ParamSpec, TypeVar, cast

from diskdict import keys
from diskdict.codecs import Codec, as_found, resolve
from diskdict.errors import CorruptValueError
from diskdict.face import Missing
from diskdict.limits import Limits
from diskdict.store import ABSENT, NEVER, NOT_SET, OnlyIf, Record, Store, Ttl, expiry
from diskdict.writeback import Writeback

V = TypeVar("V")
P = ParamSpec("P")
R = TypeVar("R")


class Current(NamedTuple, Generic[V]):
    """A value as it is now (NOT_SET: none), what stays when it is replaced, and the condition for that."""

    value: V | Missing
    payload: bytes
    expires: float
    meta: str | None
    version: OnlyIf


def ask(question: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Ask the store; have damage speak of the key rather than of its text."""
    try:
        return question(*args, **kwargs)
    except CorruptValueError as error:
        raise CorruptValueError(keys.decode(str(error.key)), error.path, error.detail) from None


def _within(limits: Limits | None, dumps: Callable[[V], bytes]) -> Callable[[V], bytes]:
    """Return what gives the payload of a value to write, or refuses it by the limits."""
    if limits is None:
        return dumps

    def encoded(value: V) -> bytes:
        payload = dumps(value)
        limits.check_value(value, payload)
        return payload

    return encoded


class Values(Generic[V]):
    """Encodes and decodes, holds the limits of keys and values, and knows what `writeback` has handed out.

    Parameters
    ----------
    store: Store
        Where the records live.
    codec, default_ttl, limits, writeback:
        As in `diskdict.core.StoreDict`.
    """

    def __init__(
        self, store: Store, *, codec: str | Codec, default_ttl: Ttl, limits: Limits | None, writeback: bool
    ) -> None:
        resolved = as_found(resolve(codec), store.codec)
        expiry(None, default_ttl, 0.0)
        self.store = store
        self.dumps: Callable[[V], bytes] = resolved.dumps
        self.loads = cast(Callable[[bytes], V], resolved.loads)
        self._default_ttl = default_ttl
        self._limits = limits
        self.encoded = _within(limits, self.dumps)
        self.held = Writeback(store, self.encoded, self.loads) if writeback else None

    @property
    def simple(self) -> bool:
        """Whether a plain key and its value can go straight through codec and store."""
        return self._default_ttl is None and self._limits is None and self.held is None

    def expires(self, ttl: Ttl) -> float:
        """Return when something stored now expires."""
        if ttl is None and self._default_ttl is None:
            return NEVER
        return expiry(ttl, self._default_ttl, self.store.clock())

    def key(self, key: object) -> tuple[str, str | None]:
        """Return the text of a key to write, and its spelling if it has one of its own."""
        text = keys.encode(key)
        if self._limits is not None:
            self._limits.check_key(key, text)
        return text, None if text is key else keys.spelling(key, text)

    def decoded(self, text: str, record: Record) -> V | Missing:
        """Return the value of a record, or NOT_SET where the store wants a damaged one to be missing."""
        if self.held is None:
            return self._decoded(text, record.payload)
        try:
            return self.held.give(text, record)
        except ValueError as error:
            self.reject(text, record.payload, error)
            return NOT_SET

    def reject(self, text: str, payload: bytes, error: ValueError) -> None:
        """Tell the store that a payload cannot be decoded. Raises, or returns where that means missing."""
        ask(self.store.reject, text, payload, str(error))

    def find(self, text: str) -> V | Missing:
        """Return the value of a key."""
        if self.held is None:
            payload = ask(self.store.read, text)
            return NOT_SET if payload is None else self._decoded(text, payload)
        value = self.held.find(text)
        if value is not NOT_SET:
            return value
        record = ask(self.store.get, text)
        return NOT_SET if record is None else self.decoded(text, record)

    def _decoded(self, text: str, payload: bytes) -> V | Missing:
        try:
            return self.loads(payload)
        except ValueError as error:
            self.reject(text, payload, error)
            return NOT_SET

    def current(self, text: str) -> Current[V]:
        """Return the value of a key for an operation that may replace it."""
        self.settle(text)
        record = ask(self.store.get, text)
        if record is None:
            # A damaged record that is to be missing stands in the way of ABSENT: replace just this one. Its version is
            # asked for first, so that a healthy one written meanwhile has another.
            stat = self.store.stat(text)
            record = None if stat is None else ask(self.store.get, text)
            if record is None:
                return self._missing(ABSENT if stat is None else stat.version)
        value = self.decoded(text, record)
        if value is NOT_SET:
            return self._missing(record.version)
        return Current(value, record.payload, record.expires, record.meta, record.version)

    def _missing(self, version: OnlyIf) -> Current[V]:
        return Current(NOT_SET, b"", self.expires(None), None, version)

    def put(self, text: str, value: V, payload: bytes, current: Current[V], *, spelling: str | None = None) -> bool:
        """Write a value where `current` still holds; say whether it did."""
        version = self.store.put(
            text,
            payload,
            expires=current.expires,
            meta=current.meta,
            spelling=spelling,
            only_if=current.version,
        )
        if version is not None and self.held is not None:
            self.held.remember(text, value, payload, version)
        return version is not None

    def take(self, text: str) -> V | Missing:
        """Remove a key and return the value that was removed."""
        while True:
            current = self.current(text)
            if current.value is NOT_SET:
                return NOT_SET
            if self.store.delete(text, only_if=cast(int, current.version)):
                self.forget(text)
                return current.value

    def settle(self, text: str) -> None:
        """Have the store hold what was handed out for a key as it is by now."""
        if self.held is not None:
            ask(self.held.save, text)

    def settle_all(self) -> None:
        """Have the store hold everything handed out as it is by now."""
        if self.held is not None:
            ask(self.held.save_all)

    def forget(self, text: str) -> None:
        """Let go of what was handed out for a key."""
        if self.held is not None:
            self.held.forget(text)

    def forget_all(self) -> None:
        """Let go of everything handed out."""
        if self.held is not None:
            self.held.forget_all()

"""Values handed out that may change in place, and how they get back into the store: `Writeback`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, Literal, TypeVar

from diskdict.keys import decode
from diskdict.store import NOT_SET, Mark, Record, Store

V = TypeVar("V")

CONSTANT: Final = frozenset({str, bytes, int, float, bool, type(None)})


class _Held(Generic[V]):
    """A value handed out, and the payload and version that it was when it was last equal to the store's."""

    __slots__ = ("payload", "value", "version")

    def __init__(self, value: V, payload: bytes, version: int) -> None:
        self.value = value
        self.payload = payload
        self.version = version


def same(old: bytes, new: bytes, dumps: Callable[[V], bytes], loads: Callable[[bytes], V]) -> bool:
    """Say whether two payloads are one value; the old one may be spelled in another way, by hand for example."""
    return old == new or dumps(loads(old)) == new


class Writeback(Generic[V]):
    """Remembers the values that were handed out, and writes those back that changed since.

    Parameters
    ----------
    store: Store
        Where the values live.
    dumps, loads: callable
        Value to payload, with its limits checked, and payload to value.

    Notes
    -----
    A value belongs to its key as long as the store has the payload that it was: one that somebody else overwrote,
    deleted or let expire is forgotten, not written over.
    """

    def __init__(self, store: Store, dumps: Callable[[V], bytes], loads: Callable[[bytes], V]) -> None:
        self._store = store
        self._dumps = dumps
        self._loads = loads
        self._held: dict[str, _Held[V]] = {}

    def find(self, text: str) -> V | Literal[Mark.NOT_SET]:
        """Return the value handed out for a key, if the store has not changed it since."""
        held = self._held.get(text)
        if held is None:
            return NOT_SET
        stat = self._store.stat(text)
        if stat is None:
            self.forget(text)
        return held.value if stat is not None and stat.version == held.version else NOT_SET

    def give(self, text: str, record: Record) -> V:
        """Return the value of a record: the one handed out before, where it is still that, or else a new one."""
        held = self._held.get(text)
        if held is not None and held.payload == record.payload:
            held.version = record.version
            return held.value
        value = self._loads(record.payload)
        self.remember(text, value, record.payload, record.version)
        return value

    def remember(self, text: str, value: V, payload: bytes, version: int) -> None:
        """Hold a value that is in the store as `payload`, unless it is of a kind that cannot change."""
        if type(value) in CONSTANT:
            self.forget(text)
        else:
            self._held[text] = _Held(value, payload, version)

    def forget(self, text: str) -> None:
        """Let go of a key's value."""
        self._held.pop(text, None)

    def forget_all(self) -> None:
        """Let go of all values."""
        self._held.clear()

    def move(self, source: str, target: str) -> None:
        """Hold for `target` what was held for `source`."""
        held = self._held.pop(source, None)
        if held is not None:
            self._held[target] = held

    def save(self, text: str) -> None:
        """Write a key's value back if it changed; its time-to-live and metadata stay."""
        held = self._held.get(text)
        if held is None:
            return
        payload = self._dumps(held.value)
        if same(held.payload, payload, self._dumps, self._loads):
            return
        while not self._put(text, held, payload):
            pass

    def _put(self, text: str, held: _Held[V], payload: bytes) -> bool:
        record = self._store.get(text)
        if record is None or record.payload != held.payload:
            self.forget(text)
            return True
        version = self._store.put(text, payload, expires=record.expires, meta=record.meta, only_if=record.version)
        if version is None:
            return False
        held.payload, held.version = payload, version
        return True

    def save_all(self) -> None:
        """Write everything back that changed. One value that cannot be written does not keep the others from it."""
        errors: list[Exception] = []
        for text in list(self._held):
            try:
                self.save(text)
            except Exception as error:  # noqa: BLE001  # raised below, when the others are safe
                error.add_note(f"while the value of {decode(text)!r} was written back")
                errors.append(error)
        if errors:
            raise errors[0]

"""Values as a `KVStore` keeps them: the codec ``"json"``, and what a subclass makes of some of them: `Overridable`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from diskdict.codecs import ESCAPE, JSON, Codec

CUSTOM: Final = "custom"
"""The ``value_type`` of what a subclass has made itself."""
_MARK: Final = ESCAPE + b"c"  # no payload of the codec "json" begins so
_TYPES: Final = {
    ord('"'): "str",
    ord("["): "list",
    ord("{"): "dict",
    ord("t"): "bool",
    ord("f"): "bool",
    ord("n"): "None",
}
_own: Final = threading.local()


def value_type(payload: bytes) -> str:
    """Return the name of the type of a payload's value, ``"custom"`` for what a subclass has made."""
    if payload.startswith(_MARK):
        return CUSTOM
    first = payload[0] if payload else 0
    if first in b"-0123456789":
        return "float" if any(mark in payload for mark in b".eE") else "int"
    if payload.startswith(b'{"$'):
        return type(JSON.loads(payload)).__name__
    return _TYPES.get(first, "bytes")


def serialize(value: object) -> bytes:
    """Return the bytes of a value by the codec ``"json"``."""
    _own.called = True
    return JSON.dumps(value)


def deserialize(data: bytes) -> object:
    """Return the value of what `serialize` has made."""
    return JSON.loads(data)


class Overridable:
    """The codec ``"json"`` but for values that a subclass's ``serialize`` makes bytes of by itself.

    Parameters
    ----------
    serialize, deserialize: callable
        The methods of the subclass. Bytes that the first has made without the one it overrides are marked, and the
        second is told so.
    """

    name: Final = "json+own"

    def __init__(self, serialize: Callable[[object], bytes], deserialize: Callable[[bytes, str], object]) -> None:
        self._serialize = serialize
        self._deserialize = deserialize

    def dumps(self, value: object) -> bytes:
        """Return the bytes of a value."""
        _own.called = False
        data = self._serialize(value)
        if not isinstance(data, bytes):
            raise TypeError(f"serialize() returns bytes, not {data!r}")
        return data if _own.called else _MARK + data

    def loads(self, payload: bytes) -> object:
        """Return the value of a payload."""
        kind = value_type(payload)
        return self._deserialize(payload[len(_MARK) :] if kind == CUSTOM else payload, kind)


def codec_of(codec: str | Codec | None, overridden: Codec | None) -> str | Codec:
    """Return the codec of a store: the one that was asked for, else what a subclass says, else ``"json"``."""
    if codec is not None and overridden is not None:
        raise ValueError("give codec=, or override serialize() and deserialize(), not both")
    return overridden or codec or "json"

"""Values and their bytes: the `Codec` protocol, and the codecs ``"json"``, ``"raw"`` and ``"pickle"``.

``"json"`` gives back what it was given, equal and of the same exact type at every depth, or refuses to write it. Plain
JSON goes through ujson; what is beyond it is tagged, see `diskdict.tags`. Bytes lie in the file as they are, unless
their first byte could begin JSON: then one escape byte (0x1b) goes in front. The first byte alone decides on reading.

A name with ``+gzip`` or ``+zstd`` behind it, as ``"json+gzip"``, is that codec with its payloads compressed.
"""

from __future__ import annotations

import re
import reprlib
import sys
from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import ujson

from diskdict import tags
from diskdict.compression import NAMES, Compression, compression_of, fits, split
from diskdict.errors import FormatError, InvalidValueError

MAX_DEPTH = 500
"""Levels to which plain JSON nests. ujson reads 1,023, but comparing and printing such values exhausts the stack."""

ESCAPE = b"\x1b"
OPENS_JSON = frozenset(b'{["-0123456789tfn \t\n\r')
_ESCAPED_FIRST = OPENS_JSON | {0x00, 0x1B}
_TAG = re.compile(rb'\{\s*"\$')

_ATOMS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_CONTAINERS: frozenset[type] = frozenset({dict, list})

_DEFAULT_DIGITS = 4300

# By position, a third faster for small values than by name: ensure_ascii, encode_html_chars, escape_forward_slashes,
# sort_keys, indent, allow_nan.
_OPTIONS = (False, False, False, False, False, False)


class Codec(Protocol):
    """What turns values into bytes and back. Never gives empty bytes."""

    @property
    def name(self) -> str:
        """The name that the store's folder remembers."""

    def dumps(self, value: object) -> bytes:
        """Return the bytes of `value`, or raise InvalidValueError."""

    def loads(self, payload: bytes) -> object:
        """Return the value of `payload`, or raise ValueError."""


class JsonCodec:
    """Readable files: JSON, and bytes as they are. Refuses what would not come back the same."""

    name: Final = "json"

    def dumps(self, value: object) -> bytes:
        """Return the bytes of `value`, or raise InvalidValueError naming what in it cannot be written."""
        if type(value) is bytes:
            return ESCAPE + value if not value or value[0] in _ESCAPED_FIRST else value
        try:
            if _is_plain(value):
                text = ujson.dumps(value, *_OPTIONS)
                if ("$" not in text or '{"$' not in text) and (len(text) <= _DEFAULT_DIGITS or _has_default_digits()):
                    return text.encode()
        except (OverflowError, ValueError, RecursionError):
            # Infinity, NaN, lone surrogates, very long ints; or too little stack to say.
            pass
        return _dumps_tagged(value)

    def loads(self, payload: bytes) -> object:
        """Return the value of `payload`, or raise ValueError."""
        if not payload:
            raise ValueError("an empty file is not a value")
        if payload[0] not in OPENS_JSON:
            return _loads_bytes(payload)
        try:
            value: object = ujson.loads(payload)
        except ValueError as exc:
            _tell_lack_of_memory(exc)
            raise
        if payload[0] == 0x2D and payload.strip() == b"-":
            raise ValueError("a lone minus sign is not a value")
        # One byte is looked for much faster than two.
        return _untag(value) if b"$" in payload and _TAG.search(payload) else value


class RawCodec:
    """Bytes only, and nothing around them. Empty bytes, and bytes that begin with 0x1b, have one 0x1b in front."""

    name: Final = "raw"

    def dumps(self, value: object) -> bytes:
        """Return `value`, which must be bytes."""
        if type(value) is not bytes:
            raise InvalidValueError(
                f'codec "raw" takes bytes, not {type(value).__qualname__}; codec="json" or codec="pickle" take more'
            )
        return ESCAPE + value if not value or value[0] == 0x1B else value

    def loads(self, payload: bytes) -> bytes:
        """Return the bytes that were given, or raise ValueError."""
        if not payload:
            raise ValueError("an empty file is not a value")
        return payload[1:] if payload[0] == 0x1B else payload


class PickleCodec:
    """Any value that pickle takes. Reading runs code that the file names: only for folders that nobody else writes."""

    name: Final = "pickle"

    def dumps(self, value: object) -> bytes:
        """Return the pickle of `value`, or raise InvalidValueError."""
        import pickle  # this and its like cost more to load than all of this package

        try:
            return pickle.dumps(value, protocol=5)
        except MemoryError:
            raise
        except Exception as exc:  # classes write their own pickling, which raises anything
            raise InvalidValueError(f"{type(value).__qualname__} cannot be pickled: {exc}") from exc

    def loads(self, payload: bytes) -> object:
        """Return the value of `payload`, or raise ValueError. May run code.

        ImportError or AttributeError, where a class that the value needs cannot be found.
        """
        import pickle

        try:
            return pickle.loads(payload)  # noqa: S301 - the caller chose it by name
        except (MemoryError, ImportError, AttributeError):
            # What the value needs is not here; that says nothing against the file.
            raise
        except Exception as exc:  # damaged pickles and the classes in them raise anything
            raise ValueError(f"not a pickle that can be read here: {type(exc).__name__}: {exc}") from exc


class Compressed:
    """Another codec, with its payloads compressed, each by itself.

    Parameters
    ----------
    codec: Codec
        Makes the payloads.
    compression: Compression
        Makes them smaller.
    """

    def __init__(self, codec: Codec, compression: Compression) -> None:
        self.codec = codec
        self.compression = compression
        self.name = f"{codec.name}+{compression.name}"

    def dumps(self, value: object) -> bytes:
        """Return the compressed bytes of `value`, or raise InvalidValueError."""
        return self.compression.compress(self.codec.dumps(value))

    def loads(self, payload: bytes) -> object:
        """Return the value of `payload`, or raise ValueError."""
        return self.codec.loads(self.compression.expand(payload))


JSON: Final = JsonCodec()
RAW: Final = RawCodec()
PICKLE: Final = PickleCodec()

_CODECS: dict[str, Codec] = {codec.name: codec for codec in (JSON, RAW, PICKLE)}
_BEHIND: Final = " or ".join(f"+{name}" for name in NAMES)


def resolve(codec: str | Codec) -> Codec:
    """Return the codec of a name, or the codec itself."""
    if isinstance(codec, str):
        base, compression = split(codec)
        if base not in _CODECS:
            raise ValueError(f"unknown codec {codec!r}; the codecs are {', '.join(_CODECS)}, each with {_BEHIND}, too")
        return compressed(_CODECS[base], compression)
    named = isinstance(getattr(codec, "name", None), str)
    if named and codec is not _CODECS.get(codec.name, codec):
        raise ValueError(f"the name {codec.name!r} is that of a codec of diskdict; give yours another")
    if isinstance(codec, type) or not (
        named and callable(getattr(codec, "dumps", None)) and callable(getattr(codec, "loads", None))
    ):
        raise TypeError(f"a codec is a name, or an object with name, dumps and loads, not {codec!r}")
    if split(codec.name)[1] is not None and not isinstance(codec, Compressed):
        raise ValueError(f"the name {codec.name!r} is that of a codec compressed by diskdict; give yours another")
    return codec


def compressed(codec: Codec, compression: str | None) -> Codec:
    """Return `codec` with a compression, which may be the one it has; ValueError where it has another."""
    has = split(codec.name)[1]
    if compression is None or compression == has:
        return codec
    if has is not None:
        raise ValueError(f"the codec {codec.name!r} is compressed already, not by {compression!r}")
    return Compressed(codec, compression_of(compression))


def as_found(codec: Codec, found: str | None) -> Codec:
    """Return `codec` with the compression that a store was found with, whose codec is `found`, None if it has none.

    FormatError where the store was written by another codec.
    """
    if found is None:
        return codec
    if not fits(found, codec.name):
        raise FormatError(f"the store was made with codec {found!r}, not {codec.name!r}, and keeps it")
    return compressed(codec, split(found)[1])


def _is_plain(value: object, levels: int = MAX_DEPTH) -> bool:
    """Return whether ujson gives `value` back as it was, as far as types tell."""
    parts: Iterable[object]
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return False
        parts = value.values()
    elif type(value) is list:
        parts = value
    else:
        return type(value) in _ATOMS
    for part in parts:
        kind = type(part)
        if kind not in _ATOMS and (kind not in _CONTAINERS or levels == 1 or not _is_plain(part, levels - 1)):
            return False
    return True


def _has_default_digits() -> bool:
    # With another limit ujson writes ints that other processes cannot read; tagged ones they can.
    return sys.get_int_max_str_digits() == _DEFAULT_DIGITS


def _dumps_tagged(value: object) -> bytes:
    try:
        return ujson.dumps(tags.tag(value), *_OPTIONS).encode()
    except tags.UnwritableError as exc:
        raise InvalidValueError(_refusal(value, exc)) from None
    except (RecursionError, OverflowError, ValueError) as exc:
        _tell_lack_of_memory(exc)
        raise InvalidValueError(f'this value cannot be written as JSON ({exc}); codec="pickle" may take it') from exc


def _tell_lack_of_memory(exc: Exception) -> None:
    # It says nothing against the value, which is not to be taken for damaged or refused.
    if str(exc).startswith("Could not reserve memory"):
        raise MemoryError(str(exc)) from exc


def _refusal(value: object, exc: tags.UnwritableError) -> str:
    try:
        where = f"value{_place(value, exc.culprit)}"
    except (RecursionError, ValueError):  # too deep to find it again; an int too long to print
        where = "a part of the value"
    return f'{where} of type {type(exc.culprit).__qualname__} {exc.reason}; codec="pickle" may take it'


def _place(value: object, culprit: object) -> str | None:
    """Return where in `value` the `culprit` is, like ``['a'][3]``."""
    if value is culprit:
        return ""
    for step, part in _parts(value):
        below = _place(part, culprit)
        if below is not None:
            return step + below
    return None


def _parts(value: object) -> Iterator[tuple[str, object]]:
    if type(value) is dict:
        for key, part in value.items():
            yield f".key({reprlib.repr(key)})", key
            yield f"[{reprlib.repr(key)}]", part
    elif type(value) is list or type(value) is tuple:
        yield from ((f"[{number}]", part) for number, part in enumerate(value))
    elif type(value) is set or type(value) is frozenset:
        yield from ((".member", part) for part in value)


def _loads_bytes(payload: bytes) -> bytes:
    if payload[0] == 0x00:
        raise ValueError("a file that begins with a NUL byte is not a value")
    return payload[1:] if payload[0] == 0x1B else payload


def _untag(value: object) -> object:
    try:
        return tags.untag(value)
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as exc:
        raise ValueError(f"a damaged tag: {exc or type(exc).__name__}") from exc

"""Keys as names of objects: a pure pair, `name_of` and `key_of`."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from urllib.parse import quote, unquote_to_bytes

FOLDER: Final = "data"
LONG: Final = "long"
"""Where the objects are whose keys are too long to be a name; their last line has the key."""

_LONGEST: Final = 700
"""Bytes of a name; services take 1,024 with what stands before it."""
_EMPTY: Final = "%"
_DOTS: Final = {".": "%2E", "..": "%2E%2E"}
"""What no service, or no client, takes as the last segment of a path."""
_LAST: Final = "~~~~"
"""Comes after all that begins alike."""


def _quoted(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def name_of(key: str) -> str:
    """Return the name of the object of a key."""
    name = _quoted(key)
    if len(name) > _LONGEST:
        return f"{LONG}/{sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"{FOLDER}/{_DOTS.get(name, name) or _EMPTY}"


def key_of(name: str) -> str:
    """Return the key whose object has this name, one in `FOLDER`."""
    text = name.removeprefix(f"{FOLDER}/")
    return "" if text == _EMPTY else unquote_to_bytes(text).decode("utf-8", "surrogatepass")


def begins(prefix: str) -> str:
    """Return how the names of all keys with this prefix begin, but for long ones."""
    beginning = _quoted(prefix)[:_LONGEST]
    return f"{FOLDER}/{'' if beginning in _DOTS else beginning}"


def before(beginning: str) -> str | None:
    """Return a name that comes before all that begin so, and after nearly all others that do; None before all."""
    folder, _, text = beginning.partition("/")
    if not text:
        return None
    previous = chr(ord(text[-1]) - 1).replace("/", ".")
    return f"{folder}/{text[:-1]}{previous}{_LAST}"

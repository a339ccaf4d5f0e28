"""Keys and metadata as a table of PostgreSQL holds them: pure, and without loss.

A column of type ``text`` cannot hold NUL or surrogates, and an index no text of any length. So a key stands there with
``\\0`` for NUL, ``\\dXXX`` for a surrogate and ``\\\\`` for a backslash, all else as it is; where that is longer than
600 characters, the first 600 and a digest stand in the index, and the whole in a column beside it. What begins with a
prefix does so in this form too, and lies together in the order of code points.
"""

from __future__ import annotations

import json
import math
import re
from hashlib import sha256
from typing import Final

_LONGEST: Final = 600
_DIGEST: Final = "\\#"
"""What no escape begins with."""
_BEHIND: Final = "\U0010ffff" * 700
"""Behind a text it comes after all that begins with that text and stands in the index."""
_SEARCHED: Final = 1 << 20

_SPECIAL: Final = re.compile("[\\\\\0\ud800-\udfff]")
_ESCAPE: Final = re.compile(r"\\(\\|0|d[0-9a-f]{3})")
_UNKNOWN_TO_JSONB: Final = re.compile("[\0\ud800-\udfff]")
_SHORT: Final = {"\\": "\\\\", "\0": "\\0"}
_MEANT: Final = {"\\": "\\", "0": "\0"}


def escaped(text: str) -> str:
    """Return any str as one that a column can hold."""
    return _SPECIAL.sub(_escape, text) if _SPECIAL.search(text) else text


def unescaped(text: str) -> str:
    """Return what `escaped` was given."""
    return _ESCAPE.sub(_mean, text) if "\\" in text else text


def _escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0]) or f"\\{ord(found[0]):04x}"


def _mean(found: re.Match[str]) -> str:
    return _MEANT.get(found[1]) or chr(int(found[1], 16))


def indexed(key: str) -> tuple[str, str | None]:
    """Return what stands for a key in the index, and the whole of it where that is another."""
    text = escaped(key)
    if len(text) <= _LONGEST:
        return text, None
    return text[:_LONGEST] + _DIGEST + sha256(text.encode()).hexdigest(), text


def bounds(prefix: str) -> dict[str, object]:
    """Return between which texts of the index the keys with a prefix are, and what those that are long begin with."""
    text = escaped(prefix)
    first = text[:_LONGEST]
    return {"first": first, "last": first + _BEHIND, "prefix": text}


def searchable(meta: str | None) -> str | None:
    """Return the text of metadata for a column of type ``jsonb``, None for what is none or longer than 1 MiB.

    What ``jsonb`` does not know is something near it there: U+FFFD for NUL and surrogates, a str for a number beyond
    all bounds. It is there to be searched; what is given back is the text as it was.
    """
    if meta is None or len(meta) > _SEARCHED:
        return None
    try:
        found: object = json.loads(meta, parse_constant=str, parse_float=_finite)
        return _UNKNOWN_TO_JSONB.sub("\ufffd", json.dumps(_without_nul(found), ensure_ascii=False))
    except (ValueError, RecursionError):
        return None


def _finite(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _without_nul(found: object) -> object:
    # json writes NUL as an escape: it has to go before, surrogates can go after.
    if isinstance(found, str):
        return found.replace("\0", "\ufffd")
    if isinstance(found, list):
        return [_without_nul(each) for each in found]
    if isinstance(found, dict):
        return {name.replace("\0", "\ufffd"): _without_nul(each) for name, each in found.items()}
    return found

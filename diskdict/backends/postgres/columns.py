"""Keys and metadata as a table of PostgreSQL holds them: pure, and without loss.

A column of type ``text`` cannot hold NUL or surrogates, and an index no text of any length. So a key stands there as
`diskdict.escapes` has it; where that is longer than 600 characters, the first 600 and a digest stand in the index, and
the whole in a column beside it. What begins with a prefix does so in this form too, and lies together in the order of
code points.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256
from typing import Final, cast

from diskdict.criteria import Criteria
from diskdict.escapes import escaped
from diskdict.info import unpack

_LONGEST: Final = 600
_DIGEST: Final = "\\#"
"""What no escape begins with."""
_BEHIND: Final = "\U0010ffff" * 700
"""Behind a text it comes after all that begins with that text and stands in the index."""
_SEARCHED: Final = 1 << 20
_EXACT: Final = 1 << 53
UNSEARCHABLE: Final = '{"$": "?"}'
"""What stands for metadata that has to be read to be searched."""
_UNREAD: Final = '$."$"[*] == "?"'

_UNKNOWN_TO_JSONB: Final = re.compile("[\0\ud800-\udfff]")
_MEANS_MORE: Final = re.compile(r"[\\%_]")


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


def like(pieces: Sequence[str]) -> str:
    """Return the pattern of LIKE for texts that are `pieces` with anything between them."""
    return "%".join(_MEANS_MORE.sub(r"\\\g<0>", escaped(piece)) for piece in pieces)


def searchable(meta: str | None) -> str | None:
    """Return metadata for a column of type ``jsonb``: to be searched, while what is given back is the text as it was.

    Tuples and sets are lists there, a Decimal a number. What ``jsonb`` does not know is something near it: U+FFFD for
    NUL and surrogates, a str for a number beyond all bounds. What is longer than 1 MiB, or cannot be told apart there,
    is `UNSEARCHABLE`, which `search` finds whatever it looks for.
    """
    if not meta or len(meta) > _SEARCHED:
        return UNSEARCHABLE if meta else None
    try:
        fields = unpack(meta)
        found = cast(dict[str, object], _near(fields))
        return json.dumps(found, ensure_ascii=False) if len(found) == len(fields) else UNSEARCHABLE
    except (ValueError, RecursionError):
        return UNSEARCHABLE


def search(criteria: Criteria) -> str | None:
    """Return the path by which all rows are found whose metadata fits, and others; None where there is none.

    A field that is asked for by what is no str, bool, None or number, or by one that a float does not hold exactly, is
    not looked at.
    """
    asked = [(json.dumps(_text(name), ensure_ascii=False), _terms(wanted)) for name, wanted in criteria.items()]
    each = [" || ".join(f"$.{name}[*] == {term}" for term in terms) for name, terms in asked if terms]
    return f"({') && ('.join(each)}) || {_UNREAD}" if each else None


def _terms(wanted: object) -> list[str]:
    if type(wanted) is str or wanted is None:
        return [json.dumps(_near(wanted), ensure_ascii=False)]
    if type(wanted) not in (bool, int, float) or not abs(cast(float, wanted)) < _EXACT:
        return []
    number = cast(float, wanted)
    # 1 is True, and the other way round.
    also = [json.dumps(bool(number))] if number in (0, 1) else []
    return [json.dumps(number + 0), *also]


def _near(found: object) -> object:
    if isinstance(found, str):
        return _text(found)
    if isinstance(found, (list, tuple, set, frozenset)):
        return [_near(each) for each in found]
    if isinstance(found, dict):
        return {_text(str(name)): _near(each) for name, each in found.items()}
    if isinstance(found, (float, Decimal)):
        number = float(found)
        return number if math.isfinite(number) else str(number)
    return found if found is None or isinstance(found, int) else str(found)


def _text(found: str) -> str:
    return _UNKNOWN_TO_JSONB.sub("\ufffd", found)

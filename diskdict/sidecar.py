"""Sidecars: the attributes of a value in a small JSON file beside it, where its own file cannot carry them.

Two files cannot be renamed in one step, so a sidecar holds up to two entries, the new and the old, each bound to its
value by length and checksum. It is written before the value: whichever value a kill leaves, its own entry is there.
"""

from __future__ import annotations

from collections.abc import Iterable

import ujson

from diskdict.attributes import FORMAT, LIMIT, Attributes
from diskdict.store import NEVER


def encode(entries: Iterable[Attributes]) -> bytes:
    """Return the content of a sidecar that holds `entries`, the newest first."""
    document = {"format": FORMAT, "entries": [_as_json(entry) for entry in entries]}
    return ujson.dumps(document).encode() + b"\n"


def decode(content: bytes) -> list[Attributes]:
    """Return the entries of a sidecar; one that is damaged or of another format has none."""
    try:
        document = ujson.loads(content)
        if document["format"] != FORMAT:
            return []
        return [_from_json(entry) for entry in document["entries"]]
    except (ValueError, TypeError, KeyError, OverflowError):
        return []


def pick(entries: list[Attributes], payload: bytes) -> Attributes | None:
    """Return the entry that was written with `payload`."""
    return next((entry for entry in entries if entry.fit(payload)), None)


def _as_json(entry: Attributes) -> dict[str, object]:
    fields = entry._asdict()
    if entry.expires == NEVER:
        del fields["expires"]
    return {name: value for name, value in fields.items() if value is not None}


def _from_json(fields: dict[str, object]) -> Attributes:
    return Attributes(
        order=_number(fields, "order", 2 * LIMIT),  # from LIMIT: of a value that had lost its attributes
        created=_time(fields, "created"),
        expires=_time(fields, "expires") if "expires" in fields else NEVER,
        version=_number(fields, "version", LIMIT),
        length=_number(fields, "length", LIMIT),
        checksum=_number(fields, "checksum", 1 << 32),
        meta=_text(fields, "meta"),
        spelling=_text(fields, "spelling"),
    )


def _number(fields: dict[str, object], name: str, limit: int) -> int:
    value = fields[name]
    if type(value) is int and 0 <= value < limit:
        return value
    raise ValueError(f"{name} is no such number")


def _time(fields: dict[str, object], name: str) -> float:
    value = fields[name]
    if isinstance(value, (int, float)) and value == value:
        return float(value)
    raise ValueError(f"{name} is no time")


def _text(fields: dict[str, object], name: str) -> str | None:
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise ValueError(f"{name} is no text")

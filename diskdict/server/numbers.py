"""Numbers in the fields and in the query of a request. What is wrong in them is a 400."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from diskdict.server.problems import bad_request
from diskdict.store import seconds

FARTHEST: Final = 2**53
"""The largest number that all clients read as it is."""


def whole_in(fields: Mapping[str, object], name: str, least: int, most: int, *, default: int | None = None) -> int:
    """Return a field that is a whole number."""
    given = fields.get(name, default)
    if isinstance(given, float) and given.is_integer():  # 1.0 is an integer in JSON
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise bad_request(f"{name} is a whole number from {least} to {most}")
    return given


def seconds_in(fields: Mapping[str, object], name: str, most: float, *, default: float | None = None) -> float:
    """Return a field that is seconds."""
    given = fields.get(name, default)
    try:
        found = seconds(given)  # type: ignore[arg-type]  # it says no to what is no number
    except ValueError:
        found = most + 1
    if found > most:
        raise bad_request(f"{name} is a number of seconds from 0 to {most:,}")
    return found


def number_in(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """Return a parameter that is a whole number from 0."""
    given = query.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 20 and int(given) <= most):
        raise bad_request(f"{name} is a number from 0 to {most}")
    return int(given)

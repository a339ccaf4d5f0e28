"""What ``increment`` and ``append`` make of a value; NOT_SET where there is none."""

from __future__ import annotations

from operator import add

from diskdict.store import NOT_SET


def total(value: object, delta: float) -> float:
    """Return the sum of a number, or of none, and another."""
    return _number(0 if value is NOT_SET else value) + _number(delta)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"increment adds int or float, not {value!r}")
    return value


def joined(value: object, tail: str | bytes | list[object]) -> object:
    """Return a str, bytes or list, or none, with another at its end."""
    if type(tail) not in (str, bytes, list):
        raise TypeError(f"append joins str, bytes or list, not {tail!r}")
    if value is NOT_SET:
        return tail[:]
    if type(value) is not type(tail):
        raise TypeError(f"append joins two of a kind; the value is {type(value).__name__}, the tail {tail!r}")
    return add(value, tail)

"""Values beyond JSON as visible tags: a JSON object with one key that begins with ``$``. A closed set, nothing runs.

::

    (1, 2)     {"$tuple":[1,2]}           {1, 2}          {"$set":[1,2]}       frozenset()     {"$frozenset":[]}
    b"ab"      {"$bytes":"YWI="}          {1: "x"}        {"$dict":[[1,"x"]]}  inf, -inf, nan  {"$float":"inf"}
    date       {"$date":"2024-02-29"}     datetime, time  {"$time":"12:30:00"}
    timedelta  {"$timedelta":[days,s,µs]} Decimal         {"$decimal":"1.50"}  UUID            {"$uuid":"…"}
    10**4300   {"$int":"0x…"}             "\\ud800"        {"$str":"\\\\ud800"}

A dict that could be taken for a tag, having one key that begins with ``$``, is written as ``$dict`` too. A time or
datetime whose fold is 1, or whose timezone has a name of its own, is written as a list: text, fold, name.
"""

from __future__ import annotations

import binascii
import math
import sys
from collections.abc import Callable, Collection
from datetime import date, datetime, time, timedelta, timezone
from typing import TypeVar

MAX_DEPTH = 128
"""Levels to which tagged values nest: three frames a level leave most of the interpreter's stack to the caller."""

Value = object
_T = TypeVar("_T")

_MAX_DECIMAL = 10**4300
_ESCAPES = frozenset("\\nrtxuU")


class UnwritableError(Exception):
    """``culprit`` is the part of the value that cannot be written, ``reason`` says why."""

    def __init__(self, culprit: object, reason: str) -> None:
        super().__init__(culprit, reason)
        self.culprit = culprit
        self.reason = reason


def tag(value: Value, depth: int = 0) -> Value:
    """Return `value` as plain JSON with tags, or raise UnwritableError, or RecursionError where it nests too deep."""
    writer = _LEAVES.get(type(value))
    if writer is not None:
        return writer(value)
    if depth == MAX_DEPTH:
        raise RecursionError(f"nested deeper than {MAX_DEPTH} levels, or containing itself")
    return _CONTAINERS.get(type(value), _write_late)(value, depth + 1)


def untag(value: Value) -> Value:
    """Return the value that `tag` made `value` of; a ValueError, TypeError or ArithmeticError where it did not."""
    if type(value) is list:
        return [untag(part) for part in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        [(name, content)] = value.items()
        reader = _READERS.get(name)
        if reader is not None:
            return reader(content)
    return {key: untag(part) for key, part in value.items()}


# Writing: a function for each exact type, so that a subclass finds none.


def _write_str(value: str) -> Value:
    return value if _is_unicode(value) else {"$str": value.encode("unicode_escape").decode()}


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _write_int(value: int) -> Value:
    return value if -_MAX_DECIMAL < value < _MAX_DECIMAL else {"$int": hex(value)}


def _write_float(value: float) -> Value:
    return value if math.isfinite(value) else {"$float": repr(value)}


def _with_fold(value: datetime | time) -> Value:
    zone = value.tzinfo
    if zone is not None and type(zone) is not timezone:
        reason = f"has a timezone of type {type(zone).__qualname__}, which would come back as a fixed offset"
        raise UnwritableError(value, reason)
    if zone is not None and timedelta() < abs(zone.utcoffset(None)) < timedelta(seconds=1):
        # CPython's fromisoformat takes such an offset for none.
        raise UnwritableError(value, "has a timezone less than a second from UTC, which would come back as UTC")
    name = _own_name(zone)
    if name is not None:
        return [value.isoformat(), value.fold, _write_str(name)]
    return [value.isoformat(), 1] if value.fold else value.isoformat()


def _own_name(zone: timezone | None) -> str | None:
    name = None if zone is None else zone.tzname(None)
    return None if zone is None or name == timezone(zone.utcoffset(None)).tzname(None) else name


def _write_list(value: list[Value], depth: int) -> Value:
    return [tag(part, depth) for part in value]


def _write_tuple(value: tuple[Value, ...], depth: int) -> Value:
    return {"$tuple": [tag(part, depth) for part in value]}


def _write_dict(value: dict[Value, Value], depth: int) -> Value:
    if all(type(key) is str and _is_unicode(key) for key in value) and not _resembles_tag(value):
        return {key: tag(part, depth) for key, part in value.items()}
    return {"$dict": [[tag(key, depth), tag(part, depth)] for key, part in value.items()]}


def _resembles_tag(value: dict[Value, Value]) -> bool:
    return len(value) == 1 and str(next(iter(value))).startswith("$")


def _write_set(value: set[Value], depth: int) -> Value:
    return {"$set": _members(value, depth)}


def _write_frozenset(value: frozenset[Value], depth: int) -> Value:
    return {"$frozenset": _members(value, depth)}


def _members(value: Collection[Value], depth: int) -> list[Value]:
    """Return the tagged members in an order that does not change from run to run."""
    kinds = set(map(type, value))
    if len(kinds) == 1 and kinds <= _ORDERED:
        return [tag(part, depth) for part in sorted(value)]  # type: ignore[type-var]
    return sorted([tag(part, depth) for part in value], key=repr)


def _write_late(value: Value, _depth: int) -> Value:
    """Write the types of modules that are loaded only where somebody has such a value; refuse all others."""
    for module, name in (("decimal", "Decimal"), ("uuid", "UUID")):
        kind: object = getattr(sys.modules.get(module), name, None)
        if type(value) is kind:
            return {"$" + module: str(value)}
    raise UnwritableError(value, "cannot be written as JSON so that it comes back equal and of the same type")


_ORDERED: frozenset[type] = frozenset((str, int, bytes, bool, date, timedelta))
_LEAVES: dict[type, Callable[..., Value]] = {
    type(None): lambda value: value,
    bool: lambda value: value,
    str: _write_str,
    int: _write_int,
    float: _write_float,
    bytes: lambda value: {"$bytes": binascii.b2a_base64(value, newline=False).decode()},
    datetime: lambda value: {"$datetime": _with_fold(value)},
    time: lambda value: {"$time": _with_fold(value)},
    date: lambda value: {"$date": value.isoformat()},
    timedelta: lambda value: {"$timedelta": [value.days, value.seconds, value.microseconds]},
}
_CONTAINERS: dict[type, Callable[..., Value]] = {
    list: _write_list,
    dict: _write_dict,
    tuple: _write_tuple,
    set: _write_set,
    frozenset: _write_frozenset,
}


# Reading: strict about types, because a file can hold anything.


def _the(kind: type[_T], content: Value) -> _T:
    if type(content) is not kind:
        raise TypeError(f"{kind.__name__} expected, not {type(content).__name__}")
    return content


def _untag_all(content: Value) -> list[Value]:
    return [untag(part) for part in _the(list, content)]


def _read_set(content: Value) -> set[Value]:
    members = _untag_all(content)
    value = set(members)
    if len(value) != len(members):
        raise ValueError("a member twice")
    return value


def _read_dict(content: Value) -> dict[Value, Value]:
    pairs = [_read_pair(pair) for pair in _the(list, content)]
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key twice")
    return value


def _read_pair(content: Value) -> tuple[Value, Value]:
    key, part = _untag_all(content)
    return key, part


def _read_bytes(content: Value) -> bytes:
    return binascii.a2b_base64(_the(str, content), strict_mode=True)


def _read_str(content: Value) -> str:
    text = _the(str, content)
    # An unknown escape is a warning in Python, and \N would load the names of all characters.
    if not _ESCAPES.issuperset(part[:1] for part in text.replace("\\\\", "").split("\\")[1:]):
        raise ValueError("an unknown escape")
    return text.encode("ascii").decode("unicode_escape")


def _read_int(content: Value) -> int:
    return int(_the(str, content), 16)


def _read_float(content: Value) -> float:
    if content not in ("nan", "inf", "-inf"):
        raise ValueError("nan, inf or -inf expected")
    return float(_the(str, content))


def _read_datetime(content: Value) -> datetime:
    text, fold, name = _split_fold(content)
    value = datetime.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=_zone(value.utcoffset(), name))


def _read_time(content: Value) -> time:
    text, fold, name = _split_fold(content)
    value = time.fromisoformat(text)
    return value.replace(fold=fold, tzinfo=_zone(value.utcoffset(), name))


def _split_fold(content: Value) -> tuple[str, int, str | None]:
    if type(content) is str:
        return content, 0, None
    text, fold, *name = _the(list, content)
    if len(name) > 1:
        raise ValueError("text, fold and name expected")
    return _the(str, text), _the(int, fold), _the(str, untag(name[0])) if name else None


def _zone(offset: timedelta | None, name: str | None) -> timezone | None:
    if offset is None:
        return None
    return timezone(offset) if name is None else timezone(offset, name)


def _read_date(content: Value) -> date:
    return date.fromisoformat(_the(str, content))


def _read_timedelta(content: Value) -> timedelta:
    days, seconds, microseconds = (_the(int, part) for part in _the(list, content))
    return timedelta(days, seconds, microseconds)


def _read_decimal(content: Value) -> Value:
    from decimal import Decimal

    return Decimal(_the(str, content))


def _read_uuid(content: Value) -> Value:
    from uuid import UUID

    return UUID(_the(str, content))


_READERS: dict[str, Callable[[Value], Value]] = {
    "$tuple": lambda content: tuple(_untag_all(content)),
    "$set": _read_set,
    "$frozenset": lambda content: frozenset(_read_set(content)),
    "$bytes": _read_bytes,
    "$dict": _read_dict,
    "$float": _read_float,
    "$int": _read_int,
    "$str": _read_str,
    "$datetime": _read_datetime,
    "$date": _read_date,
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": _read_decimal,
    "$uuid": _read_uuid,
}

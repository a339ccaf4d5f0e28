"""Keys and their texts: a pure pair, equal texts exactly where dict has the keys equal.

A str that does not begin with ``=`` is its own text. Every other key begins with ``=`` and a letter::

    "=x"      =s=x          2**63     =i0x8000000000000000     None    =n
    42        =i42          2.5       =f2.5                    b"ab"   =bab
    1.0       =i1           inf       =finf                    (1, ("a,b", ""))    =(=i1,(a\\,b,,),)

``True`` and ``1.0`` are the key ``1``, as in a dict. What was given instead of it is kept beside it as its *spelling*:
``=T``, ``=F``, ``=f1.0``, ``=f-0.0``, also inside tuples.
"""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterator
from typing import TypeAlias

from diskdict.errors import InvalidKeyError

Key: TypeAlias = "str | bytes | int | float | bool | tuple[Key, ...] | None"

ALLOWED = "str, bytes, int, float, bool, None and tuples of these (no subclasses)"
MAX_DEPTH = 100
"""Levels to which tuples nest: comparing and printing deeper ones would exhaust the interpreter's stack."""

_DECIMAL = 2**63
_ESCAPES = str.maketrans({char: "\\" + char for char in "\\,()"})
_PART = re.compile(r"\(|\),?|((?:[^\\,()]|\\.)*),", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def encode(key: object) -> str:
    """Return the canonical text of `key`, or raise InvalidKeyError."""
    if type(key) is str and key[:1] != "=":
        return key
    return _write(key, _canonical)


def find(key: object) -> str | None:
    """Return the canonical text of `key` to look it up, or None where no such key can be stored.

    Raises TypeError where `key` is not hashable, as dict does.
    """
    if type(key) is str and key[:1] != "=":
        return key
    hash(key)
    try:
        return _write(key, _canonical)
    except InvalidKeyError:
        return None


def spelling(key: object, text: str) -> str | None:
    """Return the text of `key` as it was given where that is not its canonical `text`, else None."""
    if type(key) is str:
        return None
    given = _write(key, _exact)
    return None if given == text else given


def spelled(key: object) -> str:
    """Return the text of `key` as it was given: what `decode` makes `key` of again. InvalidKeyError as in `encode`."""
    text = encode(key)
    return spelling(key, text) or text


def respelled(text: str, spelling: str) -> Key:
    """Return the key of `text` as `spelling` has it, or plain where that is no spelling of this key."""
    try:
        key = decode(spelling)
        if encode(key) == text:
            return key
    except ValueError:
        pass
    return decode(text)


def decode(text: str) -> Key:
    """Return the key of a text from `encode` or `spelling`; any other text that begins with ``=`` is a ValueError."""
    if text[:1] != "=":
        return text
    try:
        key = _read(text)
        genuine = _write(key, _exact) == text
    except (ValueError, LookupError):
        genuine = False
    if not genuine:
        raise ValueError(f"not the text of a key: {reprlib.repr(text)}")
    return key


def escaped(text: str) -> str:
    """Return a part of a str as it stands in the text of a tuple that has the str."""
    return text.translate(_ESCAPES)


def _write(key: object, atom: Callable[[object], str]) -> str:
    if type(key) is not tuple:
        return atom(key)
    parts = ["=("]
    levels: list[Iterator[object]] = [iter(key)]
    while levels:
        for element in levels[-1]:
            if type(element) is tuple:
                parts.append("(")
                levels.append(iter(element))
                break
            parts.append(escaped(atom(element)) + ",")
        else:
            parts.append("),")
            levels.pop()
        if len(levels) > MAX_DEPTH:
            raise InvalidKeyError(f"a key may nest tuples {MAX_DEPTH} deep, not deeper")
    return "".join(parts)[:-1]


def _canonical(key: object) -> str:
    if type(key) is bool or (type(key) is float and key.is_integer()):
        return _text_of_int(int(key))
    return _exact(key)


def _exact(key: object) -> str:
    form = _FORMS.get(type(key))
    if form is None:
        raise InvalidKeyError(f"a key of type {type(key).__qualname__}: {_shorten(key)}; keys are {ALLOWED}")
    return form(key)


def _text_of_str(key: str) -> str:
    return "=s" + key if key[:1] == "=" else key


def _text_of_int(key: int) -> str:
    # Hexadecimal is linear and free of the interpreter's limit on decimal digits.
    return f"=i{key}" if -_DECIMAL < key < _DECIMAL else f"=i{key:#x}"


def _text_of_float(key: float) -> str:
    if key != key:
        raise InvalidKeyError("nan is not a key: it is not equal to itself, so it could not be found again")
    return f"=f{key!r}"


_FORMS: dict[type, Callable[..., str]] = {
    str: _text_of_str,
    bytes: lambda key: "=b" + key.decode("latin-1"),
    int: _text_of_int,
    float: _text_of_float,
    bool: {True: "=T", False: "=F"}.__getitem__,
    type(None): {None: "=n"}.__getitem__,
}


def _read(text: str) -> Key:
    if text[:1] != "=":
        return text
    tag, body = text[1], text[2:]
    return _read_tuple(body) if tag == "(" else _READERS.get(tag, _refuse)(body)


def _read_tuple(body: str) -> Key:
    """Return the tuple whose text after ``=(`` is `body`. Lenient: decode() compares with what would be written."""
    levels: list[list[Key]] = [[], []]
    at = 0
    while at < len(body):
        part = _PART.match(body, at)
        if part is None:
            raise ValueError(body)
        at = part.end()
        if part[0] == "(":
            levels.append([])
        elif part[1] is None:
            level = tuple(levels.pop())
            levels[-1].append(level)
        else:
            levels[-1].append(_read(_ESCAPED.sub(r"\1", part[1])))
    return levels[0][0]


def _read_int(body: str) -> int:
    return int(body, 16 if "x" in body else 10)


def _refuse(body: str) -> Key:
    raise ValueError(body)


_READERS: dict[str, Callable[[str], Key]] = {
    "s": str,
    "b": lambda body: body.encode("latin-1"),
    "i": _read_int,
    "f": float,
    "n": {"": None}.__getitem__,
    "T": {"": True}.__getitem__,
    "F": {"": False}.__getitem__,
}


def _shorten(key: object) -> str:
    try:
        return reprlib.repr(key)
    except ValueError:  # an int inside that has too many digits to print
        return "…"

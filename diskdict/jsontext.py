"""JSON as it is typed and printed: plain, and types beyond it by the tags of `diskdict.tags`."""

from __future__ import annotations

import json
import math
import re
from typing import NoReturn

from diskdict import tags
from diskdict.codecs import JSON


class TextError(ValueError):
    """A text is not what it has to be; the message says where."""


def written(value: object) -> str:
    """Return the JSON of a value on one line. InvalidValueError where it has none."""
    if type(value) is bytes:
        # In a file they lie as they are.
        return JSON.dumps([value])[1:-1].decode()
    return JSON.dumps(value).decode()


def parse(text: str, first_line: int = 1, *, unique: bool = False) -> object:
    """Return what a JSON text says, tags as they stand; TextError says where it is bad, counting from `first_line`.

    With `unique` an object that has a name twice is bad, too.
    """
    try:
        return _parsed(text, _UNIQUE if unique else _DECODER)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise TextError(f"bad JSON at line {line}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise TextError(f"bad JSON from line {first_line}: it nests too deep") from None
    except ValueError as error:
        raise TextError(f"bad JSON from line {first_line}: {error}") from None


def untagged(value: object, first_line: int = 1) -> object:
    """Return the value that JSON with tags stands for. TextError for a tag that is none."""
    try:
        return tags.untag(value)
    except (ValueError, TypeError, ArithmeticError, AttributeError, RecursionError) as error:
        raise TextError(f"bad JSON from line {first_line}: a damaged tag: {error}") from None


def read(text: str, first_line: int = 1) -> object:
    """Return the value of a JSON text, or raise TextError that says where it is bad, counting from `first_line`."""
    value = parse(text, first_line)
    return untagged(value, first_line) if "$" in text else value


def read_object(text: str) -> dict[str, object]:
    """Return the value of the text of a JSON object, or raise TextError."""
    value = read(text)
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise TextError("a JSON object is wanted here, as in '{\"name\": 1}'")
    return value


def decoded(content: bytes, first_line: int = 1) -> str:
    """Return the text of bytes in UTF-8, or raise TextError as `read` does."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = first_line + content.count(b"\n", 0, error.start)
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise TextError(f"not UTF-8 at line {line}, byte {column}") from None


class _ConstantError(Exception):
    """NaN and the like, by its name."""


def _refuse(name: str) -> NoReturn:
    raise _ConstantError(name)


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:30]} is more than a float can hold")
    return number


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the name {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_UNIQUE = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)


def _parsed(text: str, decoder: json.JSONDecoder) -> object:
    try:
        value: object = decoder.decode(text)
    except _ConstantError as error:
        name = str(error)
        at = next(found.start() for found in _CONSTANT.finditer(text) if found["name"])
        raise json.JSONDecodeError(f'{name} is not JSON; write {{"$float": "{_TAGGED[name]}"}}', text, at) from None
    return value


_CONSTANT = re.compile(r'"(?:[^"\\]|\\.)*"|(?P<name>-?Infinity|NaN)')
_TAGGED = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}

"""A store as JSON lines: what `export` writes and `import` reads.

::

    {"format":"diskdict-lines","version":1,"keys":2}
    {"key":"apple","value":{"colour":"red"},"expires_at":null,"created_at":1767225600.0,"metadata":{}}
    {"key":"=i42","value":{"$tuple":[1,2]},"expires_at":1767229200.0,"created_at":1767225600.0,"metadata":{"n":1}}

One key a line, in the order of insertion. The key is its text as in `diskdict.keys`; the value is JSON, with the tags
of `diskdict.tags` where JSON has no such type. Times are seconds since the epoch, null for never.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from diskdict import Entry, keys
from diskdict.cli.failures import UsageError
from diskdict.cli.source import Carried, Item, Source
from diskdict.jsontext import TextError, decoded, read, written

FORMAT: Final = "diskdict-lines"
VERSION: Final = 1

_FIELDS: Final = frozenset(Entry._fields)


def header(count: int) -> str:
    """Return the first line."""
    return written({"format": FORMAT, "version": VERSION, "keys": count})


def line_of(entry: Carried) -> str:
    """Return the line of an entry. InvalidValueError where its value has no JSON."""
    fields = {
        "key": written(keys.spelled(entry.key)),
        "value": written(entry.value),
        "expires_at": written(entry.expires_at),
        "created_at": written(entry.created_at),
        "metadata": written(dict(entry.metadata)),
    }
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"


def entry_of(line: str, number: int = 1) -> Carried:
    """Return the entry of a line. UsageError, with the line's `number`, where it is none."""
    fields = read(line, number)
    if not isinstance(fields, dict) or not {"key", "value"} <= fields.keys() <= _FIELDS:
        raise UsageError(
            f"line {number}: not an object with key and value, and no more than {', '.join(Entry._fields)}"
        )
    text = fields["key"]
    try:
        if not isinstance(text, str):
            raise UsageError(f"line {number}: the key is a text, not {text!r}")
        return Entry(**fields | {"key": keys.decode(text), "metadata": fields.get("metadata") or {}})
    except ValueError as error:
        raise UsageError(f"line {number}: {error}") from None


def source_of(file: Iterable[bytes]) -> Source:
    """Return the entries of a file of such lines. UsageError where its first line is another."""
    lines = iter(file)
    first = next(lines, b"")
    try:
        found = read(decoded(first))
    except TextError:
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UsageError(f'line 1: this is no export of diskdict, which begins with {{"format":"{FORMAT}", …}}')
    if found.get("version") != VERSION:
        raise UsageError(
            f"line 1: version {found.get('version')!r} of the format; this diskdict reads version {VERSION}"
        )
    total = found.get("keys")
    return Source(total if type(total) is int else None, _items(lines))


def _items(lines: Iterator[bytes]) -> Iterator[Item]:
    for number, line in enumerate(lines, 2):
        if not line.isspace():
            yield Item(entry_of(decoded(line.rstrip(), number), number), len(line), number)

"""Keys of a table by pages, each as it is by then: `keys`, `alike`, `described`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Final, cast

from diskdict.backends.postgres.columns import bounds, like, search
from diskdict.backends.postgres.rows import FRESH, Parameters, Row, meta_of
from diskdict.backends.postgres.tables import Table
from diskdict.criteria import Criteria
from diskdict.escapes import unescaped

_PAGES: Final = (64, 1_000, 10_000, 100_000)
"""Keys that are asked for at a time: few at first, as who looks for the first or the last key needs no more."""


def keys(table: Table, prefix: str, reverse: bool) -> Iterator[Row]:
    """Return rows that begin with the key and its spelling, in the order of insertion or its reverse."""
    names = ("scan_prefix", "scan_prefix_back") if prefix else ("scan", "scan_back")
    statement = cast(bytes, getattr(table.sql, names[reverse]))
    within = bounds(prefix) if prefix else {}
    return _pages(table, statement, {**within, "after": FRESH if reverse else -1, "now": table.now()}, _PAGES)


def alike(table: Table, pieces: Sequence[str]) -> Iterator[Row]:
    """Return such rows of the keys that are `pieces` with anything between them."""
    asked = bounds(pieces[0]) | {"like": like(pieces), "after": -1, "now": table.now()}
    # Each page takes a look at all keys, and who asks so wants all that are found.
    return _pages(table, table.sql.scan_like, asked, _PAGES[-1:])


def described(table: Table, prefix: str, criteria: Criteria) -> Iterator[tuple[str, str]]:
    """Return keys with their metadata, those that the index of metadata finds and what it cannot tell."""
    path = search(criteria)
    asked = bounds(prefix) | {"after": -1, "now": table.now()}
    if path is None:
        found = _pages(table, table.sql.search_all, asked, _PAGES[-2:-1])
    else:
        found = _pages(table, table.sql.search, asked | {"path": path}, _PAGES[-2:-1])
    return ((unescaped(key), meta_of(meta)) for key, meta, _, _ in found)


def _pages(table: Table, statement: bytes, parameters: Parameters, sizes: Sequence[int]) -> Iterator[Row]:
    for number in count():
        most = sizes[min(number, len(sizes) - 1)]
        found = table.ask(statement, parameters | {"most": most})
        yield from found
        if len(found) < most:
            return
        parameters["after"], parameters["now"] = found[-1][2:]

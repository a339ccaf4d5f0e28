"""Pages of keys, and where the next one begins."""

from __future__ import annotations

from bisect import bisect_left
from itertools import takewhile
from typing import NamedTuple

from diskdict.index import Entry, Index

Place = tuple[int, str]
"""The order of a key and its text: where it stands among all, also when it has gone."""


class Page(NamedTuple):
    """Some keys in their order, what to ask for the next ones with (None: there are none), and how many there are."""

    entries: list[Entry]
    after: Place | None
    total: int | None


def place_after(texts: list[str], after: Place, index: Index, *, reverse: bool) -> int:
    """Return where in the texts those begin that come after a place, whether or not its key is still there."""

    def order_of(text: str) -> int:
        entry = index.get(text)
        return 0 if entry is None else entry.order

    order, last = after
    sign = -1 if reverse else 1
    start = bisect_left(texts, sign * order, key=lambda text: sign * order_of(text))
    same = takewhile(lambda place: order_of(texts[place]) == order, range(start, len(texts)))
    return next((place + 1 for place in same if texts[place] == last), start)

"""The index: order, size, age and expiry of all keys in memory.

It is a cache of the folder, built when first needed and exact from then on. A dict gives each key's row in columns of
plain numbers, about a hundred bytes a key; that dict's own order is the order of the store.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple, Self

from diskdict.store import NEVER

_HEAP_SLACK: Final = 64


class Entry(NamedTuple):
    """What the index knows of a key.

    Its text, its order, the size of its payload in bytes, when it was created and expires, its spelling if unusual.
    """

    key: str
    order: int
    size: int
    created: float
    expires: float = NEVER
    spelling: str | None = None


class Index:
    """All keys of a store that is open.

    ``loaded`` says whether it holds them yet; until then it is empty and records nothing. ``rows`` are the keys in
    their order. ``uncertain`` are the keys of changes that have begun and not ended: what is known of them is to be
    asked from the disk. ``torn`` is True while it is being changed: left so by an interruption, nothing in it counts.
    ``changed`` says whether it is other than what was kept on disk, ``typed`` how many texts begin with ``=``.
    ``stuck`` are expired keys whose files could not be removed.

    Notes
    -----
    It is changed under the store's mutation lock; ``rows``, ``expires`` and ``uncertain`` are looked into without.
    """

    def __init__(self, *, loaded: bool = False) -> None:
        self.loaded = loaded
        self.torn = False
        self.changed = False
        self.rows: dict[str, int] = {}
        self.expires: dict[str, float] = {}
        self.spellings: dict[str, str] = {}
        self.uncertain: set[str] = set()
        self.stuck: set[str] = set()
        self.typed = 0
        self.payload_bytes = 0
        self._orders = array("q")
        self._sizes = array("q")
        self._created = array("d")
        self._free: list[int] = []
        self._due: list[tuple[float, str]] = []
        self._dead: dict[str, None] = {}
        self._now = 0.0
        self._size_changes = 0
        self._iterated = False
        self._left: list[dict[str, int]] = []

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> Self:
        """Return an index that holds the entries, in their order."""
        known = list(entries)
        orders = array("q", [entry.order for entry in known])
        sizes = array("q", [entry.size for entry in known])
        created = array("d", [entry.created for entry in known])
        index = cls.of_columns([entry.key for entry in known], orders, sizes, created)
        for entry in known:
            if entry.expires != NEVER:
                index.set_expiry(entry.key, entry.expires)
            if entry.spelling is not None:
                index.spellings[entry.key] = entry.spelling
        return index

    @classmethod
    def of_columns(cls, keys: list[str], orders: array[int], sizes: array[int], created: array[float]) -> Self:
        """Return an index that holds keys without expiry, each with its number in the columns."""
        index = cls(loaded=True)
        index.rows = dict(zip(keys, range(len(keys)), strict=True))
        index._orders, index._sizes, index._created = orders, sizes, created
        index.payload_bytes = sum(sizes)
        index.typed = sum(key[:1] == "=" for key in keys)
        return index

    def columns(self) -> tuple[array[int], array[int], array[float]]:
        """Return order, size and time of creation of all keys, in the order of the keys."""
        rows = self.rows.values()
        orders = array("q", [self._orders[row] for row in rows])
        sizes = array("q", [self._sizes[row] for row in rows])
        return orders, sizes, array("d", [self._created[row] for row in rows])

    def put(self, key: str, order: int, size: int, created: float, expires: float, spelling: str | None) -> None:
        """Record that the key is there, at the end unless it was there with this order."""
        if not self.loaded:
            return
        self.torn = self.changed = True
        row = self.rows.get(key)
        if row is None:
            self._resized()
            self._add(key, order, size, created)
        else:
            self.payload_bytes += size - self._sizes[row]
            self._sizes[row] = size
            if self._orders[row] != order:
                self._move(key, row, order, created)
        if expires != NEVER or key in self.expires:
            self.set_expiry(key, expires)
        if spelling is not None:
            self.spellings[key] = spelling
        elif self.spellings:
            self.spellings.pop(key, None)
        self.torn = False

    def _add(self, key: str, order: int, size: int, created: float) -> None:
        self.payload_bytes += size
        if self._free:
            row = self._free.pop()
            self._orders[row], self._sizes[row], self._created[row] = order, size, created
        else:
            row = len(self._orders)
            self._orders.append(order)
            self._sizes.append(size)
            self._created.append(created)
        self.rows[key] = row
        self.typed += key[:1] == "="

    def _move(self, key: str, row: int, order: int, created: float) -> None:
        self._leave_to_iterators()
        if key in self._dead:
            self._resized()
        self._orders[row], self._created[row] = order, created
        del self.rows[key]
        self.rows[key] = row

    def set_expiry(self, key: str, expires: float) -> None:
        """Record when a key that is there expires."""
        self.stuck.discard(key)
        self._dead.pop(key, None)
        if expires == NEVER:
            self.expires.pop(key, None)
            return
        self._leave_to_iterators()
        self.expires[key] = expires
        heapq.heappush(self._due, (expires, key))
        if len(self._due) > 2 * len(self.expires) + _HEAP_SLACK:
            self._due = [(when, name) for name, when in self.expires.items()]
            heapq.heapify(self._due)

    def _leave_to_iterators(self) -> None:
        # What expires goes without a word, but taken out of the dict it would end all that iterate it: from now on they
        # have the dict for themselves, and the next change that counts ends them.
        if self._iterated:
            self._iterated = False
            self._left.append(self.rows)
            self.rows = dict(self.rows)

    def _resized(self) -> None:
        self._size_changes += 1
        self._iterated = False
        for rows in self._left:
            rows["="] = 0  # the text of no key
        self._left.clear()

    def remove(self, key: str, *, expired: bool = False) -> None:
        """Record that the key is not there. Removing what had expired changes no number that anybody saw."""
        if key not in self.rows:
            return
        self.torn = self.changed = True
        if expired:
            self._leave_to_iterators()
        else:
            self._resized()
        row = self.rows.pop(key)
        self.payload_bytes -= self._sizes[row]
        self._free.append(row)
        self.typed -= key[:1] == "="
        if self.expires:
            self.expires.pop(key, None)
            self._dead.pop(key, None)
            self.stuck.discard(key)
        if self.spellings:
            self.spellings.pop(key, None)
        self.torn = False

    def sort(self) -> None:
        """Have the keys in their order, after several were put out of it."""
        orders = self._orders
        self.rows = dict(sorted(self.rows.items(), key=lambda item: orders[item[1]]))

    def get(self, key: str) -> Entry | None:
        """Return what is known of a key, expired or not."""
        row = self.rows.get(key)
        return None if row is None else self._entry(key, row)

    def _entry(self, key: str, row: int) -> Entry:
        return Entry(
            key,
            self._orders[row],
            self._sizes[row],
            self._created[row],
            self.expires.get(key, NEVER),
            self.spellings.get(key),
        )

    def entries(self) -> Iterator[Entry]:
        """Yield all entries in order, expired or not."""
        for key, row in self.rows.items():
            yield self._entry(key, row)

    def place(self, key: str, now: float) -> tuple[int, float, str | None] | None:
        """Return what a live key keeps when its value is replaced: order, time of creation, spelling."""
        row = self.rows.get(key)
        if row is None or (self.expires and self.expires.get(key, NEVER) <= now):
            return None
        return self._orders[row], self._created[row], self.spellings.get(key) if self.spellings else None

    def size(self, key: str) -> int:
        """Return the payload size of a key, 0 if it is not there."""
        row = self.rows.get(key)
        return 0 if row is None else self._sizes[row]

    def count(self, now: float) -> int:
        """Return the number of live keys."""
        if not self.expires:
            return len(self.rows)
        return len(self.rows) - len(self.dead(now))

    def has_dead(self, now: float) -> bool:
        """Return whether `some_dead` may have any key, at the cost of two comparisons."""
        return len(self._dead) > len(self.stuck) or (bool(self._due) and self._due[0][0] <= now)

    def some_dead(self, now: float, limit: int | None) -> list[str]:
        """Return keys that have expired, soonest first, at most `limit`, without those that could not be removed."""
        dead = self.dead(now, None if limit is None else limit + len(self.stuck))
        return list(islice((key for key in dead if key not in self.stuck), limit))

    def dead(self, now: float, limit: int | None = None) -> dict[str, None]:
        """Return the keys that have expired, soonest first; a clock that went back has them live again.

        Once there are `limit` of them no more are looked for.
        """
        if now < self._now:
            for key in self._dead:
                heapq.heappush(self._due, (self.expires[key], key))
            self._dead.clear()
        self._now = now
        while self._due and self._due[0][0] <= now and (limit is None or len(self._dead) < limit):
            when, key = self._due[0]
            if self.expires.get(key) == when:
                self._dead[key] = None
            # Last, so that an interruption loses nothing.
            heapq.heappop(self._due)
        return self._dead

    def scan(self, now: float, prefix: str, *, reverse: bool) -> Iterator[str]:
        """Return an iterator over the live keys; a RuntimeError follows at the next step after their number changed."""
        self._iterated = True
        keys = reversed(self.rows) if reverse else iter(self.rows)
        if not prefix and not self.expires:
            return keys
        return self._scan(keys, now, prefix, self._size_changes)

    def _scan(self, keys: Iterator[str], now: float, prefix: str, changes: int) -> Iterator[str]:
        for key in keys:
            if changes != self._size_changes:
                raise RuntimeError("dictionary changed size during iteration")
            # Swept meanwhile, an expired key is in neither.
            if key.startswith(prefix) and key in self.rows and self.expires.get(key, NEVER) > now:
                yield key
        if changes != self._size_changes:
            raise RuntimeError("dictionary changed size during iteration")

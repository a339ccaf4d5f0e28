"""Where keys are in Redis, and how the script is asked: `Slots`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Final, cast
from zlib import crc32

from diskdict.backends.redis.address import Address
from diskdict.backends.redis.calls import Reply, Request
from diskdict.backends.redis.links import Links, PoolOf
from diskdict.backends.redis.records import Argument, Change, decoded, encoded, expectations, floored, numbers
from diskdict.backends.redis.tracking import Tracking
from diskdict.errors import ConflictError, FormatError, LimitError
from diskdict.limits import Limits, checked
from diskdict.listening import Listener
from diskdict.messages import Listed
from diskdict.store import OnlyIf

PARTS: Final = 64
"""Slots over which a cluster spreads a store whose prefix names none."""

_MOST: Final = 10_000
_MOST_SEARCHED: Final = 1_000
"""Keys that a server may search while it answers nobody else."""
_INDEXES: Final = (b"state", b"order", b"due", b"size")
_TAG: Final = re.compile(r"\{([^}]+)\}")


class Slots:
    """The slots that a store is in: one, or in a cluster `PARTS`, unless a hash tag in the prefix names one.

    Parameters
    ----------
    address: Address
        Where the store is.
    codec: str
        What all who use this prefix must share.
    limits: Limits
        Of these ``total_bytes``, for a store in one slot.
    pool_of: callable, optional
        As in `Links`.
    """

    def __init__(self, address: Address, codec: str, limits: Limits | None, pool_of: PoolOf | None = None) -> None:
        self.links = Links(address, pool_of)
        self._address = address
        self._codec = codec
        prefix, allowed = address.prefix, checked(limits).total_bytes
        spread = address.cluster and not _TAG.search(prefix)
        self._roots = [encoded(f"{{{prefix}{part}}}:") for part in range(PARTS)] if spread else [encoded(prefix)]
        self._indexes = [[root + name for name in _INDEXES] for root in self._roots]
        if spread and allowed is not None:
            raise ValueError(f"total_bytes is for one slot of a cluster: give the prefix a tag, as in {{{prefix}}}")
        if spread and re.search("[{}]", prefix):
            raise ValueError(f"a prefix in a cluster has a whole hash tag or none, not {prefix!r}")
        self.allowed = allowed
        self._seen = 0
        self._met = False
        self._tracking: Tracking | None = None

    # ---- where

    @property
    def parts(self) -> range:
        """The numbers of the slots."""
        return range(len(self._roots))

    def part(self, key: str) -> int:
        """Return in which of them a key is."""
        if len(self._roots) == 1:
            return 0
        tag = _TAG.search(key)
        return crc32(encoded(tag[1] if tag else key)) % PARTS

    def place(self, key: str) -> bytes:
        """Return under what name a record is."""
        return self._roots[self.part(key)] + b"k:" + encoded(key)

    def key(self, place: bytes, part: int) -> str:
        """Return whose record is there."""
        return decoded(place[len(self._roots[part]) + 2 :])

    def portions(self, keys: Iterable[str]) -> list[tuple[int, Sequence[str]]]:
        """Return keys, each once, by their slots, in portions that are not too many for one request."""
        parts: dict[int, list[str]] = {}
        for key in dict.fromkeys(keys):
            parts.setdefault(self.part(key), []).append(key)
        return [(part, some) for part, whole in parts.items() for some in portions(whole)]

    def check_together(self, keys: Iterable[str]) -> None:
        """Raise ValueError where keys are not all in one slot."""
        if len(self._roots) > 1 and len({self.part(key) for key in keys}) > 1:
            raise ValueError(
                "keys that are changed as one must be in one slot of the cluster: have the same {tag} in each of them,"
                " or one in the prefix of the store"
            )

    # ---- asking

    def tell(self, listener: Listener) -> bool:
        """Tell of the changes of all records; return whether this can be done: a cluster does not."""
        self.links.check_open()
        if self._address.cluster:
            return False
        pool, prefix = self.links.pool(), self._roots[0] + b"k:"
        self._tracking = Tracking(pool, str(self._address), prefix, lambda place: self.key(place, 0), listener)
        return True

    def renew(self) -> None:
        """Have connections of its own in a forked child, where nobody is told of anything before he asks for it."""
        self.links.renew()
        self._tracking = None

    def close(self) -> None:
        """Close the connections. Closing twice does nothing."""
        tracking, self._tracking = self._tracking, None
        if tracking is not None:
            tracking.stop()
        self.links.close()

    def meet(self) -> None:
        """Look, at the first use, whose store this is. FormatError, where it is one of another codec."""
        if self._met:
            self.links.check_open()
            return
        roots = [root + b"state" for root in self._roots]
        for found in self.links.ask_all([Request(root, ("HGET", root, "codec")) for root in roots], reading=True):
            if found is not None and found != encoded(self._codec):
                raise self._other(cast(bytes, found))
        self._met = True

    def _other(self, codec: bytes) -> FormatError:
        return FormatError(f"{self._address}: the values there are by codec {decoded(codec)!r}, not {self._codec!r}")

    def one(self, key: str, command: str) -> Reply:
        """Return what a command says of the record of a key."""
        self.meet()
        place = self.place(key)
        return self.links.ask(Request(place, (command, place)), reading=True)

    def each(self, parts: Iterable[int], *arguments: Argument, reading: bool = True) -> list[Reply]:
        """Return what the script says of slots."""
        self.meet()
        return self.links.ask_all([self._script(part, arguments) for part in parts], reading=reading)

    def stat(self, key: str) -> Reply:
        """Return what the script says of a record."""
        self.meet()
        return self.links.ask(self._script(self.part(key), ("stat", encoded(key)), [key]), reading=True)

    def texts(
        self, part: int, page: list[bytes], shape: list[bytes], many: int, *, reverse: bool
    ) -> Iterator[tuple[int, str]]:
        """Yield order and text of the keys of a part, of a page and of those behind it, each of `many`."""
        while True:
            begun, further, *found = page
            for order, key, spelling in zip(found[::3], found[1::3], found[2::3], strict=True):
                text = decoded(key)
                if text[:1] == "=":
                    text = Listed(text)
                    text.spelling = decoded(spelling) or str(text)
                yield int(float(order)), text
            if not further:
                return
            [answer] = self.each([part], "page", int(reverse), further, many, begun, *shape)
            page = cast(list[bytes], answer)

    def metas(self, keys: Sequence[str], sought: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yield keys with their metadata, those whose metadata has all the texts that are sought, or a backslash."""
        for some in portions(keys):
            pieces = [(part, few) for part, many in self.portions(some) for few in portions(many, _MOST_SEARCHED)]
            asked = [self._script(part, ("meta", *map(encoded, sought)), few) for part, few in pieces]
            found: dict[str, bytes] = {}
            for (_, few), metas in zip(pieces, self.links.ask_all(asked, reading=True), strict=True):
                found.update(zip(few, cast(list[bytes], metas), strict=True))
            yield from ((key, decoded(found[key])) for key in some if found[key])

    def _script(self, part: int, arguments: Sequence[Argument], keys: Iterable[str] = ()) -> Request:
        places = self._indexes[part]
        begin = self._roots[part] + b"k:"
        return Request(places[0], arguments, [*places, *[begin + encoded(key) for key in keys]])

    def write(
        self, changes: Sequence[Change], expected: Mapping[str, OnlyIf] | None = None, growth: int = 0
    ) -> list[tuple[int, int]]:
        """Make changes, those of one slot as one, and return for each its version and what came of it.

        Raises ConflictError where a key has not the version that is expected, LimitError, and FormatError.
        """
        self.meet()
        expected = expected or {}
        if len(self._roots) == 1:
            request = self._request(0, changes, [], expected, growth)
            return self._told(cast(list[object], self.links.ask(request)))
        parts: dict[int, list[int]] = {}
        if not changes:
            parts[self.part(next(iter(expected), ""))] = []
        for number, change in enumerate(changes):
            parts.setdefault(self.part(change.key), []).append(number)
        floors = self._floors(len(changes), several=len(parts) > 1)
        requests = []
        for part, some in parts.items():
            mine = [changes[number] for number in some]
            lowest = [floors[number] for number in some]
            requests.append(self._request(part, mine, lowest, expected, growth, timed=len(parts) == 1))
        done: dict[int, tuple[int, int]] = {}
        for some, reply in zip(parts.values(), self.links.ask_all(requests), strict=True):
            done.update(zip(some, self._told(cast(list[object], reply)), strict=True))
        self._seen = max(self._seen, *(version for version, _ in done.values()), 0)
        return [done[number] for number in range(len(changes))]

    def _request(
        self,
        part: int,
        changes: Sequence[Change],
        floors: Sequence[int],
        expected: Mapping[str, OnlyIf],
        growth: int,
        *,
        timed: bool = True,
    ) -> Request:
        begin = self._codec, numbers(max(floors, default=0), part, len(self._roots), timed=timed)
        keys = [change.key for change in changes]
        if self.allowed is None and _are_puts(changes, expected):
            version = list(expectations(expected))[1] if expected else "any"
            given = [change.arguments[-1] for change in changes]
            return self._script(part, ("put", *begin, version, floored(floors), *given), keys)
        takes = sum(change.kind != "delete" for change in changes)
        limit = "" if self.allowed is None else self.allowed
        arguments: list[Argument] = ["write", *begin, limit, growth, takes, len(expected), *expectations(expected)]
        for change, floor in zip(changes, floors or repeat(0), strict=False):
            arguments += [change.kind, floor, *change.arguments]
        targets = [change.target for change in changes if change.target is not None]
        return self._script(part, arguments, [*expected, *keys, *targets])

    def _floors(self, changes: int, *, several: bool) -> Sequence[int]:
        """Return numbers that those of changes must not be below, for orders in the order of the changes."""
        if not several:
            return [self._seen + 1] * changes
        # Servers that make the later ones first would number them first.
        first = max(self._seen + 1, int(self.links.now() * 1e6))
        return range(first, first + changes * PARTS, PARTS)

    def _told(self, reply: list[object]) -> list[tuple[int, int]]:
        said, *told = reply
        if said == b"conflict":
            key = decoded(cast(bytes, told[0]))
            raise ConflictError(f"{key!r} was changed or removed by others; read it again and repeat")
        if said == b"limit":
            raise LimitError("total_bytes", self.allowed or 0, int(cast(bytes, told[0])), "bytes")
        if said == b"codec":
            raise self._other(cast(bytes, told[0]))
        return [(version, what) for version, what in cast(list[tuple[int, int]], told)]


def _are_puts(changes: Sequence[Change], expected: Mapping[str, OnlyIf]) -> bool:
    """Tell whether changes only put records, any or, where something is expected, the one key of which it is."""
    if expected and (len(changes) != 1 or [*expected] != [changes[0].key]):
        return False
    return bool(changes) and all(change.kind == "put" and not change.arguments[1] for change in changes)


def portions(keys: Iterable[str], most: int = _MOST) -> Iterator[Sequence[str]]:
    """Yield keys in portions that are not too many for one request."""
    asked = list(keys)
    yield from (asked[at : at + most] for at in range(0, len(asked), most))

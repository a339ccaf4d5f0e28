"""A store whose clock jumps, and a plain model of it that knows the clock."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from crash_child import DURABILITIES
from deeds import START, At, opened, use

from diskdict import DiskDict
from diskdict.errors import KeyExistsError

DAY = 86_400
YEAR = 365 * DAY
STEPS = [1, 2, 5, 60, 3_600, DAY, 30 * DAY, YEAR, 10 * YEAR]
TTLS = [None, 0, 1, 5, 60, 3_600, 2 * DAY, 400 * DAY, 20 * YEAR]
KEYS = ["a", "b", "C", 1, (1, "x"), "long " * 60, "d", "e"]


class Wall(At):
    """The wall clock of this process, which libfaketime has stand where a file says."""

    def __init__(self) -> None:
        self._path = os.environ["FAKETIME_TIMESTAMP_FILE"]
        self.now = START

    @property
    def now(self) -> float:  # type: ignore[override]
        return time.time()

    @now.setter
    def now(self, now: float) -> None:
        temporary = Path(f"{self._path}.new")
        temporary.write_text(f"{datetime.fromtimestamp(now, UTC):%Y-%m-%d %H:%M:%S}")
        temporary.replace(self._path)
        # Another thread that asks for the time just now may have it parse the older one once more.
        for _ in range(1_000):
            if time.time() == now:
                return
            time.sleep(0.001)
        raise RuntimeError("libfaketime does not move the clock of this process")

    def __call__(self) -> float:
        return time.time()


class Known(NamedTuple):
    """What the model has of a key."""

    value: bytes
    expires: float | None
    created: float


class Jumps:
    """A store and its model.

    The model keeps what has expired: it is there again when the clock goes back, unless it was removed. A write removes
    two such keys at most, and which is not told: ``doubtful`` are those that were expired at one, ``swept`` is how many
    of them may be gone.
    """

    def __init__(self, folder: Path, home: str, durability: str, seed: int, clock: At) -> None:
        use(home)
        self.folder = folder
        # libfaketime does not bear two threads that ask for the time at once: nothing is written behind meanwhile.
        self.options = {name: 3_600 if name == "interval" else each for name, each in DURABILITIES[durability].items()}
        self.clock = clock
        self.chance = random.Random(seed)
        self.known: dict[Any, Known] = {}
        self.doubtful: set[Any] = set()
        self.swept = 0
        self.d = self.opened()

    def opened(self, **options: Any) -> DiskDict[Any, Any]:
        return opened(self.folder, self.clock, **self.options, **options)

    def run(self, jumps: int) -> None:
        """Do something, jump, and compare, again and again."""
        try:
            for number in range(jumps):
                for _ in range(self.chance.randrange(3)):
                    self.act(number)
                self.jump()
                if self.chance.randrange(4):
                    self.compare(self.d)
        finally:
            self.d.close()

    def jump(self) -> None:
        now = self.clock.now + self.chance.choice([-1, 1]) * self.chance.choice(STEPS)
        self.clock.now = now if abs(now - START) < 30 * YEAR else START

    # ---- the model

    def live(self) -> dict[Any, Known]:
        now = self.clock.now
        return {key: known for key, known in self.known.items() if known.expires is None or known.expires > now}

    def writes(self) -> dict[Any, Known]:
        """Return what is there when a write begins, which may remove two that are not."""
        live = self.settled(self.d)
        self.doubtful |= self.known.keys() - live.keys()
        self.swept = min(self.swept + 2, len(self.doubtful))
        return live

    def put(self, key: Any, value: bytes, ttl: float | None) -> None:
        now = self.clock.now
        old = self.writes().get(key)
        if old is None:
            self.forget(key)
        self.known[key] = Known(value, None if ttl is None else now + ttl, now if old is None else old.created)

    def forget(self, key: Any) -> None:
        self.known.pop(key, None)
        self.doubtful.discard(key)
        self.swept = min(self.swept, len(self.doubtful))

    # ---- what is done to both

    def act(self, number: int) -> None:
        chance = self.chance
        key, other, value, ttl = chance.choice(KEYS), chance.choice(KEYS), b"%d" % number, chance.choice(TTLS)
        kind = chance.choice(
            ["set"] * 4
            + ["transaction", "delete", "expire", "persist", "rename", "iterate"] * 2
            + ["clean up", "reopen", "crash", "look"]
        )
        if kind == "set":
            self.put(key, value, ttl)
            self.d.set(key, value, ttl=ttl)
        elif kind == "transaction":
            both = {key: value, other: value}
            for each in both:
                self.put(each, value, ttl)
            self.d.set_many(both, ttl=ttl)
        elif kind == "delete":
            there = key in self.writes()
            assert self.d.delete(key) == there, f"{number}: deletion of {key!r}"
            self.forget(key)
        elif kind == "rename":
            self.rename(key, other)
        elif kind in ("expire", "persist"):
            ttl = None if kind == "persist" else chance.choice(TTLS[1:])
            known = self.writes().get(key)
            done = self.d.persist(key) if ttl is None else self.d.expire(key, ttl)
            assert done == (known is not None), f"{number}: {kind} of {key!r}"
            if known is not None:
                self.known[key] = known._replace(expires=None if ttl is None else self.clock.now + ttl)
        elif kind == "iterate":
            self.iterate()
        elif kind == "clean up":
            self.clean_up()
        elif kind == "look":
            with contextlib.closing(self.reopened(readonly=True)) as d:
                self.compare(d)
            self.d = self.opened()
        else:
            # Nothing can be taken from a thread that writes behind as if its process had been killed.
            self.d = self.reopened(crash=kind == "crash" and not self.options)

    def rename(self, key: Any, other: Any) -> None:
        live = self.writes()
        try:
            self.d.rename(key, other)
        except KeyExistsError:
            assert {key, other} <= live.keys(), f"{key!r} or {other!r} is not there"
        except KeyError:
            assert key not in live, f"{key!r} is there"
        else:
            assert key == other or other not in live, f"{other!r} is there"
            if key != other:
                self.forget(key)
                self.forget(other)
                self.known[other] = live[key]

    def reopened(self, *, crash: bool = False, **options: Any) -> DiskDict[Any, Any]:
        if crash:
            self.d._folder.abandon()
        else:
            self.d.close()
        return self.opened(**options)

    def iterate(self) -> None:
        """Jump while keys and pairs are iterated: they are those of when it began, and no pair is wrong."""
        at_first = self.settled(self.d)
        keys, items = iter(self.d), iter(self.d.items())
        first, pair = next(keys, None), next(items, None)
        self.jump()
        assert [first, *keys] == [*at_first] or not at_first, "keys that expire while they are iterated"
        pairs = dict([pair, *items] if pair is not None else [])
        values = {key: known.value for key, known in at_first.items()}
        assert pairs.items() <= values.items(), f"{pairs} are not all of {values}"
        assert pairs.keys() >= at_first.keys() & self.live().keys(), f"{pairs} of {values}, {self.live()}"

    def clean_up(self) -> None:
        expired = self.known.keys() - self.live().keys()
        removed = self.d.cleanup_expired()
        assert len(expired) - self.swept <= removed <= len(expired), f"{removed} of {expired} were removed"
        for key in expired:
            self.forget(key)
        assert self.d.stats().expired == 0

    # ---- what must hold

    def settled(self, d: DiskDict[Any, Any]) -> dict[Any, Known]:
        """Return what is live, without what an earlier write has removed."""
        for key in [key for key in self.live() if key in self.doubtful]:
            self.doubtful.discard(key)
            if key not in d:
                self.swept -= 1
                del self.known[key]
        assert self.swept >= 0, "more has gone than writes remove"
        self.swept = min(self.swept, len(self.doubtful))
        return self.live()

    def compare(self, d: DiskDict[Any, Any]) -> None:
        """Compare all that the store tells of itself with the model."""
        live = self.settled(d)
        for question in self.chance.sample([self.one_by_one, self.together], 2):
            question(d, live)

    def one_by_one(self, d: DiskDict[Any, Any], live: dict[Any, Known]) -> None:
        for key in KEYS:
            known = live.get(key)
            told = (d.get(key), key in d, *self.times(d, key))
            if known is None:
                assert told == (None, False), f"{key!r} is told to be {told}"
            else:
                left = None if known.expires is None else known.expires - self.clock.now
                assert told == (known.value, True, left, known.expires, known.created), f"{key!r}: {known}, {told}"

    @staticmethod
    def times(d: DiskDict[Any, Any], key: Any) -> Iterator[float | None]:
        try:
            yield from (d.ttl(key), d.expires_at(key), d.info(key).created_at)
        except KeyError:
            return

    def together(self, d: DiskDict[Any, Any], live: dict[Any, Known]) -> None:
        keys = list(live)
        values = [known.value for known in live.values()]
        pairs = [*zip(keys, values, strict=True)]
        assert len(d) == len(keys), f"{len(d)} of {keys}"
        assert [*d] == [*d.keys()] == keys, f"{[*d]}, {[*d.keys()]}, {keys}"
        assert [*d.items()] == pairs, f"{[*d.items()]}, {pairs}"
        assert [*d.values()] == values, f"{[*d.values()]}, {values}"
        assert [*reversed(d)] == keys[::-1], f"{[*reversed(d)]}, {keys}"
        assert d.get_many(KEYS) == dict(pairs), f"{d.get_many(KEYS)}, {pairs}"
        stats = d.stats()
        assert stats.keys == len(keys), f"{stats.keys} of {keys}"
        expired = len(self.known) - len(keys)
        assert expired - self.swept <= stats.expired <= expired, f"{stats.expired} of {expired}, {self.swept}"
        assert d.verify().ok


def jump(folder: Path, home: str, durability: str, seed: int, jumps: int) -> None:
    """Have the wall clock of this process jump."""
    Jumps(folder, home, durability, seed, Wall()).run(jumps)

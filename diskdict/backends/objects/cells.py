"""What is stored under a key, and changing it only as it was seen: `Cells`."""

from __future__ import annotations

import errno
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from diskdict.backends.objects.bucket import Bucket, Seen, Stamp
from diskdict.backends.objects.lines import Held, Line, joined, packed
from diskdict.backends.objects.names import LONG, name_of
from diskdict.backends.objects.numbering import Numbers
from diskdict.backends.objects.seeing import CHANGES, MADE, NOT_MADE, Seeing, View
from diskdict.store import ABSENT

_SHORT: Final = 0.005
_LOST: Final = 7
_LONG: Final = 0.5
_PATIENCE: Final = 5.0
"""Seconds that a change of several keys is given to end before another client ends it."""
_LONG_GONE: Final = 3_600.0
"""Seconds after which, by the clock of any machine, nobody is at work on it any more."""


class Cells(Seeing):
    """The objects of keys, to be looked at and changed.

    Parameters
    ----------
    bucket: Bucket
        Where they are.
    codec: str
        The name of the codec.
    removal: float
        The most seconds between the decision to remove an object and the last moment at which it may be removed.
    monotonic, sleep: callable
        What measures seconds, and what lets them pass.

    Notes
    -----
    A service has no removal on a condition that all have. So an object is first made a grave, on condition, and that is
    the moment at which the record is gone; then the grave is removed. Who finds a grave makes nothing new of it until
    it is gone or `removal` is over: a removal that is under way would take the new record with it.
    """

    def __init__(
        self,
        bucket: Bucket,
        codec: str,
        removal: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(bucket, codec)
        self.numbers = Numbers()
        self._lost: dict[str, int] = {}
        self._removal = removal
        self._monotonic = monotonic
        self._sleep = sleep

    def settled(self, key: str, *, whole: bool, elder: str | None = None) -> View:
        """Return what is there for who is to change it: it waits for those who are at work on it.

        A change of several keys that is younger than `elder` is ended at once.
        """
        name = name_of(key)
        since: tuple[Stamp, float] | None = None
        pause = _SHORT
        while True:
            seen = self._seen(name, whole)
            if seen is None:
                return View()
            line = self._line(name, seen)
            if since is None or since[0] != seen.stamp:
                since = (seen.stamp, self._monotonic())
            waited = self._monotonic() - since[1]
            if _is_old(seen):
                waited += _LONG_GONE
            if line.grave is None and line.change is None:
                return self._shown(name, seen, line, made=False)
            if line.change is not None:
                made = self.made(line.change)
                if made is not None:
                    return self._shown(name, seen, line, made)
                if waited > _PATIENCE or (elder is not None and line.change > elder):
                    self.decide(line.change, NOT_MADE)
                    continue
            elif line.grave is not None and waited > line.grave:
                return View(seen.stamp)
            self._sleep(pause)
            pause = min(2 * pause, _LONG)

    def decide(self, change: str, outcome: bytes, names: str = "") -> bool:
        """Say for good whether a change of several keys was made, unless somebody has; return whether it is so."""
        body = outcome + b"\n" + names.encode()
        if self.bucket.put(f"{CHANGES}/{change}", body, only_if=ABSENT) is not None:
            return True
        return self.made(change) is (outcome == MADE)

    def write(self, key: str, line: Line, stamp: Stamp | None, *payloads: bytes | None) -> Stamp | None:
        """Make an object of this, if the state of what is there is `stamp`; None if it is not."""
        name = name_of(key)
        if name.startswith(f"{LONG}/"):
            line = line._replace(key=key)
        self.require_conditions()
        kept = self._kept(key, line, payloads)
        body = joined(line, *self._beside(line, payloads))
        done = self.bucket.put(name, body, packed(line), only_if=ABSENT if stamp is None else stamp)
        if done is None:
            self._forget(name)
            # The client repeats what got no answer, and is then told that it is too late.
            seen = self._seen(name, whole=False)
            if seen is None or self._line(name, seen) != line:
                for held in kept:
                    self.apart.discard(key, held)
                self._give_way(name)
                return None
            done = seen.stamp
        self._lost.pop(name, None)
        if line.change is None and line.grave is None:
            self._remember(name, View(done, key, line.record))
        return done

    def _give_way(self, name: str) -> None:
        """Wait a little, and the longer the more often others were faster in a row, so that all come through."""
        lost = self._lost[name] = min(self._lost.get(name, 0) + 1, _LOST)
        self._sleep(random.random() * _SHORT * 2**lost)

    def _kept(self, key: str, line: Line, payloads: Sequence[bytes | None]) -> list[Held]:
        return [held for held, payload in _parts(line, payloads) if self.apart.keep(key, held, payload)]

    def _beside(self, line: Line, payloads: Sequence[bytes | None]) -> list[bytes]:
        return [payload for held, payload in _parts(line, payloads) if not self.apart.has(held)]

    def overwrite(self, key: str, line: Line, payload: bytes | None) -> None:
        """Make an object of this, whatever is there by then."""
        name = name_of(key)
        if name.startswith(f"{LONG}/"):
            line = line._replace(key=key)
        self._kept(key, line, [payload])
        self.bucket.put(name, joined(line, *self._beside(line, [payload])), packed(line))

    def drop(self, key: str) -> None:
        """Remove an object, whatever is there by then."""
        self.bucket.delete(name_of(key))

    def remove(self, key: str, stamp: Stamp) -> bool:
        """Remove an object if its state is `stamp`; return whether it was."""
        begun = self._monotonic()
        if self.write(key, Line(self.numbers.next(), grave=self._removal), stamp) is None:
            return False
        self._forget(name_of(key))
        self.clear(key, begun)
        return True

    def clear(self, key: str, begun: float) -> None:
        """Remove the grave of a key that was made after the moment `begun`."""
        # The rest of the time is that of the request.
        if self._monotonic() - begun < self._removal / 4:
            self.bucket.delete(name_of(key))

    def sweep(self, key: str) -> None:
        """Remove the grave of a key, if it is one that was left long ago."""
        seen = self._seen(name_of(key), whole=False)
        if seen is not None and self._line(name_of(key), seen).grave is not None and _is_old(seen):
            self.remove(key, seen.stamp)

    def require_conditions(self) -> None:
        """Raise OSError where the service does not keep conditions."""
        if not self.bucket.understood().conditions:
            raise OSError(
                errno.EOPNOTSUPP,
                "it ignores the conditions of requests (If-Match, If-None-Match), so that changes of others would be"
                " lost; only plain get, put and delete are possible",
                self.bucket.server,
            )

    def finish(self, change: str, key: str) -> None:
        """Have a key's object be the record that a change of several keys, which was made, has made of it."""
        name = name_of(key)
        seen = self._seen(name, whole=True)
        line = None if seen is None else self._line(name, seen)
        if seen is None or line is None or line.change != change:
            return
        given = self.given(self._shown(name, seen, line, made=True))
        if given is None:
            self.remove(key, seen.stamp)
        else:
            self.write(key, Line(given.held.stat.version, record=given.held), seen.stamp, given.payload)


def _parts(line: Line, payloads: Sequence[bytes | None]) -> Iterator[tuple[Held, bytes]]:
    """Yield the records of a line whose payloads are to be written, with these."""
    for held, payload in zip((line.record, line.after), payloads, strict=False):
        if held is not None and payload is not None:
            yield held, payload


def _is_old(seen: Seen) -> bool:
    return time.time() - seen.modified > _LONG_GONE

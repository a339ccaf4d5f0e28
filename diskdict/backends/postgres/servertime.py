"""The clock of a server, as far as it can be known here: `ServerClock`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_LASTS: Final = 10.0


class ServerClock:
    """Gives the time of a server in seconds since the epoch, asking `there` for it every ten seconds.

    It is right by half the time that an answer takes, and goes on evenly in between, whatever is done to the clock of
    this machine.
    """

    def __init__(self, there: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._there = there
        self._monotonic = monotonic
        self._known: tuple[float, float] | None = None

    def __call__(self) -> float:
        now = self._monotonic()
        if self._known is None or now - self._known[1] >= _LASTS:
            told = self._there()
            after = self._monotonic()
            self._known, now = (told, (now + after) / 2), after
        told, asked = self._known
        return told + now - asked

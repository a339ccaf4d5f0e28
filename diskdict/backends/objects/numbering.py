"""Numbers that no two clients ever have the same: `Numbers`."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from typing import Final

_EPOCH: Final = 1_577_836_800 * 1_000_000
"""2020 in microseconds, so that numbers are good for 70 years in 63 bits."""


class Numbers:
    """Gives numbers that grow, of which no two clients ever have the same: microseconds and twelve random bits."""

    def __init__(self, now: Callable[[], int] = time.time_ns) -> None:
        self._now = now
        self._turn = threading.Lock()
        self._last = 0

    def next(self, above: int = 0) -> int:
        """Return one above all that were given here, and above that one."""
        with self._turn:
            fresh = (self._now() // 1_000 - _EPOCH << 12) + secrets.randbits(12)
            self._last = max(fresh, self._last + 1, above + 1)
            return self._last

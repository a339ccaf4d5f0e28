"""A thread that removes expired keys from time to time: `Cleaner`."""

from __future__ import annotations

import threading
import warnings
import weakref
from typing import Protocol

from diskdict.errors import ClosedError
from diskdict.store import seconds


class Cleanable(Protocol):
    """What a `Cleaner` keeps clean."""

    def cleanup_expired(self) -> int:
        """Remove expired keys."""


class Cleaner:
    """Calls ``cleanup_expired`` of `target` every `interval` seconds until `stop`.

    Notes
    -----
    The thread is a daemon and holds no strong reference: it ends when the target is collected. An exception is warned
    of once; the thread goes on.
    """

    def __init__(self, target: Cleanable, interval: float) -> None:
        interval = checked_interval(interval)
        self._stopped = threading.Event()
        stopped = self._stopped
        reference = weakref.ref(target, lambda _: stopped.set())
        self._thread = threading.Thread(
            target=_clean, args=(reference, stopped, interval), name="diskdict-cleanup", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for its end."""
        self._stopped.set()
        # The last reference to the target may be the thread's own, and then its finaliser runs there.
        if self._thread is not threading.current_thread():
            self._thread.join()


def checked_interval(interval: float) -> float:
    """Return the interval as a float of seconds, or raise a ValueError that names it."""
    try:
        checked = seconds(interval)
    except ValueError:
        checked = 0.0
    if not checked:
        raise ValueError(f"cleanup_interval is a number of seconds above 0, or None for no thread, not {interval!r}")
    return checked


def _clean(reference: weakref.ref[Cleanable], stopped: threading.Event, interval: float) -> None:
    warned = False
    while not stopped.wait(interval):
        target = reference()
        if target is None:
            return
        try:
            target.cleanup_expired()
        except ClosedError:
            return
        except Exception as error:  # noqa: BLE001  # nobody is there to catch it, and the next round may succeed
            if not warned:
                warned = True
                warnings.warn(f"removing expired keys failed: {error!r}; going on", RuntimeWarning, stacklevel=1)
        del target

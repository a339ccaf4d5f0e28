"""A thread that does the same thing from time to time: `Repeater`."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from collections.abc import Callable
from types import MethodType
from typing import cast

from diskdict.errors import ClosedError
from diskdict.store import Seconds, seconds


class Repeater:
    """Calls a method every `interval` seconds, and when woken, until `stop`.

    Parameters
    ----------
    action: bound method
        What to do.
    interval: float
        Seconds between two calls.
    name: str
        What it is for, as in ``"cleanup"``.

    Notes
    -----
    The thread is a daemon and holds no strong reference to the method's object: it ends when that is collected, or
    closed. An exception is warned of once; the thread goes on.
    """

    def __init__(self, action: Callable[[], object], interval: float, name: str) -> None:
        self._wanted = threading.Event()
        self._stopped = threading.Event()
        wanted, stopped = self._wanted, self._stopped

        def end(_: object = None) -> None:
            stopped.set()
            wanted.set()

        self._end = end
        reference = weakref.WeakMethod(cast(MethodType, action), end)
        self._thread = threading.Thread(
            target=_repeat, args=(reference, wanted, stopped, interval, name), name=f"diskdict-{name}", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Have the next call be now."""
        self._wanted.set()

    def stop(self, *, wait: bool = True) -> None:
        """End the thread, and wait for its end."""
        self._end()
        # The last reference to the target may be the thread's own, and then its finaliser runs there.
        if wait and self._thread is not threading.current_thread():
            self._thread.join()


def checked_interval(name: str, interval: Seconds) -> float:
    """Return an interval as a float of seconds, or raise a ValueError that names it."""
    try:
        checked = seconds(interval)
    except ValueError:
        checked = 0.0
    if not checked:
        raise ValueError(f"{name} is a number of seconds above 0, not {interval!r}")
    return checked


def _repeat(
    reference: weakref.WeakMethod[Callable[[], object]],
    wanted: threading.Event,
    stopped: threading.Event,
    interval: float,
    name: str,
) -> None:
    warned = False
    due = time.monotonic() + interval
    while True:
        wanted.wait(max(0.0, due - time.monotonic()))
        wanted.clear()
        due = time.monotonic() + interval
        action = None if stopped.is_set() else reference()
        if action is None:
            return
        try:
            action()
        except ClosedError:
            return
        except Exception as error:  # noqa: BLE001  # nobody is there to catch it, and the next round may succeed
            if not warned:
                warned = True
                warnings.warn(f"{name} failed: {error!r}", RuntimeWarning, stacklevel=1)
        del action

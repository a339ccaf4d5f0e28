"""The locks and semaphores that a queue is given: `queue_lock`, `queue_semaphore`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from diskdict.mutex import Lock, LockLike, made_lock

_OF_THREADS: Final = (type(threading.Lock()), type(threading.RLock()))


@runtime_checkable
class Semaphore(Protocol):
    """What `threading.Semaphore`, `multiprocessing.Semaphore` and their like have."""

    def acquire(self, blocking: bool = True, /) -> bool:
        """Count down; return whether that was done."""

    def release(self) -> None:
        """Count up."""


class OwnedLock:
    """Any lock, and whose it is: what a `threading.Condition` has to know."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._owner = 0

    def acquire(self, blocking: bool = True) -> bool:
        """Take the lock; return whether it was taken."""
        taken = self._lock.acquire(blocking)
        if taken:
            self._owner = threading.get_ident()
        return taken

    def release(self) -> None:
        """Give the lock back."""
        self._owner = 0
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()


SemaphoreLike = Semaphore | Callable[[], Semaphore]
"""A semaphore, or a factory of them."""


def queue_lock(lock: LockLike | None) -> threading.Lock:
    """Return the mutex of a queue: what was given, as a lock or a factory of one, by default a ``threading.Lock``."""
    if lock is None:
        return threading.Lock()
    made = made_lock(lock)
    # Anything with these methods does what `queue.Queue` and its conditions ask for.
    return made if isinstance(made, _OF_THREADS) else OwnedLock(made)  # type: ignore[return-value]


def queue_semaphore(semaphore: SemaphoreLike | None) -> Semaphore | None:
    """Return the semaphore that was given, or one made by the factory that was, counted down to 0."""
    if semaphore is None:
        return None
    given = callable(semaphore) and (isinstance(semaphore, type) or not isinstance(semaphore, Semaphore))
    made = semaphore() if given else semaphore  # type: ignore[operator]
    if not isinstance(made, Semaphore):
        raise TypeError(f"semaphore= takes a semaphore or a factory of semaphores, not {semaphore!r}")
    while given and made.acquire(False):
        pass
    return made

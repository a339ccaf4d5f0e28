"""Which thread may change a store: `mutation_lock`."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol, Self, runtime_checkable


@runtime_checkable
class Lock(Protocol):
    """What `threading.Lock`, `multiprocessing.Lock` and their like have."""

    def acquire(self, blocking: bool = True, /) -> bool:
        """Take the lock; return whether it was taken."""

    def release(self) -> None:
        """Give the lock back."""


LockLike = Lock | Callable[[], Lock]
"""A lock, or a factory of locks."""

Exclusive = contextlib.AbstractContextManager[object]
"""A re-entrant lock to enter and leave."""


class Reentrant:
    """Lets the thread that holds `lock` enter again, whatever kind of lock it is."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock
        self._owner = 0
        self._depth = 0

    def __enter__(self) -> Self:
        me = threading.get_ident()
        if self._owner != me:
            self._lock.acquire()
            self._owner = me
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            self._lock.release()


def mutation_lock(lock: LockLike | None) -> Exclusive:
    """Return the thread lock of a store: of the kind given as a lock or a factory of one, by default an RLock."""
    return threading.RLock() if lock is None else Reentrant(made_lock(lock))


def made_lock(lock: LockLike) -> Lock:
    """Return the lock that was given, or one made by the factory that was."""
    made = lock() if callable(lock) and (isinstance(lock, type) or not isinstance(lock, Lock)) else lock
    if not isinstance(made, Lock):
        raise TypeError(f"lock= takes a lock or a factory of locks, not {lock!r}")
    return made

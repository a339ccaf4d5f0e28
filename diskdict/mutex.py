"""Which threads may change a store: `mutation_lock`, and `mutation_locks` where many may at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
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


class Crowd:
    """A lock that any number of threads hold together, or one alone. Who holds it alone may enter again, either way.

    Notes
    -----
    Who waits to be alone comes before those who come later. A thread that is in it together with others must not enter
    again: it would wait for itself.
    """

    def __init__(self) -> None:
        self._turn = threading.Condition(threading.Lock())
        self._together = 0
        self._waiting = 0
        self._owner = 0
        self._depth = 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Hold it beside others who do."""
        if self._owner == threading.get_ident():
            yield
            return
        with self._turn:
            self._turn.wait_for(lambda: not self._owner and not self._waiting)
            self._together += 1
        try:
            yield
        finally:
            with self._turn:
                self._together -= 1
                self._turn.notify_all()

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold it and keep out all others."""
        me = threading.get_ident()
        if self._owner != me:
            self._enter(me)
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth:
                with self._turn:
                    self._owner = 0
                    self._turn.notify_all()

    def _enter(self, me: int) -> None:
        with self._turn:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._owner and not self._together)
                self._owner = me
            finally:
                self._waiting -= 1
                self._turn.notify_all()


Enter = Callable[[], Exclusive]
"""Gives a block in which a lock is held."""


def mutation_locks(lock: LockLike | None) -> tuple[Enter, Enter]:
    """Return how to hold the lock of a store for one change, beside other threads, and alone for several.

    A lock that was given is held alone for each change.
    """
    if lock is None:
        crowd = Crowd()
        return crowd.together, crowd.alone
    given = mutation_lock(lock)
    return lambda: given, lambda: given


def mutation_lock(lock: LockLike | None) -> Exclusive:
    """Return the thread lock of a store: of the kind given as a lock or a factory of one, by default an RLock."""
    return threading.RLock() if lock is None else Reentrant(made_lock(lock))


def made_lock(lock: LockLike) -> Lock:
    """Return the lock that was given, or one made by the factory that was."""
    made = lock() if callable(lock) and (isinstance(lock, type) or not isinstance(lock, Lock)) else lock
    if not isinstance(made, Lock):
        raise TypeError(f"lock= takes a lock or a factory of locks, not {lock!r}")
    return made

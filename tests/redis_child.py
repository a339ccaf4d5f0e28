"""What a process does that is one of several at a store in Redis."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import closing

from redis_server import wait_until

from diskdict import DurabilityError, open_dict
from diskdict.backends.redis.store import RedisStore
from diskdict.caching import CachedStore
from diskdict.core import StoreDict


def count(url: str, rounds: int) -> None:
    """Count to a number that all count to."""
    with open_dict(url) as d:
        for _ in range(rounds):
            d.increment("n")


def write(url: str, number: int, say: Callable[[object], None]) -> None:
    """Store keys without end. Say each that was acknowledged, and each error that may come; any other ends it."""
    store = RedisStore(url, codec="raw")
    turn = 0
    while True:
        turn += 1
        key = f"{number}/{turn}"
        try:
            store.put(key, b"%d" % turn)
        except (ConnectionError, TimeoutError, DurabilityError) as error:
            say((None, type(error).__name__))
        else:
            say((key, turn))


def count_on_both_sides_of_a_fork(url: str, rounds: int) -> int:
    """Count with one handle in two processes at once; return how the second one has ended."""
    with open_dict(url) as d:
        d.increment("n")
        inside, forked = threading.Event(), threading.Event()
        thread = threading.Thread(target=_hold, args=(d, inside, forked))
        thread.start()
        inside.wait()
        child = os.fork()
        code = 1
        try:
            forked.set()
            for _ in range(rounds):
                d.increment("n")
            code = 0
        finally:
            if not child:
                os._exit(code)
        thread.join()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _hold(d: StoreDict[object, object], inside: threading.Event, end: threading.Event) -> None:
    with d.transaction():
        inside.set()
        end.wait()


def cache_on_both_sides_of_a_fork(url: str) -> int:
    """Have a child change what both remember, and both see it; return how the child has ended."""
    with closing(CachedStore(RedisStore(url, codec="raw"))) as store:
        store.put("k", b"1")
        store.read("k")
        wait_until(lambda: store.cache_stats().active and store.read("k") == b"1" and store.cache_stats().size == 1)
        child = os.fork()
        code = 1
        try:
            if not child:
                assert not store.cache_stats().active
                store.put("k", b"2")
            wait_until(lambda: store.read("k") == (b"2" if child else b"3"))
            wait_until(lambda: store.cache_stats().active)
            if child:
                store.put("k", b"3")
            code = 0
        finally:
            if not child:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

"""What a process does that is a client among others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

from diskdict import ConflictError
from diskdict.client import Client

TURNS = 10

Dict = Client[Any, Any]


def work(url: str, number: int) -> None:
    """Change the keys that all change, in every way."""
    with Client[Any, Any](url) as d:
        for turn in range(TURNS):
            d.increment("count")
            d.append("list", [(number, turn)])
            d.set_metadata("count", {f"{number}/{turn}": turn})
            while not d.compare_and_swap("swapped", old := d["swapped"], old + 1):
                pass
            repeated(_edit, d, (number, turn))
            repeated(_move, d)


def repeated(change: Callable[..., None], *arguments: object) -> None:
    """Change something until nobody else is faster."""
    while True:
        try:
            return change(*arguments)
        except ConflictError:
            pass


def _edit(d: Dict, what: tuple[int, int]) -> None:
    with d.edit("edited") as value:
        value.append(what)


def _move(d: Dict) -> None:
    with d.transaction():
        d.increment("source", -1)
        d["target"] = d["target"] + 1


def count_on_both_sides_of_a_fork(url: str, rounds: int) -> int:
    """Count with one client in two processes at once; return how the second one has ended."""
    with Client[str, int](url) as d:
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


def _hold(d: Client[str, int], inside: threading.Event, end: threading.Event) -> None:
    with d.transaction():
        inside.set()
        end.wait()


def drain(url: str, queue: str, say: Callable[[object], None]) -> None:
    """Do jobs, and say each before it is acknowledged, until one is None."""
    with Client[Any, Any](url) as d:
        jobs = d.queue(queue)
        while True:
            with jobs.processing() as delivery:
                if delivery.value is None:
                    return
                say(delivery.value)


def put_on_both_sides_of_a_fork(url: str) -> int:
    """Put with one queue in two processes at once; return how the second one has ended."""
    with Client[str, Any](url) as d:
        jobs = d.queue("jobs")
        jobs.empty()
        child = os.fork()
        code = 1
        try:
            for _ in range(20):
                jobs.put("parent" if child else "child")
            code = 0
        finally:
            if not child:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

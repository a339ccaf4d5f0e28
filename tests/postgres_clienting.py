"""What a process does that is a client of PostgreSQL among others."""

from __future__ import annotations

import os
from collections.abc import Callable

from diskdict import open_dict


def count_up(url: str, times: int) -> None:
    """Count what all count, on a connection of its own."""
    with open_dict(url) as d:
        for _ in range(times):
            d.increment("n")


def store_and_tell(url: str, name: str, say: Callable[[tuple[str, int]], None]) -> None:
    """Store pairs without an end and tell each that is acknowledged; a server that is away is asked again."""
    with open_dict(url) as d:
        number = 0
        while True:
            key = f"{name}/{number}"
            try:
                d.set_many({key: number, f"{key}'": number})
            except OSError:
                continue
            say((key, number))
            number += 1


def use_on_both_sides_of_a_fork(url: str, rounds: int) -> int:
    """Count with one dict in two processes; return how the second one has ended."""
    with open_dict(url) as d:
        d["n"] = 0
        child = os.fork()
        code = 1
        try:
            for _ in range(rounds):
                d.increment("n")
            code = 0
        finally:
            if not child:
                os._exit(code)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

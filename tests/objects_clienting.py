"""What a process does that is a client of a bucket among others."""

from __future__ import annotations

from collections.abc import Callable

from diskdict import ConflictError, open_dict


def count_up(url: str, times: int) -> None:
    """Count what all count."""
    with open_dict(url) as d:
        for _ in range(times):
            d.increment("n")


def move(url: str, accounts: str, say: Callable[[str], None], start: int) -> None:
    """Move one from account to account without an end, and say so each time."""
    with open_dict(url) as d:
        turn = start
        while True:
            source, target = accounts[turn % len(accounts)], accounts[(turn * 7 + 1) % len(accounts)]
            turn += 1
            if source == target:
                continue
            try:
                with d.transaction():
                    d.increment(source, -1)
                    d.increment(target, 1)
            except ConflictError:
                continue
            say("moved")

"""What is only for eyes: text without control characters, colour and progress bars, on a terminal alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

Told = Callable[[int, int | None], object]
"""Called with how many are done and how many there are, None where nobody knows."""


def visible(text: str) -> str:
    """Return a text in which nothing moves the cursor or breaks the line: such characters as Python writes them."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def red(text: str) -> str:
    """Return what makes a text red on stderr; the text alone where that is no terminal or colours are unwanted."""
    plain = not sys.stderr.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[31m{text}\x1b[0m"


@contextmanager
def bar(doing: str, unit: str, *, shown: bool = True) -> Iterator[Told]:
    """Give what moves a bar with a rate on stderr; where that is no terminal, or rich is not installed, nothing."""
    try:
        if not shown or not sys.stderr.isatty():
            raise ImportError
        from rich.console import Console  # takes longer to load than most commands run
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    except ImportError:
        yield lambda _done, _total: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task(doing, total=None, rate="")
        start = monotonic()

        def told(done: int, total: int | None) -> None:
            of = "" if total is None else f"/{total:,}"
            rate = f"{done:,}{of} {unit}, {done / max(monotonic() - start, 1e-3):,.0f}/s"
            progress.update(task, completed=done, total=total, rate=rate)

        yield told

"""Answers on stdout, in UTF-8 wherever that goes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime

from diskdict.cli.screen import visible
from diskdict.jsontext import written


def put(content: bytes) -> None:
    """Write bytes as they are."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)


def line(text: str) -> None:
    """Write a text and a line break; what UTF-8 cannot have is written as Python does."""
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")


def answer(fields: Mapping[str, object], *, as_json: bool) -> None:
    """Write names and what they stand for: as a JSON object, or one a line."""
    if as_json:
        line(written(dict(fields)))
        return
    width = max(map(len, fields))
    for name, value in fields.items():
        line(f"{name:{width}}  {visible(value if isinstance(value, str) else written(value))}")


def moment(seconds: float | None) -> str:
    """Return a time as people here write it, to the second."""
    if seconds is None:
        return "never"
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
    except (OverflowError, ValueError, OSError):
        return str(seconds)

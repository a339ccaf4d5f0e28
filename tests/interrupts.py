"""Ctrl-C at every place where the interpreter lets one through: `Interrupted` raises at the N-th of them.

CPython looks for signals when a function begins, when a loop goes round and when a call of C has returned. The tracer
counts these places in the code of the package under test, so that all of them can be tried one after the other, where
a timer hits the same few again and again.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any


class Interrupted:
    """Raises KeyboardInterrupt at the place number `at`, counted from 1, within `package`."""

    def __init__(self, at: int, package: str = "diskdict") -> None:
        self.at = at
        self.count = 0
        self.where = ""
        self._package = package
        self._names: dict[CodeType, dict[int, str]] = {}
        self._last: dict[FrameType, str] = {}

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Watch what this thread does."""
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(None)
            self._last.clear()

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_globals.get("__name__", "").startswith(self._package):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "return":
            self._last.pop(frame, None)
        elif event == "opcode":
            name = self._name(frame)
            before, self._last[frame] = self._last.get(frame, ""), name
            if _looks_for_signals(before, name):
                self._place(frame, before)
        return self._stepped

    def _name(self, frame: FrameType) -> str:
        names = self._names.get(frame.f_code)
        if names is None:
            names = self._names[frame.f_code] = {step.offset: step.opname for step in dis.get_instructions(frame.f_code)}
        return names.get(frame.f_lasti, "")

    def _place(self, frame: FrameType, before: str) -> None:
        self.count += 1
        if self.count == self.at:
            sys.settrace(None)
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno} after {before}"
            raise KeyboardInterrupt(self.where)


def _looks_for_signals(before: str, now: str) -> bool:
    if before == "PRECALL":  # 3.11: some kinds of calls are done by it
        return now != "CALL"
    return before.startswith(("CALL", "RESUME", "JUMP_BACKWARD")) and not before.startswith("CALL_INTRINSIC")

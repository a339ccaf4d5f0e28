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
from typing import Any, NamedTuple


class Interrupted:
    """Raises KeyboardInterrupt at the place number `at`, counted from 1, within `package`."""

    def __init__(self, at: int, package: str = "diskdict") -> None:
        self.at = at
        self.count = 0
        self.where = ""
        self._package = package
        self._steps: dict[CodeType, dict[int, _Step]] = {}
        self._last: dict[FrameType, _Step] = {}

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Watch what this thread does."""
        self._before = sys.gettrace()  # coverage measures by one
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(self._before)
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
            steps = self._steps.get(frame.f_code)
            if steps is None:
                steps = self._steps[frame.f_code] = _steps(frame.f_code)
            now = steps[frame.f_lasti]
            before, self._last[frame] = self._last.get(frame), now
            if before is not None and _looks_for_signals(before, now):
                self._place(frame, before.name)
        return self._stepped

    def _place(self, frame: FrameType, before: str) -> None:
        self.count += 1
        if self.count == self.at:
            sys.settrace(None)
            self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno} after {before}"
            raise KeyboardInterrupt(self.where)


class _Step(NamedTuple):
    """An instruction and where an exception in it is caught."""

    name: str
    handler: int | None


def _steps(code: CodeType) -> dict[int, _Step]:
    handlers = dis.Bytecode(code).exception_entries
    return {
        step.offset: _Step(
            step.opname, next((each.target for each in handlers if each.start <= step.offset < each.end), None)
        )
        for step in dis.get_instructions(code)
    }


def _looks_for_signals(before: _Step, now: _Step) -> bool:
    # The interpreter raises within the first of the two, a tracer within the second: both must be caught alike.
    if before.handler != now.handler:
        return False
    if before.name == "PRECALL":  # 3.11: some kinds of calls are done by it
        return now.name != "CALL"
    return before.name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")) and "INTRINSIC" not in before.name

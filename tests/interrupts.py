"""Ctrl-C at every place where the interpreter lets one through: `Interrupted` raises at the N-th of them.

CPython looks for signals when a function begins, when a loop goes round and when a call of C has returned. These places
are counted in the code of the package under test, so that all of them can be tried one after the other, where a timer
hits the same few again and again.
"""

from __future__ import annotations

import contextlib
import dis
import functools
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

_SPEC = find_spec("diskdict")
PACKAGE = str(Path(str(_SPEC.origin if _SPEC else None)).parent)

_TOOL = 4  # coverage measures as 3, or by a trace function


class Interrupted:
    """Raises KeyboardInterrupt at the place number `at`, counted from 1. ``where`` tells which that was."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.count = 0
        self.where = ""
        self._last: dict[int, _Step] = {}

    def armed(self) -> contextlib.AbstractContextManager[None]:
        """Watch what this thread does."""
        self._last.clear()
        return self._monitoring() if sys.version_info >= (3, 12) else self._tracing()

    @contextlib.contextmanager
    def _monitoring(self) -> Iterator[None]:
        tool = sys.monitoring  # type: ignore[attr-defined,unused-ignore]
        tool.use_tool_id(_TOOL, "interrupts")
        tool.register_callback(_TOOL, tool.events.INSTRUCTION, self._monitored)
        tool.set_events(_TOOL, tool.events.INSTRUCTION)
        try:
            yield
        finally:
            tool.set_events(_TOOL, 0)
            tool.free_tool_id(_TOOL)

    def _monitored(self, code: CodeType, offset: int) -> None:
        if code.co_filename.startswith(PACKAGE):
            self._step(sys._getframe(1), offset)

    @contextlib.contextmanager
    def _tracing(self) -> Iterator[None]:
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)

    def _called(self, frame: FrameType, event: str, argument: object) -> Any:
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        return self._traced

    def _traced(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            self._step(frame, frame.f_lasti)
        return self._traced

    def _step(self, frame: FrameType, offset: int) -> None:
        now = _steps(frame.f_code)[offset]
        before = self._last.get(id(frame)) if offset else None
        self._last[id(frame)] = now
        if before is not None and _looks_for_signals(before, now):
            self.count += 1
            if self.count == self.at:
                self.where = f"{frame.f_code.co_qualname}:{frame.f_lineno} after {before.name}"
                raise KeyboardInterrupt(self.where)


class _Step(NamedTuple):
    """An instruction and where an exception in it is caught."""

    name: str
    handler: int | None


@functools.cache
def _steps(code: CodeType) -> dict[int, _Step]:
    handlers = dis.Bytecode(code).exception_entries
    return {
        step.offset: _Step(
            step.opname, next((each.target for each in handlers if each.start <= step.offset < each.end), None)
        )
        for step in dis.get_instructions(code)
    }


def _looks_for_signals(before: _Step, now: _Step) -> bool:
    # The interpreter raises within the first of the two, and this within the second: both must be caught alike.
    if before.handler != now.handler:
        return False
    if before.name == "PRECALL":  # 3.11: some kinds of calls are done by it
        return now.name != "CALL"
    return before.name.startswith(("CALL", "RESUME", "JUMP_BACKWARD")) and "INTRINSIC" not in before.name

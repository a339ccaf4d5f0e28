"""Fixtures of what is done to stores on purpose."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import deeds
import pytest
from crew import Crew

from diskdict import attributes
from diskdict.attributes import supported

pytest.register_assert_rewrite("stage", "witness")


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    """Processes whose system calls are counted."""
    with Crew("faults:install", "crash_child") as crew:
        yield crew


@pytest.fixture(scope="module")
def plain() -> Iterator[Crew]:
    """Processes that make their system calls as ever."""
    with Crew("crash_child") as crew:
        yield crew


@pytest.fixture
def home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where attributes are kept, in this process too."""
    monkeypatch.setattr(attributes, "calls", attributes.calls)
    monkeypatch.setattr(attributes, "PACKAGE", attributes.PACKAGE)
    deeds.use(request.param)
    return str(request.param)


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory, where the system has that with attributes: thousands of stores are made in it."""
    memory = Path("/dev/shm")
    if not memory.is_dir() or not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory, prefix="diskdict-tests-") as folder:
        probe = Path(folder, "probe")
        with probe.open("wb") as file:
            has_attributes = supported(file.fileno(), writable=True)
        yield Path(folder) if has_attributes else tmp_path

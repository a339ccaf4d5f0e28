"""The tests of Python's own ``queue``, run on the durable queues.

Left out is what replaces the inner methods of the library's class (``_put``, ``_get``).
"""

from __future__ import annotations

import importlib
import queue
import shutil
import tempfile
import types
import unittest
from pathlib import Path
from typing import Any

import pytest
from queue_contract import ShutDown

from diskdict import DurableLifoQueue, DurablePriorityQueue, DurableQueue

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None

try:
    LIBRARY_TESTS: Any = importlib.import_module("test.test_queue").BaseQueueTestMixin
except ImportError:  # some systems leave the tests of the library out
    LIBRARY_TESTS = object


class LibraryTests(LIBRARY_TESTS):
    """`BaseQueueTestMixin`, whose queues are in folders."""

    queue = types.SimpleNamespace(Empty=queue.Empty, Full=queue.Full, ShutDown=ShutDown)
    kind: type[DurableQueue[Any, Any]]
    name: str

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.mkdtemp(dir=MEMORY, prefix="diskdict-tests-")
        self.addCleanup(shutil.rmtree, folder)  # type: ignore[attr-defined]
        self.paths = iter(f"{folder}/{number}" for number in range(1_000))
        # What order is expected the tests know by the name of the class.
        self.named = type(self.name, (self.kind,), {})

    def type2test(self, maxsize: int = 0) -> DurableQueue[Any, Any]:
        q: DurableQueue[Any, Any] = self.named(next(self.paths), maxsize)
        self.addCleanup(q.close)  # type: ignore[attr-defined]
        return q


@pytest.mark.skipif(LIBRARY_TESTS is object, reason="this Python comes without its own tests")
class TestQueue(LibraryTests, unittest.TestCase):
    """First in, first out."""

    kind, name = DurableQueue, "Queue"


@pytest.mark.skipif(LIBRARY_TESTS is object, reason="this Python comes without its own tests")
class TestLifoQueue(LibraryTests, unittest.TestCase):
    """Last in, first out."""

    kind, name = DurableLifoQueue, "LifoQueue"


@pytest.mark.skipif(LIBRARY_TESTS is object, reason="this Python comes without its own tests")
class TestPriorityQueue(LibraryTests, unittest.TestCase):
    """The smallest first."""

    kind, name = DurablePriorityQueue, "PriorityQueue"

"""Fixtures of all tests. A test that leaves a descriptor or a thread behind fails."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import shutil
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from clocks import Clock
from folders import use_sidecars
from hypothesis import settings
from mounts import CannotMountError, mounted
from tallies import Announce, tally

from diskdict.attributes import supported

if TYPE_CHECKING:
    from postgres_server import PostgresServer
    from xdist.workermanage import WorkerController

pytest.register_assert_rewrite("store_contract", "mapping_contract", "queue_contract")

# How long an example takes says what else the machine does.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

DESCRIPTORS = next((folder for folder in ("/proc/self/fd", "/dev/fd") if Path(folder).is_dir()), None)


_announced = pytest.StashKey[list[str]]()


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> list[pytest.Item] | None:
    """Do not make what this run leaves out: the long forms are more than all the others, and take as long to make."""
    marks = getattr(obj, "pytestmark", ())
    is_left_out = collector.config.option.markexpr == "not torture" and "torture" in [mark.name for mark in marks]
    return [] if is_left_out else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Count no lines of what does hundreds of times, or in other processes, what other tests do: that takes longest."""
    for item in items:
        drawn = item.get_closest_marker("hypothesis") is not None
        if drawn or item.name.startswith("test_threads_") or item.path.parent.name == "torture":
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def announce(pytestconfig: pytest.Config) -> Announce:
    """Say in the summary what could not run on this machine, and what ran in its place."""
    return pytestconfig.stash.setdefault(_announced, []).append


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of ``make test`` hands over what it has to say in the summary."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput.update(announced=session.config.stash.get(_announced, []), tally=dict(tally))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Take what a worker has handed over: nothing of one that was killed."""
    said = getattr(node, "workeroutput", {})
    node.config.stash.setdefault(_announced, []).extend(said.get("announced", []))
    tally.update(said.get("tally", {}))


@pytest.hookimpl(optionalhook=True)
def pytest_handlecrashitem(crashitem: str) -> None:
    """End the run where a worker dies in a test, most likely because that hung: without them too, it would."""
    pytest.exit(f"a worker has died in {crashitem}", returncode=1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for sentence in dict.fromkeys(config.stash.get(_announced, [])):
        terminalreporter.write_line(f"NOT RUN HERE: {sentence}", yellow=True, bold=True)
    for things, number in sorted(tally.items()):
        terminalreporter.write_line(f"{number:>12,} {things}")


@pytest.fixture(scope="session")
def _attributes_here(tmp_path_factory: pytest.TempPathFactory) -> bool:
    probe = tmp_path_factory.mktemp("probe") / "file"
    with probe.open("wb") as file:
        return supported(file.fileno(), writable=True)


@pytest.fixture
def needs_attributes(_attributes_here: bool, announce: Announce, request: pytest.FixtureRequest) -> None:
    """Leave out what looks at extended attributes where temporary files can have none."""
    if not _attributes_here:
        announce(f"{request.node.name}: temporary files have no extended attributes; --basetemp= names another place.")
        pytest.skip("no extended attributes here")


@pytest.fixture(scope="session")
def _ramfs(tmp_path_factory: pytest.TempPathFactory, announce: Announce) -> Iterator[Path | None]:
    with contextlib.ExitStack() as stack:
        try:
            yield stack.enter_context(mounted(tmp_path_factory.mktemp("ramfs"), "-t", "ramfs", "ramfs"))
        except CannotMountError as why:
            announce(f"sidecars on a mounted ramfs ({why}). The attribute calls were made to refuse instead.")
            yield None


@pytest.fixture
def without_attributes(_ramfs: Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on a filesystem without attributes; where none can be mounted, one whose attributes are refused."""
    if _ramfs is None:
        use_sidecars(monkeypatch)
        yield tmp_path
        return
    base = _ramfs / tmp_path.name
    base.mkdir()
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def postgres(announce: Announce) -> Iterator[PostgresServer]:
    """A server for all who neither end it nor depend on a disk, as all of it is faster without; each has its tables."""
    yield from import_module("postgres_server").server_or_skip(announce, fsync="off", full_page_writes="off")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A path where nothing is yet."""
    return tmp_path / "store"


@pytest.fixture(autouse=True, scope="session")
def resource_tracker_runs() -> None:
    """multiprocessing starts it once, at some time, and keeps its pipe open for good: not a leak of that test."""
    if os.name == "posix":
        resource_tracker.ensure_running()


@pytest.fixture(autouse=True, scope="session")
def loops_have_their_pipe() -> None:
    """The first uvloop of a process opens it for signals and keeps it for good: not a leak of that test."""
    if find_spec("uvloop"):
        import_module("uvloop").new_event_loop().close()


@pytest.fixture(autouse=True, scope="session")
def obstore_has_its_runtime() -> None:
    """The first request of a process starts it, and it keeps what it listens on for good: not a leak of that test."""
    if find_spec("obstore"):
        import_module("obstore").put(import_module("obstore.store").MemoryStore(), "first", b"")


@pytest.fixture(autouse=True)
def takes_its_time(request: pytest.FixtureRequest) -> None:
    """What runs for minutes on purpose does not hang."""
    if request.node.get_closest_marker("torture"):
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(autouse=True)
def no_descriptor_leak() -> Iterator[None]:
    before = open_descriptors()
    yield
    if len(open_descriptors()) > len(before):
        gc.collect()  # it takes longer than most tests do, so it runs only where something looks left open
    patience = time.monotonic() + 10
    while len(open_descriptors()) > len(before) and time.monotonic() < patience:
        time.sleep(0.01)  # a server in a thread closes a file a little after it has answered

    after = open_descriptors()
    assert len(after) <= len(before), f"one of these is left open: {[opened_on(fd) for fd in sorted(after, key=int)]}"


@pytest.fixture(autouse=True)
def no_thread_leak() -> Iterator[None]:
    before = set(threading.enumerate())
    yield

    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(timeout=10)
    assert not [thread for thread in left if thread.is_alive()]


def open_descriptors() -> set[str]:
    """Return the numbers of the descriptors of this process; nothing where the system does not tell."""
    return set() if DESCRIPTORS is None else set(os.listdir(DESCRIPTORS))


def opened_on(fd: str) -> str:
    """Return what a descriptor of this process is open on."""
    try:
        return os.readlink(f"{DESCRIPTORS}/{fd}")
    except OSError:  # macOS has no links there, and the listing's own descriptor is closed by now
        return f"descriptor {fd}"

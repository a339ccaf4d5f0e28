"""One writer or many readers, with real processes: who is refused, who is told what, and when the folder is free."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import ujson
from crew import Actor, Crew
from mounts import CannotMountError, mounted
from operations import ALWAYS, CHANGES, FILLED, QUESTIONS, fill
from store_contract import CountingLock, in_threads

import diskdict
from diskdict import DiskDict
from diskdict.backends.file import FolderStore
from diskdict.errors import ClosedError, LockUnsupportedError, ReadOnlyError, StoreLockedError

ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(diskdict.__file__).parents[1])}
WAITING = "waiting"
WAIT = "d = FolderStore(path, timeout=30, sleep=lambda _: (say('waiting'), time.sleep(0.001)))"
OPEN = "from diskdict import DiskDict; d = DiskDict(path, **options)"


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with Crew("crash_child", "operations") as crew:
        yield crew


@pytest.fixture
def other(crew: Crew) -> Iterator[Actor]:
    """Another process."""
    with crew.actor() as actor:
        yield actor


@pytest.fixture
def third(crew: Crew) -> Iterator[Actor]:
    """And another one."""
    with crew.actor() as actor:
        yield actor


@pytest.fixture
def filled(folder: Path) -> Path:
    """A store that is closed and has something in it."""
    with DiskDict(folder) as d:
        fill(d)
    return folder


def hold(actor: Actor, path: Path, **options: object) -> None:
    """Have a process open the store and keep it open as `d`."""
    actor.run(OPEN, path=path, options=options)


def page(folder: Path) -> dict[str, object]:
    return ujson.loads((folder / "lock").read_bytes())


# ---- one writer


def test_second_process_is_refused(other: Actor, folder: Path) -> None:
    """The message names the process that has the folder, its host, and since when."""
    hold(other, folder)

    with pytest.raises(StoreLockedError) as caught:
        DiskDict(folder)
    assert isinstance(caught.value, BlockingIOError)
    assert caught.value.path == str(folder)
    assert f"process {other.pid} on {platform.node()}, since 20" in str(caught.value)
    assert "timeout=" in str(caught.value)


def test_refusal_in_the_other_process(other: Actor, folder: Path) -> None:
    """It is refused there as it is here, and its error can be sent home."""
    with DiskDict(folder), pytest.raises(StoreLockedError, match=f"process {os.getpid()} on"):
        hold(other, folder)


def test_folder_is_free_when_the_holder_closes(other: Actor, folder: Path) -> None:
    """Closing is enough: the process may live on."""
    hold(other, folder)
    other.run("d['a'] = 1; d.close()")

    with DiskDict(folder) as d:
        assert dict(d) == {"a": 1}


def test_folder_is_free_at_once_after_a_kill(crew: Crew, folder: Path) -> None:
    """The system gives back the lock of a process that dies."""
    for number in range(5):
        with crew.actor() as actor:
            hold(actor, folder)
            actor.run("d[number] = number", number=number)
            actor.kill()
            with DiskDict(folder) as d:
                assert dict(d) == {key: key for key in range(number + 1)}


def test_folder_is_free_when_its_holder_ends(folder: Path) -> None:
    """A process that ends without closing closes."""
    script = "import sys; from diskdict import DiskDict; d = DiskDict(sys.argv[1]); d['a'] = 1"
    subprocess.run([sys.executable, "-c", script, folder], check=True, env=ENVIRONMENT)

    with DiskDict(folder) as d:
        assert dict(d) == {"a": 1}
        assert not page(folder)["suspect"]


def test_second_handle_is_refused(folder: Path) -> None:
    """A process may not have a folder twice: one handle would not see what the other does."""
    with DiskDict(folder), pytest.raises(StoreLockedError, match=rf"this process \(pid {os.getpid()}\), since 20"):
        DiskDict(folder)


def spellings(folder: Path) -> dict[str, Path | str]:
    link = folder.with_name("link")
    link.symlink_to(folder)
    return {
        "a slash behind": f"{folder}/",
        "dots": f"{folder.parent}/./other/../{folder.name}",
        "relative": os.path.relpath(folder),
        "link": link,
        "through a link": folder.parent.with_name(folder.parent.name + "-link") / folder.name,
    }


@pytest.mark.parametrize("way", ["a slash behind", "dots", "relative", "link", "through a link"])
def test_other_spelling_of_the_path_is_refused(filled: Path, way: str) -> None:
    """It is the folder that counts, not its name."""
    filled.parent.with_name(filled.parent.name + "-link").symlink_to(filled.parent)
    path = spellings(filled)[way]

    with DiskDict(filled), pytest.raises(StoreLockedError):
        DiskDict(path)
    with DiskDict(path) as d:
        assert dict(d) == FILLED


def test_folder_that_moves_stays_locked(filled: Path) -> None:
    """The lock goes with the folder, and so does the handle."""
    elsewhere = filled.with_name("elsewhere")
    with DiskDict(filled) as d:
        filled.rename(elsewhere)
        d["c"] = 3

        with pytest.raises(StoreLockedError):
            DiskDict(elsewhere)
    with DiskDict(elsewhere) as d:
        assert dict(d) == {**FILLED, "c": 3}


def test_one_of_many_threads_opens(folder: Path) -> None:
    """Threads that open a new folder at once: one makes and gets it."""

    def attempt(_: int) -> DiskDict | None:
        try:
            return DiskDict(folder)
        except StoreLockedError:
            return None

    opened = [d for d in in_threads(attempt) if d is not None]

    assert len(opened) == 1
    opened[0].close()


def test_one_of_many_processes_opens(crew: Crew, folder: Path) -> None:
    """So do processes."""
    with ExitStack() as stack:
        actors = [stack.enter_context(crew.actor()) for _ in range(5)]
        for actor in actors:
            actor.start(OPEN, path=folder, options={})
        refused = 0
        for actor in actors:
            try:
                actor.hear()
            except StoreLockedError:
                refused += 1

        assert refused == len(actors) - 1


# ---- waiting


def test_timeout_waits_until_the_holder_closes(other: Actor, third: Actor, folder: Path) -> None:
    """One that waits gets the folder when it is free."""
    hold(other, folder)
    third.run("from diskdict.backends.file import FolderStore; import time")
    third.start(WAIT, path=str(folder))
    waits = [third.hear(), third.hear()]
    other.run("d.close()")
    while third.hear() == WAITING:
        pass

    assert waits == [WAITING, WAITING]
    assert third.ask("d.is_open")


def test_timeout_of_a_dict(other: Actor, third: Actor, folder: Path) -> None:
    """`DiskDict` waits too."""
    hold(other, folder)
    third.start(OPEN, path=folder, options={"timeout": 30})
    other.run("d.close()")
    third.hear()

    assert third.ask("len(d)") == 0


def test_timeout_ends(other: Actor, folder: Path) -> None:
    """It is refused in the end, and with the name of who has the folder."""
    naps: list[float] = []
    hold(other, folder)

    with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
        FolderStore(str(folder), timeout=0.02, sleep=lambda seconds: naps.append(seconds) or time.sleep(seconds))
    assert naps
    assert max(naps) <= 0.01


def test_store_made_while_waiting_is_not_made_again(other: Actor, third: Actor, folder: Path) -> None:
    """What was decided before waiting is looked at again."""
    folder.mkdir()
    other.run("import fcntl; lock = open(path, 'w'); fcntl.flock(lock, fcntl.LOCK_EX)", path=folder / "lock")
    third.run("from diskdict.backends.file import FolderStore; import time")
    third.start(WAIT, path=str(folder))
    third.hear()
    with DiskDict(folder.with_name("made")) as made:
        made["a"] = 1
    for name in ("data", "diskdict.json"):
        (folder.with_name("made") / name).rename(folder / name)
    other.kill()
    while third.hear() == WAITING:
        pass

    assert third.ask("list(d.scan())") == ["a"]


# ---- readers


def test_readers_share(other: Actor, third: Actor, filled: Path) -> None:
    """Any number of processes, and of handles in one."""
    hold(other, filled, readonly=True)
    hold(third, filled, readonly=True)

    with DiskDict(filled, readonly=True) as one, DiskDict(filled, readonly=True) as two:
        assert dict(one) == dict(two) == other.ask("dict(d)") == third.ask("dict(d)") == FILLED


def test_reader_is_refused_beside_a_writer(other: Actor, filled: Path) -> None:
    """A reader would not see what the writer does."""
    hold(other, filled)

    with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
        DiskDict(filled, readonly=True)


def test_writer_is_refused_beside_a_reader(other: Actor, filled: Path) -> None:
    """Nor may a writer change what readers hold for settled; who reads is not known, but that they read is."""
    hold(other, filled, readonly=True)

    with pytest.raises(StoreLockedError, match="in use by readers"):
        DiskDict(filled)
    other.kill()
    with DiskDict(filled) as d:
        assert dict(d) == FILLED


def test_reader_waits_for_a_writer(other: Actor, third: Actor, filled: Path) -> None:
    """`timeout` is for readers too."""
    hold(other, filled)
    third.start(OPEN, path=filled, options={"timeout": 30, "readonly": True})
    other.run("d['c'] = 3; d.close()")
    third.hear()

    assert third.ask("dict(d)") == {**FILLED, "c": 3}


def test_reader_writes_nothing(filled: Path) -> None:
    """Not even the name of who reads."""
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in filled.rglob("*")}
    with DiskDict(filled, readonly=True) as d:
        for ask in QUESTIONS.values():
            ask(d)

    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in filled.rglob("*")} == before


@pytest.mark.parametrize("change", CHANGES)
def test_reader_changes_nothing(filled: Path, change: str) -> None:
    """Each operation that would change something is refused and says why."""
    with DiskDict(filled, readonly=True) as d:
        with pytest.raises(ReadOnlyError, match="readonly=True"):
            CHANGES[change](d)
        assert dict(d) == FILLED


@pytest.mark.parametrize("change", CHANGES)
def test_changes_change(filled: Path, change: str) -> None:
    """What readers are refused is done by a writer."""
    with DiskDict(filled) as d:
        CHANGES[change](d)

        assert not page(filled)["clean"]


# ---- fork

AFTER_FORK = """
import os, sys, traceback
def in_child(work):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()
"""


def test_forked_handle_is_closed(other: Actor, filled: Path) -> None:
    """A child that went on with it would write over what the parent writes."""
    hold(other, filled)
    other.run(AFTER_FORK)

    for name in (*CHANGES, *QUESTIONS):
        said = other.ask("in_child(lambda: (operations.CHANGES | operations.QUESTIONS)[name](d))", name=name)
        assert said == f"ClosedError: {filled} was opened before a fork; the child has to open it itself", name
    assert other.ask("dict(d)") == FILLED


def test_child_closes_nothing_of_the_parent(other: Actor, filled: Path) -> None:
    """The child may close and end as it likes: the parent has the lock, and the store is as open as it was."""
    hold(other, filled)
    other.run(AFTER_FORK + "d['c'] = 3")
    other.ask("in_child(lambda: (d.close(), d.close()))")

    assert not page(filled)["clean"]
    with pytest.raises(StoreLockedError, match=f"process {other.pid}"):
        DiskDict(filled)
    other.run("d['e'] = 5; d.close()")
    with DiskDict(filled) as d:
        assert dict(d) == {**FILLED, "c": 3, "e": 5}
        assert not page(filled)["suspect"]


FORKING = """
import os, sys
from diskdict import DiskDict
d = DiskDict(sys.argv[1], writeback=True, cleanup_interval=60)
d["list"].append(2)
if os.fork() == 0:
    sys.exit(7)
child = os.wait()[1]
d["c"] = 3
d.close()
sys.exit(os.waitstatus_to_exitcode(child))
"""


def test_child_that_ends_as_programs_do(filled: Path) -> None:
    """At its end nothing of the parent's is written, and nothing is complained of."""
    # From Python 3.12 on the interpreter warns of any fork beside a thread.
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, filled]
    done = subprocess.run(program, capture_output=True, text=True, env=ENVIRONMENT)

    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
    with DiskDict(filled) as d:
        assert dict(d) == {**FILLED, "list": [1, 2], "c": 3}
        assert not page(filled)["suspect"]


def test_child_opens_the_folder_itself(other: Actor, filled: Path) -> None:
    """When the parent has closed it, a child may have it."""
    hold(other, filled)
    other.run(AFTER_FORK + "d.close()")

    assert other.ask("in_child(lambda: len(DiskDict(path)))") == str(len(FILLED))


def test_lock_of_a_parent_that_closes_beside_its_child(other: Actor, folder: Path) -> None:
    """A child that was not forked by Python keeps the descriptors; closing frees the folder all the same."""
    hold(other, folder)
    other.run("import ctypes, os, signal; child = ctypes.CDLL(None).fork()\nwhile not child: signal.pause()")
    try:
        other.run("d.close()")
        with DiskDict(folder) as d:
            assert len(d) == 0
    finally:
        other.run("os.kill(child, signal.SIGKILL)")


# ---- the end of a handle


@pytest.mark.parametrize("options", [{}, {"readonly": True}, {"cache_bytes": 1_000}, {"writeback": True}], ids=str)
def test_closed_handle_refuses(filled: Path, options: dict[str, object]) -> None:
    """Every operation, of readers too, with what it has in memory or not, says that the handle is closed."""
    d = DiskDict(filled, **options)
    for ask in QUESTIONS.values():
        ask(d)
    d.close()

    for name, operation in (CHANGES | QUESTIONS).items():
        with pytest.raises(ClosedError, match=rf"{filled} is closed; open it again"):
            print(f"{name} gave", operation(d))


def test_every_operation_is_tried() -> None:
    """What is added to the class is added to the tables."""
    public = {name for name in dir(DiskDict) if not name.startswith("_")}

    assert {name.split()[0] for name in (*CHANGES, *QUESTIONS) if not name.startswith("__")} | ALWAYS == public


def test_closing_twice(filled: Path) -> None:
    """The second time does nothing, even when somebody else has the folder by then."""
    d = DiskDict(filled)
    d.close()
    d.close()
    with DiskDict(filled) as other:
        d.close()

        with pytest.raises(StoreLockedError):
            DiskDict(filled)
        assert dict(other) == FILLED


def test_closing_from_many_threads(filled: Path) -> None:
    """All return when it is closed."""
    d = DiskDict(filled)
    in_threads(lambda _: d.close())

    with DiskDict(filled) as again:
        assert dict(again) == FILLED


def test_collected_handle_warns_and_frees_the_folder(filled: Path) -> None:
    """One that was forgotten closes, and says so to those who listen."""
    handles = [DiskDict(filled)]
    handles[0]["c"] = 3
    with pytest.warns(ResourceWarning, match=f"{filled} was not closed"):
        handles.clear()

    with DiskDict(filled) as d:
        assert dict(d) == {**FILLED, "c": 3}
        assert not page(filled)["suspect"]


def test_collected_handle_closes_where_warnings_are_errors(other: Actor, filled: Path) -> None:
    """The warning comes last, lest it stands in the way."""
    hold(other, filled)
    other.run("import sys, warnings; warnings.simplefilter('error'); said = []; sys.unraisablehook = said.append")
    other.run("import gc; del d; gc.collect()")

    assert other.ask("len(said)") == 1
    with DiskDict(filled) as d:
        assert dict(d) == FILLED


# ---- pickles


def test_pickle_at_home_is_the_live_handle(filled: Path) -> None:
    """It can be opened only once, so the one that is open is meant."""
    with DiskDict(filled) as d:
        assert pickle.loads(pickle.dumps(d)) is d


def test_pickle_elsewhere_opens_on_first_use(other: Actor, filled: Path) -> None:
    """A handle that travels does not lock until it is used, and is refused while its folder is held at home."""
    with DiskDict(filled) as d:
        other.run("import pickle; d = pickle.loads(sent)", sent=pickle.dumps(d))
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on"):
            other.ask("d['a']")

    assert other.ask("d['a']") == FILLED["a"]
    with pytest.raises(StoreLockedError, match=f"process {other.pid} on"):
        DiskDict(filled)


def test_pickle_keeps_its_options(other: Actor, filled: Path) -> None:
    """It is opened as it was opened."""
    with DiskDict(filled, readonly=True) as d:
        other.run("import pickle; d = pickle.loads(sent)", sent=pickle.dumps(d))

        assert other.ask("dict(d)") == FILLED
        with pytest.raises(ReadOnlyError):
            other.run("d['c'] = 3")


def test_pickle_in_a_forked_child_opens_anew(other: Actor, filled: Path) -> None:
    """The handle that the child got by the fork is not it."""
    hold(other, filled)
    other.run(AFTER_FORK + "import pickle; sent = pickle.dumps(d)")

    assert other.ask("in_child(lambda: pickle.loads(sent)['a'])").startswith("StoreLockedError: ")
    other.run("d.close()")
    assert other.ask("in_child(lambda: pickle.loads(sent)['a'])") == str(FILLED["a"])


def test_pickle_used_first_by_many_threads(other: Actor, filled: Path) -> None:
    """It is opened once, and all threads get what they ask for."""
    with DiskDict(filled) as d:
        sent = pickle.dumps(d)
    other.run("import pickle; from store_contract import in_threads")
    for _ in range(20):
        other.run("d = pickle.loads(sent)", sent=sent)

        assert other.ask("in_threads(lambda _: d['a'])") == [FILLED["a"]] * 8
        other.run("d.close()")


def work(d: DiskDict) -> dict:
    found = dict(d)
    d.close()
    return found


def test_handle_given_to_a_spawned_process(filled: Path) -> None:
    """As multiprocessing does it."""
    d = DiskDict(filled)
    d.close()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(work, (d,)) == FILLED
        pool.close()
        pool.join()


# ---- the lock file


def opening(path: Path, between: Callable[[], object]) -> Callable[[], FolderStore]:
    """Return an attempt to open that finds the folder locked once; `between` is called before the next try."""
    calls = iter([between])

    def sleep(_: float) -> None:
        next(calls, lambda: None)()

    return lambda: FolderStore(str(path), timeout=30, sleep=sleep)


def test_lock_file_replaced_while_waiting(filled: Path) -> None:
    """A lock on a file that is no longer in its place protects nothing: the one that is there is locked."""
    holder = FolderStore(str(filled))

    def replace() -> None:
        (filled / "other").write_bytes((filled / "lock").read_bytes())
        (filled / "other").rename(filled / "lock")
        holder.close()

    with closing(opening(filled, replace)()) as store:
        assert store.count() == len(FILLED)
        with pytest.raises(StoreLockedError):
            DiskDict(filled)


def test_lock_file_removed_while_waiting(filled: Path) -> None:
    """It is made again."""
    holder = FolderStore(str(filled))

    def remove() -> None:
        (filled / "lock").unlink()
        holder.close()

    with closing(opening(filled, remove)()) as store:
        assert store.count() == len(FILLED)
        with pytest.raises(StoreLockedError):
            DiskDict(filled)


def test_lock_file_becomes_a_link_while_waiting(filled: Path, tmp_path: Path) -> None:
    """A link is not followed, and the error is about that, with no descriptor closed twice."""
    holder = FolderStore(str(filled))
    target = tmp_path / "target"
    target.write_bytes(b"not ours")

    def replace() -> None:
        (filled / "lock").unlink()
        (filled / "lock").symlink_to(target)
        holder.close()

    with pytest.raises(OSError, match="symbolic links"):
        opening(filled, replace)()
    assert target.read_bytes() == b"not ours"


def test_lock_file_is_never_replaced_or_cut(filled: Path) -> None:
    """It stays the same file of the same size, whatever is done with the store."""
    before = (filled / "lock").stat()
    for _ in range(2):
        with DiskDict(filled) as d:
            for change in CHANGES.values():
                d.clear()
                fill(d)
                change(d)

    after = (filled / "lock").stat()
    assert (after.st_ino, after.st_size) == (before.st_ino, before.st_size)


def test_descriptors_are_not_handed_to_programs(other: Actor, filled: Path) -> None:
    """A program that is started meanwhile does not keep the lock."""
    hold(other, filled)
    other.run("import subprocess; child = subprocess.Popen('cat', stdin=subprocess.PIPE, close_fds=False)")
    other.run("d._folder.abandon()")

    with DiskDict(filled) as d:
        assert dict(d) == FILLED
    other.run("child.communicate()")


# ---- filesystems


@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP"])
def test_filesystem_without_locks(other: Actor, filled: Path, code: str) -> None:
    """A second process could not be kept out: refused at once, however long one would wait, with the error's number."""
    other.run(
        "import errno, fcntl, os\n"
        "def flock(fd, operation): raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))\n"
        "fcntl.flock = flock",
        code=code,
    )

    with pytest.raises(LockUnsupportedError, match="no locks") as caught:
        hold(other, filled, timeout=1_000)
    assert caught.value.filename == str(filled)
    other.run("before = sorted(os.listdir('/dev/fd'))")
    with pytest.raises(LockUnsupportedError):
        hold(other, filled, readonly=True)
    assert other.ask("sorted(os.listdir('/dev/fd')) == before")


@pytest.fixture
def frozen(filled: Path, tmp_path: Path, announce: Callable[[str], None]) -> Iterator[Path]:
    """The store on a filesystem that is mounted to be read only."""
    with ExitStack() as stack:
        try:
            point = stack.enter_context(mounted(tmp_path / "frozen", "--bind", "-o", "ro", filled))
        except CannotMountError as error:
            announce(f"opening a store on a read-only mount: this user cannot mount one ({error}).")
            pytest.skip("cannot mount read-only")
        yield point


def test_read_only_mount(frozen: Path) -> None:
    """It can be read there, and written nowhere."""
    with DiskDict(frozen, readonly=True) as d:
        assert dict(d) == FILLED
        assert d.verify().ok
    with pytest.raises(OSError, match="Read-only file system"):
        DiskDict(frozen)


def test_read_only_mount_of_a_store_without_its_lock_file(filled: Path, frozen: Path) -> None:
    """Where none can be made there is nobody to lock out."""
    (filled / "lock").unlink()

    with DiskDict(frozen, readonly=True) as d:
        assert dict(d) == FILLED


def test_read_only_mount_beside_a_writer(filled: Path, frozen: Path) -> None:
    """The same files by another way: still locked."""
    with DiskDict(filled), pytest.raises(StoreLockedError):
        DiskDict(frozen, readonly=True)


# ---- the thread lock

AUDITED = """
import sys, operations
from store_contract import CountingLock
from diskdict import DiskDict
lock = CountingLock()
d = DiskDict(path, lock=lock)
unlocked, seen = [], []
def watch(event, arguments):
    if watching and (event in CHANGING or (event == "open" and arguments[2] & 64)):
        seen.append(event)
        if not lock.locked():
            unlocked.append((watching, event, arguments))
CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.utime", "os.setxattr", "os.removexattr"}
watching = ""
sys.addaudithook(watch)
for name, change in operations.CHANGES.items():
    d.clear()
    operations.fill(d)
    watching = name
    change(d)
    watching = ""
d.close()
"""


def test_lock_is_held_around_every_mutation(other: Actor, folder: Path) -> None:
    """A lock of one's own is held whenever a file is made, renamed, removed or marked."""
    other.run(AUDITED, path=folder)

    assert other.ask("unlocked") == []
    assert other.ask("len(seen)") > len(CHANGES)
    assert not other.ask("lock.locked()")


@pytest.mark.parametrize(
    "lock",
    [threading.Lock, threading.RLock, multiprocessing.Lock, multiprocessing.RLock, CountingLock],
    ids=lambda lock: f"{lock.__module__}.{getattr(lock, '__name__', lock)}",
)
@pytest.mark.parametrize("made", [False, True], ids=["factory", "lock"])
def test_locks_and_factories_of_locks(folder: Path, lock: Callable[[], object], made: bool) -> None:
    """Re-entrant or not, of threads or of processes, made or to be made."""
    with DiskDict(folder, lock=lock() if made else lock) as d:
        for change in CHANGES.values():
            d.clear()
            fill(d)
            change(d)
        d["n"] = 0
        in_threads(lambda _: [d.increment("n") for _ in range(20)])

        assert d["n"] == 8 * 20


def test_lock_shared_by_two_dicts(folder: Path) -> None:
    """One lock for two folders: no thread changes the one while another changes the other."""
    lock = CountingLock()
    with DiskDict(folder / "one", lock=lock) as one, DiskDict(folder / "two", lock=lock) as two:
        before = lock.taken
        one["a"] = 1
        two["a"] = 1

        assert lock.taken >= before + 2


@pytest.mark.parametrize("lock", [0, "lock", pytest.param(object(), id="object()"), object, list], ids=repr)
def test_what_is_no_lock(folder: Path, lock: object) -> None:
    """It is refused by name, before anything is made."""
    with pytest.raises(TypeError, match="lock= takes a lock or a factory of locks"):
        DiskDict(folder, lock=lock)
    assert not folder.exists()

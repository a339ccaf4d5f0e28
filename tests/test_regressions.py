"""Defects that were found by reading, each held by the shortest story that shows it."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import pickle
import struct
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from clocks import Clock
from folders import beside, kill, strip, use_sidecars, value_at
from mounts import CannotMountError, image

from diskdict import (
    CorruptValueError,
    DiskDict,
    FormatError,
    KeyExistsError,
    ReadOnlyError,
    attributes,
    committing,
    journal,
    keys,
    manifest,
    open_dict,
)
from diskdict.attributes import Attributes
from diskdict.index import Entry, Index
from diskdict.snapshots import decode_snapshot, encode_snapshot
from diskdict.store import NEVER, Record


class Named(DiskDict[Any, Any]):
    """A subclass, as people make them."""


def refuse(*_: object) -> None:
    """Find no space."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def run(code: str, *arguments: object) -> str:
    """Return what a program of its own prints."""
    program = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(program, capture_output=True, text=True, check=True).stdout


def test_swept_keys_do_not_come_back_in_an_iteration(folder: Path, clock: Clock) -> None:
    """Keys that have expired before an iteration are not seen by it, even if it is its writes that remove them."""
    with DiskDict(folder, clock=clock) as d:
        d["live"] = 1
        for key in "uvwxyz":
            d.set(key, 1, ttl=5)
        clock.tick(10)
        seen = []
        for key in d:
            seen.append(key)
            d["live"] = 2

        assert seen == ["live"]


def test_a_pickle_without_its_class_is_not_set_aside(folder: Path) -> None:
    """What cannot be imported here is not damage: it stays where it is, and the error says what is missing."""
    with DiskDict(folder, codec="pickle", on_corrupt="quarantine") as d:
        d["k"] = 1
        path = d.path_for("k")
        path.write_bytes(b"cnowhere\nNothing\n.")

        with pytest.raises(ModuleNotFoundError):
            d["k"]
        assert path.exists()
        assert d.verify().problems[0].problem == "edited"


def test_creation_by_two_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that becomes a store between the two looks at it is a store, not a foreign folder."""
    from diskdict import files

    look = files.Folder.list
    others = []

    def list_late(self: files.Folder, path: str = ".") -> Any:
        monkeypatch.setattr(files.Folder, "list", look)
        others.append(DiskDict(folder))
        others[0]["k"] = 1
        others[0].close()
        return look(self, path)

    folder.mkdir()
    monkeypatch.setattr(files.Folder, "list", list_late)
    with DiskDict(folder) as d:
        assert d == {"k": 1}


def test_the_cache_forgets_what_repair_sets_aside(folder: Path) -> None:
    """A value that was read before its file was torn is gone with it."""
    with DiskDict(folder, cache_bytes=1000) as d:
        d["a"] = [1]
        assert d["a"] == [1]
        d.path_for("a").write_bytes(b"")
        d.repair()

        assert "a" not in d
        assert d.get("a") is None


def test_writeback_of_a_forgotten_handle(folder: Path) -> None:
    """A handle that was not closed writes back when it is collected, which is at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        d = DiskDict(folder, writeback=True)
        d["list"] = []
        d["list"].append(1)
        del d

    with DiskDict(folder) as d:
        assert d == {"list": [1]}


def test_a_handle_collected_under_a_shared_lock(tmp_path: Path) -> None:
    """Two stores may share one lock that is not re-entrant, even if the one is collected while the other writes."""
    program = """
        import gc, sys, threading
        from diskdict import DiskDict

        lock = threading.Lock()
        one = DiskDict(sys.argv[1] + "/one", lock=lock)
        one["k"] = 1
        one.itself = one
        other = DiskDict(sys.argv[1] + "/other", lock=lock)
        del one
        with other._store.exclusive():
            gc.collect()
        other.close()
        print("alive")
    """

    assert run(program, tmp_path) == "alive\n"


@pytest.mark.parametrize("on_corrupt", ["miss", "quarantine"])
def test_values_look_past_damage(folder: Path, on_corrupt: Any) -> None:
    """A damaged value that is to be missing does not stop the search of a value."""
    with DiskDict(folder, on_corrupt=on_corrupt) as d:
        d["a"], d["b"] = 1, 2
        d.path_for("a").write_bytes(b"")

        assert 2 in d.values()
        assert 1 not in d.values()
        assert d.copy() == {"b": 2}


def test_copies_beside_a_writer(folder: Path) -> None:
    """copy(), repr, == and | take what is there, whatever another thread adds or removes meanwhile."""
    with DiskDict(folder) as d:
        d["stays"] = 1
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                d["comes"] = 1
                d.pop("comes", None)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(50):
                assert d.copy()["stays"] == 1
                assert repr(d).startswith("{'stays': 1")
                assert (d | {"more": 1})["more"] == 1
                assert d != {"stays": 2}
        finally:
            done.set()
            writer.join()


def test_an_expired_file_that_cannot_be_removed(folder: Path, clock: Clock) -> None:
    """Writes to other keys go on, the key stays absent, and the cleaning by name says what is wrong."""
    with DiskDict(folder, clock=clock) as d:
        d.set("bad", 1, ttl=5)
        path = d.path_for("bad")
        clock.tick(10)
        path.unlink()
        (path / "inside").mkdir(parents=True)
        d["ok"] = 1
        d["ok"] = 2

        assert d == {"ok": 2}
        assert "bad" not in d
        (path / "inside").rmdir()
        path.rmdir()


def test_many_dead_keys_cost_a_write_two(folder: Path, clock: Clock) -> None:
    """A write removes two expired keys, however many there are, until none is left."""
    with DiskDict(folder, clock=clock) as d:
        for number in range(10):
            d.set(f"k{number}", 1, ttl=5)
        clock.tick(10)
        left = []
        for _ in range(6):
            d["live"] = 1
            left.append(d.stats().expired)

        assert left == [8, 6, 4, 2, 0, 0]


def test_a_subclass_stays_one(folder: Path, tmp_path: Path) -> None:
    """fromkeys and pickling give the class they were asked of."""
    with Named.fromkeys("ab", 0, path=folder) as d:
        assert type(d) is Named
        packed = pickle.dumps(d)
        assert pickle.loads(packed) is d
    again = pickle.loads(packed)

    assert type(again) is Named
    assert again == {"a": 0, "b": 0}
    again.close()


def test_a_stripped_file_from_the_far_future(folder: Path) -> None:
    """No time that a filesystem holds keeps a store from being counted."""
    with DiskDict(folder) as d:
        d["a"], d["b"] = 1, 2
        path = d.path_for("a")
    os.removexattr(path, "user.diskdict")
    os.utime(path, (10**10, 10**10))
    os.utime(path.parent)  # as for whatever put such a file there: without, an index of some age would count

    with DiskDict(folder) as d:
        assert list(d) == ["b", "a"]


@pytest.mark.parametrize("value", [1, "text", b"bytes", None, True, 2.5])
def test_edit_refuses_what_cannot_change(folder: Path, value: object) -> None:
    """`with d.edit(k) as v: v += 1` would change nothing, and says so."""
    with DiskDict(folder) as d:
        d["k"] = value

        with pytest.raises(TypeError, match="increment"), d.edit("k"):
            pass


def test_cleaning_where_nothing_expires_changes_nothing(folder: Path) -> None:
    """A store without any time-to-live stays clean, whoever asks to remove what has expired."""
    with DiskDict(folder) as d:
        d["k"] = 1
    page = (folder / "lock").read_bytes()
    d = DiskDict(folder)
    assert d.cleanup_expired() == 0
    assert b'"clean":true' in (folder / "lock").read_bytes()
    d.close()

    assert b'"clean":true' in page


def test_get_or_set_of_a_reader_calls_nothing(folder: Path) -> None:
    """A handle that cannot store the result does not have it computed."""
    DiskDict(folder).close()
    with DiskDict(folder, readonly=True) as d, pytest.raises(ReadOnlyError):
        d.get_or_set("k", lambda: pytest.fail("it was computed"))


def test_verify_with_a_codec_that_raises_anything(folder: Path) -> None:
    """An error of the caller's codec is a value that does not decode, not the end of verify."""

    class Odd:
        name = "odd"

        def dumps(self, value: object) -> bytes:
            return b"1"

        def loads(self, payload: bytes) -> object:
            return {b"1": 1}[payload]

    with DiskDict(folder, codec=Odd()) as d:
        d["k"] = 1
        d.path_for("k").write_bytes(b"22")

        assert [problem.problem for problem in d.verify().problems] == ["torn"]


def test_a_key_is_not_older_than_its_last_change(folder: Path) -> None:
    """The filesystem's clock is coarse; what people are shown is in order."""
    with DiskDict(folder) as d:
        for number in range(50):
            d[number] = 1

        infos = [d.info(number) for number in range(50)]
    assert all(info.created_at <= info.updated_at for info in infos)


@pytest.mark.parametrize("url", ["mongo:x", "MEMORY:", "sftp://host"])
def test_no_folder_is_made_of_a_mistyped_url(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What looks like a URL and is none of ours is refused."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ValueError, match="no backend"):
        open_dict(url)
    assert list(tmp_path.iterdir()) == []


def test_open_dict_takes_a_path_object(folder: Path) -> None:
    """As DiskDict does."""
    with open_dict(folder) as d:
        d["k"] = 1

    with DiskDict(folder) as again:
        assert again == {"k": 1}


def test_repr_of_a_closed_handle(folder: Path) -> None:
    """A closed handle in a traceback says what it is."""
    d: DiskDict[str, int] = DiskDict(folder)
    d.close()

    assert repr(d) == f"<closed DiskDict {str(folder)!r}>"


def test_a_custom_codec_has_a_name_of_its_own(folder: Path) -> None:
    """Another codec under the name of ours would leave a folder that lies about itself."""

    class Json:
        name = "json"

        def dumps(self, value: object) -> bytes:
            return b"x"

        def loads(self, payload: bytes) -> object:
            return payload

    with pytest.raises(ValueError, match="another"):
        DiskDict(folder, codec=Json())
    assert not folder.exists()


def test_bad_options_leave_no_folder(folder: Path) -> None:
    """Options are looked at before anything is made."""
    for options in ({"default_ttl": -1}, {"cleanup_interval": 0}, {"shards": 3}, {"limits": 5}):
        with pytest.raises((ValueError, TypeError)):
            DiskDict(folder, **options)  # type: ignore[arg-type]

        assert not folder.exists(), options


def test_damage_is_told_of_the_key(folder: Path) -> None:
    """An error speaks of the key as its user knows it, and leads to the file."""
    with DiskDict(folder) as d:
        d[(1, "a")] = 1
        path = d.path_for((1, "a"))
        path.write_bytes(b"{")

        with pytest.raises(CorruptValueError) as caught:
            d[(1, "a")]
        assert caught.value.key == (1, "a")
        assert caught.value.path == str(path)


def test_a_failed_rename_leaves_no_trace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk refuses the rename, the key keeps its place and its spelling."""
    from diskdict import files

    with DiskDict(folder) as d:
        d[True], d["b"] = 1, 2
        before = d.info(True)
        with monkeypatch.context() as patch:
            patch.setattr(files.Folder, "replace", refuse)
            with pytest.raises(OSError, match="No space"):
                d.rename(True, "c")

        assert list(d) == [True, "b"]
        assert type(next(iter(d))) is bool
        assert d.info(True) == before


def test_a_rename_forgets_no_transaction(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed and cannot be written to its file outlives a rename of another key that is tried meanwhile."""
    replace = os.replace

    def refuse_b(source: str, target: str, **options: Any) -> None:
        refuse() if target.endswith("/b") else replace(source, target, **options)

    d = DiskDict(folder)
    d["a"] = 1
    monkeypatch.setattr(os, "replace", refuse_b)
    d.set_many({"b": 2, "c": 3})
    with pytest.raises(OSError, match="No space"):
        d.rename("a", "z")
    kill(d)
    monkeypatch.undo()

    with DiskDict(folder) as d:
        assert dict(d) == {"a": 1, "b": 2, "c": 3}


def test_what_is_swept_on_the_way_is_gone_though_the_journal_fails(
    folder: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expired record that is in the journal alone, and that another write cannot remove, is not forgotten."""
    with DiskDict(folder, clock=clock, durability="interval", interval=1_000) as d:
        d.set("short", 1, ttl=5)
        clock.tick(10)
        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", refuse)
            with pytest.raises(OSError, match="No space"):
                d["other"] = 2
        d["other"] = 2

        assert list(d) == ["other"]
        assert d.stats().expired == 1
        assert value_at(folder, "short").exists()
        assert d.cleanup_expired() == 1


def test_value_beside_a_damaged_sidecar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an unclean end a value whose sidecar tells nothing is damaged: a power cut may have left both as zeros."""
    use_sidecars(monkeypatch)
    d: DiskDict[str, bytes] = DiskDict(folder, codec="raw")
    d["a"] = b"first"
    kill(d)
    value = value_at(folder, "a")
    value.write_bytes(bytes(5))
    sidecar = beside(value, "attr")
    sidecar.write_bytes(bytes(sidecar.stat().st_size))

    with DiskDict(folder, codec="raw") as d:
        with pytest.raises(CorruptValueError):
            d["a"]
        assert [each.problem for each in d.verify().problems] == ["torn"]
        d["a"] = b"second"
        assert d["a"] == b"second"
        assert d.verify().ok


def test_index_on_disk_where_times_are_whole_seconds(tmp_path: Path, announce: Callable[[str], None]) -> None:
    """A put by a process that died is seen, though its folder shows the same time as when the index was kept."""
    with contextlib.ExitStack() as stack:
        try:
            point = stack.enter_context(image(tmp_path / "image", 4 << 20, "-I", "128"))
        except CannotMountError as error:
            announce(f"an index kept where times are whole seconds: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        folder = point / "store"
        time.sleep(-time.time() % 1)
        with DiskDict(folder, shards=1) as d:
            d["a"] = 1
            time.sleep(0.03)
        d = DiskDict(folder)
        d["b"] = 2
        kill(d)

        with DiskDict(folder) as d:
            assert list(d) == ["a", "b"]
            assert d["b"] == 2


def create_again(d: DiskDict[str, int]) -> None:
    with pytest.raises(KeyExistsError):
        d.create("there", 2)


@pytest.mark.parametrize("change", [create_again, lambda d: d.delete("missing")], ids=["create", "delete"])
def test_what_a_change_in_vain_has_swept_is_gone(
    folder: Path, clock: Clock, change: Callable[[DiskDict[str, int]], object]
) -> None:
    """With full durability what a write in vain has swept counts at once; a clock that goes back shows it."""
    with DiskDict[str, int](folder, clock=clock, durability="full") as d:
        d["there"] = 1
        d.set("short", 1, ttl=5)
        clock.tick(10)
        assert len(d) == 1
        change(d)
        clock.tick(-10)

        assert "short" not in d
        assert len(d) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by what /proc tells is taken")
def test_lack_of_memory_is_no_damage(folder: Path) -> None:
    """A long text that memory does not suffice to read or write is a MemoryError, and is not set aside."""
    told = run(
        """
        import resource, sys
        from diskdict import DiskDict

        with DiskDict(sys.argv[1], on_corrupt="quarantine") as d:
            text = d["text"] = "x" * (48 << 20)
            for room in 100, 30:
                taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (taken + (room << 20), resource.RLIM_INFINITY))
                try:
                    d["text"] if room == 100 else d.set("other", text)
                except MemoryError:
                    print("MemoryError")
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            print(list(d), d["text"] == text)
        """,
        folder,
    )

    assert told.splitlines() == ["MemoryError", "MemoryError", "['text'] True"]


def test_a_journal_leaves_what_it_cannot_have(tmp_path: Path, announce: Callable[[str], None]) -> None:
    """On a disk with less room than the journal would like to have ahead, the files find theirs."""
    with contextlib.ExitStack() as stack:
        try:
            point = stack.enter_context(image(tmp_path / "image", 4 << 20))
        except CannotMountError as error:
            announce(f"a journal on a disk of 4 MiB: this user cannot mount an image ({error}).")
            pytest.skip("cannot mount an image")
        with DiskDict(point / "store", durability="interval", interval=3_600) as d:
            d["a"] = "x" * 100_000
            d.flush()

            assert d.path_for("a").stat().st_size == 100_002


def test_foreign_folder_stays_foreign(tmp_path: Path) -> None:
    """Looking twice for a store does not make one of a folder that is none."""
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(FormatError), contextlib.closing(DiskDict(tmp_path)):
        pass
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_malformed_text_of_a_long_key_is_refused_at_once() -> None:
    """A text is read once from its beginning to its end, whatever is not in it: this one took 24 seconds."""
    begun = time.process_time()
    with pytest.raises(ValueError, match="not the text of a key"):
        keys.decode("=(" + "a" * 16_000)

    assert time.process_time() - begun < 5


def test_journal_full_of_groups_that_are_none_is_read_at_once() -> None:
    """To find a group that was lost, a journal is not summed up once for each of its bytes: this took 12 seconds."""
    begun = time.process_time()
    for number in (b"abcd" + (1 << 18).to_bytes(4, "little"), (1 << 18).to_bytes(4, "little") + b"abcd"):
        assert not journal.decode(journal.encode_head(5) + number * (1 << 16)).groups
    size = 1 << 19
    groups = b"".join(
        journal._GROUP.pack(7, size // 2, number + 1, number) + bytes(8) for number in range(1, size // 32 + 1)
    )

    assert journal.decode(journal.encode_head(5) + groups).damage
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("name", ["format", "kind", "shards", "limits"])
def test_description_nested_deeper_than_the_stack_is_refused(name: str) -> None:
    """What `ujson` still reads and nobody can print any longer is a FormatError."""
    described = manifest.encode(manifest.Manifest("dict", "json", 16))
    there = {"format": b"1", "kind": b'"dict"', "shards": b"16", "limits": b"{}"}[name]
    nested = described.replace(
        b'"%s": %s' % (name.encode(), there), b'"%s": %s' % (name.encode(), b"[" * 1020 + b"]" * 1020)
    )
    assert nested != described

    with pytest.raises(FormatError):
        manifest.decode(nested, "")


@pytest.mark.parametrize(
    ("there", "instead"),
    [
        (b"\na", b"\na\nb"),  # a name more than numbers
        (b"\na", b""),
        (b"\na", b"\nz"),  # a name twice
        (b'"keys":2', b'"keys":-1'),
        (b'"a":9.0', b'"b":9.0'),  # a time for a key that is not there
        (b'"a":9.0', b'"a":NaN'),
        (struct.pack("<d", 2.0), struct.pack("<d", float("nan"))),  # the time of creation
    ],
)
def test_index_that_contradicts_itself_is_none(there: bytes, instead: bytes) -> None:
    """With a checksum that fits it is still only a cache, and no key of it is counted that has no numbers."""
    entries = Entry("z", 1, 1, 1.0, NEVER, None), Entry("a", 2, 2, 2.0, 9.0, None)
    content = encode_snapshot(Index.of(entries), {}, 1)
    body = content.partition(b"\n")[2].replace(there, instead)

    assert decode_snapshot(content) is not None
    assert decode_snapshot(b"diskdict index 1 %08x\n%s" % (crc32(body), body)) is None


def test_another_epoch_in_the_first_line_of_a_journal_is_damage() -> None:
    """One bit of it that is another does not have all groups forgotten without a word."""
    changes = (journal.Remove("k", 1),)
    content = journal.encode_head(1_234) + journal.encode_group(journal.Group(1, 0, changes), 1_234)
    older = b'{"format":1,"epoch":1234}'.ljust(512) + content[512:]

    for written in (content, older):
        assert journal.decode(written).groups[0].changes == changes
    assert journal.decode(content.replace(b":1234", b":1235")).damage


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("file", ["../../outside", "{tmp_path}/outside", "../lock"])
def test_journal_names_only_what_was_staged(folder: Path, tmp_path: Path, file: str, readonly: bool) -> None:
    """A file of somebody else is neither moved into the store nor read because a journal says so."""
    (tmp_path / "outside").write_bytes(b'"secret"')
    with DiskDict(folder) as d, d.transaction():
        d["a"] = 1
    known = Attributes(1 << 40, 1.0, NEVER, 1 << 40, 8, 0)
    group = journal.Group(1, 0, (journal.Place("b", file.format(tmp_path=tmp_path), known, beside=False),))
    (folder / "journal").write_bytes(journal.encode_head(5) + journal.encode_group(group, 5))

    with DiskDict(folder, readonly=readonly) as d:
        assert dict(d) == {"a": 1}
    assert (tmp_path / "outside").exists()
    assert (folder / "lock").exists()


@pytest.mark.parametrize("readonly", [True, False])
def test_link_in_the_place_of_what_was_staged(folder: Path, tmp_path: Path, readonly: bool) -> None:
    """Where the folder that a journal takes values from is a link, they are not taken from there."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "0").write_bytes(b'"secret"')
    DiskDict(folder).close()
    (folder / "tmp").symlink_to(tmp_path / "outside")
    known = Attributes(1 << 40, 1.0, NEVER, 1 << 40, 8, 0)
    group = journal.Group(1, 0, (journal.Place("b", "0", known, beside=False),))
    (folder / "journal").write_bytes(journal.encode_head(5) + journal.encode_group(group, 5))

    with pytest.raises(NotADirectoryError, match="links are not followed"):
        DiskDict(folder, readonly=readonly)
    assert (tmp_path / "outside" / "0").exists()


def test_text_of_no_key_in_a_journal(folder: Path) -> None:
    """Who only reads is given no key that nobody can have; a key that is none made every iteration a ValueError."""
    DiskDict(folder).close()
    group = journal.Group(1, 0, (journal.Put("=none", Record(b"1", 1 << 40, 1.0, 1.0, NEVER, 1 << 40, None, None)),))
    (folder / "journal").write_bytes(journal.encode_head(5) + journal.encode_group(group, 5))

    with DiskDict(folder, readonly=True) as d:
        assert not list(d)


def test_file_too_large_for_memory(folder: Path) -> None:
    """It is an error of its own for its key, and no MemoryError."""
    with DiskDict(folder) as d:
        d["a"], d["b"] = 1, 2
        with d.path_for("a").open("wb") as file:
            file.truncate(1 << 40)
        code = """
            import resource, sys
            from diskdict import DiskDict
            resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
            with DiskDict(sys.argv[1], readonly=True) as d:
                try:
                    d["a"]
                except OSError as error:
                    print(error.strerror, d["b"])
        """
    assert "too large to be read into memory" in run(code, folder)


def test_text_of_a_long_key_comes_back_with_its_journal(folder: Path) -> None:
    """A value that a power cut has left whole, but not the text of its long key, is in the dict again."""
    key = "long " * 60
    d = DiskDict(folder, durability="full", interval=3_600)
    d[key] = 1
    journal = (folder / "journal").read_bytes()
    value = d.path_for(key)
    kill(d)
    (folder / "journal").write_bytes(journal)
    beside(value, "key").write_bytes(b"")

    with DiskDict(folder) as d:
        assert dict(d) == {key: 1}


def test_journal_of_a_killed_process_is_synced_before_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed process had not synced goes to the disk before any file is changed by it."""
    d = DiskDict(folder, durability="interval", interval=3_600)
    d["k"] = 1
    kill(d)
    done = []

    def noted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            done.append(name)
            return real(*arguments, **options)

        return call

    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    monkeypatch.setattr(committing, "sync_filesystem", noted("sync", committing.sync_filesystem))
    with DiskDict(folder) as d:
        assert d["k"] == 1

    assert done[:3] == ["sync", "replace", "sync"]


@pytest.mark.parametrize(("left", "seen"), [(b"new", b"new"), (b"ne\0", b"old")])
@pytest.mark.parametrize("readonly", [False, True])
def test_what_was_staged_may_be_torn(
    folder: Path, monkeypatch: pytest.MonkeyPatch, needs_attributes: None, left: bytes, seen: bytes, readonly: bool
) -> None:
    """Of a transaction that a power cut has left staged and without attributes, no torn value is handed out."""
    from diskdict import files

    with DiskDict(folder, codec="raw") as d:
        d["k"] = b"old"
    d = DiskDict(folder, codec="raw")
    with monkeypatch.context() as patch:
        patch.setattr(files.Folder, "replace", refuse)
        d.set_many({"k": b"new", "l": b"other"})
    kill(d)
    staged = folder / "tmp" / "0"
    strip(staged)
    staged.write_bytes(left)

    with DiskDict(folder, codec="raw", readonly=readonly) as d:
        assert dict(d) == {"k": seen, "l": b"other"}
        assert not [each for each in d.verify().problems if each.problem == "stripped"]


def test_second_name_of_something_else_is_no_lock(folder: Path, tmp_path: Path) -> None:
    """A hard link to a file of somebody's is not written to as if it were the lockfile; a copy by links opens."""
    with DiskDict(folder) as d:
        d["k"] = 1
    copy, mine = folder / "lock.copy", tmp_path / "mine"
    mine.write_text("my own text")
    (folder / "lock").rename(copy)
    (folder / "lock").hardlink_to(mine)
    with pytest.raises(FormatError, match="second name"):
        DiskDict(folder)

    assert mine.read_text() == "my own text"
    (folder / "lock").unlink()
    (folder / "lock").hardlink_to(copy)
    with DiskDict(folder) as d:
        assert d["k"] == 1


def test_metadata_that_grows_while_it_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch, needs_attributes: None
) -> None:
    """An attribute that was short when its size was asked for, and is longer when it is read, is read again."""
    refusals = [errno.ERANGE]

    def get(fd: int, name: str) -> bytes:
        if refusals:
            raise OSError(refusals.pop(), "numerical result out of range")
        return package.get(fd, name)

    package = attributes.PACKAGE
    with DiskDict(folder) as d:
        d.set("k", 1, metadata={"n": 2})
        monkeypatch.setattr(attributes, "PACKAGE", package._replace(get=get))

        assert d.info("k").metadata == {"n": 2}
        assert not refusals

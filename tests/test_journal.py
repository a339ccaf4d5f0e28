"""The journal holds groups of changes whole or not at all, and what it holds is done by who opens the store next."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from folders import kill, tree
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import DiskDict, FormatError, ReadOnlyError, journal, keys
from diskdict.attributes import Attributes
from diskdict.journal import (
    Amend,
    Change,
    Group,
    Move,
    Place,
    Put,
    Remove,
    decode,
    encode_group,
    encode_head,
    encode_put,
    seed_of,
)
from diskdict.store import Record

Dict = DiskDict[Any, Any]

EPOCH = 123_456_789

numbers = st.integers(0, (1 << 62) - 1)
times = st.floats(0, 1e12)
texts = st.text(st.characters(), max_size=20).map(keys.encode)
staged = st.integers(0, 1 << 40).map(str)
optional = st.none() | st.text(st.characters(), min_size=1, max_size=20)
attributes = st.builds(
    Attributes,
    numbers,
    times,
    times | st.just(float("inf")),
    numbers,
    numbers,
    st.integers(0, 0xFFFFFFFF),
    optional,
    optional,
)
records = st.builds(
    Record, st.binary(max_size=40), numbers, times, times, times | st.just(float("inf")), numbers, optional, optional
)
changes: st.SearchStrategy[Change] = st.one_of(
    st.builds(Put, texts, records),
    st.builds(Move, texts, texts, attributes),
    st.builds(Place, texts, staged, attributes, st.booleans()),
    st.builds(Amend, texts, attributes),
    st.builds(Remove, texts, numbers),
)
rows = st.lists(st.lists(changes, min_size=1, max_size=4), max_size=4)


def content_of(row: list[list[Change]], *, epoch: int = EPOCH, synced: int = 0) -> bytes:
    groups = (encode_group(Group(number, synced, tuple(each)), epoch) for number, each in enumerate(row, 1))
    return encode_head(epoch) + b"".join(groups)


def found_in(content: bytes) -> list[list[Change]]:
    return [list(group.changes) for group in decode(content).groups]


# ---- the pure pair


@given(row=rows, behind=st.binary(max_size=40))
def test_groups_come_back(row: list[list[Change]], behind: bytes) -> None:
    """Whatever lies behind the last of them."""
    reading = decode(content_of(row) + behind)

    assert [list(group.changes) for group in reading.groups] == row
    assert reading.epoch == EPOCH
    assert not reading.damage


@given(key=texts, record=records, sequence=st.integers(1, 1 << 40), synced=st.integers(0, 1 << 40))
def test_short_way_writes_the_same(key: str, record: Record, sequence: int, synced: int) -> None:
    """A group of one record is the same bytes whichever way it is encoded."""
    group = Group(sequence, synced, (Put(key, record),))

    assert encode_put(key, record, sequence, synced, seed_of(EPOCH)) == encode_group(group, EPOCH)


@given(row=rows.filter(bool), cut=st.integers(1, 10_000))
def test_cut_off_journal_has_its_whole_groups(row: list[list[Change]], cut: int) -> None:
    """What a process could not finish is not there, and no damage."""
    content = content_of(row)
    reading = decode(content[: max(0, len(content) - cut)])

    assert [list(group.changes) for group in reading.groups] == row[: len(reading.groups)]
    assert len(reading.groups) < len(row) or cut < 8
    assert not reading.damage or len(content) - cut < 512


@given(row=rows.filter(bool), at=st.integers(512, 10_000), bit=st.integers(0, 7))
def test_changed_bit_is_found(row: list[list[Change]], at: int, bit: int) -> None:
    """A group of which one bit is another is none, and neither are those behind it."""
    content = bytearray(content_of(row))
    at = 512 + at % (len(content) - 512)
    content[at] ^= 1 << bit
    found = found_in(bytes(content))

    assert found == row[: len(found)]


@given(row=rows, older=rows)
def test_older_epochs_are_not_taken_for_groups(row: list[list[Change]], older: list[list[Change]]) -> None:
    """What lies there from before a restart is nothing."""
    content, before = content_of(row), content_of(older, epoch=EPOCH - 1)

    assert found_in(content + before[len(content) :]) == row


HEADS = [b"{}", b"[]", b"5", b'{"epoch":1}', b'{"format":1}', b'{"format":1,"epoch":"x"}', b'{"format":0,"epoch":1}']


@given(
    content=st.binary(max_size=600)
    | st.sampled_from(HEADS).map(lambda head: head.ljust(511) + b"\n")
    | st.binary(max_size=200).map(lambda rest: encode_head(EPOCH) + rest)
)
@settings(max_examples=250)
def test_decoding_never_fails(content: bytes) -> None:
    """Nothing that lies in the file is an error of its own."""
    assert decode(content).groups == ()


@given(body=st.binary(min_size=1, max_size=120))
@settings(max_examples=250)
def test_well_sealed_nonsense_is_no_group(body: bytes) -> None:
    """A group whose checksum fits and whose content does not is none."""
    rest = journal._GROUP.pack(0, len(body), 1, 0)[4:] + body
    sealed = crc32(rest, seed_of(EPOCH)).to_bytes(4, "little") + rest
    found = found_in(encode_head(EPOCH) + sealed)

    assert all(type(change) in (Place, Amend, Remove) for changes in found for change in changes)


def test_group_that_was_on_disk_is_missed() -> None:
    """A later one knows that it was: that is damage. Without that it was only never finished."""
    known = Attributes(1, 1.0, 2.0, 1, 1, 1)
    first, second, third = (encode_group(Group(n, n - 1, (Place("k", "0", known, False),)), EPOCH) for n in (1, 2, 3))
    unaware = encode_group(Group(3, 1, (Place("k", "0", known, False),)), EPOCH)
    spoilt = bytes(len(second))

    assert len(decode(encode_head(EPOCH) + first + second + third).groups) == 3
    assert decode(encode_head(EPOCH) + first + spoilt + third).damage
    assert not decode(encode_head(EPOCH) + first + spoilt + unaware).damage


# ---- in a store


def refuse(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def full_disk() -> Iterator[None]:
    """Have the system take no new name for a file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        yield


def fill(d: Dict) -> None:
    d["a"] = 1
    d["b"] = [2]
    d.set("c", "three", ttl=500)


def change(d: Dict) -> None:
    """Change something in each way, in a transaction that the disk does not take."""
    with full_disk(), d.transaction():
        d["a"] = 10
        d.set("new", 4, ttl=1_000, metadata={"of": "new"})
        d.rename("b", "moved")
        d.expire("c", 700)


AFTER = [("a", 10), ("c", "three"), ("new", 4), ("moved", [2])]


@pytest.fixture
def unfinished(folder: Path) -> Path:
    """A store that was killed when a transaction was in its journal and not in its files."""
    d = DiskDict(folder)
    fill(d)
    change(d)
    kill(d)
    return folder


def test_transaction_in_the_journal_is_there(unfinished: Path) -> None:
    """Whoever opens the store next finds all of it, in the files too, and no journal after."""
    with DiskDict(unfinished) as d:
        assert list(d.items()) == AFTER
        assert d.info("new").metadata == {"of": "new"}
        assert 600 < (d.ttl("c") or 0) <= 700
        assert (unfinished / "data").joinpath(d.path_for("a").relative_to(d.path / "data")).read_bytes() == b"10"
        assert d.verify().ok
        version = d.info("new").version
        d["new"] = 5
        assert d.info("new").version > version

    assert not (unfinished / "journal").exists()


def test_readers_see_what_is_in_the_journal(unfinished: Path) -> None:
    """Without writing anything, a handle that reads only tells what was committed."""
    before = tree(unfinished)
    with DiskDict(unfinished, readonly=True) as d:
        assert [(key, d[key]) for key in ("a", "c", "new", "moved")] == AFTER
        assert list(d.items()) == AFTER
        assert (len(d), "b" in d, "new" in d, d.get("b"), d.get_many(["a", "b"])) == (4, False, True, None, {"a": 10})
        assert d.info("moved").size == 3
        with pytest.raises(ReadOnlyError, match="journal"):
            d.backup(unfinished.parent / "copy")

    assert tree(unfinished) == before


def test_journal_does_not_undo_what_came_later(unfinished: Path) -> None:
    """A journal that comes back, as after a power cut, changes nothing that is newer."""
    old = (unfinished / "journal").read_bytes()
    with DiskDict(unfinished) as d:
        d["a"] = 11
        d.rename("moved", "b")
    (unfinished / "journal").write_bytes(old)

    with DiskDict(unfinished) as d:
        assert d["a"] == 11
        assert d["b"] == [2]
        assert d["new"] == 4


def test_journal_of_another_format_is_refused(unfinished: Path) -> None:
    """By a version that cannot know what is in it, and everything stays as it is."""
    newer = (unfinished / "journal").read_bytes().replace(b'"format":1', b'"format":2')
    (unfinished / "journal").write_bytes(newer)
    for readonly in (True, False):
        with pytest.raises(FormatError, match="format 2"):
            DiskDict(unfinished, readonly=readonly)

    assert (unfinished / "journal").read_bytes() == newer


def test_transaction_that_was_not_finished_is_none(folder: Path) -> None:
    """Of a group that is cut off in the journal nothing is done."""
    d = DiskDict(folder)
    fill(d)
    change(d)
    kill(d)
    content = (folder / "journal").read_bytes()
    (folder / "journal").write_bytes(content[:-9])

    with DiskDict(folder) as d:
        assert list(d.items()) == [("a", 1), ("b", [2]), ("c", "three")]


def test_damaged_journal_is_told_and_kept(unfinished: Path) -> None:
    """It is set aside, and what the files hold is there."""
    content = (unfinished / "journal").read_bytes()
    (unfinished / "journal").write_bytes(b"x" + content[1:])
    for options in ({"readonly": True}, {}):
        with pytest.warns(RuntimeWarning, match="journal .* is damaged"):
            d: Dict = DiskDict(unfinished, **options)
        with d:
            assert d["a"] == 1

    assert (unfinished / "quarantine" / "journal").read_bytes() == b"x" + content[1:]


def test_commit_that_the_disk_refuses_is_finished_later(folder: Path) -> None:
    """It is there for all who read; other keys can be changed, its own only when the disk takes it."""
    with DiskDict(folder) as d:
        d["free"] = 1
        fill(d)
        change(d)
        assert list(d.items()) == [("free", 1), *AFTER]
        with full_disk():
            del d["free"]
            with pytest.raises(OSError, match="No space"):
                d["a"] = 12
            with pytest.raises(OSError, match="No space"):
                d.flush()
        assert list(d.items()) == AFTER
        d["other"] = 1
        assert d.path_for("a").read_bytes() == b"10"
        assert d.verify().ok

    with DiskDict(folder) as d:
        assert list(d.items()) == [*AFTER, ("other", 1)]


def test_store_that_cannot_finish_is_closed_and_finished_by_the_next(folder: Path) -> None:
    """Closing says so, gives the lock back, and leaves the journal."""
    d = DiskDict(folder)
    fill(d)
    change(d)
    with full_disk(), pytest.raises(OSError, match="No space"):
        d.close()

    with DiskDict(folder) as d:
        assert list(d.items()) == AFTER


def test_commit_that_the_journal_refuses_is_none(folder: Path) -> None:
    """The exception comes out of the block, and everything is as it was."""
    with DiskDict(folder) as d:
        fill(d)
        (folder / "journal").mkdir()
        with pytest.raises(OSError, match="irectory"):
            change(d)
        assert list(d.items()) == [("a", 1), ("b", [2]), ("c", "three")]
        (folder / "journal").rmdir()
        change(d)

    with DiskDict(folder) as d:
        assert list(d.items()) == AFTER


def test_large_transaction_leaves_no_large_file(folder: Path) -> None:
    """The journal takes what a transaction needs, and gives it back."""
    with DiskDict(folder, codec="raw") as d:
        with d.transaction():
            d.update({f"k{number}": bytes(1_000_000) for number in range(10)})
        assert (folder / "journal").stat().st_size < 5_000_000

    assert {path.name for path in folder.iterdir()} == {"data", "diskdict.json", "lock", "index", "tmp"}
    assert not [*(folder / "tmp").iterdir()]

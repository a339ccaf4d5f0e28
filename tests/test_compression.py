"""Values that are compressed: files that others can read, nothing that is trusted, and a folder that says it itself."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from clocks import Clock
from kvstore_contract import KVStoreContract, MakeKV
from serving import ask, served_here
from shell import run_here

from diskdict import (
    CorruptValueError,
    DiskDict,
    FormatError,
    InvalidValueError,
    KVStore,
    LimitError,
    Limits,
    migrate_store_sync,
    open_dict,
)
from diskdict.codecs import JSON, Codec, Compressed, resolve
from diskdict.compression import Compression, Gzip, compression_of
from diskdict.server import ServedDict
from diskdict.zstd import Zstd

both = pytest.mark.parametrize("name", ["gzip", "zstd"])
EXPAND = {"gzip": gzip.decompress, "zstd": zstandard.decompress}


class TestCompressedKVStore(KVStoreContract):
    """The contract of `KVStore` over a folder of compressed values."""

    @pytest.fixture
    def make_kv(self, tmp_path: Path, clock: Clock) -> MakeKV:
        place = {"path": tmp_path / "kv", "compression": "zstd"}
        return lambda **options: KVStore("file", place, clock=clock, **options)

    test_metadata = None  # the size is that of the compressed value


@both
@pytest.mark.parametrize(
    "value", ["text" * 1000, 1, None, {"a": [1, (2, 3)]}, b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"]
)
def test_files_are_read_by_others(folder: Path, name: str, value: object) -> None:
    """What lies in the file is what the codec makes of the value, as `gzip` or `zstd` writes it."""
    with DiskDict(folder, codec=f"json+{name}") as d:
        d["k"] = value

        assert d["k"] == value
        assert EXPAND[name](d.path_for("k").read_bytes()) == JSON.dumps(value)


@both
def test_compression_is_worth_it(folder: Path, name: str) -> None:
    """A long text of words takes a tenth; limits and sizes go by what is on disk."""
    with DiskDict(folder, codec=f"json+{name}", limits=Limits(value_bytes=1_000)) as d:
        d["k"] = "ten words of a language " * 1_000

        assert d.info("k").size == d.path_for("k").stat().st_size < 1_000
        with pytest.raises(LimitError):
            d["k"] = "".join(map(str, range(1_000)))


@both
def test_the_folder_says_how_it_is_compressed(folder: Path, name: str) -> None:
    """Who opens it again need not, by whatever way."""
    with KVStore("file", {"path": folder, "compression": name}).sync as kv:
        kv.set("k", [1])
    with KVStore("file", {"path": folder}).sync as kv:
        assert kv.get("k") == [1]
        assert kv.codec == f"json+{name}"
    with DiskDict(folder) as d:
        assert d["k"] == [1]
    with open_dict(folder) as d:
        assert d["k"] == [1]


@pytest.mark.parametrize(("made", "opened"), [("json", "json+gzip"), ("json+gzip", "json+zstd"), ("json+gzip", "raw")])
def test_another_compression_is_refused(folder: Path, made: str, opened: str) -> None:
    """Both are named, and nothing is changed."""
    with DiskDict(folder, codec=made) as d:
        d["k"] = 1

    with pytest.raises(FormatError) as caught:
        DiskDict(folder, codec=opened)
    assert repr(made) in str(caught.value)
    assert repr(opened) in str(caught.value)


def test_a_second_store_of_the_process_is_held_to_it(folder: Path) -> None:
    """It shares the handle, not its own idea of the values; the first goes on."""
    with KVStore("file", {"path": folder, "compression": "gzip"}).sync as first:
        first.set("k", 1)
        with KVStore("file", {"path": folder}, "b").sync as second:
            second.set("k", 2)
        with (
            KVStore("file", {"path": folder, "compression": "zstd"}).sync as third,
            pytest.raises(FormatError, match=r"json\+gzip.*json\+zstd"),
        ):
            third.get("k")

        assert first.get("k") == 1
    DiskDict(folder).close()


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "short": lambda whole: whole[:-1],
    "half": lambda whole: whole[: len(whole) // 2],
    "plain": lambda whole: b"1",
    "twice": lambda whole: whole + whole,
    "more": lambda whole: whole + b"x",
    "flipped": lambda whole: whole[:20] + bytes([whole[20] ^ 1]) + whole[21:],
}


@both
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_damage_is_found(folder: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Cut, changed, followed by something or not compressed at all: never a wrong value."""
    with DiskDict(folder, codec=f"json+{name}") as d:
        d["k"] = {"some": ["value", 1, 2.5]}
        file = d.path_for("k")
        file.write_bytes(change(file.read_bytes()))

        with pytest.raises(CorruptValueError) as caught:
            d["k"]
        assert caught.value.path == str(file)
        assert [problem.key for problem in d.verify().problems] == ["k"]


@pytest.mark.parametrize("compression", [Gzip(1_000_000), Zstd(1_000_000)], ids=["gzip", "zstd"])
def test_what_would_fill_memory_is_refused(compression: Compression) -> None:
    """A few kilobytes that stand for more than is allowed are damage; nobody can write them here."""
    codec = Compressed(JSON, compression)
    bomb = compression_of(compression.name).compress(b"0" * 50_000_000)

    assert len(bomb) < 60_000
    with pytest.raises(ValueError, match="more than 1,000,000 bytes"):
        codec.loads(bomb)
    with pytest.raises(InvalidValueError, match="1,000,000"):
        codec.dumps("x" * 1_000_000)
    assert codec.loads(codec.dumps("x" * 999_998)) == "x" * 999_998


def test_zstd_without_its_length_is_read(folder: Path) -> None:
    """As `zstd` writes what it gets through a pipe."""
    with DiskDict(folder, codec="json+zstd") as d:
        d["k"] = 1
        d.path_for("k").write_bytes(zstandard.ZstdCompressor(write_content_size=False).compress(b'"by hand"'))

        assert d["k"] == "by hand"


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where zstd is asked for, and nowhere else."""
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.delitem(sys.modules, "diskdict.zstd")

    with pytest.raises(ImportError, match=r"diskdict-store\[zstd\]"):
        resolve("json+zstd")
    assert resolve("json+gzip").name == "json+gzip"


class _Own:
    """A codec of somebody's own."""

    def __init__(self, name: str) -> None:
        self.name = name

    def dumps(self, value: object) -> bytes:
        return str(value).encode()

    def loads(self, payload: bytes) -> object:
        return payload.decode()


def test_a_codec_of_ones_own_is_compressed_by_the_store(folder: Path) -> None:
    """Its name may not say so itself."""
    own: Codec = _Own("own")
    with KVStore("file", {"path": folder, "compression": "gzip"}, codec=own).sync as kv:
        kv.set("k", 5)
    with DiskDict(folder, codec=own) as d:
        assert d["k"] == "5"
    with pytest.raises(ValueError, match="give yours another"):
        resolve(_Own("own+gzip"))


def test_subclass_with_values_of_its_own(folder: Path) -> None:
    """It sees bytes before they are compressed, and types as ever."""
    seen = []

    class Shouting(KVStore):
        def serialize(self, value: object) -> bytes:
            return b"!" if value == "shout" else super().serialize(value)

        def deserialize(self, data: bytes, value_type: str) -> object:
            seen.append(value_type)
            return "shout" if value_type == "custom" else super().deserialize(data, value_type)

    with Shouting("file", {"path": folder, "compression": "gzip"}).sync as kv:
        kv.set_many({"a": "shout", "b": 1, "c": b"\x00"})

        assert kv.get_many("abc") == {"a": "shout", "b": 1, "c": b"\x00"}
        assert seen == ["custom", "int", "bytes"]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"path": "x", "compression": "bzip2"}, "compression.*'gzip', 'zstd'.*'bzip2'"),
        ({"path": "x", "compress": "gzip"}, "'compress'"),
    ],
)
def test_wrong_settings_are_named(config: dict[str, object], said: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ValueError, match=said):
        KVStore("file", config)


def test_two_compressions_are_one_too_many() -> None:
    """Of the codec and of the setting."""
    with pytest.raises(ValueError, match=r"json\+gzip.*zstd"):
        KVStore("file", {"path": "x", "compression": "zstd"}, codec="json+gzip")


def test_migration_compresses_and_expands(tmp_path: Path) -> None:
    """Between stores that differ in that alone, and again without copying anything twice."""
    with (
        KVStore("memory").sync as plain,
        KVStore("file", {"path": tmp_path / "a", "compression": "gzip"}).sync as first,
        KVStore("file", {"path": tmp_path / "b", "compression": "zstd"}).sync as second,
        KVStore("memory").sync as back,
    ):
        plain.set_many({"a": 1, "b": b"\x1f\x8b", "c": [1] * 100})

        assert migrate_store_sync(plain, first) == (3, 0, 0)
        assert migrate_store_sync(first, second) == (3, 0, 0)
        assert migrate_store_sync(second, back) == (3, 0, 0)
        assert migrate_store_sync(plain, second) == (0, 3, 0)
        assert first.get_pattern("**") == second.get_pattern("**") == back.get_pattern("**") == plain.get_pattern("**")


def test_migration_of_damage_is_told(tmp_path: Path) -> None:
    """By its key, and nothing of that batch is copied."""
    with KVStore("file", {"path": tmp_path / "a", "compression": "gzip"}).sync as kv:
        kv.set("k", 1)
    with DiskDict(tmp_path / "a") as d:
        d.path_for("k").write_bytes(b"1")

    with (
        KVStore("file", {"path": tmp_path / "a"}).sync as kv,
        KVStore("memory").sync as target,
        pytest.raises(CorruptValueError, match="'k'"),
    ):
        migrate_store_sync(kv, target)


def test_commands_need_not_be_told(folder: Path) -> None:
    """Values are read and written as the folder has them."""
    with DiskDict(folder, codec="json+zstd") as d:
        d["k"] = [1, 2]

    assert run_here("get", "k", store=folder)[:2] == (0, b"[1,2]\n")
    assert run_here("set", "k", '{"a": 1}', store=folder)[0] == 0
    assert run_here("verify", store=folder)[0] == 0
    with DiskDict(folder) as d:
        assert d["k"] == {"a": 1}


def test_server_answers_with_values(folder: Path) -> None:
    """Small ones and large ones, JSON and bytes, and ranges of these."""
    large = bytes(range(256)) * 1_000
    with DiskDict(folder, codec="json+gzip") as d:
        d.update(small=[1], text="x" * 200_000, bytes=large)

    with ServedDict(folder) as store, served_here(store) as url:
        assert ask("GET", url, "/v1/keys/small").json() == [1]
        assert ask("GET", url, "/v1/keys/text").json() == "x" * 200_000
        assert ask("GET", url, "/v1/keys/bytes").content == large
        assert ask("GET", url, "/v1/keys/bytes", headers={"Range": "bytes=1-2"}).content == large[1:3]
        assert ask("PUT", url, "/v1/keys/new", json={"a": 1}).status_code == 201
    with DiskDict(folder) as d:
        assert d["new"] == {"a": 1}

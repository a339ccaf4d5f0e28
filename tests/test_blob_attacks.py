"""Wrappers of blob stores under attack: bytes that others have changed, secrets that are wrong, changes in between."""

from __future__ import annotations

import errno
import gzip
import io
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import obstore
import pytest
import zstandard
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from diskdict import CorruptValueError, Limits, VerificationError
from diskdict.backends.objects import ObjectStore
from diskdict.blobs import Blobs, BlobStore, Cached, Compressed, HashIds, Prefixed, ReadOnly, Signed, UrlEncodedKeys
from diskdict.blobs.encrypted import Encrypted
from diskdict.blobs.wrappers import Wrapper

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
SMALL = b"a value of the usual size, which says nothing: nothing, nothing, nothing"
LARGE = os.urandom(100_000) + bytes(100_000)
CHUNK, SEALED, HEAD = 1 << 16, (1 << 16) + 16, 52

Wrap = Callable[[Blobs], Blobs]
VERIFYING: dict[str, Wrap] = {
    "signed": lambda store: Signed(store, SECRET),
    "signed by blake2b": lambda store: Signed(store, SECRET, digest="blake2b"),
    "signed, early": lambda store: Signed(store, SECRET, early=True),
    "encrypted": lambda store: Encrypted(store, SECRET),
}
SEALED_ALL: dict[str, Wrap] = {
    **VERIFYING,
    "gzip": lambda store: Compressed(store, "gzip"),
    "zstd": lambda store: Compressed(store, "zstd"),
    "all": lambda store: Compressed(Encrypted(Signed(store, SECRET, early=True), SECRET)),
}
verifying = pytest.mark.parametrize("wrap", VERIFYING.values(), ids=VERIFYING)
sealing = pytest.mark.parametrize("wrap", SEALED_ALL.values(), ids=SEALED_ALL)


@pytest.fixture
def bare(clock: Clock) -> Iterator[BlobStore]:
    """What lies below the wrappers, and others have their hands in."""
    with BlobStore("memory:", clock=clock) as bare:
        yield bare


@verifying
def test_changes_after_it_was_verified(wrap: Wrap, clock: Clock) -> None:
    """What others have put in a bucket in the place of a value that is being read is never handed out."""
    client, content = MemoryStore(), os.urandom(3 << 20)
    with BlobStore(ObjectStore(client, codec="bytes", clock=clock)) as bare:
        blobs = wrap(bare)
        blobs.put("a", content)
        with blobs.open("a") as file:
            file.seek(1 << 20)
            [[payload]] = obstore.list(client, "large")
            obstore.put(client, payload["path"], bytes(payload["size"]))
            for at in (2 << 20, 0, 1 << 20):
                file.seek(at)
                with suppress(VerificationError):
                    assert file.read(100_000) == content[at : at + 100_000]


@verifying
@pytest.mark.parametrize("content", [b"", SMALL])
def test_each_byte_counts(bare: BlobStore, wrap: Wrap, content: bytes) -> None:
    """A value that was cut at any length, or has any byte changed or one more, is never handed out."""
    blobs = wrap(bare)
    blobs.put("a", content)
    whole = bare.get("a")
    for at in range(len(whole)):
        for wrong in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], whole[:at] + whole[at + 1 :]):
            bare.put("a", wrong)
            with pytest.raises(VerificationError):
                blobs.get("a")
            assert "a" in blobs
    bare.put("a", whole + b"\0")
    with pytest.raises(VerificationError):
        blobs.get("a")


@verifying
def test_swapped_and_foreign_values(bare: BlobStore, wrap: Wrap) -> None:
    """A value counts only under the key that it was stored under, and with the secret; move and copy make it anew."""
    blobs = wrap(bare)
    blobs.put("a", SMALL)
    blobs.put("b", b"other")
    bare.put("c", b"never sealed here, and long enough to be taken for something that was: " + SMALL)
    first, second = bare.get("a"), bare.get("b")
    bare.put("a", second)
    bare.put("b", first)
    for key in "abc":
        with pytest.raises(VerificationError):
            blobs.get(key)
    with pytest.raises(VerificationError):
        blobs.move("a", "d")
    with pytest.raises(VerificationError):
        blobs.copy("a", "d")
    bare.put("a", first)
    blobs.copy("a", "d")
    blobs.move("a", "e")

    assert blobs.get("d") == blobs.get("e") == SMALL
    assert sorted(blobs) == ["b", "c", "d", "e"]


@pytest.mark.parametrize(("right", "wrong"), [(Signed, Signed), (Encrypted, Encrypted)])
def test_wrong_secrets(bare: BlobStore, right: type[Signed], wrong: type[Signed]) -> None:
    """Without the secret nothing is read."""
    right(bare, SECRET).put("a", SMALL)
    with pytest.raises(VerificationError):
        wrong(bare, OTHER).get("a")


def test_secrets_by_name(bare: BlobStore) -> None:
    """The last secret writes, those before it read what they have written, and an unknown name is said to be one."""
    Encrypted(bare, {"2025": SECRET}).put("a", SMALL)
    rotated = Encrypted(bare, {"2025": SECRET, "2026": OTHER})
    rotated.put("b", SMALL)

    assert rotated.get("a") == rotated.get("b") == SMALL
    for secrets, key in (({"2026": OTHER}, "a"), ({"2025": SECRET}, "b"), ({"2025": OTHER}, "a")):
        with pytest.raises(VerificationError):
            Encrypted(bare, secrets).get(key)


def test_pieces_out_of_place(bare: BlobStore) -> None:
    """Pieces of an encrypted value that are exchanged, left out, doubled, cut or of another value are found out."""
    blobs = Encrypted(bare, SECRET)
    blobs.put("a", os.urandom(3 * CHUNK + 5))
    blobs.put("b", os.urandom(3 * CHUNK + 5))
    whole, other = bare.get("a"), bare.get("b")
    pieces = [whole[HEAD + at * SEALED : HEAD + (at + 1) * SEALED] for at in range(4)]
    head = whole[:HEAD]
    for wrong in (
        [head, pieces[1], pieces[0], *pieces[2:]],
        [head, *pieces[1:]],
        [head, *pieces[:3]],
        [head, pieces[0], pieces[0], *pieces[2:]],
        [head, *pieces, pieces[3]],
        [head, *pieces[:3], pieces[3][:-1]],
        [head, *pieces[:3], pieces[3][:15]],
        [head, other[HEAD : HEAD + SEALED], *pieces[1:]],
        [other[:HEAD], *pieces],
    ):
        bare.put("a", b"".join(wrong))
        with pytest.raises(VerificationError):
            blobs.get("a")


def test_what_is_right_before_what_is_wrong(bare: BlobStore) -> None:
    """Of an encrypted value each piece is verified before it is handed out, so that a stream ends where it is wrong."""
    blobs = Encrypted(bare, SECRET)
    content = os.urandom(3 * CHUNK)
    blobs.put("a", content)
    whole = bytearray(bare.get("a"))
    whole[HEAD + SEALED + 7] ^= 1
    bare.put("a", bytes(whole))
    with blobs.open("a") as file:
        assert file.read(CHUNK) == content[:CHUNK]
        with pytest.raises(VerificationError):
            file.read(1)
        file.seek(2 * CHUNK)
        assert file.read(10) == content[2 * CHUNK :][:10]


def test_handed_out_early(bare: BlobStore) -> None:
    """Only who asks for it is given what was not verified yet, and learns of it at the end or when he seeks."""
    blobs = Signed(bare, SECRET, early=True)
    blobs.put("a", LARGE)
    with blobs.open("a") as file:
        assert file.read(10) == LARGE[:10]
        assert file.seek(-10, io.SEEK_END) == len(LARGE) - 10
        assert file.read() == LARGE[-10:]
    bare.put("a", b"!" + bare.get("a")[1:])
    with blobs.open("a") as file:
        assert file.read(10) == b"!" + LARGE[1:10]
        with pytest.raises(VerificationError):
            file.read()
    with blobs.open("a") as file, pytest.raises(VerificationError):
        file.seek(150_000)
    with pytest.raises(VerificationError):
        Signed(bare, SECRET).open("a")


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_compressed_is_whole_or_refused(bare: BlobStore, method: str) -> None:
    """A value that was cut anywhere or has any byte changed is the same still, or a CorruptValueError."""
    blobs = Compressed(bare, method)  # type: ignore[arg-type]
    blobs.put("a", SMALL)
    whole = bare.get("a")
    for at in range(len(whole)):
        for wrong in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            bare.put("a", wrong)
            try:
                assert blobs.get("a") == SMALL
            except CorruptValueError:
                assert "a" in blobs


def bomb(method: str, size: int, told: int) -> bytes:
    """Return a compressed value that is longer than it says."""
    pieces = (bytes(1 << 20) for _ in range(size >> 20))
    if method == "gzip":
        packer = zlib.compressobj(1, wbits=31)
        body = b"\1" + b"".join(map(packer.compress, pieces)) + packer.flush()
    else:
        press = zstandard.ZstdCompressor().compressobj()
        body = b"\2" + b"".join(map(press.compress, pieces)) + press.flush()
    return body + told.to_bytes(8)


@pytest.mark.parametrize("method", ["gzip", "zstd"])
def test_bombs(bare: BlobStore, method: str) -> None:
    """A value that is longer than it says is refused where it is too long, and not expanded."""
    blobs = Compressed(bare)
    bare.put("a", bomb(method, 32 << 20, 10))
    assert blobs.size("a") == 10
    with pytest.raises(CorruptValueError):
        blobs.get("a")
    with blobs.open("a") as file, pytest.raises(CorruptValueError):
        file.seek(5)
        file.read(1)


def test_a_window_that_takes_memory(bare: BlobStore) -> None:
    """A zstd stream that asks for more memory than any of ours is refused."""
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=27)
    press = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    bare.put("a", b"\2" + press.compress(LARGE) + press.flush() + len(LARGE).to_bytes(8))
    with pytest.raises(CorruptValueError):
        Compressed(bare).get("a")


def test_each_method_is_read(bare: BlobStore) -> None:
    """What either has written is read by both, and what neither has is refused."""
    Compressed(bare, "gzip").put("a", SMALL)
    Compressed(bare, "zstd").put("b", SMALL)
    for method in ("gzip", "zstd"):
        blobs = Compressed(bare, method)  # type: ignore[arg-type]
        assert blobs.get("a") == blobs.get("b") == SMALL
    assert gzip.decompress(bare.get("a")[1:-8]) == SMALL
    bare.put("a", SMALL)
    with pytest.raises(CorruptValueError):
        blobs.get("a")


class Meddling(Wrapper):
    """A store whose values others replace, once, right before or after one is opened; or it cannot be read."""

    def __init__(self, store: Blobs, meddle: Callable[[], object], *, before: bool) -> None:
        super().__init__(store)
        self._meddle: Callable[[], object] | None = meddle
        self._before = before

    def reading(self, key: str) -> BinaryIO | None:
        meddle, self._meddle = self._meddle, None
        if meddle is not None and self._before:
            meddle()
        stream = super().reading(key)
        if meddle is not None and not self._before:
            meddle()
        return stream


@pytest.mark.parametrize("before", [True, False])
@sealing
def test_a_value_that_is_replaced_while_it_is_moved(bare: BlobStore, wrap: Wrap, before: bool, clock: Clock) -> None:
    """What is moved or copied is one value with its own expiry and metadata, and what was put meanwhile is not lost."""
    for change in ("copy", "move"):
        meddling = wrap(Meddling(bare, lambda: wrap(bare).put("a", b"new", 50, metadata={"of": "new"}), before=before))
        wrap(bare).put("a", b"old", 10, metadata={"of": "old"})
        getattr(meddling, change)("a", "b")

        info = meddling.info("b")
        assert (meddling.get("b"), info.metadata, info.expires_at) == (b"new", {"of": "new"}, clock.now + 50)
        assert ("a" in meddling) is (change == "copy")


class _Failing(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > 1_000:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().read(size)

    def readinto(self, buffer: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


class _Broken(Wrapper):
    def reading(self, key: str) -> BinaryIO | None:
        stream = super().reading(key)
        return None if stream is None else _Failing(stream.read())


@sealing
def test_a_disk_that_fails(bare: BlobStore, wrap: Wrap) -> None:
    """An error of the disk is told as what it is, and not as damage."""
    wrap(bare).put("a", LARGE)
    with pytest.raises(OSError, match="Input/output"):
        wrap(_Broken(bare)).get("a")


# ---- reading anywhere


@pytest.fixture(scope="module", params=SEALED_ALL.values(), ids=SEALED_ALL)
def opened(request: pytest.FixtureRequest) -> Iterator[Callable[[], BinaryIO]]:
    """Opens a value of 200,000 bytes in each wrapper."""
    with request.param(BlobStore("memory:")) as blobs:
        blobs.put("a", LARGE)
        yield lambda: blobs.open("a")


POSITIONS = st.one_of(st.integers(-10, 10), st.integers(-len(LARGE) - 10, len(LARGE) + 10), st.just(CHUNK))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("seek"), POSITIONS, st.sampled_from([0, 1, 2])),
        st.tuples(st.just("read"), st.one_of(st.integers(0, 50), st.integers(0, 150_000))),
        st.tuples(st.just("read1"), st.integers(0, 5_000)),
        st.tuples(st.just("tell")),
        st.tuples(st.just("readline"), st.integers(0, 2_000)),
    ),
    max_size=12,
)


@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_pieces_in_any_order(opened: Callable[[], BinaryIO], steps: list[tuple[object, ...]]) -> None:
    """Whoever seeks and reads in it finds the plain bytes, as in memory; before its beginning is nothing."""
    plain = io.BytesIO(LARGE)
    with opened() as file:
        for name, *arguments in steps:
            if name == "seek":
                offset, whence = arguments
                if {0: 0, 1: plain.tell(), 2: len(LARGE)}[whence] + offset < 0:  # type: ignore[index, operator]
                    with pytest.raises((OSError, ValueError)):
                        file.seek(*arguments)  # type: ignore[arg-type]
                    continue
            found = getattr(file, str(name))(*arguments)
            if name == "read1":  # as many as it likes, but none only at the end
                assert found == LARGE[plain.tell() :][: len(found)]
                assert found or not arguments[0] or plain.tell() >= len(LARGE)
                plain.seek(len(found), io.SEEK_CUR)
            else:
                assert found == getattr(plain, str(name))(*arguments)


# ---- keys and caches


def test_keys_that_are_not_encoded(bare: BlobStore) -> None:
    """Keys of others in the wrapped store, be they no text at all, are not seen and do no harm."""
    blobs = UrlEncodedKeys(bare)
    blobs.put("a b/ü", SMALL)
    for foreign in ("%FF", "%zz", "%6", "%41", "%C3%BC%"):
        bare.put(foreign, b"")

    assert blobs.keys() == blobs.keys("a ") == ["a b/ü"]


def test_a_cache_with_a_time_to_live(bare: BlobStore, clock: Clock) -> None:
    """What others change is seen once the copy has expired, and a copy lives no longer than the value."""
    with BlobStore("memory:", clock=clock, default_ttl_secs=10) as front:
        blobs = Cached(front, bare)
        bare.put("a", b"old")
        bare.put("b", b"short", ttl_secs=5)
        assert (blobs.get("a"), blobs.get("b")) == (b"old", b"short")
        bare.put("a", b"new")
        assert blobs.get("a") == b"old"
        clock.tick(5)
        assert "b" not in front
        clock.tick(5)
        assert blobs.get("a") == b"new"


def test_a_cache_without_room(bare: BlobStore, clock: Clock) -> None:
    """A front that cannot take a value, or not any more, does not stand in the way."""
    with BlobStore("memory:", clock=clock, limits=Limits(value_bytes=10)) as front:
        blobs = Cached(front, bare)
        blobs.put("a", LARGE)
        assert blobs.get("a") == LARGE
        assert front.keys() == []


def test_a_cache_is_coherent_among_threads(tmp_path: Path) -> None:
    """Who has put a value reads that one or a newer one, whatever others read and put meanwhile."""
    with BlobStore(tmp_path / "front") as front, BlobStore(tmp_path / "store") as store:
        blobs = Cached(front, store)
        blobs.put("a", b"0")
        stale: list[tuple[int, int]] = []
        last = 0

        def read() -> None:
            while last < 200:
                before = last
                found = int(blobs.get("a"))
                if found < before:
                    stale.append((before, found))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for number in range(1, 201):
            if number % 3:
                blobs.put("a", b"%d" % number)
            else:
                blobs.put("b", b"%d" % number)
                blobs.move("b", "a")
            last = number
        for reader in readers:
            reader.join()
        assert not stale
        assert blobs.get("a") == store.get("a") == b"200"


def test_the_same_content_twice_below_a_secret(bare: BlobStore) -> None:
    """Content hashes are of the content, not of what is made of it; a store to be read only makes no key."""
    blobs = HashIds(Encrypted(Prefixed(bare, "p-"), SECRET), "sha-{}")
    key = blobs.put(None, SMALL)
    first = bare.get(f"p-{key}")

    assert blobs.put(None, SMALL) == key
    assert bare.get(f"p-{key}") == first
    with pytest.raises(TypeError):
        HashIds(ReadOnly(bare)).put(None, SMALL)

"""What every blob store does, bare or wrapped, on any backend: a class of tests for subclasses to give a store to."""

from __future__ import annotations

import io
import pickle
import random
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import Clock

from diskdict import FOREVER, NOT_SET, ClosedError, InvalidKeyError, InvalidValueError, KeyNotFoundError
from diskdict.blobs import Blobs

LARGE = bytes(range(256)) * 5_000
CONTENTS = [b"", b"\x1b", b"\x1bx", b"\0", b"text", b'{"a":1}', random.Random(7).randbytes(300_000), LARGE]


class BlobContract:
    """Tests over the fixture `blobs`, a store that is empty, and `clock`, its time."""

    @pytest.fixture
    def clock(self) -> Clock:
        """The time of stores that take it from here."""
        return Clock()

    @pytest.fixture
    def blobs(self, tmp_path: Path, clock: Clock) -> Iterator[Blobs]:
        """A store that is empty."""
        raise NotImplementedError

    @pytest.mark.parametrize("content", CONTENTS, ids=lambda content: f"{len(content)}-{content[:2].hex()}")
    def test_gives_back_what_was_put(self, blobs: Blobs, tmp_path: Path, content: bytes) -> None:
        """Any bytes come back by every way in and out, with their size."""
        source = tmp_path / "source"
        source.write_bytes(content)

        assert blobs.put("a", content) == "a"
        assert blobs.put("b", bytearray(content)) == "b"
        assert blobs.put_file("c", source) == "c"
        assert blobs.put_file("d", str(source)) == "d"
        assert blobs.put_file("e", io.BytesIO(content)) == "e"
        with blobs.open("f", "wb") as file:
            for at in range(0, len(content), 70_001):
                file.write(content[at : at + 70_001])
        for key in "abcdef":
            assert blobs.get(key) == content
            assert blobs.size(key) == blobs.info(key).size == len(content)
            with blobs.open(key) as file:
                assert file.read() == content
            assert blobs.get_file(key, tmp_path / key) == key
            assert (tmp_path / key).read_bytes() == content
            into = io.BytesIO()
            blobs.get_file(key, into)
            assert into.getvalue() == content
        assert source.read_bytes() == content

    def test_missing(self, blobs: Blobs, tmp_path: Path) -> None:
        """A key that is not there is a KeyError with that key, and what was to be written is left alone."""
        target = tmp_path / "target"
        target.write_bytes(b"mine")
        for ask in (
            lambda: blobs.get("no"),
            lambda: blobs.open("no"),
            lambda: blobs.size("no"),
            lambda: blobs.info("no"),
            lambda: blobs.get_file("no", target),
            lambda: blobs.copy("no", "b"),
            lambda: blobs.move("no", "b"),
            lambda: blobs.move("no", "no"),
        ):
            with pytest.raises(KeyNotFoundError) as error:
                ask()
            assert error.value.args == ("no",)
        assert target.read_bytes() == b"mine"
        assert "no" not in blobs
        assert not blobs.delete("no")
        assert not list(blobs)

    def test_delete(self, blobs: Blobs) -> None:
        """What is deleted is gone."""
        blobs.put("a", b"1")

        assert "a" in blobs
        assert blobs.delete("a")
        assert "a" not in blobs
        assert blobs.keys() == []

    def test_keys(self, blobs: Blobs) -> None:
        """Keys come in the order of insertion, by prefix, and grouped by a delimiter."""
        for key in ("img-1-a", "img-1-b", "txt", "img-2-a", "imp"):
            blobs.put(key, b"x")

        assert list(blobs) == list(blobs.iter_keys()) == blobs.keys() == ["img-1-a", "img-1-b", "txt", "img-2-a", "imp"]
        assert blobs.keys("img") == ["img-1-a", "img-1-b", "img-2-a"]
        assert list(blobs.iter_prefixes("-")) == ["img-", "txt", "imp"]
        assert list(blobs.iter_prefixes("-", "img-")) == ["img-1-", "img-2-"]

    @pytest.mark.parametrize("data", ["text", 5, None, [b"x"], io.BytesIO(b"x")])
    def test_refuses_what_is_no_bytes(self, blobs: Blobs, data: object) -> None:
        """Only bytes are values, and nothing is written before that is found out."""
        blobs.put("a", b"old")

        with pytest.raises(InvalidValueError):
            blobs.put("a", data)  # type: ignore[arg-type]
        assert blobs.get("a") == b"old"
        with pytest.raises(TypeError):
            blobs.put_file("a", io.StringIO("text"))  # type: ignore[arg-type]
        assert blobs.get("a") == b"old"

    @pytest.mark.parametrize("key", ["", b"a", 5, None, "\udc80" * 300, "a\n"])
    def test_refuses_keys(self, blobs: Blobs, key: object, tmp_path: Path) -> None:
        """What is no key is none for every operation, but None where one is made."""
        if key == "a\n" and self.any_text:
            return
        (tmp_path / "file").write_bytes(b"x")
        operations = [blobs.get, blobs.delete, blobs.size, blobs.open, blobs.__contains__, blobs.info, blobs.url_for]
        if key is not None:
            operations += [lambda key: blobs.put(key, b"x"), lambda key: blobs.put_file(key, tmp_path / "file")]
        if key == "\udc80" * 300 and self.any_text:
            return
        for operation in operations:
            with pytest.raises(InvalidKeyError):
                operation(key)  # type: ignore[operator]
        assert blobs.keys() == []
        assert (tmp_path / "file").read_bytes() == b"x"

    any_text = False
    """Whether keys are any text."""

    def test_exception_leaves_the_old_value(self, blobs: Blobs) -> None:
        """A write that fails half-way, or is forgotten, changes nothing."""
        blobs.put("a", b"old")

        class Failing(io.RawIOBase):
            def read(self, size: int = -1) -> bytes:
                self.reads = getattr(self, "reads", 0) + 1
                if self.reads > 3:
                    raise OSError("the source has failed")
                return b"x" * 200_000

        with pytest.raises(OSError, match="the source has failed"):
            blobs.put_file("a", Failing())
        with pytest.raises(ZeroDivisionError), blobs.open("a", "wb") as file:
            file.write(b"y" * 400_000)
            raise ZeroDivisionError
        forgotten = blobs.open("a", "wb")
        forgotten.write(b"z")
        del forgotten

        assert blobs.get("a") == b"old"
        assert blobs.keys() == ["a"]

    def test_reader_keeps_what_it_has_opened(self, blobs: Blobs) -> None:
        """A stream goes on with the value that was there when it was opened, and can seek in it."""
        blobs.put("a", LARGE)

        with blobs.open("a") as file:
            assert file.read(10) == LARGE[:10]
            blobs.put("a", b"new" * 100_000)
            assert file.tell() == 10
            assert file.read() == LARGE[10:]
            assert file.seek(-5, io.SEEK_END) == len(LARGE) - 5
            assert file.read() == LARGE[-5:]
            assert file.seek(700_000) == 700_000
            assert file.read(100) == LARGE[700_000:700_100]
            file.seek(-50, io.SEEK_CUR)
            assert file.read(50) == LARGE[700_050:700_100]
            blobs.delete("a")
            file.seek(0)
            assert file.read() == LARGE

    def test_copy_and_move(self, blobs: Blobs, clock: Clock) -> None:
        """Both carry content, expiry and metadata over whatever is there; to the same key they do nothing."""
        blobs.put("a", LARGE, ttl_secs=100, metadata={"tag": "x"})
        blobs.put("b", b"old")
        expires = blobs.info("a").expires_at

        assert blobs.copy("a", "a") == blobs.move("a", "a") == "a"
        assert blobs.copy("a", "b") == "b"
        assert blobs.copy("a", "c") == "c"
        assert [blobs.get(key) == LARGE for key in "abc"] == [True] * 3
        assert blobs.move("a", "b") == "b"
        assert blobs.move("c", "d") == "d"
        assert sorted(blobs) == ["b", "d"]
        for key in "bd":
            assert blobs.get(key) == LARGE
            assert blobs.info(key).expires_at == pytest.approx(expires)
            assert blobs.info(key).metadata == {"tag": "x"}

    def test_time_to_live(self, blobs: Blobs, clock: Clock, tmp_path: Path) -> None:
        """Expired is absent for every operation; the default counts where nothing is said, and can be set."""
        (tmp_path / "file").write_bytes(b"file")
        assert blobs.ttl_support
        assert blobs.default_ttl_secs is NOT_SET
        blobs.put("plain", b"1")
        blobs.default_ttl_secs = 50
        assert blobs.default_ttl_secs == 50
        blobs.put("default", b"2")
        blobs.put("short", b"3", ttl_secs=10)
        blobs.put_file("file", tmp_path / "file", timedelta(seconds=10))
        with blobs.open("stream", "wb", ttl_secs=10) as file:
            file.write(b"4")
        blobs.put("forever", b"5", FOREVER)
        blobs.put("not set", b"6", NOT_SET) if self.any_text else blobs.put("not-set", b"6", NOT_SET)
        self.pass_time(clock, 11)
        assert [key for key in ("short", "file", "stream") if key in blobs or key in list(blobs)] == []
        with pytest.raises(KeyNotFoundError):
            blobs.get("short")
        assert blobs.get("default") == b"2"
        self.pass_time(clock, 40)
        assert "default" not in blobs
        assert blobs.keys()[:2] == ["plain", "forever"]
        with pytest.raises(ValueError, match="ttl"):
            blobs.put("bad", b"", ttl_secs=-1)
        with pytest.raises(ValueError, match="ttl"):
            blobs.default_ttl_secs = "soon"  # type: ignore[assignment]

    def pass_time(self, clock: Clock, seconds: float) -> None:
        """Let time pass."""
        clock.now += seconds

    def test_made_keys(self, blobs: Blobs, tmp_path: Path) -> None:
        """Without a key one is made, that is there."""
        (tmp_path / "file").write_bytes(b"file")
        made = [
            blobs.put(None, b"1"),
            blobs.put_file(None, tmp_path / "file"),
            blobs.put_file(None, io.BytesIO(b"stream")),
        ]

        assert [blobs.get(key) for key in made] == [b"1", b"file", b"stream"]
        assert blobs.keys() == made

    def test_moving_a_file_in(self, blobs: Blobs, tmp_path: Path) -> None:
        """With move=True the caller's file is gone afterwards; without, and after a failure, it is as it was."""
        source = tmp_path / "file"
        source.write_bytes(LARGE)
        before = source.stat()
        blobs.put_file("a", source)
        assert (source.stat().st_mode, source.stat().st_mtime) == (before.st_mode, before.st_mtime)

        with pytest.raises(ValueError, match="ttl"):
            blobs.put_file("b", source, ttl_secs=-1, move=True)
        assert source.read_bytes() == LARGE
        assert blobs.put_file("b", source, move=True) == "b"
        assert not source.exists()
        assert blobs.get("b") == LARGE
        with pytest.raises(ValueError, match="path"):
            blobs.put_file("c", io.BytesIO(b"x"), move=True)
        with pytest.raises(FileNotFoundError):
            blobs.put_file("c", source)
        assert blobs.keys() == ["a", "b"]

    def test_closed(self, blobs: Blobs, tmp_path: Path) -> None:
        """Closing twice is closing once, and all else is a ClosedError then."""
        (tmp_path / "file").write_bytes(b"x")
        blobs.put("a", b"1")
        blobs.close()
        blobs.close()

        for use in (
            lambda: blobs.get("a"),
            lambda: blobs.put("a", b"2"),
            lambda: blobs.put_file("a", tmp_path / "file", move=True),
            lambda: blobs.open("a"),
            lambda: blobs.delete("a"),
            lambda: "a" in blobs,
            lambda: blobs.keys(),
            lambda: blobs.copy("a", "b"),
            lambda: blobs.move("a", "b"),
            lambda: blobs.size("a"),
        ):
            with pytest.raises(ClosedError):
                use()
        assert (tmp_path / "file").read_bytes() == b"x"

    def test_threads_see_no_torn_value(self, blobs: Blobs) -> None:
        """Readers beside writers have one of the values whole."""
        values = [bytes([number]) * (100_000 + number * 1_000) for number in range(4)]
        blobs.put("a", values[0])
        done = threading.Event()
        torn: list[int] = []

        def read() -> None:
            while not done.is_set():
                found = blobs.get("a")
                if found not in values:
                    torn.append(len(found))

        readers = [threading.Thread(target=read) for _ in range(2)]
        for reader in readers:
            reader.start()
        for round_ in range(40):
            blobs.put("a", values[round_ % 4])
            with blobs.open("a", "wb") as file:
                file.write(values[(round_ + 1) % 4])
        done.set()
        for reader in readers:
            reader.join()
        assert not torn

    def test_can_be_pickled(self, blobs: Blobs) -> None:
        """A copy that went through a pickle is a store of the same values."""
        blobs.put("a", b"1")

        assert pickle.loads(pickle.dumps(blobs)).get("a") == b"1"

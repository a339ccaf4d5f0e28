"""Each row of the README's table "Coming from minimalkv" is executed, both sides of it, and shows what it says."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from minimalkv import get_store_from_url
from minimalkv.cache import CacheDecorator
from minimalkv.crypt import HMACDecorator
from minimalkv.decorator import PrefixDecorator, ReadOnlyDecorator, URLEncodeKeysDecorator
from minimalkv.fs import FilesystemStore, WebFilesystemStore
from minimalkv.idgen import HashDecorator, UUIDDecorator
from minimalkv.memory import DictStore

from diskdict import BlobStore, InvalidKeyError, InvalidValueError, ReadOnlyError, VerificationError, blobs, open_blobs
from diskdict.blobs import Blobs

README = Path(__file__).parent.parent / "README.rst"
TABLE = README.read_text(encoding="utf-8").partition("\nComing from minimalkv\n")[2].partition("\n\n\n")[0]
ROW = re.compile(r"   \* - minimalkv\n     - ``(.+)``\n     - ``(.+)``\n     - .+")
ROWS: list[tuple[str, str]] = ROW.findall(TABLE)
SECRET = bytes(range(32))

THEIRS = (
    *(CacheDecorator, FilesystemStore, HMACDecorator, HashDecorator, PrefixDecorator, ReadOnlyDecorator),
    *(URLEncodeKeysDecorator, UUIDDecorator, WebFilesystemStore, get_store_from_url),
)


def extended(path: str) -> Any:
    """Return minimalkv's store of this name; its module warns of itself."""
    with pytest.warns(DeprecationWarning, match="will be re"):
        return get_store_from_url(f"hfs://{path}")


@pytest.fixture(autouse=True, scope="module")
def uuids_have_their_clock() -> None:
    """The first uuid1 of a process opens a file and keeps it for good: not a leak of that test."""
    uuid.uuid1()


class Sides(NamedTuple):
    """What the code of both sides may use and has made, what it was done to, and what it has returned or raised."""

    there: dict[str, Any]
    here: dict[str, Any]
    left: Any
    right: Any

    @property
    def stores(self) -> tuple[Any, Any]:
        return self.there["store"], self.here["store"]

    @property
    def bare(self) -> tuple[Any, Any]:
        return self.there["bare"], self.here["bare"]


Check = Callable[[Sides], None]
CHECKS: dict[str, Check] = {}


def row(there: str) -> Callable[[Check], Check]:
    """Register what has to hold after the row whose left side is `there` was executed."""

    def register(check: Check) -> Check:
        CHECKS[there] = check
        return check

    return register


def refused(action: Callable[[], object]) -> BaseException:
    """Return what is raised."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which it is, is what the rows are about
        action()
    return caught.value


@row("store = FilesystemStore(path)")
def replaced(sides: Sides) -> None:
    read = []
    for store in sides.stores:
        store.put("k", b"before")
        with store.open("k") as file:
            store.put("k", b"after!")
            read.append(file.read())
    assert read == [b"after!", b"before"]


@row("store = HFilesystemStore(path)")
def outside(sides: Sides) -> None:
    for names, store in zip((sides.there, sides.here), sides.stores, strict=True):
        store.put("../x", b"1")
        store.put("a b/c", b"2")
        assert store.get("../x") == b"1"
        assert (Path(names["path"]).parent / "x").exists() is (names is sides.there)


@row('store.put("k", "text")')
def text(sides: Sides) -> None:
    assert type(sides.left) is OSError
    assert type(sides.right) is InvalidValueError
    assert isinstance(sides.right, TypeError)
    assert isinstance(sides.right, ValueError)


@row(r'store.put("k\n", b"1")')
def newline(sides: Sides) -> None:
    assert sides.left == "k\n"
    assert type(sides.right) is InvalidKeyError


@row('store.put("k", b"1", ttl_secs=60)')
def expiring(sides: Sides) -> None:
    assert type(sides.left) is TypeError
    assert sides.right == "k"
    assert sides.here["store"].info("k").expires_at is not None


@row('store.put_file("k", file)')
def moved(sides: Sides) -> None:
    assert [store.get("k") for store in sides.stores] == [b"content"] * 2
    assert not Path(sides.there["file"]).exists()
    assert not Path(sides.here["file"]).exists()
    Path(sides.here["file"]).write_bytes(b"copied")
    sides.here["store"].put_file("k", sides.here["file"])
    assert Path(sides.here["file"]).read_bytes() == sides.here["store"].get("k") == b"copied"


@row('store.get_file("missing", file)')
def got(sides: Sides) -> None:
    assert isinstance(sides.left, KeyError)
    assert isinstance(sides.right, KeyError)
    assert Path(sides.there["file"]).read_bytes() == b""
    assert Path(sides.here["file"]).read_bytes() == b"content"


@row('store.delete("missing")')
def deleted(sides: Sides) -> None:
    there, here = sides.stores
    assert (sides.left, there.delete("k")) == (None, None)
    assert (sides.right, here.delete("k")) == (False, True)


@row('store.move("k", "k")')
def to_itself(sides: Sides) -> None:
    assert isinstance(sides.left, OSError)
    assert sides.right == "k"
    here = sides.here["store"]
    here.put("k", b"1", 60, metadata={"by": "Ada"})
    here.move("k", "m")
    assert here.info("m").metadata == {"by": "Ada"}
    assert here.info("m").expires_at is not None


@row('store.keys("a")')
def listed(sides: Sides) -> None:
    assert sorted(sides.left) == ["a1", "a2", "a3"]
    assert sides.right == ["a2", "a3", "a1"]


@row('store.url_for("k")')
def located(sides: Sides) -> None:
    for url in (sides.left, sides.right):
        assert Path(url.removeprefix("file://")).read_bytes() == b"old"


@row('store = WebFilesystemStore(path, "https://x/")')
def on_the_web(sides: Sides) -> None:
    assert [store.url_for("a b"[:1]) for store in sides.stores] == ["https://x/a"] * 2
    there = WebFilesystemStore(sides.there["path"], lambda _store, key: f"https://{key}/")
    with BlobStore("memory:", url=lambda key: f"https://{key}/") as here:
        assert (there.url_for("k"), here.url_for("k")) == ("https://k/k", "https://k/")


@row("store = HashDecorator(store)")
def hashed(sides: Sides) -> None:
    there, here = sides.stores
    made = there.put(None, b"1"), here.put(None, b"1")
    assert made == (hashlib.sha1(b"1").hexdigest(), hashlib.sha256(b"1").hexdigest())
    files = [Path(store.url_for(key).removeprefix("file://")) for store, key in zip(sides.bare, made, strict=True)]
    for file in files:
        os.utime(file, (0, 0))
    assert (there.put(None, b"1"), here.put(None, b"1")) == made
    assert [file.stat().st_mtime == 0 for file in files] == [False, True]


@row('store = UUIDDecorator(store, template="img-{}")')
def by_chance(sides: Sides) -> None:
    assert [store.put("given", b"1") for store in sides.stores] == ["img-given", "given"]
    assert [store.put(None, b"1")[:4] for store in sides.stores] == ["img-", "img-"]


@row('store = PrefixDecorator("p-", store)')
def prefixed(sides: Sides) -> None:
    for store, bare in zip(sides.stores, sides.bare, strict=True):
        store.put("k", b"new")
        assert bare.get("p-k") == b"new"
        store.move("k", "m")
    assert [bare.get("m" if bare is sides.bare[0] else "p-m") for bare in sides.bare] == [b"old", b"new"]


@row("store = URLEncodeKeysDecorator(store)")
def encoded(sides: Sides) -> None:
    for store in sides.stores:
        store.put("a b/c", b"1")
    assert [bare.keys("a") for bare in sides.bare] == [["a+b%2Fc"], ["a%20b%2Fc"]]


@row("store = ReadOnlyDecorator(store)")
def only_read(sides: Sides) -> None:
    there, here = sides.stores
    assert there.get("k") == here.get("k") == b"old"
    assert type(refused(lambda: there.put("k", b"1"))) is AttributeError
    assert isinstance(refused(lambda: here.put("k", b"1")), ReadOnlyError)
    assert issubclass(ReadOnlyError, TypeError)


@row("store = HMACDecorator(secret, store)")
def signed(sides: Sides) -> None:
    there, here = sides.stores
    for store, bare in zip(sides.stores, sides.bare, strict=True):
        store.put("k", b"content")
        bare.put("k", b"CONTENT" + bare.get("k")[7:])
    with there.open("k") as file:
        assert file.read(7) == b"CONTENT"
    assert isinstance(refused(lambda: here.open("k")), VerificationError)
    here.put("k", b"content")
    assert isinstance(refused(lambda: there.copy("k", "c")), NotImplementedError)
    assert here.get(here.copy("k", "c")) == b"content"


@row("store = CacheDecorator(front, store)")
def cached(sides: Sides) -> None:
    there, here = sides.stores
    for store in sides.stores:
        store.put("a", b"1")
        store.put("b", b"2")
        assert (store.get("a"), store.get("b")) == (b"1", b"2")
    assert isinstance(refused(lambda: there.copy("a", "b")), AttributeError)
    there.move("a", "b")
    here.copy("a", "b")
    assert here.get("b") == b"1"
    here.move("b", "a")
    assert (there.get("b"), here.get("a")) == (b"2", b"1")


@row('store = get_store_from_url(f"hfs://{path}#wrap:readonly")')
def by_url(sides: Sides) -> None:
    there, here = sides.stores
    assert isinstance(there, ReadOnlyDecorator)
    assert isinstance(here, blobs.ReadOnly)
    assert get_store_from_url("memory://?colour=red").put("k", b"1") == "k"
    assert isinstance(refused(lambda: open_blobs("memory:?colour=red")), ValueError)


def evaluated(code: str, names: dict[str, Any]) -> Any:
    """Execute one side of a row and return its value, or what it raises."""
    if code.startswith("store = "):
        exec(code, names)
        return None
    try:
        return eval(code, names)
    except Exception as error:
        return error


def prepared(names: dict[str, Any], place: Path, *, opens: bool) -> None:
    """Have a store with a few keys where the row does not open one, and a file."""
    names |= {"path": str(place / "store"), "file": str(place / "file"), "secret": SECRET}
    place.mkdir()
    Path(names["file"]).write_bytes(b"content")
    if not opens:
        names["store"] = names["bare"] = names["made"](names["path"])
        for key in ("k", "m", "a2", "a3", "a1"):
            names["store"].put(key, b"old")


@pytest.fixture
def cells(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Sides]]:
    """The two sides of a row, both done."""
    left, right = request.param
    there: dict[str, Any] = {thing.__name__: thing for thing in THEIRS}
    there |= {"HFilesystemStore": extended, "made": FilesystemStore, "front": DictStore()}
    here: dict[str, Any] = {name: getattr(blobs, name) for name in blobs.__all__}
    here |= {"made": BlobStore, "front": BlobStore("memory:")}
    opens = "path" in left
    prepared(there, tmp_path / "there", opens=opens)
    prepared(here, tmp_path / "here", opens=opens)
    if left.startswith("store = URLEncode"):
        for names in (there, here):
            for key in names["store"].keys("a"):
                names["store"].delete(key)
    with contextlib.ExitStack() as stack:
        if "hfs:" in left:
            stack.enter_context(pytest.warns(DeprecationWarning, match="will be re"))
        sides = Sides(there, here, evaluated(left, there), evaluated(right, here))
        yield left, sides
        for store in (here["store"], here.get("bare"), here["front"]):
            if isinstance(store, Blobs):
                store.close()


@pytest.mark.parametrize("cells", ROWS, ids=lambda cells: cells[0], indirect=True)
def test_a_row_does_what_it_says(cells: tuple[str, Sides]) -> None:
    """Both sides of a row run, and differ as its last column says."""
    left, sides = cells

    CHECKS[left](sides)


def test_every_row_is_checked() -> None:
    """The table and the checks are the same set, and none was lost in parsing."""
    assert {there for there, _ in ROWS} == set(CHECKS)
    assert len(ROWS) == TABLE.count("   * - ") - 1

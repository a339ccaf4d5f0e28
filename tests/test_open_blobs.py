"""What keys a blob store takes, at which URLs its values are, and blob stores that a URL describes."""

from __future__ import annotations

import re
import stat
import string
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from clocks import Clock

from diskdict import (
    BlobStore,
    DiskDict,
    FormatError,
    InvalidKeyError,
    KeyNotFoundError,
    LimitError,
    Limits,
    ReadOnlyError,
    StoreLockedError,
    open_blobs,
    open_store,
)
from diskdict.blobs import (
    VALID_KEY_RE,
    VALID_KEY_RE_EXTENDED,
    VALID_KEY_REGEXP,
    Compressed,
    HashIds,
    Prefixed,
    ReadOnly,
    UrlEncodedKeys,
    UuidIds,
)

TAKEN = string.ascii_letters + string.digits + "".join(set(string.punctuation) - set("/*:;|"))
NEVER_TAKEN = [*"*:;|", "\n", "\0", "\x7f", "\t", "é", "\u0661", "\ud800"]


# ---- keys


def test_the_default_rule() -> None:
    """Letters, digits and punctuation of ASCII but five, 1 to 250 of them, and nothing behind them."""
    with BlobStore("memory:") as blobs:
        for key in [*TAKEN, TAKEN, "..", ".", "-", "a" * 250]:
            blobs.put(key, b"1")
            assert VALID_KEY_RE.match(key)
        before = blobs.keys()

        for character in [*NEVER_TAKEN, "/", " "]:
            for key in (character, f"a{character}", f"{character}a", f"a{character}a"):
                with pytest.raises(InvalidKeyError, match="not a key"):
                    blobs.put(key, b"1")
                assert not re.match(VALID_KEY_REGEXP, key)
        for key in ("", "a" * 251, b"a", 5):
            with pytest.raises(InvalidKeyError):
                blobs.put(key, b"1")  # type: ignore[arg-type]
        assert blobs.keys() == before


def test_the_extended_rule(tmp_path: Path) -> None:
    """Slash and space, too; a path in a key leads nowhere."""
    outside = tmp_path / "outside"
    with BlobStore(tmp_path / "deep" / "blobs", keys="extended") as blobs:
        for key in (TAKEN, "a b/c d", "/", " ", "../../outside", "/etc/passwd", str(outside), "a//b", "." * 250):
            blobs.put(key, key.encode())
            assert blobs.get(key) == key.encode()
            assert VALID_KEY_RE_EXTENDED.match(key)
        for character in NEVER_TAKEN:
            with pytest.raises(InvalidKeyError):
                blobs.put(f"a{character}", b"1")
        with pytest.raises(InvalidKeyError):
            blobs.put("a" * 251, b"1")

        assert list(blobs.iter_prefixes("/", "../")) == ["../../"]
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"blobs"}


def test_any_text_and_rules_of_ones_own(tmp_path: Path) -> None:
    """Any text but none at all; an expression has to match from end to end."""
    with BlobStore(tmp_path / "any", keys="any") as blobs:
        for key in (*NEVER_TAKEN, "a\n", "a" * 5_000, "=i5"):
            blobs.put(key, key.encode(errors="surrogatepass"))
        assert all(blobs.get(key) == key.encode(errors="surrogatepass") for key in blobs)
        with pytest.raises(InvalidKeyError):
            blobs.put("", b"1")
    with BlobStore("memory:", keys=re.compile("(?i)a|ab # not this\n", re.VERBOSE)) as blobs:
        assert blobs.put("AB", b"1") == "AB"
        for key in ("abc", "xab", "ab\n"):
            with pytest.raises(InvalidKeyError, match="matches"):
                blobs.put(key, b"1")
    with pytest.raises(ValueError, match="default, extended, any"):
        BlobStore("memory:", keys="all")
    with pytest.raises(TypeError, match="bytes"):
        BlobStore("memory:", keys=re.compile(b"a"))  # type: ignore[arg-type]


def test_limits_hold(tmp_path: Path) -> None:
    """A value, or a key, that the folder's limits refuse leaves nothing, however it comes."""
    with BlobStore(tmp_path / "blobs", keys="any", limits=Limits(key_chars=10, value_bytes=300_000)) as blobs:
        blobs.put("a", b"x" * 300_000)
        with pytest.raises(LimitError), blobs.open("a", "wb") as file:
            for _ in range(4):
                file.write(b"y" * 100_000)
        with pytest.raises(LimitError):
            blobs.put("k" * 11, b"1")
        with pytest.raises(LimitError):
            blobs.move("a", "k" * 11)

        assert blobs.get("a") == b"x" * 300_000
        assert blobs.keys() == ["a"]


# ---- URLs of values


def path_of(url: str) -> Path:
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc, parts.query, parts.fragment) == ("file", "", "", "")
    return Path(unquote(parts.path))


@pytest.mark.parametrize("durability", ["process", "interval", "full"])
def test_the_url_of_a_file_leads_to_the_value(tmp_path: Path, durability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the key, whatever was written last; it is a whole path, and the key need not be there."""
    monkeypatch.chdir(tmp_path)
    with BlobStore("some blobs #1%", keys="any", durability=durability) as blobs:  # type: ignore[arg-type]
        for key in ("a", "A b/ü?#%41", "k" * 1_000):
            assert not path_of(blobs.url_for(key)).exists()
            blobs.put(key, key.encode())
            assert path_of(blobs.url_for(key)).read_bytes() == key.encode()
        with pytest.raises(InvalidKeyError):
            blobs.url_for("")


def test_urls_that_the_store_was_told() -> None:
    """A prefix, before the encoded key, or a function; the wrapped store's key is what they get."""
    with BlobStore("memory:", keys="any", url="https://example.org/files/") as blobs:
        assert blobs.url_for("a b/ü?") == "https://example.org/files/a%20b%2F%C3%BC%3F"
        assert Prefixed(blobs, "p-").url_for("a") == "https://example.org/files/p-a"
        assert UrlEncodedKeys(blobs).url_for("a b") == "https://example.org/files/a%2520b"
    with BlobStore("memory:", url=lambda key: f"https://{key}.example.org") as blobs:
        assert blobs.url_for("a") == "https://a.example.org"
        with pytest.raises(InvalidKeyError):
            blobs.url_for("a/b")
    with BlobStore("memory:") as blobs, pytest.raises(ValueError, match="url="):
        blobs.url_for("a")


# ---- a store as a URL


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The URL of a folder that is not there yet."""
    return f"file://{tmp_path}/data"


def test_open_blobs_reads_every_part(url: str, tmp_path: Path) -> None:
    """Each is what the argument of its name is."""
    said = "perm=0640&durability=full&timeout=0.5&create=yes&keys=extended&ids=sha256&ttl=1.5&urls=http%3A%2F%2Fx%2F%3F"
    with open_blobs(f"{url}?{said}") as blobs:
        key = blobs.put(None, b"1")
        blobs.put("a b", b"2")

        assert isinstance(blobs, BlobStore)
        assert len(key) == 64
        assert blobs.default_ttl_secs == 1.5
        assert blobs.url_for("a b") == "http://x/?a%20b"
        with pytest.raises(StoreLockedError):
            open_blobs(url)
    [file] = (tmp_path / "data").glob("data/*/a%20b")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    with open_blobs(f"{url}?readonly=true&keys=extended") as blobs, pytest.raises(ReadOnlyError):
        blobs.put("a", b"1")
    with pytest.raises(FileNotFoundError):
        open_blobs(f"{url}2?create=0")


def test_open_blobs_wraps_from_left_to_right(url: str) -> None:
    """The last one is what is returned."""
    with open_blobs(f"{url}?wrap=hashids:img-{{}},prefix:a%2Cb%26-,compress:gzip&wrap=urlencode,readonly") as blobs:
        assert isinstance(blobs, ReadOnly)
        assert isinstance(blobs.store, UrlEncodedKeys)
        compressed = blobs.store.store
        assert isinstance(compressed, Compressed)
        assert isinstance(compressed.store, Prefixed)
        assert compressed.store.prefix == "a,b&-"
        assert isinstance(compressed.store.store, HashIds)
        assert compressed.store.store.template == "img-{}"
    with open_blobs("memory:?wrap=uuidids,compress") as blobs:
        blobs.put(None, b"1")
        assert isinstance(blobs.store, UuidIds)  # type: ignore[attr-defined]


def test_open_blobs_as_the_issue_has_it(url: str) -> None:
    """``file:///data?perm=0600&wrap=readonly,urlencode``"""
    with open_blobs(f"{url}?perm=0600&wrap=urlencode") as blobs:
        blobs.put("any/key at all", b"1")

    with open_blobs(f"{url}?perm=0600&wrap=readonly,urlencode") as blobs:
        assert blobs.get("any/key at all") == b"1"
        with pytest.raises(ReadOnlyError):
            blobs.delete("any/key at all")


@pytest.mark.parametrize("place", ["{}/plain", "file:{}/plain", "file://{}/plain", "file://localhost{}/plain"])
def test_open_blobs_finds_a_folder_by_each_spelling(place: str, tmp_path: Path) -> None:
    """A path, too."""
    with open_blobs(place.format(tmp_path) + "?ttl=60") as blobs:
        blobs.put("a", b"1")

    assert (tmp_path / "plain" / "diskdict.json").exists()


def test_open_blobs_decodes_what_is_percent_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the path and in the parts; a plus is a plus. A path that begins nowhere is of the working folder."""
    monkeypatch.chdir(tmp_path)
    with open_blobs("file:a%3Fb%23+%20?keys=any&wrap=prefix:%C3%BC+%25%20") as blobs:
        blobs.put("k", b"1")
        assert blobs.store.keys() == ["ü+% k"]  # type: ignore[attr-defined]

    assert (tmp_path / "a?b#+ " / "diskdict.json").exists()


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("?colour=red", "colour"),
        ("?wrap=zip", "zip"),
        ("?wrap=", "no wrapper"),
        ("?wrap=readonly,", "no wrapper"),
        ("?wrap=readonly:x", "colon"),
        ("?wrap=prefix", "prefix"),
        ("?wrap=hashids:x", "template"),
        ("?wrap=compress:rar", "method"),
        ("?perm=rw", "perm"),
        ("?perm=1777", "perm"),
        ("?readonly=perhaps", "readonly"),
        ("?ids=md5", "md5"),
        ("?keys=all", "rule"),
        ("?ttl=soon", "ttl"),
        ("?ttl=-1", "ttl"),
        ("?ttl=1&ttl=2", "twice"),
        ("?ttl", "without a value"),
        ("?durability=yes", "durability"),
        ("?&ttl=1", "unknown part"),
        ("?ttl=1#x", "fragment"),
        ("#x", "fragment"),
        ("?urls=%ff", "utf-8"),
    ],
)
def test_open_blobs_refuses_what_it_does_not_know(url: str, bad: str, told: str, tmp_path: Path) -> None:
    """The error names it, and no store is left open."""
    with pytest.raises(ValueError, match=told):
        open_blobs(url + bad)
    open_blobs(url).close()


def test_what_is_no_url_is_refused(tmp_path: Path) -> None:
    """A path that is no str is for BlobStore."""
    with pytest.raises(TypeError, match="BlobStore takes paths"):
        open_blobs(tmp_path)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", ["memory:?perm=0600", "memory:?colour=red", "memory:x", "gopher://host/x"])
def test_open_blobs_elsewhere(bad: str) -> None:
    """What is for folders alone is for folders alone."""
    with pytest.raises(ValueError, match=r"part|no backend|no path"):
        open_blobs(bad)


def test_another_kind_of_folder_is_refused(url: str, tmp_path: Path) -> None:
    """By both sides, with both kinds named."""
    DiskDict(tmp_path / "dict").close()
    open_blobs(url).close()

    with pytest.raises(FormatError, match=r"'dict'.*'blobs'"):
        BlobStore(tmp_path / "dict")
    with pytest.raises(FormatError, match=r"'blobs'.*'dict'"):
        DiskDict(tmp_path / "data")


def test_keys_that_others_have_stored_are_left_out(clock: Clock) -> None:
    """A store that has keys of other types, too, shows those that are str."""
    store = open_store("memory:", clock=clock)
    store.put("=i5", b"1")
    store.put("k", b"2")
    with BlobStore(store) as blobs:
        assert blobs.keys() == ["k"]
        with pytest.raises(KeyNotFoundError):
            blobs.get("=i5")

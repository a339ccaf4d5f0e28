"""What each wrapper of a blob store does beyond the contract, alone and in any order."""

from __future__ import annotations

import hashlib
import io
import pickle
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clocks import Clock
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import (
    NOT_SET,
    BlobStore,
    CorruptValueError,
    InvalidKeyError,
    KeyNotFoundError,
    ReadOnlyError,
    VerificationError,
    ids,
)
from diskdict.blobs import Blobs, Cached, Compressed, HashIds, Prefixed, ReadOnly, Signed, UrlEncodedKeys, UuidIds
from diskdict.blobs.encrypted import Encrypted
from diskdict.blobs.wrappers import Wrapper

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
LONG = bytes(range(256)) * 1_000


@pytest.fixture
def store() -> Iterator[BlobStore]:
    """A store that is empty."""
    with BlobStore("memory:", keys="any") as store:
        yield store


# ---- keys


def test_prefixed_shows_what_begins_with_its_prefix_and_nothing_else(store: BlobStore) -> None:
    """Two prefixes in one store are two stores, and what is outside of them is in neither."""
    one, two = Prefixed(store, "one-"), Prefixed(store, "two-")
    for blobs, content in ((store, b"outside"), (one, b"1"), (two, b"2")):
        blobs.put("k", content)
        blobs.put("k.x", content)
    store.put("one-", b"has no name here")

    assert (one.get("k"), two.get("k"), store.get("k")) == (b"1", b"2", b"outside")
    assert list(one) == one.keys("k") == ["k", "k.x"]
    assert one.keys("k.") == ["k.x"]
    assert list(one.iter_prefixes(".")) == ["k", "k."]
    assert store.keys("two") == ["two-k", "two-k.x"]
    assert one.move("k", "m") == "m"
    assert one.delete("k.x")
    assert not one.delete("two-k")
    assert (one.keys(), two.keys()) == (["m"], ["k", "k.x"])


def test_prefixed_in_prefixed(store: BlobStore) -> None:
    """The outer prefix comes behind the inner one."""
    Prefixed(Prefixed(store, "a-"), "b-").put("k", b"1")

    assert store.keys() == ["a-b-k"]


def test_a_prefix_that_the_store_refuses_is_told_with_the_key() -> None:
    """The wrapped store's rule is for what it gets."""
    with BlobStore("memory:") as store, pytest.raises(InvalidKeyError, match="'a/k'"):
        Prefixed(store, "a/").put("k", b"1")


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.text(st.characters(), min_size=1, max_size=9), st.binary(max_size=3), max_size=5),
    st.text(max_size=2),
)
def test_url_encoded_keys_take_any_text(contents: dict[str, bytes], prefix: str) -> None:
    """Whatever text it is, surrogates too, it comes back and is found by what it begins with."""
    with BlobStore("memory:", keys="extended") as store:
        blobs = UrlEncodedKeys(store)
        for key, content in contents.items():
            blobs.put(key, content)

        assert {key: blobs.get(key) for key in blobs} == contents
        assert blobs.keys(prefix) == [key for key in contents if key.startswith(prefix)]
        assert set("".join(store)) <= set(string.ascii_letters + string.digits + "_.-~%")


def test_url_encoded_keys_leave_out_what_they_have_not_written(store: BlobStore) -> None:
    """A key of the store that no text is encoded as has no name here."""
    store.put("a b", b"1")
    store.put("%61", b"2")
    blobs = UrlEncodedKeys(store)
    blobs.put("a b", b"3")

    assert blobs.keys() == ["a b"]
    assert store.keys() == ["a b", "%61", "a%20b"]


def test_url_encoded_keys_are_as_long_as_the_store_takes_them_encoded() -> None:
    """The limit is on what is stored."""
    with BlobStore("memory:") as store:
        blobs = UrlEncodedKeys(store)
        blobs.put("/" * 83, b"1")

        with pytest.raises(InvalidKeyError):
            blobs.put("/" * 84, b"1")


# ---- only to read


def test_read_only_refuses_every_change(store: BlobStore, tmp_path: Path) -> None:
    """Nothing is written, removed, renamed, prolonged or set; all else goes on."""
    (tmp_path / "file").write_bytes(b"file")
    store.put("a", b"1")
    blobs = ReadOnly(HashIds(store))
    HashIds(store).put(None, b"made")
    before = {key: store.info(key) for key in store}

    for change in (
        lambda: blobs.put("a", b"2"),
        lambda: blobs.put("b", b"2"),
        lambda: blobs.put(None, b"made"),
        lambda: blobs.put(None, b"new"),
        lambda: blobs.put_file("b", tmp_path / "file"),
        lambda: blobs.put_file("b", tmp_path / "file", move=True),
        lambda: blobs.put_file("b", io.BytesIO(b"2")),
        lambda: blobs.open("a", "wb"),
        lambda: blobs.delete("a"),
        lambda: blobs.delete("missing"),
        lambda: blobs.copy("a", "b"),
        lambda: blobs.move("a", "b"),
        lambda: setattr(blobs, "default_ttl_secs", 5),
    ):
        with pytest.raises(ReadOnlyError):
            change()
    assert {key: store.info(key) for key in store} == before
    assert store.default_ttl_secs is blobs.default_ttl_secs is NOT_SET
    assert (tmp_path / "file").read_bytes() == b"file"
    assert blobs.get("a") == blobs.open("a").read() == b"1"
    assert (blobs.size("a"), "a" in blobs, len(blobs.keys())) == (1, True, 2)


def test_read_only_can_be_pickled(tmp_path: Path) -> None:
    """The copy refuses, too."""
    with BlobStore(tmp_path / "blobs") as store:
        store.put("a", b"1")
        again = pickle.loads(pickle.dumps(ReadOnly(store)))

        assert again.get("a") == b"1"
        with pytest.raises(ReadOnlyError):
            again.put("a", b"2")


# ---- made keys


@pytest.mark.parametrize("digest", ["sha256", "blake2b"])
def test_hash_ids_store_the_same_content_once(store: BlobStore, digest: str, tmp_path: Path) -> None:
    """By whichever way it comes: the key is that of the content."""
    (tmp_path / "file").write_bytes(LONG)
    blobs = HashIds(store, digest=digest)  # type: ignore[arg-type]
    expected = hashlib.sha256(LONG) if digest == "sha256" else hashlib.blake2b(LONG, digest_size=32)

    made = {blobs.put(None, LONG), blobs.put_file(None, tmp_path / "file"), blobs.put_file(None, io.BytesIO(LONG))}
    with (tmp_path / "file").open("rb") as file:
        made.add(blobs.put_file(None, file))
    made.add(blobs.put_file(None, tmp_path / "file", move=True))

    assert made == {expected.hexdigest()} == set(store)
    assert store.get(made.pop()) == LONG
    assert not (tmp_path / "file").exists()


def test_the_template_is_for_made_keys_only(store: BlobStore) -> None:
    """A key that was given is taken as it is."""
    blobs = HashIds(store, "img/{}.png")

    assert blobs.put("mine", b"1") == "mine"
    assert blobs.put(None, b"1") == f"img/{hashlib.sha256(b'1').hexdigest()}.png"
    assert UuidIds(store, "{{}}").put(None, b"1").startswith("{")
    for bad in ("", "img", "{}{}", "{0}"):
        with pytest.raises(ValueError, match="template"):
            HashIds(store, bad)


def test_the_same_content_again_lives_longer(clock: Clock) -> None:
    """What is stored once has the time-to-live that was asked for last."""
    with BlobStore("memory:", clock=clock) as store:
        blobs = HashIds(store)
        key = blobs.put(None, b"1", 10)
        clock.tick(8)
        blobs.put(None, b"1", 10)
        clock.tick(8)

        assert blobs.get(key) == b"1"
        clock.tick(3)
        assert key not in blobs


def test_uuids(store: BlobStore) -> None:
    """Each is another one; those of version 7 sort as they were made."""
    fours = [UuidIds(store).put(None, b"same") for _ in range(50)]
    sevens = [UuidIds(store, "{}.bin", version=7).put(None, b"same") for _ in range(500)]

    assert len({*fours, *sevens}) == len(store.keys()) == 550
    assert {key[14] for key in fours} == {"4"}
    assert {key[14] for key in sevens} == {"7"}
    assert sevens == sorted(sevens)


def test_the_outer_ids_count(store: BlobStore) -> None:
    """Of several wrappers that make keys the one that was asked does."""
    assert len(HashIds(UuidIds(store)).put(None, b"1")) == 64
    assert len(Prefixed(UuidIds(HashIds(store)), "p-").put(None, b"1")) == 36


def test_an_id_of_ones_own(tmp_path: Path) -> None:
    """Any function of the content makes keys; what is no key is refused before anything is written."""
    with BlobStore("memory:", ids=lambda content: f"size-{len(content.read())}") as store:
        assert store.put(None, b"abc") == "size-3"
        assert store.get("size-3") == b"abc"
    with BlobStore("memory:", ids=lambda _: "a/b") as store:
        with pytest.raises(InvalidKeyError):
            store.put(None, b"abc")
        assert store.keys() == []


# ---- values


def seal_signed(store: Blobs) -> Blobs:
    return Signed(store, SECRET)


def seal_early(store: Blobs) -> Blobs:
    return Signed(store, SECRET, early=True)


def seal_encrypted(store: Blobs) -> Blobs:
    return Encrypted(store, SECRET)


SEALS = [seal_signed, seal_early, seal_encrypted]
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "first byte": lambda sealed: bytes([sealed[0] ^ 1]) + sealed[1:],
    "middle": lambda sealed: sealed[:90_000] + bytes([sealed[90_000] ^ 1]) + sealed[90_001:],
    "last byte": lambda sealed: sealed[:-1] + bytes([sealed[-1] ^ 1]),
    "cut": lambda sealed: sealed[:-1],
    "cut short": lambda sealed: sealed[:20],
    "a piece cut": lambda sealed: sealed[: -(1 << 16) - 16],
    "empty": lambda _: b"",
    "longer": lambda sealed: sealed + b"x",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("seal", SEALS)
def test_tampering_is_found(
    store: BlobStore, seal: Callable[[Blobs], Blobs], damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """By every way of reading; files, copies and the key under its new name are not made of it."""
    blobs = seal(store)
    blobs.put("a", LONG)
    store.put("a", damage(store.get("a")))

    def read() -> None:
        with blobs.open("a") as file:
            file.read()

    for ask in (
        read,
        lambda: blobs.get("a"),
        lambda: blobs.get_file("a", tmp_path / "target"),
        lambda: blobs.copy("a", "b"),
        lambda: blobs.move("a", "b"),
    ):
        with pytest.raises(VerificationError):
            ask()
    assert not list(tmp_path.iterdir())
    assert store.keys() == ["a"]


@pytest.mark.parametrize("seal", SEALS)
def test_values_cannot_change_places(store: BlobStore, seal: Callable[[Blobs], Blobs]) -> None:
    """A value is bound to its key; who moves it by the wrapper binds it to the other one."""
    blobs = seal(store)
    blobs.put("a", b"1")
    blobs.put("b", b"2")
    assert blobs.move("a", "c") == "c"
    assert blobs.copy("c", "d") == "d"
    assert blobs.get("c") == blobs.get("d") == b"1"

    store.move("c", "b")
    with pytest.raises(VerificationError):
        blobs.get("b")


@pytest.mark.parametrize("wrong", [lambda store: Signed(store, OTHER), lambda store: Encrypted(store, OTHER)])
def test_another_secret_reads_nothing(store: BlobStore, wrong: Callable[[Blobs], Blobs]) -> None:
    """It is a VerificationError, never data."""
    blobs = wrong(store)
    type(blobs)(store, SECRET).put("a", b"1")  # type: ignore[call-arg]

    with pytest.raises(VerificationError):
        blobs.get("a")


def test_early_gives_what_comes_before_the_damage(store: BlobStore) -> None:
    """Who asks for it reads before all is verified; the end, and seeking, tell."""
    Signed(store, SECRET).put("a", LONG)
    store.put("a", store.get("a")[:-1] + b"x")

    with pytest.raises(VerificationError):
        Signed(store, SECRET).open("a")
    with Signed(store, SECRET, early=True).open("a") as file:
        assert file.read(100_000) == LONG[:100_000]
        with pytest.raises(VerificationError):
            file.read()
        with pytest.raises(VerificationError):
            file.read()
    with Signed(store, SECRET, early=True).open("a") as file, pytest.raises(VerificationError):
        file.seek(5)


def test_early_can_seek(store: BlobStore) -> None:
    """All of it is verified first."""
    blobs = Signed(store, SECRET, early=True)
    blobs.put("a", LONG)

    with blobs.open("a") as file:
        assert file.read(10) == LONG[:10]
        assert file.seek(-10, io.SEEK_END) == len(LONG) - 10
        assert file.read() == LONG[-10:]
        assert file.seek(200_000) == 200_000
        assert file.read() == LONG[200_000:]
        assert file.read() == b""


def test_secrets_are_replaced_one_by_one(store: BlobStore) -> None:
    """The last one writes, each reads what it has written, and who rewrites can leave the old one out."""
    Encrypted(store, {"2024": SECRET}).put("old", LONG)
    both = Encrypted(store, {"2024": SECRET, "2025": OTHER})
    both.put("new", LONG)
    assert both.get("old") == both.get("new") == LONG
    assert Encrypted(store, {"2025": OTHER}).get("new") == LONG
    with pytest.raises(VerificationError, match="secret"):
        Encrypted(store, {"2025": OTHER}).get("old")

    with both.open("old") as content:
        both.put_file("old", content)

    assert Encrypted(store, {"2025": OTHER}).get("old") == LONG


def test_nothing_of_a_value_can_be_seen_encrypted(store: BlobStore) -> None:
    """Not its bytes, nor that two are the same."""
    blobs = Encrypted(store, SECRET)
    blobs.put("a", b"plain text " * 20_000)
    blobs.put("b", b"plain text " * 20_000)

    assert b"plain" not in store.get("a")
    assert store.get("a")[60:] != store.get("b")[60:]


def test_each_value_says_how_it_was_compressed(store: BlobStore) -> None:
    """What one method has written is read where the other one writes."""
    Compressed(store, "gzip").put("gzip", LONG)
    Compressed(store, "zstd").put("zstd", LONG)

    for method in ("gzip", "zstd", None):
        blobs = Compressed(store, method)  # type: ignore[arg-type]
        assert [blobs.get("gzip"), blobs.get("zstd")] == [LONG] * 2
        assert [blobs.size("gzip"), blobs.size("zstd")] == [len(LONG)] * 2
    assert store.size("gzip") < len(LONG) / 10 > store.size("zstd")
    store.put("plain", b"it is no such value")
    with pytest.raises(CorruptValueError):
        blobs.get("plain")


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda store: Prefixed(store, ""), "prefix"),
        (lambda store: Signed(store, b"short"), "16 bytes"),
        (lambda store: Signed(store, "text" * 10), "16 bytes"),
        (lambda store: Signed(store, SECRET, digest="md5"), "digest"),
        (lambda store: Encrypted(store, SECRET[1:]), "32 bytes"),
        (lambda store: Encrypted(store, {}), "at least one"),
        (lambda store: Encrypted(store, {"é": SECRET}), "ASCII"),
        (lambda store: Compressed(store, "rar"), "method"),
        (lambda store: HashIds(store, digest="md5"), "digest"),
        (lambda store: UuidIds(store, version=1), "version"),
    ],
)
def test_wrong_arguments_are_told(store: BlobStore, make: Callable[[BlobStore], Blobs], told: str) -> None:
    """What a wrapper cannot work with is refused when it is made."""
    with pytest.raises(ValueError, match=told):
        make(store)


def test_only_blob_stores_are_wrapped(tmp_path: Path) -> None:
    """A path is no store."""
    with pytest.raises(TypeError, match="wraps"):
        ReadOnly(str(tmp_path))  # type: ignore[arg-type]


# ---- a cache


class Counted(Wrapper):
    """Counts what is read, and does something just before it answers."""

    reads = 0

    def meanwhile(self) -> None:
        pass

    def reading(self, key: str) -> io.BufferedReader | None:
        self.reads += 1
        content = super().reading(key)
        self.meanwhile()
        return content  # type: ignore[return-value]


@pytest.fixture
def front(clock: Clock) -> Iterator[BlobStore]:
    """Where copies are kept."""
    with BlobStore("memory:", keys="any", clock=clock) as front:
        yield front


def test_a_cached_value_is_read_once(store: BlobStore, front: BlobStore) -> None:
    """Then it comes from the front; what is missing is asked for each time."""
    behind = Counted(store)
    store.put("a", LONG)
    blobs = Cached(front, behind)

    assert [blobs.get("a") for _ in range(3)] == [LONG] * 3
    assert (behind.reads, front.keys()) == (1, ["a"])
    for _ in range(2):
        with pytest.raises(KeyNotFoundError):
            blobs.get("b")


def test_what_was_changed_through_a_cache_is_never_served_as_it_was(
    store: BlobStore, front: BlobStore, tmp_path: Path
) -> None:
    """Each way to change a value changes what the next one reads."""
    (tmp_path / "file").write_bytes(b"from a file")
    blobs = Cached(front, store)

    def write(content: bytes) -> None:
        with blobs.open("a", "wb") as file:
            file.write(content)

    changes: list[tuple[Callable[[], object], bytes | None]] = [
        (lambda: blobs.put("a", b"put"), b"put"),
        (lambda: write(b"written"), b"written"),
        (lambda: blobs.put_file("a", tmp_path / "file"), b"from a file"),
        (lambda: blobs.put_file("a", io.BytesIO(b"stream")), b"stream"),
        (lambda: blobs.copy("other", "a"), b"other"),
        (lambda: blobs.move("other", "a"), b"other"),
        (lambda: blobs.put("a", b"gone at once", 0), None),
        (lambda: blobs.delete("a"), None),
        (lambda: blobs.move("a", "away"), None),
    ]
    for change, expected in changes:
        blobs.put("a", b"old")
        blobs.put("other", b"other")
        assert (blobs.get("a"), blobs.get("other")) == (b"old", b"other")
        change()
        assert (blobs.get("a") if "a" in blobs else None) == expected
        with pytest.raises(KeyNotFoundError):
            blobs.delete("a")
            blobs.get("a")


def test_a_value_that_changes_while_it_is_being_cached_does_not_come_back(store: BlobStore, front: BlobStore) -> None:
    """Who reads beside a change may get the old value; nobody does afterwards."""
    store.put("a", b"old")
    behind = Counted(store)
    blobs = Cached(front, behind)

    def change() -> None:
        behind.meanwhile = lambda: None  # type: ignore[method-assign]
        blobs.put("a", b"new")

    behind.meanwhile = change  # type: ignore[method-assign]
    assert blobs.get("a") in (b"old", b"new")

    assert blobs.get("a") == b"new"


def test_what_others_change_is_seen_when_the_copy_expires(store: BlobStore, front: BlobStore, clock: Clock) -> None:
    """The default time-to-live of the front is how long that takes at most; a value that ends before ends in both."""
    front.default_ttl_secs = 60
    with BlobStore("memory:", clock=clock) as behind:
        blobs = Cached(front, behind)
        behind.put("a", b"old")
        behind.put("short", b"1", 10)
        assert (blobs.get("a"), blobs.get("short")) == (b"old", b"1")

        behind.put("a", b"new")
        clock.tick(11)
        assert blobs.get("a") == b"old"
        assert not front.keys("short")
        clock.tick(50)
        assert blobs.get("a") == b"new"


# ---- any order


LAYERS: dict[str, Callable[[Blobs], Blobs]] = {
    "prefixed": lambda store: Prefixed(store, "p/"),
    "urlencoded": UrlEncodedKeys,
    "hashids": HashIds,
    "uuidids": lambda store: UuidIds(store, "{}-7", version=7),
    "signed": seal_signed,
    "early": seal_early,
    "encrypted": seal_encrypted,
    "gzip": lambda store: Compressed(store, "gzip"),
    "zstd": lambda store: Compressed(store, "zstd"),
    "cached": lambda store: Cached(BlobStore("memory:"), store),
}
KEYS = st.sampled_from(["a", "b", "a/b", "p/a", "%61"])
CONTENTS = st.binary(max_size=40) | st.integers(0, 200_000).map(lambda size: LONG[:size])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["put", "put_file", "write"]), KEYS, CONTENTS),
    st.tuples(st.sampled_from(["copy", "move"]), KEYS, KEYS),
    st.tuples(st.just("delete"), KEYS, st.none()),
    st.tuples(st.just("make"), st.none(), CONTENTS),
)


def do(blobs: Blobs, model: dict[str, bytes], step: str, key: str, given: bytes | str) -> None:
    """Do the same to both."""
    if step == "write":
        with blobs.open(key, "wb") as file:
            file.write(given)  # type: ignore[arg-type]
    elif step == "put_file":
        blobs.put_file(key, io.BytesIO(given))  # type: ignore[arg-type]
    elif step == "make":
        key = blobs.put(None, given)  # type: ignore[arg-type]
    elif step == "delete":
        assert blobs.delete(key) is (model.pop(key, None) is not None)
        return
    elif step in ("copy", "move"):
        if key not in model:
            with pytest.raises(KeyNotFoundError):
                getattr(blobs, step)(key, given)
            return
        getattr(blobs, step)(key, given)
        model[given] = model.pop(key) if step == "move" else model[key]  # type: ignore[index]
        return
    else:
        blobs.put(key, given)  # type: ignore[arg-type]
    model[key] = given  # type: ignore[assignment]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(sorted(LAYERS)), max_size=5), st.lists(STEPS, max_size=12))
def test_wrappers_in_any_order_are_a_dict(names: list[str], steps: list[tuple[str, str, bytes]]) -> None:
    """Whatever is wrapped in whatever, it has the same values as a dict after the same steps."""
    with BlobStore("memory:", keys="any") as bottom:
        blobs: Blobs = bottom
        for name in names:
            blobs = LAYERS[name](blobs)
        model: dict[str, bytes] = {}
        for step in steps:
            do(blobs, model, *step)

            assert {key: blobs.get(key) for key in blobs} == model
            assert {key: blobs.size(key) for key in blobs} == {key: len(value) for key, value in model.items()}
        for key, value in model.items():
            with blobs.open(key) as file:
                assert file.seek(len(value) // 2) == len(value) // 2
                assert file.read() == value[len(value) // 2 :]


@pytest.mark.parametrize("wrap", LAYERS.values(), ids=LAYERS)
def test_each_wrapper_can_be_pickled_and_sets_the_default_below(
    wrap: Callable[[Blobs], Blobs], tmp_path: Path, clock: Clock
) -> None:
    """A copy that was made after closing opens the folder itself, with the time-to-live that was set above."""
    with BlobStore(tmp_path / "blobs", keys="any", clock=clock) as store:
        blobs = wrap(store)
        blobs.default_ttl_secs = 50
        assert store.default_ttl_secs == 50
        blobs.put("a", LONG)
        pickled = pickle.dumps(blobs)
        blobs.close()

    with pickle.loads(pickled) as again:
        assert again.default_ttl_secs == 50
        assert again.get("a") == LONG
        assert again.info("a").expires_at == clock.now + 50


def test_ids_are_functions() -> None:
    """What cannot make a key is refused when the store is made."""
    with pytest.raises(TypeError, match="ids is a function"):
        BlobStore("memory:", ids="sha256")  # type: ignore[arg-type]


def test_ids_are_named() -> None:
    """The functions that make keys are those that a URL can name."""
    assert {name: getattr(ids, name) for name in ids.BY_NAME} == ids.BY_NAME

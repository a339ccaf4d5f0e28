"""Names of files: readable, reversible, legal on every filesystem; shards; the names a store keeps for itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diskdict import layout
from diskdict.layout import Entry, Kind, Shards

GOLDEN = [
    ("hello", "hello"),
    ("README", "+r+e+a+d+m+e"),
    ("userName", "user+name"),
    ("config.json", "config.json"),
    ("a-b_c", "a-b_c"),
    ("user:42", "user%3a42"),
    ("a/b", "a%2fb"),
    ("a b", "a%20b"),
    ("a+b", "a%2bb"),
    ("100%", "100%25"),
    ("~a~", "%7ea%7e"),
    ("-rf", "%2drf"),
    (".", "%2e"),
    ("..", "%2e%2e"),
    (".git", "%2egit"),
    ("...x", "%2e..x"),
    ("end.", "end%2e"),
    ("", "%"),
    ("%", "%25"),
    ("naïve", "na%c3%afve"),
    ("É", "%c3%89"),
    ("😀", "%f0%9f%98%80"),
    ("\ud83d\ude00", "%ed%a0%bd%ed%b8%80"),
    ("a\x00\n", "a%00%0a"),
    ("con", "%63on"),
    ("CON", "+c+o+n"),
    ("nul.txt", "%6eul.txt"),
    ("com1", "%63om1"),
    ("lpt9.", "%6cpt9%2e"),
    ("console", "console"),
    ("com10", "com10"),
    ("new", "new"),
    ("=i42", "=i42"),
    ("=(=i1,a,)", "=(=i1,a,)"),
    ("=bab", "=bab"),
    ("=T", "=+t"),
    ("x" * 200, "x" * 200),
    ("x" * 201, "%%84a0678c90937f5dcf9994d5866668da6b995109c8ad845410559b48a4ecafed"),
]

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)

pieces = st.sampled_from(
    [
        "con",
        "prn",
        "nul",
        "aux",
        "com1",
        "lpt9",
        "NUL",
        ".x",
        ".",
        "..",
        "%",
        "%%",
        "+",
        "+a",
        "%2f",
        "~",
        "-",
        "/",
        "\\",
        "A",
        "a",
        "é",
        "\ud800",
    ]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.lists(pieces, max_size=5).map("".join),
    st.text("abcAB.-+%", max_size=250),
)


@pytest.mark.parametrize(("text", "name"), GOLDEN)
def test_name_of_format_1(text: str, name: str) -> None:
    """The names are part of the format: they never change."""
    assert layout.encode_name(text) == name


@given(texts)
def test_names_lead_back(text: str) -> None:
    """Every name that is no digest gives its text."""
    assert layout.unescape(layout.escape(text)) == text


@given(texts, texts)
def test_names_differ_under_case_folding(left: str, right: str) -> None:
    """Two texts have two names, also where the filesystem does not see case."""
    assume(left != right)

    assert layout.encode_name(left).casefold() != layout.encode_name(right).casefold()


@given(texts)
def test_names_are_legal_everywhere(text: str) -> None:
    """No name is hidden, reserved, too long, or holds a character that some filesystem refuses."""
    name = layout.encode_name(text)

    assert re.fullmatch(r"[a-z0-9_\-.,=@()+%]{1,200}", name)
    assert name[0] not in ".-~"
    assert name[-1] not in ". "
    assert not RESERVED.fullmatch(name)


@given(st.one_of(texts, texts.map(layout.escape).map(str.upper), st.text("+%2fFeEcoa.", max_size=8)))
def test_unescape_takes_nothing_else(name: str) -> None:
    """A name is the escape of a text, or a ValueError."""
    try:
        text = layout.unescape(name)
    except ValueError:
        return

    assert layout.escape(text) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".git",
        "README",
        "a b",
        "é",
        "a%2",
        "a%2F",
        "%61",
        "+",
        "a+",
        "+1",
        "con",
        "aux.c",
        "x.",
        "%%",
        "%ff",
        "-x",
        "a~1",
        "%c3",
        "a\n",
        "con.",
        "%63onsole",
        "\ud800",
    ],
)
def test_foreign_names(name: str) -> None:
    """What somebody else put there is not taken for a key."""
    with pytest.raises(ValueError, match="not the name of a key"):
        layout.unescape(name)


def test_digest_names_are_apart() -> None:
    """A digest is recognised, and is no readable name."""
    name = layout.encode_name("É" * 100)

    assert layout.is_digest(name)
    with pytest.raises(ValueError, match="not the name"):
        layout.unescape(name)


@pytest.mark.parametrize("name", ["hello", "%%", "%%" + "g" * 64, "%%" + "A" * 64, "%%" + "a" * 65])
def test_what_is_no_digest(name: str) -> None:
    """Only two marks and 64 digits are a digest."""
    assert not layout.is_digest(name)


def test_shards_are_256_by_default() -> None:
    """The folders are named by two digits."""
    shards = Shards()

    assert shards.count == len(shards.names) == 256
    assert (shards.names[0], shards.names[255]) == ("00", "ff")


@pytest.mark.parametrize(("count", "last"), [(1, "0"), (2, "1"), (16, "f"), (32, "1f"), (4096, "fff"), (65536, "ffff")])
def test_shard_names_have_one_width(count: int, last: str) -> None:
    """All folders of a store have names of the same length."""
    shards = Shards(count)

    assert shards.names[-1] == last
    assert {len(name) for name in shards.names} == {len(last)}


@pytest.mark.parametrize("count", [0, -1, 3, 255, 131072, True, 2.0, "256"])
def test_shards_are_a_power_of_two(count: int) -> None:
    """Any other count is a ValueError."""
    with pytest.raises(ValueError, match="power of two"):
        Shards(count)


def test_paths_of_format_1() -> None:
    """The shard is the low bits of the name's CRC-32."""
    shards = Shards()

    assert shards.path("hello") == "86/hello"
    assert shards.names[shards.number("hello")] == "86"
    assert Shards(1).path("hello") == "0/hello"


DIGEST = "%%" + "0a" * 32

ENTRIES = [
    ("hello", Kind.VALUE, "hello"),
    ("+r+e+a+d+m+e", Kind.VALUE, "+r+e+a+d+m+e"),
    (DIGEST, Kind.VALUE, DIGEST),
    (".hello.attr", Kind.SIDECAR, "hello"),
    (".new.attr", Kind.SIDECAR, "new"),
    (".a.key.attr", Kind.SIDECAR, "a.key"),
    (f".{DIGEST}.attr", Kind.SIDECAR, DIGEST),
    (f".{DIGEST}.key", Kind.LONG_KEY, DIGEST),
    (".new", Kind.TEMPORARY, ".new"),
    (".new-attr", Kind.TEMPORARY, ".new-attr"),
    (".hello.key", Kind.FOREIGN, ".hello.key"),
    (".attr", Kind.FOREIGN, ".attr"),
    ("..attr", Kind.FOREIGN, "..attr"),
    (".DS_Store", Kind.FOREIGN, ".DS_Store"),
    ("README", Kind.FOREIGN, "README"),
    ("x" * 201, Kind.FOREIGN, "x" * 201),
    ("", Kind.FOREIGN, ""),
]


@pytest.mark.parametrize(("name", "kind", "owner"), ENTRIES)
def test_files_of_a_shard(name: str, kind: Kind, owner: str) -> None:
    """Each file of a shard is known for what it is, and by the value it belongs to."""
    assert layout.classify(name) == Entry(kind, owner)


@given(texts)
def test_files_of_a_value_are_known(text: str) -> None:
    """A value and what lies beside it lead to its name, and are never taken for a temporary."""
    name = layout.encode_name(text)

    assert layout.classify(name) == Entry(Kind.VALUE, name)
    assert layout.classify(layout.sidecar(name)) == Entry(Kind.SIDECAR, name)
    assert (layout.classify(layout.long_key(name)).kind is Kind.LONG_KEY) == layout.is_digest(name)
    assert len(layout.sidecar(name)) <= 255

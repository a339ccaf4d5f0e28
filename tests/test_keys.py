"""Keys and their texts: the same text exactly where dict has the keys equal, and a way back."""

from __future__ import annotations

import collections
import enum
import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diskdict import keys
from diskdict.errors import InvalidKeyError

GOLDEN = [
    ("hello", "hello"),
    ("", ""),
    ("README", "README"),
    ("a=b", "a=b"),
    ("=", "=s="),
    ("=i1", "=s=i1"),
    ("\ud83d\ude00", "\ud83d\ude00"),
    (0, "=i0"),
    (42, "=i42"),
    (-7, "=i-7"),
    (2**63 - 1, "=i9223372036854775807"),
    (-(2**63) + 1, "=i-9223372036854775807"),
    (2**63, "=i0x8000000000000000"),
    (-(2**63), "=i-0x8000000000000000"),
    (2.5, "=f2.5"),
    (-1e-300, "=f-1e-300"),
    (math.inf, "=finf"),
    (-math.inf, "=f-inf"),
    (None, "=n"),
    (b"", "=b"),
    (b"a\x00\xff", "=ba\x00\xff"),
    ((), "=()"),
    (("",), "=(,)"),
    ((1, "a", None), "=(=i1,a,=n,)"),
    (("a,b", "(\\)"), "=(a\\,b,\\(\\\\\\),)"),
    ((1, ("a", (), (2.5,))), "=(=i1,(a,(),(=f2.5,),),)"),
    (("=x", b"="), "=(=s=x,=b=,)"),
]

SPELLINGS = [
    (True, "=i1", "=T"),
    (False, "=i0", "=F"),
    (1.0, "=i1", "=f1.0"),
    (-0.0, "=i0", "=f-0.0"),
    ((True, (1.0, 1)), "=(=i1,(=i1,=i1,),)", "=(=T,(=f1.0,=i1,),)"),
]

edges = st.sampled_from(
    [
        True,
        False,
        0,
        1,
        1.0,
        0.0,
        -0.0,
        -1,
        2**63,
        float(2**63),
        2**64,
        1e300,
        int(1e300),
        math.inf,
        -math.inf,
        0.5,
        "",
        "=",
        "=i1",
        "1",
        "True",
        "\ud800",
        "\ud83d\ude00",
        "😀",
        "(",
        ",",
        "\\",
        b"",
        b"=",
        b"1",
        None,
        (),
        ("",),
    ]
)
characters = st.characters(exclude_categories=())
texts = st.text(st.one_of(st.sampled_from("=(),\\sibfn10T"), characters), max_size=8)
atoms = st.one_of(
    edges, texts, st.binary(max_size=6), st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()
)
any_key = st.recursive(atoms, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


def same(left: object, right: object) -> bool:
    """Equal, and of the same exact type at every depth, the sign of zero included."""
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float) and isinstance(right, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return left == right


@pytest.mark.parametrize(("key", "text"), GOLDEN)
def test_text_of_format_1(key: keys.Key, text: str) -> None:
    """The texts are part of the format: they never change."""
    assert keys.encode(key) == text
    assert same(keys.decode(text), key)


@pytest.mark.parametrize(("key", "text", "given"), SPELLINGS)
def test_spelling_of_format_1(key: keys.Key, text: str, given: str) -> None:
    """A key that dict takes for another is that other one, and remembers how it was written."""
    assert keys.encode(key) == text
    assert keys.spelling(key, text) == given
    assert same(keys.decode(given), key)


@given(any_key, any_key)
def test_texts_are_equal_where_dict_has_keys_equal(left: keys.Key, right: keys.Key) -> None:
    """Two keys share a text exactly when they share a place in a dict."""
    assert (keys.encode(left) == keys.encode(right)) == (len({left: 0, right: 0}) == 1)


@given(any_key)
def test_text_leads_back_to_the_key(key: keys.Key) -> None:
    """The canonical text gives an equal key, the spelling one of the same types."""
    text = keys.encode(key)

    given = keys.spelling(key, text)

    assert keys.decode(text) == key
    assert same(keys.decode(given or text), key)
    assert given != text


@given(any_key)
def test_finding_agrees_with_writing(key: keys.Key) -> None:
    """What was written is looked up under the same text."""
    assert keys.find(key) == keys.encode(key)


@given(st.text(st.one_of(st.sampled_from("=(),\\sibfnTF01x.-e_ "), characters), max_size=12))
def test_any_text_is_refused_or_exact(text: str) -> None:
    """Texts that no key has are a ValueError; all others are the text or the spelling of what they decode to."""
    for candidate in (text, "=" + text, f"=({text},)"):
        try:
            key = keys.decode(candidate)
        except ValueError:
            continue
        canonical = keys.encode(key)

        assert candidate in (canonical, keys.spelling(key, canonical))


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "=q",
        "=i",
        "=i01",
        "=i+1",
        "=i 1",
        "=i1_0",
        "=i٣",
        "=i0x1",
        "=i9223372036854775808",
        "=i" + "9" * 5000,
        "=fnan",
        "=f1",
        "=f1e400",
        "=f2.50",
        "=bé€",
        "=n1",
        "=T1",
        "=sx",
        "=(",
        "=(a)",
        "=(a,",
        "=()x",
        "=(a,))",
        "=(\\a,)",
        "=((),,)x",
        "=(\\)",
        "=" + "(" * 200 + ")," * 199 + ")",
    ],
)
def test_malformed_texts(text: str) -> None:
    """A text that no key has is a ValueError."""
    with pytest.raises(ValueError, match="not the text of a key"):
        keys.decode(text)


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


Point = collections.namedtuple("Point", "x y")

REFUSED = [
    Name("x"),
    Colour.RED,
    Point(1, 2),
    (1, Name("x")),
    Decimal(1),
    1j,
    frozenset(),
    pytest.param(object(), id="object()"),
    math.nan,
    (1, math.nan),
]


@pytest.mark.parametrize("key", REFUSED, ids=repr)
def test_other_keys_are_refused(key: object) -> None:
    """A type that would come back as another is refused on writing and merely missing on reading."""
    with pytest.raises(InvalidKeyError):
        keys.encode(key)

    assert keys.find(key) is None


@pytest.mark.parametrize("key", [[], {}, set(), bytearray(), (1, [])], ids=repr)
def test_unhashable_keys(key: object) -> None:
    """A key without a hash is a TypeError to write and to look up, as in a dict."""
    with pytest.raises(InvalidKeyError):
        keys.encode(key)
    with pytest.raises(TypeError, match="unhashable"):
        keys.find(key)


def test_refusal_names_type_and_alternatives() -> None:
    """The message says what was given, shortened, and what is allowed."""
    with pytest.raises(InvalidKeyError) as caught:
        keys.encode(Name("x" * 1000))

    assert "type Name" in str(caught.value)
    assert "str, bytes, int, float, bool, None and tuples" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_refusal_of_a_key_that_cannot_be_printed() -> None:
    """An int of too many digits for repr does not hide the reason."""
    with pytest.raises(InvalidKeyError, match="type frozenset"):
        keys.encode(frozenset({10**5000}))


def nested(depth: int) -> object:
    """Return a tuple of so many levels."""
    key: object = ()
    for _ in range(depth - 1):
        key = (key,)
    return key


def test_tuples_nest_to_the_limit() -> None:
    """The deepest tuple that is allowed comes back."""
    key = nested(keys.MAX_DEPTH)

    assert keys.decode(keys.encode(key)) == key


@pytest.mark.parametrize("depth", [keys.MAX_DEPTH + 1, 5000])
def test_deeper_tuples_are_refused(depth: int) -> None:
    """Too deep is our own error, not the interpreter's."""
    with pytest.raises(InvalidKeyError, match="deep"):
        keys.encode(nested(depth))

    assert keys.find(nested(depth)) is None


def test_a_tuple_has_a_text_of_linear_size() -> None:
    """Nesting does not escape what was escaped."""
    assert len(keys.encode(nested(100))) < 400


def test_ints_of_any_length() -> None:
    """The interpreter's limit on digits does not apply."""
    key = -(10**6000)

    assert keys.decode(keys.encode(key)) == key


@pytest.mark.parametrize("key", ["a", "=a", 1, 1.0, True, -0.0, None, b"=", (True, (1.0, "x"))])
def test_spelled_is_the_text_of_the_key_as_it_was_given(key: object) -> None:
    """Reading it gives the same key, of the same type at every depth."""
    assert repr(keys.decode(keys.spelled(key))) == repr(key)

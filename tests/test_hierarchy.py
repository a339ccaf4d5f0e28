"""Patterns over segments match what they say, and never take exponential time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wcmatch import glob

from diskdict.hierarchy import MOST, Pattern

AS_OURS = glob.GLOBSTAR | glob.BRACE | glob.DOTGLOB | glob.FORCEUNIX | glob.CASE
PIECES = ["a", "b", "ab", "*", "a*", "*b", "?", "[ab]", "[!a]", "a*b*a", "{a,b}", "{a,bb{c,?}}", "?*", "*a*"]
segments = st.lists(st.sampled_from([*PIECES, "**"]), min_size=1, max_size=5)
names = st.lists(st.text("abc", min_size=1, max_size=3), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("pattern", "matched", "others"),
    [
        ("app.*", ["app.x", "app."], ["app", "app.x.y", "apps.x"]),
        ("app.**", ["app.x", "app.x.y"], ["app", "apps.x"]),
        ("**.x", ["x", "a.x", "a.b.x"], ["ax", "x.a"]),
        ("**", ["", "x", "a.b"], []),
        ("a.**.b", ["a.b", "a.x.b", "a.x.y.b"], ["ab", "a.xb"]),
        ("a**b", ["ab", "a.b", "ax.yb"], ["a", "b"]),
        ("v?", ["v1", "vx"], ["v", "v12", "v."]),
        ("v[0-9]", ["v1"], ["vx", "v10"]),
        ("v[!0-9]", ["vx"], ["v1", "v."]),
        ("[]]", ["]"], ["["]),
        ("a[", ["a["], ["a"]),
        ("{dev,prod}.*", ["dev.x", "prod.x"], ["test.x", "dev.x.y"]),
        ("{a,b{c,d{e,f}}}", ["a", "bc", "bde", "bdf"], ["b", "bd"]),
        ("{a}", ["{a}"], ["a"]),
        ("{a,b", ["{a,b"], ["a"]),
        ("{,x}a", ["a", "xa"], ["ya"]),
        (r"a\*", ["a*"], ["ab", "a"]),
        (r"\{a,b\}", ["{a,b}"], ["a"]),
        ("a\nb*", ["a\nb", "a\nbc"], ["a b"]),
        ("", [""], ["a"]),
    ],
)
def test_what_a_pattern_matches(pattern: str, matched: list[str], others: list[str]) -> None:
    """And what not; what matches has one of the shapes."""
    compiled = Pattern(pattern)

    assert [key for key in matched if not compiled.matches(key)] == []
    assert [key for key in others if compiled.matches(key)] == []
    assert all(has_shape(key, compiled) for key in matched)


@given(segments, names)
@example(["**", "a*b*a", "**", "b"], ["a", "aba", "b", "b"])
def test_as_wcmatch_has_it(pieces: list[str], key: list[str]) -> None:
    """Where a pattern has ``**`` as whole segments."""
    compiled = Pattern("/".join(pieces), "/")

    assert compiled.matches("/".join(key)) == glob.globmatch("/".join(key), "/".join(pieces), flags=AS_OURS)


def matches(pattern: str, key: str) -> bool:
    """Try every way: slow, and plainly right."""
    if not pattern:
        return not key
    if pattern.startswith("**"):
        rest = pattern.lstrip("*")
        return any(matches(rest, key[at:]) for at in range(len(key) + 1))
    if pattern[0] == "*":
        end = key.find("/") if "/" in key else len(key)
        return any(matches(pattern[1:], key[at:]) for at in range(end + 1))
    if pattern[0] == "?":
        return bool(key) and key[0] != "/" and matches(pattern[1:], key[1:])
    return bool(key) and key[0] == pattern[0] and matches(pattern[1:], key[1:])


@given(st.text("ab/*?", max_size=9).filter(lambda text: "**/" not in text), st.text("ab/", max_size=9))
def test_as_every_way_tried(pattern: str, key: str) -> None:
    """Where ``**`` stands anywhere."""
    assert Pattern(pattern, "/").matches(key) == matches(pattern, key)


@given(st.text("ab.*", max_size=8).filter(lambda text: "**." not in text), st.text("ab.", max_size=8))
def test_separator_of_several_characters(pattern: str, key: str) -> None:
    """It means what one of a single character means."""
    longer = Pattern(pattern.replace(".", "::"), "::")

    assert longer.matches(key.replace(".", "::")) == Pattern(pattern).matches(key)


@given(st.text("ab.*?{,}[!]\\", max_size=12), st.text("ab.*", max_size=6))
def test_shapes_are_kept(pattern: str, key: str) -> None:
    """Whatever matches has one of them."""
    compiled = Pattern(pattern)

    if compiled.matches(key):
        assert has_shape(key, compiled)


def has_shape(key: str, pattern: Pattern) -> bool:
    return any(re.fullmatch(".*".join(map(re.escape, shape)), key, re.DOTALL) for shape in pattern.shapes)


@pytest.mark.parametrize(
    ("pattern", "shapes"),
    [
        ("app.*.name", [("app.", ".name")]),
        ("**.x", [("", "x")]),
        ("a.**.b?c[de]", [("a.", "b", "c", "")]),
        (r"a\*", [("a*",)]),
        ("{dev,prod}.*", [("dev.", ""), ("prod.", "")]),
        ("{a,ab}.x", [("a.x",), ("ab.x",)]),
        ("{a*,ab}.x", [("a", "")]),
    ],
)
def test_shapes(pattern: str, shapes: list[tuple[str, ...]]) -> None:
    """What is sure of a key that matches, without a shape that another one covers."""
    assert list(Pattern(pattern).shapes) == shapes


@pytest.mark.parametrize(
    ("pattern", "key"),
    [
        ("**.**.**.**.x", "a." * 200),
        ("**a**a**a**a**a**b", "a" * 400),
        ("*a*a*a*a*a*a*b", "a" * 400),
        ("**.a*a*a.**.*b*b.**c", "aaa.bb." * 60),
        ("{a,b}{a,b}{a,b}{a,b}{a,b}c", "abab"),
    ],
)
def test_no_pattern_takes_exponential_time(pattern: str, key: str) -> None:
    """Some of these would take longer than the universe, one that goes back; the best of five rounds is looked at."""
    compiled = Pattern(pattern)

    def took() -> float:
        start = time.perf_counter()
        assert not compiled.matches(key)
        return time.perf_counter() - start

    assert min(took() for _ in range(5)) < 0.05


def test_braces_have_an_end() -> None:
    """What stands for more than a thousand patterns is refused."""
    assert Pattern("{a,b}" * 9).matches("a" * 9)
    with pytest.raises(ValueError, match=f"{MOST:,}"):
        Pattern("{a,b}" * 30)

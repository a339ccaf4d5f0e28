"""Codecs: what comes back is equal and of the same exact type, or the write is refused; nothing in between."""

from __future__ import annotations

import collections
import contextlib
import enum
import json
import math
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diskdict import codecs, tags
from diskdict.codecs import JSON, PICKLE, RAW
from diskdict.errors import InvalidValueError

CET = timezone(timedelta(hours=1))
NAMED = timezone(timedelta(hours=1), "CET")
SECOND = timedelta(seconds=1)
MOMENT = datetime(2024, 2, 29, 12, 30, 1, 5)

GOLDEN = [
    (None, b"null"),
    (True, b"true"),
    (42, b"42"),
    (2.5, b"2.5"),
    (1.0, b"1.0"),
    ("hello", b'"hello"'),
    ("a/é\n", '"a/é\\n"'.encode()),
    ({"a": [1, 2.5, None, True], "b": {}}, b'{"a":[1,2.5,null,true],"b":{}}'),
    ((1, "a"), b'{"$tuple":[1,"a"]}'),
    ([(), ((),)], b'[{"$tuple":[]},{"$tuple":[{"$tuple":[]}]}]'),
    pytest.param({10, 9, 1}, b'{"$set":[1,9,10]}', id="set"),
    pytest.param(frozenset({"b", "a"}), b'{"$frozenset":["a","b"]}', id="frozenset"),
    ([b"ab"], b'[{"$bytes":"YWI="}]'),
    ({1: "x", None: 2}, b'{"$dict":[[1,"x"],[null,2]]}'),
    ({"$tuple": [1]}, b'{"$dict":[["$tuple",[1]]]}'),
    ({"$x": 1}, b'{"$dict":[["$x",1]]}'),
    ({"$x": 1, "$y": 2}, b'{"$x":1,"$y":2}'),
    (math.inf, b'{"$float":"inf"}'),
    ([-math.inf, math.nan], b'[{"$float":"-inf"},{"$float":"nan"}]'),
    (MOMENT, b'{"$datetime":"2024-02-29T12:30:01.000005"}'),
    (MOMENT.replace(tzinfo=UTC), b'{"$datetime":"2024-02-29T12:30:01.000005+00:00"}'),
    (MOMENT.replace(fold=1), b'{"$datetime":["2024-02-29T12:30:01.000005",1]}'),
    (MOMENT.replace(tzinfo=NAMED), b'{"$datetime":["2024-02-29T12:30:01.000005+01:00",0,"CET"]}'),
    (date(2024, 2, 29), b'{"$date":"2024-02-29"}'),
    (time(1, 2, tzinfo=CET), b'{"$time":"01:02:00+01:00"}'),
    (timedelta(-1, 2, 3), b'{"$timedelta":[-1,2,3]}'),
    (Decimal("1.50"), b'{"$decimal":"1.50"}'),
    (UUID(int=1), b'{"$uuid":"00000000-0000-0000-0000-000000000001"}'),
    ("\ud83d\ude00\\n", b'{"$str":"\\\\ud83d\\\\ude00\\\\\\\\n"}'),
    (b"", b"\x1b"),
    (b"\x89PNG", b"\x89PNG"),
    (b"Hello", b"Hello"),
    (b"{}", b"\x1b{}"),
    (b"\x1b[0m", b"\x1b\x1b[0m"),
]


def same(left: object, right: object) -> bool:
    """Equal, and of the same exact type at every depth; nan is nan, the sign of zero counts."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)) and isinstance(right, (set, frozenset)):
        rest = list(right)
        return len(left) == len(rest) and all(any(same(a, b) for b in rest) for a in left)
    if isinstance(left, (float, Decimal)) and isinstance(right, (float, Decimal)):
        return repr(left) == repr(right)
    if isinstance(left, (datetime, time)) and isinstance(right, (datetime, time)):
        zones = left.tzinfo, right.tzinfo
        return left == right and left.fold == right.fold and repr(zones[0]) == repr(zones[1])
    return left == right


zones = st.one_of(
    st.none(),
    st.just(UTC),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).filter(lambda offset: abs(offset) >= SECOND).map(timezone),
    st.just(NAMED),
)
characters = st.text(st.characters(exclude_categories=()), max_size=6)
texts = st.one_of(characters, st.sampled_from(["$", "$tuple", "$dict", "$str", "\ud800", "\ud83d\ude00", "\\ud800"]))
members = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.binary(max_size=8),
    st.sampled_from([2**64, -(2**63), 0.0, -0.0, 1e16]),
    st.datetimes(timezones=zones),
    st.datetimes().map(lambda moment: moment.replace(fold=1)),
    st.dates(),
    st.times(timezones=zones),
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),
    st.uuids(),
)
hashables = st.recursive(
    members,
    lambda inner: st.one_of(st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3)),
    max_leaves=4,
)
values = st.recursive(
    st.one_of(members, st.decimals()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(texts, inner, max_size=3),
        st.dictionaries(hashables, inner, max_size=3),
        st.sets(hashables, max_size=3),
        st.frozensets(hashables, max_size=3),
    ),
    max_leaves=12,
)


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    __slots__ = ()


class Talkative:
    """Has the methods that ujson would call."""

    def toDict(self) -> dict[str, int]:  # noqa: N802
        raise AssertionError("called")

    def __json__(self) -> str:
        raise AssertionError("called")


class TalkativeDict(dict[str, int]):
    def toDict(self) -> dict[str, int]:  # noqa: N802
        raise AssertionError("called")


Point = collections.namedtuple("Point", "x y")

REFUSED = [
    Colour.RED,
    Name("x"),
    Point(1, 2),
    collections.OrderedDict(a=1),
    collections.defaultdict(int),
    collections.Counter("a"),
    bytearray(b"x"),
    memoryview(b"x"),
    1j,
    range(3),
    object(),
    ...,
    int,
    Talkative(),
    TalkativeDict(),
    MOMENT.replace(tzinfo=ZoneInfo("UTC")),
    MOMENT.replace(tzinfo=timezone(SECOND / 2)),
    time(tzinfo=timezone(-SECOND / 2)),
]


@pytest.mark.parametrize(("value", "payload"), GOLDEN, ids=repr)
def test_bytes_of_format_1(value: object, payload: bytes) -> None:
    """The files are part of the format: they never change."""
    assert JSON.dumps(value) == payload
    assert same(JSON.loads(payload), value)


@settings(max_examples=200)
@given(values)
def test_json_gives_back_the_same(value: object) -> None:
    """Equal and of the same exact type at every depth, for the whole closed set."""
    payload = JSON.dumps(value)

    assert payload
    assert same(JSON.loads(payload), value)


@settings(max_examples=200)
@given(values)
def test_files_are_json(value: object) -> None:
    """What is not bytes is JSON for every other reader too."""
    payload = JSON.dumps([value])

    assert isinstance(json.loads(payload), list)


WRAPPERS: list[Callable[[object], object]] = [
    lambda value: value,
    lambda value: [1, value],
    lambda value: {"a": {"b": [0, value]}},
    lambda value: (value,),
    lambda value: {1: value},
]


@pytest.mark.parametrize("value", REFUSED, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", range(len(WRAPPERS)))
def test_json_refuses_what_would_change(value: object, wrap: int) -> None:
    """A value that would come back as another is refused at any depth; none of its methods is called."""
    with pytest.raises(InvalidValueError, match="pickle"):
        JSON.dumps(WRAPPERS[wrap](value))


@pytest.mark.parametrize("value", [{Colour.RED: 1}, {Name("x"): 1}, {Point(1, 2): 1}, {Name("a")}, {(1, Name("a"))}])
def test_json_refuses_keys_and_members_that_would_change(value: object) -> None:
    """Keys and members are values too."""
    with pytest.raises(InvalidValueError):
        JSON.dumps(value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Colour.RED, "value of type Colour"),
        ({"a": [0, 1, 2, Colour.RED]}, "value['a'][3] of type Colour"),
        ({"a": ({1: Colour.RED},)}, "value['a'][0][1] of type Colour"),
        ([{"x": {Name("k"): 1}}], "value[0]['x'].key('k') of type Name"),
        ([{Name("k")}], "value[0].member of type Name"),
        ([MOMENT.replace(tzinfo=ZoneInfo("UTC"))], "value[0] of type datetime has a timezone of type ZoneInfo"),
    ],
    ids=repr,
)
def test_refusal_names_place_type_and_codec(value: object, place: str) -> None:
    """The message leads to the part that cannot be written, and to the codec that can."""
    with pytest.raises(InvalidValueError) as caught:
        JSON.dumps(value)

    assert place in str(caught.value)
    assert 'codec="pickle"' in str(caught.value)


def nested_lists(depth: int, core: object = None) -> object:
    value = core
    for _ in range(depth):
        value = [value]
    return value


def nested_dicts(depth: int) -> object:
    value: object = None
    for _ in range(depth):
        value = {"a": value}
    return value


def test_plain_json_nests_to_its_limit() -> None:
    """What is written at the deepest level is read."""
    for value in (nested_lists(codecs.MAX_DEPTH), nested_dicts(codecs.MAX_DEPTH)):
        assert JSON.loads(JSON.dumps(value)) == value


def test_tags_nest_to_their_limit() -> None:
    """Tags take up to three levels of JSON each, and all of them are read."""
    value: object = None
    for _ in range(tags.MAX_DEPTH):
        value = {1: value}

    assert JSON.loads(JSON.dumps(value)) == value


@pytest.mark.parametrize("depth", [codecs.MAX_DEPTH + 1, 1023, 1024, 100_000])
def test_deeper_json_is_refused(depth: int) -> None:
    """Too deep is our own error, not the interpreter's."""
    for value in (nested_lists(depth), nested_dicts(depth)):
        with pytest.raises(InvalidValueError, match="nested deeper"):
            JSON.dumps(value)


def cycles() -> Iterator[object]:
    plain: list[object] = []
    plain.append(plain)
    yield plain
    wide: list[object] = []
    wide.extend([wide] * 20)
    yield wide
    mapping: dict[str, object] = {}
    mapping["a"] = [mapping, mapping]
    yield mapping
    tagged: list[object] = []
    tagged.append((tagged, tagged))
    yield tagged


@pytest.mark.parametrize("value", list(cycles()), ids=["list", "wide", "dict", "tuple"])
def test_a_value_that_contains_itself_is_refused(value: object) -> None:
    """And it does not take forever to find out."""
    with pytest.raises(InvalidValueError, match="containing itself"):
        JSON.dumps(value)


def test_a_part_that_occurs_twice_is_no_cycle() -> None:
    """The same list in two places is written twice."""
    part = [1]

    assert JSON.dumps({"a": part, "b": [part, part]}) == b'{"a":[1],"b":[[1],[1]]}'


def test_too_little_stack_is_our_own_error() -> None:
    """Near the end of the interpreter's stack writing and reading fail as they fail otherwise, or do not fail."""
    value = nested_lists(100, core=())
    payload = JSON.dumps(value)
    kinds = set()

    def outcomes(levels_left: int) -> None:
        if levels_left:
            return outcomes(levels_left - 1)
        for call, argument, result in ((JSON.dumps, value, payload), (JSON.loads, payload, value)):
            try:
                kinds.add(call(argument) == result)
            except ValueError:
                kinds.add(False)
        return None

    frames = 0
    frame = sys._getframe()
    while frame.f_back:
        frames, frame = frames + 1, frame.f_back
    for reserve in range(40, 400, 20):
        outcomes(sys.getrecursionlimit() - frames - reserve)

    assert kinds == {True, False}


@pytest.mark.parametrize("wrap", range(len(WRAPPERS)))
@pytest.mark.parametrize("sign", [1, -1])
def test_ints_of_any_length(sign: int, wrap: int) -> None:
    """On both sides of the limit that Python sets for decimal digits."""
    for number in (10**4299, 10**4300 - 1, 10**4300, 10**9000):
        value = WRAPPERS[wrap](sign * number)

        assert JSON.loads(JSON.dumps(value)) == value


def test_ints_do_not_depend_on_the_limit_of_digits() -> None:
    """A process that raised its limit writes what others can read."""
    value = 10**5000
    expected = JSON.dumps([value])
    default = sys.get_int_max_str_digits()

    sys.set_int_max_str_digits(0)
    try:
        payload = JSON.dumps([value])
    finally:
        sys.set_int_max_str_digits(default)

    assert payload == expected
    assert JSON.loads(payload) == [value]


def test_sets_are_written_in_one_order() -> None:
    """Equal sets have equal files, whatever the hash seed."""
    members = [3, "b", None, (1, 2), "a", frozenset({"y", "x"})]
    backwards = members[::-1]

    assert JSON.dumps(set(members)) == JSON.dumps(set(backwards))
    assert JSON.dumps({"b", "a", "c"}) == b'{"$set":["a","b","c"]}'


@given(st.binary(max_size=40))
def test_top_level_bytes_are_verbatim_or_escaped(value: bytes) -> None:
    """The first byte alone decides, and they come back."""
    payload = JSON.dumps(value)

    own = not value or value[:1] in [bytes([byte]) for byte in b'{["-0123456789tfn \t\r\n\x00\x1b']
    assert payload == (b"\x1b" + value if own else value)
    assert JSON.loads(payload) == value


def test_large_bytes_are_not_copied() -> None:
    """A megabyte goes through as the same object, both ways."""
    value = b"\x89" + bytes(2**20)

    assert JSON.dumps(value) is value
    assert JSON.loads(value) is value
    assert RAW.dumps(value) is value
    assert RAW.loads(value) is value


fragments = st.lists(
    st.sampled_from(
        ['{"$', '"', "[", "]", "{", "}", ":", ",", "1", "-", "e", ".", "null", '"$tuple"', '"$x"', "\\u", "\\", "NaN"]
        + [f'{{"{name}":' for name in sorted(tags._READERS)]
        + ['["2024-01-01",', '"2024-01-01"', '"nan"', '"sNaN"', "9" * 30, "[1,1]", '"\\\\ud800"', '"YQ="', "\x00", " "]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=250)
@given(st.one_of(st.binary(max_size=30), fragments.map(str.encode)))
def test_json_reads_or_raises_value_error(payload: bytes) -> None:
    """Whatever lies in a file, the only error is a ValueError."""
    for codec in (JSON, RAW):
        with contextlib.suppress(ValueError):
            codec.loads(payload)


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4), st.just("2024-01-01")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(sorted(tags._READERS)), st.text(max_size=2)), inner, max_size=2),
    ),
)


@settings(max_examples=250)
@given(st.sampled_from(sorted(tags._READERS)), json_values)
def test_tags_of_any_content_are_read_or_refused(name: str, content: object) -> None:
    """A tag with a content it cannot have is a ValueError; else its value can be written again."""
    try:
        value = JSON.loads(json.dumps({name: content}).encode())
    except ValueError:
        return

    assert same(JSON.loads(JSON.dumps(value)), value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x00",
        b"\x00abc",
        b"-",
        b"- ",
        b"nul",
        b"[1,]",
        b"{",
        b'"\xff"',
        b'"abc',
        b"1 2",
        b"9" * 5000,
        b"n",
        b"[" * 2000,
        b"[" * 1022 + b'{"$tuple":[]}' + b"]" * 1022,
        b'{"$tuple":1}',
        b'{"$set":[[]]}',
        b'{"$set":[1,1]}',
        b'{"$set":[{"$decimal":"sNaN"}]}',
        b'{"$bytes":"YQ="}',
        b'{"$bytes":"\xc3\xa9"}',
        b'{"$bytes":1}',
        b'{"$dict":[[1]]}',
        b'{"$dict":[[[],1]]}',
        b'{"$dict":[[1,1],[1,2]]}',
        b'{"$dict":{"a":1}}',
        b'{"$dict":["ab"]}',
        b'{"$float":"1"}',
        b'{"$float":1}',
        b'{"$int":5}',
        b'{"$int":"x"}',
        b'{"$str":"\\\\q"}',
        b'{"$str":"\\\\N{DIGIT ONE}"}',
        b'{"$str":"\\\\u12"}',
        b'{"$str":"\\\\"}',
        b'{"$str":"\xc3"}',
        b'{"$date":"2024-02-30"}',
        b'{"$date":20240230}',
        b'{"$datetime":["2024-02-29",2]}',
        b'{"$datetime":[]}',
        b'{"$datetime":["2024-02-29",0,"a","b"]}',
        b'{"$time":"25:00"}',
        b'{"$timedelta":[1,2]}',
        b'{"$uuid":"1"}',
        b'{"$timedelta":[9999999999,0,0]}',
        b'{"$timedelta":[true,0,0]}',
        b'{"$decimal":"x"}',
        b'{"$decimal":1}',
    ],
)
def test_damaged_files_are_value_errors(payload: bytes) -> None:
    """What was never written is reported, with what is wrong."""
    with pytest.raises(ValueError, match=r"\w"):
        JSON.loads(payload)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b' { "a" : 1 }\n', {"a": 1}),
        (b'{\n  "$tuple": [\n    1\n  ]\n}\n', (1,)),
        (b"[ 1 ]\r\n", [1]),
        (b'{"$unknown":1}', {"$unknown": 1}),
        (b'{"$tuple":[1],"b":2}', {"$tuple": [1], "b": 2}),
    ],
)
def test_files_edited_by_hand(payload: bytes, value: object) -> None:
    """White space does not matter, unknown tags are plain dicts."""
    assert same(JSON.loads(payload), value)


@given(st.binary(max_size=20))
def test_raw_gives_back_the_bytes(value: bytes) -> None:
    """Bytes are stored as they are, and never as an empty file."""
    payload = RAW.dumps(value)

    assert payload
    assert RAW.loads(payload) == value
    assert payload == value or value[:1] in (b"", b"\x1b")


@pytest.mark.parametrize("value", ["x", bytearray(b"x"), memoryview(b"x"), None, 1], ids=type)
def test_raw_takes_bytes_only(value: object) -> None:
    """Anything else is refused."""
    with pytest.raises(InvalidValueError, match="bytes"):
        RAW.dumps(value)


def test_pickle_takes_what_json_refuses() -> None:
    """Objects of one's own come back as such."""
    value = {"colour": Colour.RED, "point": Point(1, 2)}

    assert same(PICKLE.loads(PICKLE.dumps(value)), value)


@pytest.mark.parametrize("value", [lambda: 1, sys, 1j.__class__.__dict__], ids=["lambda", "module", "mappingproxy"])
def test_pickle_refuses_what_it_cannot_pickle(value: object) -> None:
    """The refusal is ours, whatever pickle raised."""
    with pytest.raises(InvalidValueError, match="cannot be pickled"):
        PICKLE.dumps(value)


@pytest.mark.parametrize("payload", [b"", b"x", b"\x80", b"\x80\x05."])
def test_damaged_pickles_are_value_errors(payload: bytes) -> None:
    """Whatever pickle raised, reading raises ValueError."""
    with pytest.raises(ValueError, match="not a pickle"):
        PICKLE.loads(payload)


@pytest.mark.parametrize("payload", [b"cnowhere\nNothing\n.", b"cos\nNothing\n."])
def test_a_class_that_is_not_here_is_no_damage(payload: bytes) -> None:
    """A pickle whose class cannot be found is as good as it was where the class is."""
    with pytest.raises((ImportError, AttributeError)):
        PICKLE.loads(payload)


@pytest.mark.parametrize("codec", [JSON, RAW, PICKLE])
def test_codecs_have_names(codec: codecs.Codec) -> None:
    """A name leads to the codec, a codec to itself."""
    assert codecs.resolve(codec.name) is codec
    assert codecs.resolve(codec) is codec


class Upper:
    name = "upper"

    def dumps(self, value: object) -> bytes:
        return str(value).upper().encode()

    def loads(self, payload: bytes) -> object:
        return payload.decode()


def test_a_codec_of_ones_own() -> None:
    """Anything with name, dumps and loads is a codec."""
    codec = Upper()

    assert codecs.resolve(codec) is codec


def test_unknown_codec_names() -> None:
    """A misspelt name is a ValueError that lists the names."""
    with pytest.raises(ValueError, match="json, raw, pickle"):
        codecs.resolve("jsn")


@pytest.mark.parametrize("codec", [None, json, Upper, 5], ids=["None", "json", "class", "int"])
def test_what_is_no_codec(codec: codecs.Codec) -> None:
    """An object that lacks one of the three is a TypeError."""
    with pytest.raises(TypeError, match="name, dumps and loads"):
        codecs.resolve(codec)

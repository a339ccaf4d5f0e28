"""What every `KVStore` does, by both of its faces: a class of tests to be run over each backend."""

from __future__ import annotations

import asyncio
import inspect
import math
import random
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from clocks import Clock

from diskdict import FOREVER, ClosedError, InvalidKeyError, InvalidValueError, KVStore
from diskdict.criteria import fits
from diskdict.hierarchy import Pattern

MakeKV = Callable[..., KVStore]


class Face:
    """The methods of a store, called and waited for alike: those of ``sync``, or the coroutines in one loop."""

    def __init__(self, store: KVStore, runner: asyncio.Runner | None) -> None:
        self.store = store
        self._runner = runner

    def __getattr__(self, name: str) -> Callable[..., object]:
        if self._runner is None:
            return getattr(self.store.sync, name)

        def call(*args: object, **kwargs: object) -> object:
            result = getattr(self.store, name)(*args, **kwargs)
            if inspect.isasyncgen(result):
                return self._runner.run(_listed(result))
            return self._runner.run(result) if inspect.iscoroutine(result) else result

        return call

    def named(self, name: str) -> Face:
        return Face(self.store.namespace(name), self._runner)


async def _listed(steps: AsyncIterator[object]) -> list[object]:
    return [step async for step in steps]


class KVStoreContract:
    """Give `make_kv`: it makes a store from keyword options, the same one for the same test if asked again."""

    @pytest.fixture(params=["sync", "async"])
    def face_of(self, request: pytest.FixtureRequest) -> Iterator[Callable[[KVStore], Face]]:
        made: list[Face] = []
        with asyncio.Runner() as runner:

            def face(store: KVStore) -> Face:
                made.append(Face(store, runner if request.param == "async" else None))
                return made[-1]

            yield face
            for each in made:
                each.close()

    @pytest.fixture
    def kv(self, make_kv: MakeKV, face_of: Callable[[KVStore], Face]) -> Face:
        return face_of(make_kv())

    # ---- one key

    def test_values_come_back_the_same(self, kv: Face) -> None:
        """Equal, and of the same type."""
        values = ["text", 42, 2.5, True, False, None, [1, "two", None], {"a": {"b": [1]}}, b"\x00\xff", "", b"", [], {}]
        for value in (*values, datetime(2026, 11, 21, 12, 30, tzinfo=UTC)):
            assert kv.set("some.key", value) is True

            assert kv.get("some.key", "nothing") == value
            assert type(kv.get("some.key", "nothing")) is type(value)

    def test_missing_key_is_the_default(self, kv: Face) -> None:
        """None, where nothing else is said."""
        assert kv.get("k") is None
        assert kv.get("k", 7) == 7
        assert kv.exists("k") is False
        assert kv.delete("k") is False
        assert kv.ttl("k") is None
        assert kv.get_metadata("k") is None
        assert kv.touch("k", 5) is False
        assert kv.set_metadata("k", {"a": 1}) is False

    def test_delete_removes(self, kv: Face) -> None:
        """It was there once."""
        kv.set("k", 1)

        assert kv.exists("k") is True
        assert kv.delete("k") is True
        assert kv.exists("k") is False

    def test_any_text_is_a_key(self, kv: Face) -> None:
        """In a namespace, too, and found by a pattern."""
        inside = kv.named("space")
        for key in ("", "=x", "a/b", "ключ", "a\nb", ".", "a..b", "=(x,y,)", "x" * 500):
            kv.set(key, 1)
            inside.set(key, 2)

            assert (kv.get(key), inside.get(key)) == (1, 2)
            assert kv.keys() == [key]
            assert inside.keys() == [key]
            assert kv.delete(key)
            assert inside.delete(key)

    @pytest.mark.parametrize("key", [1, None, b"k", ("a", "b")])
    def test_what_is_no_text_is_refused(self, kv: Face, key: object) -> None:
        """Nothing is stored."""
        with pytest.raises(InvalidKeyError):
            kv.set(key, 1)

        assert kv.keys() == []

    def test_set_if_absent_stores_once(self, kv: Face) -> None:
        """The second finds the first."""
        assert kv.set_if_absent("k", 1) is True
        assert kv.set_if_absent("k", 2) is False
        assert kv.get("k") == 1

    def test_get_or_set_calls_for_what_is_missing(self, kv: Face) -> None:
        """And only then."""
        assert kv.get_or_set("k", lambda: 1) == 1
        assert kv.get_or_set("k", lambda: 2) == 1

    def test_compare_and_swap(self, kv: Face) -> None:
        """Only what is expected is replaced."""
        kv.set("k", [1])

        assert kv.compare_and_swap("k", [2], [3]) is False
        assert kv.compare_and_swap("k", [1], [3]) is True
        assert kv.compare_and_swap("missing", None, 1) is False
        assert kv.get("k") == [3]

    def test_changes_in_place(self, kv: Face) -> None:
        """A missing key counts from nothing."""
        assert kv.increment("n") == 1
        assert kv.increment("n", 2.5) == 3.5
        assert kv.append("text", "b") == "b"
        assert kv.append("text", "c") == "bc"
        assert kv.prepend("text", "a") == "abc"
        assert kv.prepend("list", [1]) == [1]
        with pytest.raises(TypeError):
            kv.prepend("n", "a")

    def test_changes_keep_metadata_and_ttl(self, kv: Face) -> None:
        """Whichever way a value changes, but by being set anew."""
        kv.set("k", 1, {"owner": "me"}, ttl=100)
        kv.set("t", "b", {"owner": "me"}, ttl=100)

        kv.increment("k")
        kv.compare_and_swap("k", 2, 3)
        kv.prepend("t", "a")

        for key in ("k", "t"):
            assert kv.get_metadata(key)["owner"] == "me"
            assert 0 < kv.ttl(key) <= 100
        kv.set("k", 1)
        assert "owner" not in kv.get_metadata("k")
        assert kv.ttl("k") is None

    # ---- several keys

    def test_many(self, kv: Face) -> None:
        """What is there, and whether it was."""
        assert kv.set_many({"a": 1, "b": 2}) == {"a": True, "b": True}
        assert kv.get_many(["b", "x", "a"]) == {"b": 2, "a": 1}
        assert kv.delete_many(["a", "x"]) == {"a": True, "x": False}
        assert kv.keys() == ["b"]

    def test_set_many_stores_all_or_none(self, kv: Face) -> None:
        """One value that cannot be written, and none is."""
        with pytest.raises(InvalidValueError):
            kv.set_many({"a": 1, "b": object()})

        assert kv.keys() == []

    # ---- patterns

    def test_patterns(self, kv: Face) -> None:
        """Segments, runs of segments, choices."""
        kv.set_many(dict.fromkeys(["app", "app.db.host", "app.db.port", "app.x", "dev.x", "prod.x", "v1"], 0))

        assert kv.keys("app.**") == ["app.db.host", "app.db.port", "app.x"]
        assert kv.keys("app.*") == ["app.x"]
        assert kv.keys("**.x") == ["app.x", "dev.x", "prod.x"]
        assert kv.keys("{dev,prod}.*") == ["dev.x", "prod.x"]
        assert kv.keys("v[0-9]") == ["v1"]
        assert kv.keys("nothing.**") == []
        assert kv.count_pattern("app.db.?ost") == 1
        assert kv.get_pattern("app.db.*") == {"app.db.host": 0, "app.db.port": 0}
        assert kv.delete_pattern("app.**") == 3
        assert kv.count_pattern() == 4

    @pytest.mark.parametrize("seed", range(3))
    def test_patterns_match_what_the_matcher_says(self, kv: Face, seed: int) -> None:
        """Whatever a backend looks at by itself: keys and patterns at random, in a namespace and in none."""
        chance = random.Random(seed)
        pieces = [
            "a",
            "b",
            "ab",
            ".",
            ".",
            "%",
            "_",
            "\\",
            "'",
            "(",
            ",",
            ")",
            "=",
            "é",
            "\U0001f600",
            "\ud800",
            "\0",
            "\n",
        ]
        wild = [*pieces, "*", "**", "**.", "?", "[ab%]", "[!a]", "{a,b}", "{.a*,=}", "\\*"]
        keys = list(dict.fromkeys("".join(chance.choices(pieces, k=chance.randrange(6))) for _ in range(150)))
        inside = kv.named("na,m(e")
        for each in (kv, inside):
            each.set_many(dict.fromkeys(keys, 0))

        for _ in range(25):
            pattern = Pattern("".join(chance.choices(wild, k=chance.randrange(1, 6))))
            expected = [key for key in keys if pattern.matches(key)]
            for each in (kv, inside):
                assert sorted(each.keys(pattern.text)) == sorted(expected), pattern.text
                assert each.count_pattern(pattern.text) == len(expected)

    def test_tree(self, kv: Face) -> None:
        """What is below a prefix, one step and all the way."""
        kv.set_many(dict.fromkeys(["a", "a.b", "a.c.d", "e"], 0))

        assert kv.children() == ["a", "e"]
        assert kv.children("a") == ["b", "c"]
        assert kv.children("a.c") == ["d"]
        assert kv.children("e") == []
        assert list(kv.walk()) == [("", ["a"], ["a", "e"]), ("a", ["c"], ["b"]), ("a.c", [], ["d"])]

    def test_separator(self, make_kv: MakeKV, face_of: Callable[[KVStore], Face]) -> None:
        """Whatever stands between segments."""
        kv = face_of(make_kv(separator="::"))
        kv.set("a::b.c", 1)

        assert kv.keys("a::*") == ["a::b.c"]
        assert kv.children("a") == ["b.c"]

    # ---- metadata

    def test_metadata(self, kv: Face) -> None:
        """What was given, a guess at the type, and what the system knows."""
        kv.set("doc.json", {"a": 1}, {"owner": "me", "tags": ["x"]})

        known = kv.get_metadata("doc.json")
        assert (known["owner"], known["tags"], known["content_type"]) == ("me", ["x"], "application/json")
        assert known["size"] == len('{"a":1}')
        assert known["expires_at"] is None
        assert known["checksum"].startswith("crc32:")
        assert known["created_at"] <= known["updated_at"]
        kv.set_metadata("doc.json", {"owner": "you", "content_type": "text/x"})
        kv.update_metadata("doc.json", more=1)
        known = kv.get_metadata("doc.json")
        assert (known["owner"], known["tags"], known["content_type"], known["more"]) == ("you", ["x"], "text/x", 1)
        kv.set_metadata("doc.json", {}, replace=True)
        assert "owner" not in kv.get_metadata("doc.json")

    @pytest.mark.parametrize(
        "field", ["created_at", "updated_at", "accessed_at", "expires_at", "size", "version", "checksum"]
    )
    def test_what_the_system_writes_is_refused(self, kv: Face, field: str) -> None:
        """By name, and nothing is stored."""
        with pytest.raises(InvalidValueError, match=field):
            kv.set("k", 1, {field: 1})

        assert kv.exists("k") is False

    def test_find(self, kv: Face) -> None:
        """By all fields that are asked for; a list has what is in it."""
        kv.set("a", 1, {"tags": ["finance", "q1"], "year": 2026})
        kv.set("b", 1, {"tags": "finance", "year": 2025})
        kv.set("c", 1)

        assert kv.find(tags="finance") == ["a", "b"]
        assert kv.find(tags="finance", year=2026) == ["a"]
        assert kv.find(tags="nothing") == []
        assert kv.find() == ["a", "b", "c"]

    def test_find_compares_as_python_does(self, kv: Face) -> None:
        """Each value finds those that equal it and those that have it, whatever a backend looks at by itself."""
        values = [
            *("x", "", "1", "true", "a\0", "a\ufffd", "\ud800", 'quo"te', "back\\slash", "é", "%"),
            *(None, True, False, 0, 1, -1, 1.0, -0.0, 0.1, 2**53, 2**53 + 1, float(2**53), 2**70, 1e308, int(1e308)),
            *(
                Decimal("1.0"),
                Decimal("0.1"),
                Decimal.from_float(0.1),
                math.inf,
                b"x",
                datetime(2026, 1, 1),
                {"a": 1},
                {"$a": 1},
            ),
            *(["x", 1], [], [["x"]], ("x", None), {"x", 1.5}, frozenset([True]), [Decimal(1), b"x"], ["a\0"]),
        ]
        inside = kv.named("n")
        for number, value in enumerate(values):
            inside.set(f"k{number}", 0, {"v": value, "n": number})
        kv.set("other", 0, {"v": "x"})

        for wanted in values:
            fitting = [f"k{number}" for number, value in enumerate(values) if fits({"v": value}, {"v": wanted})]
            assert inside.find(v=wanted) == fitting, wanted
        assert inside.find(v="x", n=0) == ["k0"]
        assert inside.find(v="x", n=1) == []
        assert kv.find(v="x") == ["other"]

    def test_find_by_fields_of_any_name(self, kv: Face) -> None:
        """What would mean something else in a query is a name."""
        for name in ("$", 'a"b', "a.b", "a\\", "a\0", "", "[*]", "é", "\ud800", "x" * 3000):
            kv.set(f"key {name}", 0, {name: "v", "n": 1})
            kv.set("other", 0, {name: "w"})

            assert kv.find(**{name: "v"}) == [f"key {name}"]

    def test_find_in_long_metadata(self, kv: Face) -> None:
        """However long it is."""
        kv.set("long", 0, {"text": "x" * 1_100_000, "tag": "t"})
        kv.set("short", 0, {"tag": "u"})

        assert kv.find(tag="t") == ["long"]

    # ---- time

    def test_expired_is_absent_everywhere(
        self, make_kv: MakeKV, face_of: Callable[[KVStore], Face], clock: Clock
    ) -> None:
        """At once, and by the cleaning gone for good."""
        kv = face_of(make_kv())
        kv.set("k", 1, {"tag": 1, "ttl": 10})
        kv.set("other", 1, {"ttl": 10}, ttl=20)
        assert "ttl" not in kv.get_metadata("k")

        clock.tick(10)

        assert kv.get("k") is None
        assert kv.exists("k") is False
        assert kv.keys() == ["other"]
        assert kv.get_many(["k"]) == {}
        assert kv.get_metadata("k") is None
        assert kv.find(tag=1) == []
        assert kv.set_if_absent("k", 2) is True
        assert kv.touch("other", 30) is True
        clock.tick(25)
        assert kv.exists("other") is True
        assert kv.cleanup_expired() == 0

    def test_default_ttl(self, make_kv: MakeKV, face_of: Callable[[KVStore], Face]) -> None:
        """Where nothing else is said."""
        kv = face_of(make_kv(default_ttl=50))
        kv.set("k", 1)
        kv.set("ever", 1, ttl=FOREVER)

        assert kv.ttl("k") == pytest.approx(50, abs=5)
        assert kv.ttl("ever") is None

    # ---- namespaces

    def test_namespaces_isolate(self, kv: Face) -> None:
        """The same key in two is two keys, and clearing one leaves those whose names begin alike."""
        foo, foobar, inner = kv.named("foo"), kv.named("foobar"), kv.named("foo").named("x")
        for number, each in enumerate((kv, foo, foobar, inner)):
            each.set("k", number)

        assert [each.get("k") for each in (kv, foo, foobar, inner)] == [0, 1, 2, 3]
        assert kv.namespaces() == ["foo", "foo.x", "foobar"]
        assert foo.clear() == 1
        assert [each.get("k") for each in (kv, foo, foobar, inner)] == [0, None, 2, 3]
        assert kv.clear() == 1
        assert foobar.keys() == ["k"]

    # ---- many tasks

    def test_each_task_has_what_it_asked_for(self, make_kv: MakeKV) -> None:
        """However many ask at the same time, by whatever namespace; a value is nobody else's, an error neither."""

        async def main() -> None:
            store = make_kv()
            space = store.namespace("n")
            sets = [store.set(f"k{number}", [number]) for number in range(50)]
            sets += [space.set(f"k{number}", "n" * number) for number in range(50)]
            refused = [store.set("no", object()), store.set(7, "no text"), store.set("k1", b"big" * 700_000)]  # type: ignore[arg-type]
            assert await asyncio.gather(*sets) == [True] * 100
            first, second, third = await asyncio.gather(*refused, return_exceptions=True)
            assert isinstance(first, InvalidValueError)
            assert isinstance(second, InvalidKeyError)
            assert third is True

            found = await asyncio.gather(*(store.get(f"k{number % 50}", "none") for number in range(2, 110)))
            assert found[:48] == [[number] for number in range(2, 50)]
            assert found[48:50] == [[0], b"big" * 700_000]
            lists = [id(value) for value in found if type(value) is list]
            assert len(set(lists)) == len(lists) == 106
            assert await asyncio.gather(space.get("k3"), store.get("no", 1), space.get("no")) == ["nnn", 1, None]
            await store.close()

        asyncio.run(main())

    def test_last_of_several_sets_stays(self, make_kv: MakeKV) -> None:
        """They are made in the order in which they were asked for, and a new key goes last."""

        async def main() -> None:
            store = make_kv(default_ttl=100)
            await store.set("a", 0)
            await asyncio.gather(*(store.set(f"{'cab'[number % 3]}", number) for number in range(12)))
            assert await store.get_pattern("*") == {"a": 10, "c": 9, "b": 11}
            assert await store.ttl("b") == pytest.approx(100, abs=60)
            await store.close()

        asyncio.run(main())

    # ---- the end

    def test_closed(self, kv: Face) -> None:
        """Every use afterwards says so, that of its namespaces too."""
        inside = kv.named("n")
        inside.set("k", 1)

        kv.close()
        kv.close()

        for each in (kv, inside):
            with pytest.raises(ClosedError):
                each.get("k")

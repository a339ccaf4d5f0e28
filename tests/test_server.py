"""The server: what docs/http.rst says of each route, asked of one that runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest
from clocks import Clock
from serving import client, served_here

from diskdict import DiskDict, Limits
from diskdict.server import ServedDict, ServedObjects, Settings

BYTES = {"Content-Type": "application/octet-stream"}
NOW = 1_700_000_000.0
LARGE = bytes(range(256)) * 2_000


class Site(NamedTuple):
    """A server, a client of it, the dict that it serves and its clock."""

    http: httpx.Client
    d: ServedDict
    clock: Clock


@contextmanager
def opened(folder: Path, clock: Clock) -> Iterator[Site]:
    """Serve a new store."""
    with (
        ServedDict(folder / "store", clock=clock) as d,
        served_here(d) as url,
        client(url) as http,
    ):
        yield Site(http, d, clock)
        assert d.verify().ok


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with opened(tmp_path_factory.mktemp("served"), Clock(NOW)) as site:
        # What is opened and started once, and stays.
        site.http.post("/v1/batch", json={"operations": [{"op": "set", "key": "warm", "value": 1}]})
        site.d["large"] = LARGE
        site.http.get("/v1/keys/large")
        yield site


@pytest.fixture
def site(shared: Site) -> Site:
    """A server that all tests share, with a store that is empty."""
    shared.d.clear()
    shared.clock.now = NOW
    return shared


@pytest.fixture
def clock(shared: Site) -> Clock:
    return shared.clock


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Site]:
    """A server for one test."""
    with opened(tmp_path, Clock(NOW)) as site:
        yield site


def problem(response: httpx.Response, status: int, name: str) -> dict[str, Any]:
    """Return the fields of a problem document that has to have come."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["status"] == status
    assert found["title"] == name
    assert found["type"] == f"urn:diskdict:error:{name}"
    assert found["detail"]
    return found


# ---- one key


def test_value_comes_back(site: Site) -> None:
    """What was put is there, for HTTP and for the dict; the first time it is 201, then 204."""
    created = site.http.put("/v1/keys/apple", json={"colour": "red"})
    replaced = site.http.put("/v1/keys/apple", json={"colour": "green"})
    found = site.http.get("/v1/keys/apple")

    assert (created.status_code, replaced.status_code, found.status_code) == (201, 204, 200)
    assert found.headers["content-type"] == "application/json"
    assert found.json() == {"colour": "green"} == site.d["apple"]
    assert found.headers["etag"] == replaced.headers["etag"] != created.headers["etag"]
    assert found.headers["x-created-at"] == repr(NOW)
    assert "x-expires-at" not in found.headers


@pytest.mark.parametrize(
    "key",
    [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "//",
        "../x",
        "a b",
        "%",
        "%2F",
        "?x=1#y",
        "é ☃ 😀",
        "\x00\n\r",
        "\ud800",
        "x" * 9_000,
        "info",
    ],
    ids=lambda key: repr(key)[:20],
)
def test_any_str_is_a_key(site: Site, key: str) -> None:
    """By the path as one segment, where that can carry it, and by the query."""
    encoded = quote(key.encode("utf-8", "surrogatepass"), safe="")
    by_query = f"/v1/keys/?key={encoded}"
    by_path = by_query if key in (".", "..") else f"/v1/keys/{encoded}"

    assert site.http.put(by_query, json=1).status_code == 201
    assert site.http.get(by_path).json() == 1
    assert list(site.d) == [key]
    assert site.http.get("/v1/keys").json()["keys"][0]["key"] == key
    assert site.http.delete(by_path).status_code == 204
    assert not site.d


@pytest.mark.parametrize(("text", "key"), [("=i42", 42), ("=n", None), ("=(=i1,a,)", (1, "a")), ("=s=x", "=x")])
def test_keys_of_other_types(site: Site, text: str, key: Any) -> None:
    """They go as their texts; their spelling is kept."""
    assert site.http.put(f"/v1/keys/{quote(text)}", json="v").status_code == 201
    assert dict(site.d) == {key: "v"}
    assert site.http.get(f"/v1/keys/{quote(text)}/info").json()["key"] == text


def test_spelling_of_a_key(site: Site) -> None:
    """1 and True are one key, which is told as it was first given."""
    site.http.put("/v1/keys/=T", json="v")

    assert list(site.d) == [True]
    assert type(next(iter(site.d))) is bool
    assert site.http.get("/v1/keys/=i1").headers["x-key"] == quote("=T", safe="")
    assert site.http.get("/v1/keys").json()["keys"][0]["key"] == "=T"


@pytest.mark.parametrize("text", ["=", "=x", "=i1.0", "=(=i1"])
def test_text_of_no_key(site: Site, text: str) -> None:
    """What begins with = and is no key is refused and says what to write."""
    found = problem(site.http.put(f"/v1/keys/{quote(text)}", json=1), 400, "InvalidKeyError")

    assert repr(f"=s{text}") in found["detail"]
    assert not site.d


@pytest.mark.parametrize(
    "value", [(1, "x"), {1, 2}, {"a": b"\x00"}, float("inf"), {"$tuple": 3, "b": 1}, 10**30], ids=repr
)
def test_values_beyond_json_have_tags(site: Site, value: Any) -> None:
    """They are read and written by them."""
    site.d["k"] = value
    text = site.http.get("/v1/keys/k").content

    site.http.put("/v1/keys/k2", content=text, headers={"Content-Type": "application/json"})

    assert site.d["k2"] == value
    assert type(site.d["k2"]) is type(value)
    operations = [{"op": "get", "key": "k"}]
    batch = site.http.post("/v1/batch", json={"operations": operations}).json()["results"][0]["value"]
    site.http.post("/v1/batch", json={"operations": [{"op": "set", "key": "k3", "value": batch}]})
    assert site.d["k3"] == value


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG", b'{"a":1}', b"\x1b", b"\x00", LARGE, b"[" + LARGE], ids=lambda c: repr(c[:5])
)
def test_bytes_come_back(site: Site, content: bytes) -> None:
    """As they are, whatever they begin with and however many."""
    assert site.http.put("/v1/keys/b", content=content, headers=BYTES).status_code == 201
    found = site.http.get("/v1/keys/b")

    assert found.content == content == site.d["b"]
    assert found.headers["content-type"] == "application/octet-stream"
    assert site.http.head("/v1/keys/b").headers["content-length"] == str(len(content))


def test_large_json_comes_back(site: Site) -> None:
    """A value of a megabyte is no other."""
    value = {"list": list(range(200_000))}
    site.http.put("/v1/keys/k", json=value)

    assert site.http.get("/v1/keys/k").json() == value
    assert site.http.head("/v1/keys/k").headers["content-length"] == str(len(site.http.get("/v1/keys/k").content))


@pytest.mark.parametrize("content", [b"0123456789", LARGE], ids=["small", "large"])
@pytest.mark.parametrize(
    ("wanted", "span"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=2-5", slice(2, 6)),
        ("bytes=4-", slice(4, None)),
        ("bytes=-3", slice(-3, None)),
        ("bytes=3-99999999", slice(3, None)),
        ("Bytes=-99999999", slice(0, None)),
    ],
)
def test_ranges(site: Site, content: bytes, wanted: str, span: slice) -> None:
    """A part of a value of bytes comes with what it is a part of."""
    site.d["b"] = content
    found = site.http.get("/v1/keys/b", headers={"Range": wanted})

    part = content[span]
    start = content.index(part) if len(content) < 20 else len(content[: span.start])
    assert found.status_code == 206
    assert found.content == part
    assert found.headers["content-range"] == f"bytes {start}-{start + len(part) - 1}/{len(content)}"
    assert found.headers["content-length"] == str(len(part))


@pytest.mark.parametrize("wanted", ["bytes=5-2", "bytes=", "bytes=-", "lines=1-2", "bytes=0-1,3-4", "x"])
def test_ranges_that_are_none(site: Site, wanted: str) -> None:
    """What is not one range is answered with the whole."""
    site.d["b"] = b"0123456789"

    found = site.http.get("/v1/keys/b", headers={"Range": wanted})

    assert (found.status_code, found.content) == (200, b"0123456789")


def test_range_beyond_the_end(site: Site) -> None:
    """It is refused with the length."""
    site.d["b"] = b"0123456789"

    found = site.http.get("/v1/keys/b", headers={"Range": "bytes=10-"})

    problem(found, 416, "RangeNotSatisfiable")
    assert found.headers["content-range"] == "bytes */10"


def test_range_of_another_version(site: Site) -> None:
    """If-Range with an old ETag gives the whole."""
    site.d["b"] = b"0123456789"
    headers = {"Range": "bytes=0-1", "If-Range": site.http.head("/v1/keys/b").headers["etag"]}

    part = site.http.get("/v1/keys/b", headers=headers)
    site.d["b"] = b"abcdefghij"
    whole = site.http.get("/v1/keys/b", headers=headers)

    assert (part.status_code, part.content) == (206, b"01")
    assert (whole.status_code, whole.content) == (200, b"abcdefghij")


def test_time_to_live(site: Site, clock: Clock) -> None:
    """By query, header or absolute time; an expired key is missing."""
    site.http.put("/v1/keys/a?ttl=10", json=1)
    site.http.put("/v1/keys/b", json=1, headers={"X-TTL": "20.5"})
    site.http.put("/v1/keys/c", json=1, headers={"X-Expires-At": repr(NOW + 30)})
    site.http.put("/v1/keys/d?ttl=never", json=1)

    ttls = [site.http.get(f"/v1/keys/{key}").headers.get("x-ttl") for key in "abcd"]
    clock.now += 10

    assert ttls == ["10.0", "20.5", "30.0", None]
    problem(site.http.get("/v1/keys/a"), 404, "KeyNotFoundError")
    assert site.http.get("/v1/keys/b/info").json()["ttl"] == 10.5
    assert [entry["key"] for entry in site.http.get("/v1/keys").json()["keys"]] == ["b", "c", "d"]
    assert site.http.post("/v1/cleanup").json() == {"removed": 1}


def test_put_clears_and_keeps(site: Site) -> None:
    """Plain PUT clears time-to-live and metadata; with keep they stay, but for what is given."""
    headers = {"X-TTL": "60", "X-Metadata": '{"n": 1, "t": {"$tuple": [1]}}'}
    site.http.put("/v1/keys/k", json=1, headers=headers)
    kept = site.http.put("/v1/keys/k?keep=true", json=2)
    info = site.http.get("/v1/keys/k/info").json()

    assert kept.status_code == 204
    assert (info["ttl"], info["metadata"]) == (60.0, {"n": 1, "t": {"$tuple": [1]}})
    assert dict(site.d.info("k").metadata) == {"n": 1, "t": (1,)}
    site.http.put("/v1/keys/k?keep=true&ttl=never", json=3)
    assert site.http.get("/v1/keys/k/info").json()["ttl"] is None
    assert json.loads(site.http.get("/v1/keys/k").headers["x-metadata"]) == {"n": 1, "t": {"$tuple": [1]}}
    site.http.put("/v1/keys/k", json=4)
    assert site.http.get("/v1/keys/k/info").json()["metadata"] == {}


def test_create(site: Site, clock: Clock) -> None:
    """POST stores where nothing is, an expired key counts as nothing."""
    assert site.http.post("/v1/keys/k?ttl=5", json=1).status_code == 201
    assert problem(site.http.post("/v1/keys/k", json=2), 409, "KeyExistsError")["key"] == "k"
    clock.now += 5
    assert site.http.post("/v1/keys/k", json=3).status_code == 201
    assert site.d["k"] == 3


def test_conditions(site: Site) -> None:
    """If-Match and If-None-Match make PUT, DELETE, PATCH and GET depend on the version."""
    old = site.http.put("/v1/keys/k", json=1).headers["etag"]
    new = site.http.put("/v1/keys/k", json=2, headers={"If-Match": old}).headers["etag"]

    for method, name in (("PUT", "ConflictError"), ("PATCH", "ConflictError"), ("DELETE", "ConflictError")):
        problem(site.http.request(method, "/v1/keys/k", json={}, headers={"If-Match": old}), 412, name)
    problem(site.http.get("/v1/keys/k", headers={"If-Match": old}), 412, "ConflictError")
    problem(site.http.put("/v1/keys/k", json=3, headers={"If-None-Match": "*"}), 412, "ConflictError")
    problem(site.http.put("/v1/keys/k", json=3, headers={"If-Match": f"W/{new}"}), 412, "ConflictError")
    problem(site.http.put("/v1/keys/other", json=3, headers={"If-Match": "*"}), 412, "ConflictError")
    same = site.http.get("/v1/keys/k", headers={"If-None-Match": f'"x", W/{new}'})
    other = site.http.get("/v1/keys/k", headers={"If-None-Match": old})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", new)
    assert other.json() == 2
    assert site.http.put("/v1/keys/new", json=1, headers={"If-None-Match": "*"}).status_code == 201
    assert site.http.delete("/v1/keys/k", headers={"If-Match": f'"x",{new}'}).status_code == 204
    assert dict(site.d) == {"new": 1}


def test_long_metadata_is_told_by_its_length(site: Site) -> None:
    """What no client and no proxy takes for a header is in the documents alone."""
    for size in (8_192, 8_193):
        metadata = {"é": "x" * (size - len(json.dumps({"é": ""})))}
        site.d.set("k", 1, metadata=metadata)
        headers = site.http.get("/v1/keys/k").headers

        assert ("X-Metadata" in headers) is (size == 8_192)
        assert headers.get("X-Metadata-Length") == (None if size == 8_192 else "8193")
        assert site.http.get("/v1/keys/k/info").json()["metadata"] == metadata


def test_patch(site: Site, clock: Clock) -> None:
    """Expiry and metadata change, the value stays, and each change has a version of its own."""
    site.http.put("/v1/keys/k", json=1, headers={"X-Metadata": '{"a": 1}'})

    tags = [
        site.http.patch("/v1/keys/k", json=fields).headers["etag"]
        for fields in ({"ttl": 60}, {"merge_metadata": {"b": 2}}, {"expires_at": NOW + 5, "metadata": {"c": 3}})
    ]
    info = site.http.get("/v1/keys/k/info").json()
    assert len(set(tags)) == 3
    assert (info["ttl"], info["metadata"]) == (5.0, {"c": 3})
    assert site.http.patch("/v1/keys/k", json={"expires_at": None}).status_code == 204
    clock.now += 100
    assert site.http.get("/v1/keys/k").json() == 1
    problem(site.http.patch("/v1/keys/missing", json={"ttl": 1}), 404, "KeyNotFoundError")


def test_increment(site: Site) -> None:
    """A missing key counts from 0; what is no number is a conflict."""
    first = site.http.post("/v1/keys/n/increment")
    second = site.http.post("/v1/keys/n/increment", json={"by": -2.5})

    assert (first.json(), second.json()) == ({"value": 1}, {"value": -1.5})
    assert site.http.get("/v1/keys/n").headers["etag"] == second.headers["etag"]
    site.d["text"] = "x"
    problem(site.http.post("/v1/keys/text/increment"), 409, "NotANumber")


def test_rename(site: Site) -> None:
    """The value moves; what is there already is not overwritten."""
    site.d.update({"a": 1, "b": 2})

    problem(site.http.post("/v1/keys/a/rename", json={"to": "b"}), 409, "KeyExistsError")
    problem(site.http.post("/v1/keys/x/rename", json={"to": "y"}), 404, "KeyNotFoundError")
    assert site.http.post("/v1/keys/a/rename", json={"to": "=i1"}).status_code == 204
    assert dict(site.d) == {"b": 2, 1: 1}


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("PUT", "/v1/keys/k?ttl=soon", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=-1", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=nan", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=1e999", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=", {"json": 1}),
        ("PUT", "/v1/keys/k?tll=1", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=1&ttl=2", {"json": 1}),
        ("PUT", "/v1/keys/k?ttl=1", {"json": 1, "headers": {"X-Expires-At": "5"}}),
        ("PUT", "/v1/keys/k", {"json": 1, "headers": {"X-Metadata": "[1]"}}),
        ("PUT", "/v1/keys/k", {"json": 1, "headers": {"X-Metadata": "{"}}),
        ("PUT", "/v1/keys/k", {"json": 1, "headers": {"If-Match": "7"}}),
        ("PUT", "/v1/keys/k?keep=yes", {"json": 1}),
        ("PUT", "/v1/keys/k?key=k", {"json": 1}),
        ("PUT", "/v1/keys/%zz", {"json": 1}),
        ("PUT", "/v1/keys/%ff", {"json": 1}),
        ("PATCH", "/v1/keys/k", {"json": [1]}),
        ("PATCH", "/v1/keys/k", {"json": {"tll": 1}}),
        ("PATCH", "/v1/keys/k", {"json": {"ttl": True}}),
        ("PATCH", "/v1/keys/k", {"json": {"metadata": {}, "merge_metadata": {}}}),
        ("POST", "/v1/keys/k/increment", {"json": {"by": "1"}}),
        ("POST", "/v1/keys/k/rename", {"json": {}}),
        ("GET", "/v1/keys?limit=-1", {}),
        ("GET", "/v1/keys?limit=10001", {}),
        ("GET", "/v1/keys?cursor=x", {}),
        ("GET", "/v1/keys?reverse=1", {}),
        ("POST", "/v1/batch", {"json": {}}),
        ("POST", "/v1/batch", {"json": {"operations": [{"op": "put", "key": "k"}]}}),
        ("POST", "/v1/batch", {"json": {"operations": [{"op": "set", "key": "k"}]}}),
        ("POST", "/v1/batch", {"json": {"operations": [], "expect": {"k": "1"}}}),
        ("POST", "/v1/backup", {"json": {"name": "../x"}}),
    ],
    ids=str,
)
def test_bad_requests(site: Site, method: str, path: str, options: dict[str, Any]) -> None:
    """What is not as it should be is a 400 that says so, and nothing is written."""
    site.d["k"] = "old"

    problem(site.http.request(method, path, **options), 400, "BadRequest")

    assert dict(site.d) == {"k": "old"}
    assert site.d.ttl("k") is None


def test_bad_json_is_told_with_its_place(site: Site) -> None:
    """Line and column are in the answer."""
    headers = {"Content-Type": "application/json"}

    found = problem(site.http.put("/v1/keys/k", content=b'{\n "a": 1,\n "b" 2}', headers=headers), 400, "BadRequest")

    assert "line 3, column 6" in found["detail"]


@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_other_media_types(site: Site, media: str | None) -> None:
    """A body that is neither JSON nor bytes is refused, with what is wanted."""
    headers = {} if media is None else {"Content-Type": media}

    found = problem(site.http.put("/v1/keys/k", content=b"1", headers=headers), 415, "UnsupportedMediaType")

    assert "application/json" in found["detail"]


def test_routes_and_methods_that_are_none(site: Site) -> None:
    """404 and 405 are problem documents, too."""
    problem(site.http.get("/v2"), 404, "NotFound")
    problem(site.http.get("/v1/keys/a/b"), 404, "NotFound")
    found = site.http.request("PUT", "/v1/batch", json=1)
    problem(found, 405, "MethodNotAllowed")
    assert found.headers["allow"] == "POST"


@pytest.fixture
def remembering(tmp_path: Path) -> Iterator[Site]:
    """A server that keeps in memory what is read."""
    clock = Clock(NOW)
    with (
        ServedDict(tmp_path / "store", clock=clock, cache_bytes=1 << 20) as d,
        served_here(d) as url,
        client(url) as http,
    ):
        yield Site(http, d, clock)


def test_what_is_kept_is_as_new(remembering: Site) -> None:
    """A value that was read before is answered as it is now, whatever has changed it and by whatever way."""
    http, d, clock = remembering

    def read() -> httpx.Response:
        """Read three times, of which the last two may come from memory; all have to be the same."""
        first, *others = (http.get("/v1/keys/k") for _ in range(3))
        assert [(each.status_code, each.content) for each in others] == [(first.status_code, first.content)] * 2
        assert {each.headers.get("etag") for each in others} == {first.headers.get("etag")}
        return first

    http.put("/v1/keys/k", json="first")
    assert read().json() == "first"
    changes: list[Callable[[], object]] = [
        lambda: http.put("/v1/keys/k", json="second"),
        lambda: d.set("k", "third"),
        lambda: http.patch("/v1/keys/k", json={"metadata": {"n": 1}}),
        lambda: http.post("/v1/batch", json={"operations": [{"op": "set", "key": "k", "value": "fourth"}]}),
        lambda: (d.rename("k", "other"), d.set("k", "fifth")),
    ]
    seen = {read().headers["etag"]}
    for change in changes:
        change()
        found = read()
        assert found.json() == d["k"]
        assert found.headers["etag"] == f'"{d.info("k").version}"'
        assert found.headers["etag"] not in seen
        assert ("x-metadata" in found.headers) == bool(d.info("k").metadata)
        seen.add(found.headers["etag"])
    http.patch("/v1/keys/k", json={"ttl": 5})
    assert read().headers["x-ttl"] == "5.0"
    clock.now += 5
    problem(read(), 404, "KeyNotFoundError")
    http.put("/v1/keys/k", json="last")
    assert read().json() == "last"
    http.delete("/v1/keys/k")
    problem(read(), 404, "KeyNotFoundError")


def test_what_is_kept_never_goes_back(remembering: Site) -> None:
    """Beside a thread that counts, no reader sees a number lower than one before, and at the end the last."""
    http, d, _ = remembering
    d["n"] = 0
    counter = threading.Thread(target=lambda: [d.increment("n") for _ in range(500)])
    counter.start()
    seen = []
    while counter.is_alive():
        seen.append(http.get("/v1/keys/n").json())
    counter.join()

    assert seen == sorted(seen)
    assert http.get("/v1/keys/n").json() == 500


# ---- many keys


def listed(site: Site, **query: str) -> dict[str, Any]:
    """Return a page of keys."""
    found: dict[str, Any] = site.http.get("/v1/keys", params=query).json()
    return found


def test_pages(site: Site, clock: Clock) -> None:
    """Keys come in the order of insertion, page by page, with what a table shows of them."""
    site.d.update({f"k{number}": "x" * number for number in range(7)})
    site.d.set("k1", "again", ttl=5)
    first = listed(site, limit="3", count="true")
    second = listed(site, limit="3", cursor=first["cursor"])
    third = listed(site, limit="3", cursor=second["cursor"])

    pages = [[entry["key"] for entry in page["keys"]] for page in (first, second, third)]
    assert pages == [["k0", "k1", "k2"], ["k3", "k4", "k5"], ["k6"]]
    assert first["total"] == 7
    assert third["cursor"] is None
    assert "total" not in third
    assert first["keys"][1] == {"key": "k1", "size": 7, "created_at": NOW, "expires_at": NOW + 5}
    assert [entry["key"] for entry in listed(site, offset="5")["keys"]] == ["k5", "k6"]
    assert listed(site, limit="0", count="true") == {"keys": [], "cursor": None, "total": 7}


@pytest.mark.parametrize("reverse", ["false", "true"])
@pytest.mark.parametrize("match", [None, "k*"])
def test_pages_survive_changes(site: Site, reverse: str, match: str | None) -> None:
    """Each key that is there all the time is met once, though the one that a page ended with is removed."""
    names = [f"k{number:02}" for number in range(40)]
    site.d.update(dict.fromkeys(names, 1))
    query = {"limit": "4", "reverse": reverse} | ({} if match is None else {"match": match})
    page = listed(site, **query)
    met = [entry["key"] for entry in page["keys"]]
    doomed = set()
    while page["cursor"] is not None:
        for gone in (met[-1], met[0]):
            doomed |= {gone} if site.d.pop(gone, None) else set()
        site.d[f"k-new{len(met)}"] = 1
        page = listed(site, cursor=page["cursor"], **query)
        met += [entry["key"] for entry in page["keys"]]

    stayed = [name for name in names if name not in doomed or name in met]
    assert [name for name in met if "new" not in name] == (stayed[::-1] if reverse == "true" else stayed)


def test_globs_and_prefixes(site: Site) -> None:
    """They choose, and are counted."""
    site.d.update(dict.fromkeys(["user.1", "user.2", "user.10", "User.1", "other", "", ("user", 1)], 1))

    def chosen(**query: str) -> list[str]:
        page = listed(site, count="true", **query)
        assert page["total"] == len(page["keys"])
        return [entry["key"] for entry in page["keys"]]

    assert chosen(match="user.?") == ["user.1", "user.2"]
    assert chosen(match="*er.1") == ["user.1", "User.1"]
    assert chosen(prefix="user.1") == ["user.1", "user.10"]
    assert chosen(prefix="user.1", match="*0") == ["user.10"]
    assert chosen(prefix="user.", match="[!U]*.1*", reverse="true") == ["user.10", "user.1"]
    assert chosen(match="") == [""]


def test_batch(site: Site, clock: Clock) -> None:
    """Operations follow each other, and each has its result."""
    site.d["a"] = 1
    version = site.d.info("a").version
    operations = [
        {"op": "get", "key": "a"},
        {"op": "set", "key": "b", "value": [1, 2], "ttl": 60, "metadata": {"n": 1}},
        {"op": "create", "key": "c", "value": {"$bytes": "AP8="}, "created_at": 5},
        {"op": "get", "key": "b"},
        {"op": "amend", "key": "b", "expires_at": None},
        {"op": "amend", "key": "x", "ttl": 1},
        {"op": "delete", "key": "a"},
        {"op": "delete", "key": "a"},
        {"op": "get", "key": "a"},
    ]
    found = site.http.post("/v1/batch", json={"operations": operations, "expect": {"a": version, "b": None}})

    results = found.json()["results"]
    assert results[0]["value"] == 1
    assert results[3]["value"] == [1, 2]
    assert (results[3]["expires_at"], results[3]["metadata"]) == (NOW + 60, {"n": 1})
    assert [result.get("found") for result in results[4:]] == [True, False, True, False, False]
    assert dict(site.d) == {"b": [1, 2], "c": b"\x00\xff"}
    assert site.d.ttl("b") is None
    assert site.d.info("c").created_at == 5
    assert results[4]["version"] == site.d.info("b").version


@pytest.mark.parametrize(
    ("operation", "expect", "status", "name"),
    [
        ({"op": "create", "key": "a", "value": 2}, {}, 409, "KeyExistsError"),
        ({"op": "set", "key": "a", "value": 2}, {"a": 1}, 412, "ConflictError"),
        ({"op": "set", "key": "n", "value": 2}, {"a": None}, 412, "ConflictError"),
        ({"op": "set", "key": "n", "value": {"$tuple": 1}}, {}, 400, "BadRequest"),
        ({"op": "set", "key": "n", "value": 1, "ttl": -1}, {}, 400, "BadRequest"),
        ({"op": "set", "key": "=n=", "value": 1}, {}, 400, "InvalidKeyError"),
    ],
)
def test_batch_is_all_or_nothing(site: Site, operation: Any, expect: Any, status: int, name: str) -> None:
    """Where one operation is refused none is done."""
    site.d["a"] = 1
    site.d["a"] = 1
    operations = [{"op": "set", "key": "first", "value": 1}, operation, {"op": "delete", "key": "a"}]

    problem(site.http.post("/v1/batch", json={"operations": operations, "expect": expect}), status, name)

    assert dict(site.d) == {"a": 1}


# ---- the store


def test_limits(tmp_path: Path) -> None:
    """What the folder refuses is refused here, with the limit and what was met."""
    limits = Limits(key_chars=5, value_bytes=20, total_bytes=30, json_object_only=True, str_keys_only=True)
    with (
        ServedObjects(tmp_path / "store", limits=limits) as d,
        served_here(d) as url,
        client(url) as http,
    ):
        key = problem(http.put("/v1/keys/longer", json={}), 400, "LimitError")
        value = problem(http.put("/v1/keys/k", json={"a": "x" * 20}), 413, "LimitError")
        assert http.put("/v1/keys/k", json={"a": "x" * 10}).status_code == 201
        total = problem(http.put("/v1/keys/k2", json={"a": "x" * 10}), 507, "LimitError")
        problem(http.put("/v1/keys/k3", json=[1]), 400, "InvalidValueError")
        problem(http.put("/v1/keys/=i1", json={}), 400, "InvalidKeyError")

        assert (key["limit"], key["allowed"], key["met"]) == ("key_chars", 5, 6)
        assert (value["limit"], value["allowed"], value["met"]) == ("value_bytes", 20, 28)
        assert (total["limit"], total["allowed"], total["met"]) == ("total_bytes", 30, 36)
        assert http.get("/v1/stats").json()["limits"]["total_bytes"] == 30
        assert list(d) == ["k"]


def test_raw_stores(tmp_path: Path) -> None:
    """A store with codec "raw" takes and gives bytes alone."""
    with (
        ServedDict(tmp_path / "store", codec="raw") as d,
        served_here(d) as url,
        client(url) as http,
    ):
        assert http.put("/v1/keys/k", content=b"{1", headers=BYTES).status_code == 201
        problem(http.put("/v1/keys/k", json=1), 400, "InvalidValueError")
        assert http.get("/v1/keys/k").content == b"{1" == d["k"]
        assert http.get("/v1/keys/k").headers["content-type"] == "application/octet-stream"


def test_stats_verify_and_backup(alone: Site, tmp_path: Path) -> None:
    """They say what the dict says; a copy is a store of its own."""
    alone.d.update({"a": 1, "b": b"\x00" * 500})

    stats = alone.http.get("/v1/stats").json()
    copied = alone.http.post("/v1/backup", json={"name": "monday"})
    again = alone.http.post("/v1/backup", json={"name": "monday"})
    unnamed = alone.http.post("/v1/backup")

    assert (stats["keys"], stats["payload_bytes"], stats["time"]) == (2, 502, NOW)
    assert (stats["name"], stats["kind"], stats["codec"], stats["durability"]) == ("store", "dict", "json", "process")
    assert alone.http.post("/v1/verify").json() == {"checked": 2, "ok": True, "problems": []}
    assert copied.status_code == unnamed.status_code == 201
    problem(again, 409, "FileExistsError")
    path = tmp_path / "store.backups" / "monday"
    assert copied.json()["path"] == str(path)
    with DiskDict(path) as copy:
        assert copy == alone.d


def test_damage_is_told(alone: Site, tmp_path: Path) -> None:
    """A value that is no longer one is a 500 with the name of the error, and listed by verify."""
    alone.d["k"] = "value"
    alone.d.path_for("k").write_bytes(b'"val')

    found = problem(alone.http.get("/v1/keys/k"), 500, "CorruptValueError")
    report = alone.http.post("/v1/verify").json()

    assert found["key"] == "k"
    assert str(tmp_path) not in found["detail"]
    assert (report["ok"], report["problems"][0]["key"]) == (False, "k")
    alone.d["k"] = "well again"


def test_events(alone: Site) -> None:
    """Changes are told to who listens, whoever makes them, and again to who comes back."""
    with alone.http.stream("GET", "/v1/events", params={"match": "k*"}) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        alone.http.put("/v1/keys/k", json=1)
        alone.http.put("/v1/keys/other", json=1)
        alone.d["k2"] = 2
        with alone.d.transaction():
            del alone.d["k"]
            alone.d["k3"] = 3
        events = list(read_events(lines, 4))

    last = events[0]["id"]
    with alone.http.stream("GET", "/v1/events", headers={"Last-Event-ID": last}) as stream:
        later = list(read_events(stream.iter_lines(), 4))
    with alone.http.stream("GET", "/v1/events", headers={"Last-Event-ID": "another-1"}) as stream:
        unknown = list(read_events(stream.iter_lines(), 1))

    told = [(event["event"], event["data"]["key"]) for event in events]
    assert told == [("set", "k"), ("set", "k2"), ("delete", "k"), ("set", "k3")]
    assert events[1]["data"]["version"] == alone.d.info("k2").version
    assert [event["data"]["key"] for event in later] == ["other", "k2", "k", "k3"]
    assert unknown[0]["event"] == "reset"


def read_events(lines: Iterator[str], count: int) -> Iterator[dict[str, Any]]:
    """Yield so many events."""
    event: dict[str, Any] = {}
    while count:
        line = next(lines)
        name, _, rest = line.partition(": ")
        if name in ("event", "id", "data"):
            event[name] = json.loads(rest) if name == "data" else rest
        elif not line and event:
            yield event
            event = {}
            count -= 1


def test_health_and_metrics(alone: Site) -> None:
    """They are for machines that watch."""
    alone.http.put("/v1/keys/k", json=1)
    alone.http.get("/v1/keys/none")
    text = alone.http.get("/metrics").text

    assert alone.http.get("/healthz").json() == {"status": "ok"}
    assert 'diskdict_http_requests_total{method="PUT",status="201"} 1.0' in text
    assert 'diskdict_http_requests_total{method="GET",status="404"} 1.0' in text
    assert "diskdict_keys 1.0" in text
    assert "diskdict_payload_bytes 1.0" in text


def test_reads_go_on_while_the_store_is_busy(alone: Site) -> None:
    """Whoever holds the lock of the store, small values are read and the server says that it is well."""
    alone.d.update({"small": 1, "large": LARGE})
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with alone.d.transaction():
            held.set()
            assert done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(30)
    writers = [threading.Thread(target=put_alone, args=(alone, f"k{number}")) for number in range(20)]
    for writer in writers:
        writer.start()
    try:
        assert alone.http.get("/healthz").json() == {"status": "ok"}
        assert alone.http.get("/v1/keys/small").json() == 1
        assert alone.http.get("/v1/keys/large").content == LARGE
    finally:
        done.set()
        for thread in [holder, *writers]:
            thread.join()
    assert len(alone.d) == 22


def put_alone(site: Site, key: str) -> None:
    """Store something by a connection of its own."""
    with client(str(site.http.base_url)) as http:
        http.put(f"/v1/keys/{key}", json=1).raise_for_status()


# ---- the three plain routes


def test_create_read_delete(site: Site, clock: Clock) -> None:
    """They answer with a status and a message."""

    def said(response: httpx.Response) -> tuple[int, str]:
        assert response.json()["message"]
        return response.status_code, response.json()["status"]

    http = site.http
    assert said(http.post("/datastore/create", json={"key": "=k", "value": {"a": 1}, "ttl": 5})) == (201, "success")
    assert said(http.post("/datastore/create", json={"key": "=k", "value": {}})) == (409, "error")
    assert said(http.post("/datastore/create", json={"key": "l", "value": [1]})) == (400, "error")
    assert said(http.post("/datastore/create", json={"key": 1, "value": {}})) == (400, "error")
    assert said(http.post("/datastore/create", json={"key": "l", "value": {}, "ttl": -1})) == (400, "error")
    read = http.get("/datastore/read", params={"key": "=k"})
    assert said(read) == (200, "success")
    assert read.json()["value"] == {"a": 1} == site.d["=k"]
    clock.now += 5
    assert said(http.get("/datastore/read", params={"key": "=k"})) == (404, "error")
    assert said(http.delete("/datastore/delete", params={"key": "=k"})) == (404, "error")
    assert said(http.post("/datastore/create", json={"key": "=k", "value": {}})) == (201, "success")
    assert said(http.delete("/datastore/delete", params={"key": "=k"})) == (200, "success")
    assert said(http.delete("/datastore/delete")) == (400, "error")
    assert not site.d


def test_dates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An answer is dated by when it was asked for, however late the timers of the server are."""
    monkeypatch.setattr("uvicorn.server.formatdate", lambda *_, **__: "Thu, 01 Jan 2026 00:00:00 GMT")
    with ServedDict(tmp_path / "store") as d, served_here(d) as url, client(url) as http:
        before = time.time()
        dates = [parsedate_to_datetime(http.get("/healthz").headers["date"]).timestamp() for _ in range(3)]

        assert all(before - 1 < date <= time.time() for date in dates)


# ---- who may ask


Serve = Callable[[Settings], httpx.Client]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        d = stack.enter_context(ServedDict(tmp_path / "store"))

        def start(settings: Settings) -> httpx.Client:
            url = stack.enter_context(served_here(d, settings))
            return stack.enter_context(client(url))

        yield start


def test_token(serve: Serve) -> None:
    """Without the token nothing is read or changed; what has no data in it needs none."""
    token = "a secret of some length"
    http = serve(Settings(token=token))
    for given in (
        {},
        {"Authorization": f"Bearer {token[:-1]}"},
        {"Authorization": f"Basic {token}"},
    ):
        for method, path in (("GET", "/v1/keys"), ("PUT", "/v1/keys/k"), ("GET", "/metrics"), ("GET", "/v1/events")):
            found = http.request(method, path, headers=given)
            problem(found, 401, "Unauthorized")
            assert found.headers["www-authenticate"].startswith("Bearer")
    for path in ("/", "/healthz", "/openapi.json"):
        assert http.get(path).status_code == 200

    assert http.get("/v1/keys", headers={"Authorization": f"bearer {token}"}).status_code == 200


def test_hosts(serve: Serve) -> None:
    """A name that somebody has pointed here is refused: a page of theirs would be of the same origin."""
    http = serve(Settings(hosts=("Shop.example",)))
    for host in (
        "evil.example",
        "localhost.evil.example",
        "",
        "127.0.0.1.evil.example",
        "a b",
        "[::1",
        "shop.example:x",
    ):
        problem(http.get("/v1/keys", headers={"Host": host}), 421, "HostNotAllowed")
    for host in (
        "localhost",
        "LOCALHOST:1",
        "127.0.0.1",
        "[::1]:80",
        "10.0.0.7:8765",
        "shop.example",
        "shop.example.:1",
    ):
        assert http.get("/v1/keys", headers={"Host": host}).status_code == 200


def test_origins(serve: Serve) -> None:
    """Pages of other sites change nothing, unless they are allowed to."""
    http = serve(Settings(origins=("https://shop.example",)))
    own = str(http.base_url).rstrip("/")
    for origin in ("https://evil.example", "null", own + "0", "http://localhost:1"):
        problem(http.post("/v1/keys/n/increment", headers={"Origin": origin}), 403, "Forbidden")
    allowed = http.post("/v1/keys/n/increment", headers={"Origin": "https://shop.example"})
    preflight = {"Origin": "https://shop.example", "Access-Control-Request-Method": "PUT"}

    assert http.post("/v1/keys/n/increment", headers={"Origin": own}).json() == {"value": 2}
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    assert http.options("/v1/keys/n", headers=preflight).status_code == 200
    assert "access-control-allow-origin" not in http.get("/v1/keys", headers={"Origin": "https://evil.example"}).headers


def test_bodies_are_limited(serve: Serve) -> None:
    """A body that is too large is refused by what it says of itself, or when it has become so."""
    http = serve(Settings(max_body=1_000))

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    problem(http.put("/v1/keys/k", content=b"x" * 1_001, headers=BYTES), 413, "BodyTooLarge")
    problem(http.put("/v1/keys/k", content=pieces(), headers=BYTES), 413, "BodyTooLarge")
    assert http.put("/v1/keys/k", content=b"x" * 1_000, headers=BYTES).status_code == 201

"""A stand-in for Elasticsearch: no server of it can be had where these tests are written.

It answers as the documentation of Elasticsearch 9 says, and refuses whatever it does not know, rather than to agree:
gets are of this moment, searches see what was there at the last refresh, and nothing refreshes unless it is asked to;
every change takes the next number of the index, also one that removes what is not there; fields that the mapping does
not have are not searched; ids have 512 bytes, keywords 32,766, pages 10,000 documents. What it does not show is how a
real one scores, shards, replicates, fails or takes its time.
"""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

USER: Final = "elastic"
PASSWORD: Final = "a secret/word"
MOST_BYTES: Final = 100 << 20

Said = dict[str, Any]


class RefusedError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.body: Said = {"error": {"root_cause": [], "type": kind, "reason": reason}, "status": status}


class Index:
    """Documents by their ids, and what of them was there at the last refresh."""

    def __init__(self, settings: Said, mappings: Said) -> None:
        self.settings = settings
        self.mappings = mappings
        self.documents: dict[str, Said] = {}
        self.searched: dict[str, Said] = {}
        self.seq_no = -1
        self.term = 1

    @property
    def fields(self) -> Said:
        fields: Said = self.mappings.get("properties", {})
        return fields

    def get(self, ident: str) -> Said:
        found = self.documents.get(ident)
        return {"_id": ident, "found": False} if found is None else {"_id": ident, "found": True, **found}

    def change(self, kind: str, ident: str, condition: Said, body: Said | None) -> Said:
        """Return an item of the answer to ``_bulk``."""
        if not ident or len(ident.encode()) > 512:
            raise RefusedError(400, "illegal_argument_exception", f"id [{ident[:20]}…] is empty or too long")
        found = self.documents.get(ident)
        expected = condition.get("if_seq_no"), condition.get("if_primary_term")
        actual = (None, None) if found is None else (found["_seq_no"], found["_primary_term"])
        if (expected != (None, None) and expected != actual) or (kind == "create" and found is not None):
            raise RefusedError(409, "version_conflict_engine_exception", f"[{ident}]: version conflict")
        if kind == "update" and found is None:
            raise RefusedError(404, "document_missing_exception", f"[{ident}]: document missing")
        source = {**found["_source"], **body["doc"]} if kind == "update" else body
        if source is not None:
            self._check(source)
        self.seq_no += 1
        numbers = {"_id": ident, "_seq_no": self.seq_no, "_primary_term": self.term}
        if kind == "delete":
            self.documents.pop(ident, None)
            gone = found is not None
            return {**numbers, "status": 200 if gone else 404, "result": "deleted" if gone else "not_found"}
        self.documents[ident] = {"_seq_no": self.seq_no, "_primary_term": self.term, "_source": source}
        return {**numbers, "status": 201 if found is None else 200, "result": "created" if found is None else "updated"}

    def _check(self, source: Said) -> None:
        kinds = {"keyword": str, "long": int, "double": (int, float), "boolean": bool}
        for name, mapped in self.fields.items():
            value = source.get(name)
            if value is None:
                continue
            if not isinstance(value, kinds[mapped["type"]]):
                raise RefusedError(400, "document_parsing_exception", f"failed to parse field [{name}]")
            if isinstance(value, str) and len(value.encode()) > 32_766:
                raise RefusedError(400, "document_parsing_exception", f"immense term in field [{name}]")

    def found(self, query: Said) -> list[tuple[str, Said]]:
        """Return ids and documents that a query finds."""
        return [(ident, each) for ident, each in self.searched.items() if self._fits(query, each["_source"])]

    def _fits(self, query: Said, source: Said) -> bool:
        [(kind, asked)] = query.items()
        if kind == "match_all":
            return True
        if kind == "bool":
            if asked.keys() - {"filter", "must_not"}:
                raise RefusedError(400, "parsing_exception", f"[bool] here does not know {sorted(asked)}")
            return all(self._fits(each, source) for each in asked.get("filter", [])) and not any(
                self._fits(each, source) for each in asked.get("must_not", [])
            )
        [(name, wanted)] = asked.items()
        value = source.get(name) if name in self.fields else None
        if kind == "prefix":
            return value is not None and value.startswith(wanted["value"])
        if kind == "term":
            return value is not None and value == wanted
        if kind == "range":
            return value is not None and wanted.keys() == {"lte"} and value <= wanted["lte"]
        raise RefusedError(400, "parsing_exception", f"unknown query [{kind}]")

    def search(self, asked: Said) -> Said:
        """Return the answer to ``_search``."""
        known = {"query", "sort", "size", "search_after", "_source", "seq_no_primary_term", "track_total_hits"}
        if asked.keys() - known - {"aggregations"}:
            raise RefusedError(400, "parsing_exception", f"unknown key among {sorted(asked)}")
        if asked.get("size", 10) > 10_000:
            raise RefusedError(400, "illegal_argument_exception", "Result window is too large")
        found = self.found(asked["query"])
        answer: Said = {"timed_out": False, "hits": {"hits": self._hits(asked, found)}}
        for name, wanted in asked.get("aggregations", {}).items():
            total = sum(each["_source"][wanted["sum"]["field"]] for _, each in found)
            answer.setdefault("aggregations", {})[name] = {"value": float(total)}
        return answer

    def _hits(self, asked: Said, found: list[tuple[str, Said]]) -> list[Said]:
        order = [next(iter(each.items())) for each in asked.get("sort", [])]
        for name, _ in order:
            if name not in self.fields:
                raise RefusedError(400, "search_phase_execution_exception", f"No mapping found for [{name}]")
        hits = []
        for ident, each in found:
            hit = {"_id": ident, "_source": _chosen(each["_source"], asked.get("_source")), "sort": []}
            hit["sort"] = [each["_source"][name] for name, _ in order]
            if asked.get("seq_no_primary_term"):
                hit |= {"_seq_no": each["_seq_no"], "_primary_term": each["_primary_term"]}
            hits.append(hit)
        for at, (_, way) in reversed(list(enumerate(order))):
            hits.sort(key=lambda hit: hit["sort"][at], reverse=way == "desc")
        if (after := asked.get("search_after")) is not None:
            hits = [hit for hit in hits if _comes_after(hit["sort"], after, [way for _, way in order])]
        return hits[: asked.get("size", 10)]


def _comes_after(one: list[Any], other: list[Any], ways: list[str]) -> bool:
    for mine, theirs, way in zip(one, other, ways, strict=True):
        if mine != theirs:
            return bool(mine > theirs) == (way == "asc")
    return False


def _chosen(source: Said, fields: Any) -> Said:
    if fields is None:
        return source
    return {name: value for name, value in source.items() if name in fields["includes"]}


class StandIn(ThreadingHTTPServer):
    """The stand-in, on a free port. ``asked`` are the method and the path of each request.

    Parameters
    ----------
    product: str, optional
        What it says that it is; nothing, as OpenSearch does, for None.
    """

    daemon_threads = True

    def __init__(self, product: str | None = "Elasticsearch") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.product = product
        self.indices: dict[str, Index] = {}
        self.turn = threading.Lock()
        self.asked: list[str] = []
        self.refusal: RefusedError | None = None
        self.deeds: dict[str, Callable[[], object]] = {}

    def url(self, index: str, user: str = USER, password: str = PASSWORD) -> str:
        account = f"{user}:{password}".replace(" ", "%20").replace("/", "%2F")
        return f"elasticsearch://{account}@127.0.0.1:{self.server_address[1]}/{index}"

    @contextmanager
    def before(self, kind: str, deed: Callable[[], object]) -> Iterator[None]:
        """Have a deed done, once, before the next change of this kind in the block."""
        self.deeds[kind] = deed
        yield
        assert kind not in self.deeds, f"there was no {kind}"

    def interrupt(self, lines: list[Said]) -> None:
        """Do what is to be done before these changes."""
        kind = next(iter(lines[0]), "") if lines else ""
        if kind in self.deeds:
            deed = self.deeds.pop(kind)
            self.turn.release()
            try:
                deed()
            finally:
                self.turn.acquire()

    def fail_over(self) -> None:
        """Have another primary: its changes are told apart by the term, and it begins with what was acknowledged."""
        for index in self.indices.values():
            index.term += 1

    def answer(self, method: str, path: list[str], query: Said, lines: list[Said]) -> Said:
        """Return the body of an answer."""
        if self.refusal is not None:
            raise self.refusal
        name, action = path[0], path[1] if len(path) > 1 else ""
        if (method, action) == ("PUT", ""):
            return self._create(name, lines[0])
        if (method, action, query.get("ignore_unavailable")) == ("DELETE", "", "true"):
            for each in name.split(","):
                self.indices.pop(each, None)
            return {"acknowledged": True}
        if name not in self.indices:
            raise RefusedError(404, "index_not_found_exception", f"no such index [{name}]")
        index = self.indices[name]
        if (method, action) == ("GET", ""):
            shards = {"index": {"number_of_shards": str(index.settings["number_of_shards"])}}
            return {name: {"aliases": {}, "mappings": index.mappings, "settings": shards}}
        if (method, action) == ("POST", "_refresh"):
            index.searched = dict(index.documents)
            return {"_shards": {"total": 1, "successful": 1, "failed": 0}}
        if (method, action) == ("POST", "_mget"):
            return {"docs": [_without(index.get(ident), query) for ident in lines[0]["ids"]]}
        if (method, action) == ("PUT", "_bulk"):
            self.interrupt(lines)
            return {"errors": False, "items": list(_items(index, lines))}
        if (method, action) == ("POST", "_search"):
            return index.search(lines[0])
        if (method, action) == ("POST", "_count"):
            return {"count": len(index.found(lines[0]["query"]))}
        raise RefusedError(405, "", f"{method} {'/'.join(path)} is not known here")

    def _create(self, name: str, asked: Said) -> Said:
        if name in self.indices:
            raise RefusedError(400, "resource_already_exists_exception", f"index [{name}] already exists")
        self.indices[name] = Index(asked["settings"], asked["mappings"])
        return {"acknowledged": True, "shards_acknowledged": True, "index": name}


def _without(document: Said, query: Said) -> Said:
    left = query.get("_source_excludes", "").split(",")
    if "_source" not in document:
        return document
    return {**document, "_source": {name: value for name, value in document["_source"].items() if name not in left}}


def _items(index: Index, lines: list[Said]) -> Iterator[Said]:
    rest = iter(lines)
    for line in rest:
        [(kind, head)] = line.items()
        body = None if kind == "delete" else next(rest)
        try:
            yield {kind: index.change(kind, head["_id"], head, deepcopy(body))}
        except RefusedError as error:
            yield {kind: {"_id": head["_id"], **error.body}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: StandIn

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        with self.server.turn:
            self.server.asked.append(f"{self.command} /{'/'.join(path)}")
            try:
                self._check(body)
                lines = [json.loads(line) for line in body.decode().split("\n") if line]
                self._say(200, self.server.answer(self.command, path, dict(parse_qsl(parts.query)), lines))
            except RefusedError as error:
                self._say(error.status, error.body)

    do_GET = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815  # so they are looked for

    def _check(self, body: bytes) -> None:
        wanted = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            raise RefusedError(401, "security_exception", "unable to authenticate user for REST request")
        if len(body) > MOST_BYTES:
            raise RefusedError(413, "", "content length exceeds the limit")

    def _say(self, status: int, body: Said) -> None:
        said = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.elasticsearch+json;compatible-with=9")
        self.send_header("Content-Length", str(len(said)))
        if self.server.product is not None:
            self.send_header("X-Elastic-Product", self.server.product)
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def stand_in(product: str | None = "Elasticsearch") -> Iterator[StandIn]:
    """Give a stand-in as long as the block lasts."""
    with StandIn(product) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

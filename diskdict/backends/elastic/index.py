"""The index of a store in Elasticsearch: asked, searched, and changed document by document: `Index`."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from diskdict.backends.elastic.address import Address
from diskdict.backends.elastic.documents import FORMAT, MAPPING, Change, Document, Found, found_of, id_of, version_of
from diskdict.backends.elastic.refusals import (
    DEFAULT,
    EXISTS,
    Elasticsearch,
    is_conflict,
    reason,
    refused,
    vendor_errors,
)
from diskdict.errors import ClosedError, FormatError

MOST: Final = 1_000
"""Documents of one request."""
_MOST_BYTES: Final = 32 << 20
"""Bytes of payloads of one request, if it has several; a server takes 100 MB by default."""

Query = dict[str, Any]
Order = Sequence[Mapping[str, str]]


class Index:
    """An index: one shard, so that all changes of it have numbers that go up.

    Parameters
    ----------
    address: Address
        Where it is. It is made where there is none.
    codec: str
        What all who use it must share.

    Notes
    -----
    Threads share it. Nothing is asked before the first use, and nothing is asked twice.
    """

    def __init__(self, address: Address, codec: str) -> None:
        self.address = address
        self.where = str(address)
        self._codec = codec
        self._meeting = threading.Lock()
        self._client: Elasticsearch | None = None
        self._closed = False

    def renew(self) -> None:
        """Have connections of its own in a forked child."""
        self._meeting, self._client = threading.Lock(), None

    def check_open(self) -> None:
        """Raise ClosedError after `close`."""
        if self._closed:
            raise ClosedError(f"this store at {self.where} is closed; open another")

    def close(self) -> None:
        """End all connections."""
        with self._meeting:
            self._closed = True
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _met(self) -> Elasticsearch:
        self.check_open()
        return self._client or self._meet()

    def _meet(self) -> Elasticsearch:
        with self._meeting:
            self.check_open()
            if self._client is None:
                client = client_of(self.address)
                try:
                    with vendor_errors(self.where):
                        self._prepare(client)
                except BaseException:
                    client.close()
                    raise
                self._client = client
            return self._client

    def _prepare(self, client: Elasticsearch) -> None:
        name = self.address.name
        told = client.options(ignore_status=404).indices.get(index=name)
        if told.meta.status == 404:
            own = {"diskdict": FORMAT, "codec": self._codec}
            made = client.options(ignore_status=400).indices.create(
                index=name, mappings={**MAPPING, "_meta": own}, settings={"number_of_shards": 1}
            )
            if made.meta.status != 200 and reason(made.body)[0] != EXISTS:
                raise refused(made.meta.status, made.body, self.where)
            told = client.indices.get(index=name)
        for found in cast(dict[str, Document], told.body).values():
            self._check(found.get("mappings", {}).get("_meta", {}), found.get("settings", {}).get("index", {}))

    def _check(self, own: Document, settings: Document) -> None:
        if own.get("diskdict") != FORMAT or int(settings.get("number_of_shards", 1)) != 1:
            raise FormatError(f"{self.where} is an index of others; name another one, and a store makes it")
        if own.get("codec") != self._codec:
            raise FormatError(f"{self.where}: the values there are by codec {own.get('codec')!r}, not {self._codec!r}")

    # ---- documents

    def look(self, keys: Iterable[str], *, payloads: bool = True) -> dict[str, Found]:
        """Return the documents of keys as they are at this moment, the expired too."""
        client, asked, found = self._met(), list(dict.fromkeys(keys)), {}
        for at in range(0, len(asked), MOST):
            some = asked[at : at + MOST]
            with vendor_errors(self.where):
                told = client.mget(
                    index=self.address.name,
                    ids=[id_of(key) for key in some],
                    source_excludes=None if payloads else "payload",
                )
            for key, said in zip(some, cast(list[Document], told["docs"]), strict=True):
                if "error" in said:
                    raise refused(404, said, self.where)
                if said["found"]:
                    found[key] = found_of(said)
        return found

    def change(self, changes: Mapping[str, Change]) -> dict[str, int | None]:
        """Change documents, each by itself; return the versions they get, None where the condition did not hold.

        Raises for the first that the server refuses for another reason: those beside it may have been made.
        """
        client, done = self._met(), dict[str, int | None]()
        for some in _portions(changes):
            with vendor_errors(self.where):
                operations = [line for key in some for line in changes[key].operations(key)]
                told = client.bulk(index=self.address.name, operations=operations)
            for key, said in zip(some, cast(list[dict[str, Document]], told["items"]), strict=True):
                [outcome] = said.values()
                held = outcome["status"] < 300
                if not held and not is_conflict(outcome):
                    raise refused(outcome["status"], outcome, self.where)
                done[key] = version_of(outcome["_primary_term"], outcome["_seq_no"]) if held else None
        return done

    # ---- searching

    def refresh(self) -> None:
        """Have all that was acknowledged to anybody be found by what is searched from now on."""
        client = self._met()
        with vendor_errors(self.where):
            client.indices.refresh(index=self.address.name)

    def pages(self, query: Query, order: Order, fields: list[str]) -> Iterator[list[Document]]:
        """Yield what is found of documents, a page at a time, each as it is by then."""
        further: list[Any] | None = None
        while True:
            client = self._met()
            with vendor_errors(self.where):
                told = client.search(
                    index=self.address.name,
                    query=query,
                    sort=order,
                    size=MOST,
                    search_after=further,
                    source={"includes": fields},
                    seq_no_primary_term=True,
                    track_total_hits=False,
                    allow_partial_search_results=False,
                )
            hits = cast(list[Document], told["hits"]["hits"])
            yield hits
            if len(hits) < MOST:
                return
            further = hits[-1]["sort"]

    def count(self, query: Query) -> int:
        """Return how many documents are found."""
        client = self._met()
        with vendor_errors(self.where):
            return cast(int, client.count(index=self.address.name, query=query)["count"])

    def total(self, query: Query) -> int:
        """Return the bytes of the payloads of all documents that are found."""
        client = self._met()
        with vendor_errors(self.where):
            told = client.search(
                index=self.address.name,
                query=query,
                size=0,
                aggregations={"bytes": {"sum": {"field": "size"}}},
                allow_partial_search_results=False,
            )
        return int(told["aggregations"]["bytes"]["value"])


def client_of(address: Address) -> Elasticsearch:
    """Return the client of a server, which has asked nothing yet."""
    account = None if address.username is None else (address.username, address.password or "")
    return Elasticsearch(
        address.server,
        basic_auth=account,
        api_key=address.api_key,
        request_timeout=address.timeout,
        max_retries=0,
        ca_certs=DEFAULT if address.ca is None else address.ca,
    )


def _portions(changes: Mapping[str, Change]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for key, change in changes.items():
        weight = len((change.body or {}).get("payload", ""))
        if some and (len(some) == MOST or size + weight > _MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(key)
        size += weight
    if some:
        yield some

"""A store that is a server's: `HTTPStore`, by docs/http.rst."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from ssl import SSLContext
from typing import Final, cast

from diskdict import messages
from diskdict.asking import Answer, Asking
from diskdict.errors import ConflictError
from diskdict.limits import Limits
from diskdict.lock import abandon_after_fork
from diskdict.messages import KEYS, Document, Form, Listed, operation, path_of, path_to, quoted
from diskdict.mutex import LockLike, mutation_lock
from diskdict.refusals import understanding
from diskdict.store import NEVER, Clock, OnlyIf, Record, Stat, Store

TIMEOUT: Final = 30.0
"""Seconds to wait for a server."""

_PAGE: Final = 1_000
_FRESH: Final = 1 << 61
"""Orders from here are of records that are committed as new ones."""


class HTTPStore(Store):
    """Records of a server, which others may change at the same time.

    Parameters
    ----------
    url, token, timeout, socket, context:
        As in `diskdict.asking.Asking`.
    codec: str
        The name of the codec; see `diskdict.messages.Form`.
    clock: callable, optional
        The time of the server in seconds since the epoch; as far as its answers tell, if not given.
    lock: lock or factory of locks
        Held around every mutation; an RLock by default.

    Raises
    ------
    ConnectionError, TimeoutError, PermissionError
        By any use: where the server cannot be reached or is another, does not answer in time, wants another token. A
        change that was under way may have been made then.

    Notes
    -----
    `exclusive` keeps out the other threads of this handle, not other clients: what they change is met by versions. A
    commit, `put_many`, `delete_many` and `get_many` are one request and one moment, of 10,000 operations at most;
    beyond that the latter three are several. An iteration goes by pages, each as it is by then: it meets each key that
    is there all the time, and a RuntimeError ends it when this handle changes the number of keys. The server holds the
    limits, and `sweep` removes all that has expired, whatever its limit.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        codec: str = "json",
        timeout: float = TIMEOUT,
        socket: str | None = None,
        context: SSLContext | None = None,
        clock: Clock | None = None,
        lock: LockLike | None = None,
    ) -> None:
        self.asking = Asking(url, token=token, timeout=timeout, socket=socket, context=context)
        self._ask, self._understand = self.asking.ask, self.asking.understand
        self.clock = self.asking.now if clock is None else clock
        self._form = Form(codec)
        self._own_lock = lock is None
        self._lock = mutation_lock(lock)
        self._numbers = count(_FRESH)
        self._changes = 0
        abandon_after_fork(self)

    def abandon(self) -> None:
        """Leave to the parent of a forked child what is the parent's: its connections, and who has its lock."""
        self.asking.renew()
        if self._own_lock:
            self._lock = mutation_lock(None)
        abandon_after_fork(self)

    # ---- one key

    def get(self, key: str) -> Record | None:
        answer = self._value(key)
        if answer is not None and "X-Metadata-Length" in answer.headers:
            return self.get_many([key]).get(key)
        return None if answer is None else self._understand(self._form.record, key, answer.headers, answer.content)

    def read(self, key: str) -> bytes | None:
        answer = self._value(key)
        return None if answer is None else self._understand(self._form.payload, answer.headers, answer.content)

    def _value(self, key: str) -> Answer | None:
        answer = self._ask("GET", path_of(key), 200, 404, key=key)
        if answer.status_code == 404:
            return None
        # Any server may have a page there.
        self._understand(messages.version_of, answer.headers)
        return answer

    def stat(self, key: str) -> Stat | None:
        answer = self._ask("GET", path_to(key, "info"), 200, 404, key=key)
        if answer.status_code == 404:
            return None
        return self._understand(messages.stat_of, key, self.asking.document(answer))

    def contains(self, key: str) -> bool:
        # 200 and 404 any server says of any page; what is beside them in other answers shows who it is.
        if not self.asking.known:
            return self.stat(key) is not None
        return self._ask("HEAD", path_of(key), 200, 404, key=key).status_code == 200

    def spelling(self, key: str) -> str:
        if isinstance(key, Listed):
            return key.spelling
        stat = self.stat(key)
        return key if stat is None or stat.spelling is None else stat.spelling

    def put(
        self,
        key: str,
        payload: bytes,
        *,
        expires: float = NEVER,
        meta: str | None = None,
        spelling: str | None = None,
        created: float | None = None,
        only_if: OnlyIf = None,
    ) -> int | None:
        headers = messages.terms(expires, meta, created) | messages.conditions(only_if)
        with self._lock:
            if len(headers.get("X-Metadata", "")) > messages.LONGEST:
                setting = self._form.setting(spelling or key, payload, messages.fields(expires, meta, created))
                return self._put_by_batch(key, setting, only_if)
            answer = self._ask(
                "PUT",
                path_of(spelling or key),
                *(201, 204, 412),
                key=key,
                headers=headers,
                body=self._form.body(payload),
            )
            if answer.status_code == 412:
                return None
            self._changes += answer.status_code == 201
            return self._understand(messages.version_of, answer.headers)

    def _put_by_batch(self, key: str, setting: str, only_if: OnlyIf) -> int | None:
        try:
            [result] = self._run([setting], {key: only_if})
        except ConflictError:
            return None
        self._changes += not result.get("found")
        return self._understand(messages.number, result, "version")

    def amend(
        self, key: str, *, expires: float | None = None, meta: str | None = None, only_if: int | None = None
    ) -> int | None:
        body = messages.body(messages.amendment(expires, meta))
        with self._lock:
            answer = self._ask(
                "PATCH", path_of(key), *(204, 404, 412), key=key, headers=messages.conditions(only_if), body=body
            )
            if answer.status_code != 204:
                return None
            return self._understand(messages.version_of, answer.headers)

    def delete(self, key: str, *, only_if: int | None = None) -> bool:
        with self._lock:
            answer = self._ask("DELETE", path_of(key), *(204, 404, 412), key=key, headers=messages.conditions(only_if))
            self._changes += answer.status_code == 204
            return answer.status_code == 204

    def rename(self, source: str, target: str, *, spelling: str | None = None) -> bool | None:
        body = messages.body({"to": json.dumps(spelling or target)})
        with self._lock:
            status = self._ask("POST", path_to(source, "rename"), *(204, 404, 409), key=source, body=body).status_code
            self._changes += status == 204
            return None if status == 404 else status == 204

    # ---- many keys

    def scan(self, prefix: str = "", *, reverse: bool = False) -> Iterator[str]:
        query = f"reverse={'true' if reverse else 'false'}&prefix={quoted(prefix)}"
        self.asking.check_open()
        return self._walk(query, self._changes)

    def _walk(self, query: str, changes: int) -> Iterator[str]:
        cursor: str | None = ""
        while cursor is not None:
            self._check_unchanged(changes)
            # Few at first: who looks for the first or the last key needs no more.
            further = f"&limit={_PAGE}&cursor={quoted(cursor)}" if cursor else ""
            page = self._listing(query + further)
            with understanding(self.asking.url):
                texts = [messages.listed(entry["key"]) for entry in cast(list[dict[str, str]], page["keys"])]
                cursor = cast(str | None, page["cursor"])
            for text in texts:
                self._check_unchanged(changes)
                yield text
        self._check_unchanged(changes)

    def _check_unchanged(self, changes: int) -> None:
        self.asking.check_open()
        if changes != self._changes:
            raise RuntimeError("dictionary changed size during iteration")

    def _listing(self, query: str) -> Document:
        return self.asking.document(self._ask("GET", f"{KEYS}?{query}", 200))

    def count(self) -> int:
        page = self._listing("limit=0&count=true")
        return self._understand(messages.number, page, "total")

    def get_many(self, keys: Iterable[str]) -> dict[str, Record]:
        found: dict[str, Record] = {}
        for some in messages.portions(keys):
            results = self._run([operation("get", key) for key in some])
            with understanding(self.asking.url):
                pairs = zip(some, results, strict=True)
                found.update((key, self._form.found(key, result)) for key, result in pairs if result["found"])
        return found

    def put_many(
        self, payloads: Mapping[str, bytes], *, expires: float = NEVER, spellings: Mapping[str, str] | None = None
    ) -> None:
        beside, spelled = messages.fields(expires, None, None), spellings or {}
        with self._lock:
            for some in messages.portions(payloads):
                done = self._run([self._form.setting(spelled.get(key, key), payloads[key], beside) for key in some])
                with understanding(self.asking.url):
                    self._changes += not all(result["found"] for result in done)

    def delete_many(self, keys: Iterable[str]) -> dict[str, bool]:
        removed = {}
        with self._lock:
            for some in messages.portions(keys):
                results = self._run([operation("delete", key) for key in some])
                with understanding(self.asking.url):
                    told = {key: bool(result["found"]) for key, result in zip(some, results, strict=True)}
                self._changes += any(told.values())
                removed.update(told)
        return removed

    def sweep(self, limit: int | None = None) -> int:
        if limit == 0:
            return 0
        with self._lock:
            answer = self.asking.document(self._ask("POST", "/v1/cleanup", 200))
        return self._understand(messages.number, answer, "removed")

    # ---- several changes

    def exclusive(self) -> AbstractContextManager[object]:
        return self._lock

    def number(self) -> int:
        return next(self._numbers)

    def commit(self, changes: Mapping[str, Record | None], *, amended: Collection[str] = ()) -> None:
        self.commit_if({}, changes, amended=amended)

    def commit_if(
        self, expected: Mapping[str, OnlyIf], changes: Mapping[str, Record | None], *, amended: Collection[str] = ()
    ) -> None:
        operations = self._form.operations(changes, amended, _FRESH)
        with self._lock:
            if operations or expected:
                self._run(operations, expected)
            self._changes += any(record is None or record.order >= _FRESH for record in changes.values())

    def _run(self, operations: Sequence[str], expected: Mapping[str, OnlyIf] | None = None) -> list[Document]:
        body = messages.batch(operations, expected or {})
        answer = self.asking.document(self._ask("POST", messages.BATCH, 200, body=body))
        with understanding(self.asking.url):
            results = cast(list[Document], answer["results"])
            if len(results) != len(operations):
                raise ValueError(f"{len(results)} results of {len(operations)} operations")
        return results

    def close(self) -> None:
        self.asking.close()


def open_url(url: str, *, codec: str, clock: Clock, lock: LockLike | None, limits: Limits | None) -> HTTPStore:
    """Return the store of the server at ``http://host:port``."""
    if limits is not None and limits.total_bytes is not None:
        raise ValueError(f"{url!r}: the server has its own total_bytes, and a client cannot hold another")
    return HTTPStore(url, codec=codec, clock=None if clock is time.time else clock, lock=lock)

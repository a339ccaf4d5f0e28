"""What processes do to a store in one file, while their calls fail or end them."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults import Plan, armed
from interrupts import Interrupted

from diskdict.backends.jsonfile.store import JsonFileStore
from diskdict.store import ABSENT, Store

State = dict[str, bytes]

CHANGES: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("new", b'"new"'),
    "overwrite": lambda store: store.put("a", b'"changed"'),
    "amend": lambda store: store.amend("a", meta='{"by":"me"}'),
    "delete": lambda store: store.delete("a"),
    "rename": lambda store: store.rename("a", "z"),
    "put_many": lambda store: store.put_many({"a": b"1", "x": b"2", "y": b"3"}),
    "commit": lambda store: store.commit_if({"x": ABSENT}, {"a": None, "b": None}),
}


def fill(path: Path) -> None:
    """Make a store with two keys."""
    with_store(path, lambda store: store.put_many({"a": b'"old"', "b": b"\x00raw"}))


def with_store(path: Path, do: Callable[[Store], Any]) -> Any:
    """Return what something done to a store gives."""
    store = JsonFileStore(str(path))
    try:
        return do(store)
    finally:
        store.close()


def seen(path: Path) -> State:
    """Return what a fresh handle finds."""
    return with_store(path, state)


def state(store: Store) -> State:
    """Return the keys with their payloads, and with what else a change may be about."""
    found = {}
    for key in store.scan():
        record = store.get(key)
        assert record is not None
        found[key] = record.payload + (record.meta or "").encode()
    return found


def change(path: Path, name: str, plan: Plan) -> tuple[int, str, State]:
    """Make a change while a plan is armed; return the calls, the error if there was one, and what is in memory then."""
    store = JsonFileStore(str(path))
    error = ""
    with armed(plan):
        try:
            CHANGES[name](store)
        except OSError as failure:
            error = str(failure)
    found = state(store)
    store.close()
    return plan.count, error, found


def expected(name: str) -> State:
    """Return what is there after a change of what `fill` has made."""
    old: State = {"a": b'"old"', "b": b"\x00raw"}
    return {
        "put": old | {"new": b'"new"'},
        "overwrite": old | {"a": b'"changed"'},
        "amend": old | {"a": b'"old"{"by":"me"}'},
        "delete": {"b": old["b"]},
        "rename": {"b": old["b"], "z": old["a"]},
        "put_many": old | {"a": b"1", "x": b"2", "y": b"3"},
        "commit": {},
    }[name]


def interrupt(folder: Path, name: str, step: int) -> tuple[int, list[str]]:
    """Have Ctrl-C hit a change at every `step`-th place; return how many these are, and where something is wrong then.

    The next change is to count, and to leave all that was there before it.
    """
    wrong = []
    for at in itertools.count(1, step):
        path = folder / f"{at}.json"
        fill(path)
        before = seen(path)
        store = JsonFileStore(str(path))
        interruption = Interrupted(at)
        with contextlib.suppress(KeyboardInterrupt), interruption.armed():
            CHANGES[name](store)
        found = state(store)
        store.put("next", b"7")
        store.close()
        if seen(path) != found | {"next": b"7"} or found not in (before, expected(name)):
            wrong.append(interruption.where)
        path.unlink()
        if not interruption.where:
            return at, wrong
    raise AssertionError


def fork(path: Path) -> tuple[list[str], State]:
    """Fork with a store open; return what the child met by asking, changing and closing, and the parent's state."""
    store = JsonFileStore(str(path))
    reading, writing = os.pipe()
    if not os.fork():
        for do in (lambda: store.read("a"), lambda: store.put("a", b"2"), store.close, store.count):
            try:
                said = repr(do())
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writing, f"{said}\n".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        met = pipe.read().splitlines()
    store.put("b", b"1")
    found = state(store)
    store.close()
    return met, found


def count_for_ever(path: Path, say: Callable[[int], object]) -> None:
    """Write the next number under two keys as one, and say it, again and again."""
    store = JsonFileStore(str(path))
    number = int(store.read("a") or b"0")
    while True:
        number += 1
        store.put_many({"a": b"%d" % number, "b": b"%d" % number, "large": b'"%s"' % (b"x" * 20_000)})
        say(number)

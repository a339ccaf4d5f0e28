"""Every public operation of a dict, by name, done once on a dict that was filled by `fill`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from diskdict import Entry

Operation = Callable[[Any], object]

FILLED = {"a": 1, "b": 2, "list": [1], "text": "x"}


def fill(d: Any) -> None:
    """Put in what the operations expect."""
    d.update(FILLED)


def _edit(d: Any) -> None:
    with d.edit("list") as value:
        value.append(2)


def _clean(d: Any) -> None:
    d.set("gone", 1, ttl=0)
    d.cleanup_expired()


def _transact(d: Any) -> None:
    with d.transaction():
        d["c"] = 3


def _expect(d: Any) -> None:
    with d.transaction():
        d.expect("c", version=None)
        d["c"] = 3


def _back_up(d: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        d.backup(folder)


def _join(d: Any) -> None:
    d |= {"c": 3}


CHANGES: dict[str, Operation] = {
    "__setitem__": lambda d: d.__setitem__("c", 3),
    "__setitem__ again": lambda d: d.__setitem__("a", 3),
    "__delitem__": lambda d: d.__delitem__("a"),
    "__ior__": _join,
    "append": lambda d: d.append("text", "y"),
    "cleanup_expired": _clean,
    "clear": lambda d: d.clear(),
    "compare_and_swap": lambda d: d.compare_and_swap("a", 1, 2),
    "copy_key": lambda d: d.copy_key("a", "c"),
    "create": lambda d: d.create("c", 3),
    "delete": lambda d: d.delete("a"),
    "expect": _expect,
    "transaction": _transact,
    "delete_many": lambda d: d.delete_many(["a", "b"]),
    "edit": _edit,
    "expire": lambda d: d.expire("a", 5),
    "get_or_set": lambda d: d.get_or_set("c", lambda: 3),
    "increment": lambda d: d.increment("a"),
    "persist": lambda d: d.persist("a"),
    "pop": lambda d: d.pop("a"),
    "popitem": lambda d: d.popitem(),
    "rename": lambda d: d.rename("a", "c"),
    "repair": lambda d: d.repair(),
    "restore": lambda d: d.restore([Entry("c", 3)]),
    "set": lambda d: d.set("a", 3, ttl=5, metadata={"of": "a"}),
    "set_many": lambda d: d.set_many({"a": 3, "c": 3}),
    "set_metadata": lambda d: d.set_metadata("a", {"of": "a"}),
    "setdefault": lambda d: d.setdefault("c", 3),
    "touch": lambda d: d.touch("a", 5),
    "update": lambda d: d.update({"a": 3, "c": 3}),
}

QUESTIONS: dict[str, Operation] = {
    "__contains__": lambda d: "a" in d,
    "__eq__": lambda d: d == FILLED,
    "__getitem__": lambda d: d["a"],
    "__iter__": lambda d: list(d),
    "__len__": len,
    "__or__": lambda d: d | {"c": 3},
    "__reversed__": lambda d: list(reversed(d)),
    "__ror__": lambda d: {"c": 3} | d,
    "backup": _back_up,
    "copy": lambda d: d.copy(),
    "entries": lambda d: list(d.entries()),
    "expires_at": lambda d: d.expires_at("a"),
    "get": lambda d: d.get("a"),
    "get_many": lambda d: d.get_many(["a", "b"]),
    "info": lambda d: d.info("a"),
    "items": lambda d: list(d.items()),
    "keys": lambda d: list(d.keys()),
    "path_for": lambda d: d.path_for("a"),
    "stats": lambda d: d.stats(),
    "ttl": lambda d: d.ttl("a"),
    "values": lambda d: list(d.values()),
    "verify": lambda d: d.verify(),
}

ALWAYS = {"close", "flush", "fromkeys", "path"}
"""What works with any handle: it needs none, or has nothing to do."""

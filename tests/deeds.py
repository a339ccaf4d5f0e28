"""Changes of a dict, drawn by chance or set as scenes, and the plain model of what must be found after them.

A `Deed` is one change. `plan` draws an endless row of them from a seed, in the child that is to be killed and in the
parent that foresees what must be there: `foreseen` does to a plain dict of `Seen` what `perform` does to a DiskDict. A
`Scene` is a folder and one change of it.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import uploading
from uploading import LARGE, upload

from diskdict import DiskDict, attributes
from diskdict.attributes import Calls

START = 1_700_000_000.0
SAME = b"always the same"

LONG = "long " * 60
LAST = "last"
KEYS: list[Any] = [
    LAST,
    "a",
    "b",
    "KEY",
    "naïve/..",
    "new",
    LONG + "1",
    LONG + "2",
    1,
    True,
    (1, "x"),
    -2.5,
    "c",
    "d",
    "e",
]
SIZES = [1, 1, 10, 100, 100, 100, 4_000, 70_000, 200_000]
UPLOADED = [1, 100, 70_000, 300_000]

HOMES: dict[str, list[int]] = {
    "attributes": [0, 100, 1_500],
    "sidecars": [0, 100],
    "both": [0, 2_500, 66_000],
    "ramfs": [0, 100],
}
"""Where attributes are kept, and characters of metadata. No filesystem has room for the longest in an attribute."""


class Seen(NamedTuple):
    """All that a dict tells of a key."""

    value: bytes
    expires: float | None
    metadata: dict[str, Any]
    created: float


Records = dict[Any, Seen]


class At:
    """A clock that stands."""

    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(*_: object) -> Any:
    """The answer of a filesystem without attributes."""
    raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))


def use(home: str) -> None:
    """Have this process find a filesystem without attributes if `home` is sidecars."""
    if home == "sidecars":
        attributes.calls = attributes.PACKAGE = Calls(refused, refused, refused)  # type: ignore[misc]


def opened(folder: Path, clock: Callable[[], float], **options: Any) -> DiskDict[Any, Any]:
    """Return the dict of these tests."""
    return DiskDict(folder, codec="raw", clock=clock, shards=16, **options)


def seen_in(d: DiskDict[Any, Any]) -> Records:
    """Return all that `d` tells."""
    found = {}
    for key, value in d.items():
        info = d.info(key)
        found[key] = Seen(value, info.expires_at, dict(info.metadata), info.created_at)
    return found


def exactly(records: Records) -> list[tuple[str, Any, Seen]]:
    """Return what two dicts must agree in: order, keys of the same types, and all else."""
    return [(type(key).__name__, key, seen) for key, seen in records.items()]


def alive(records: Records, now: float) -> Records:
    """Return the records that have not expired."""
    return {key: seen for key, seen in records.items() if seen.expires is None or seen.expires > now}


def allowed(found: Records, old: Records, new: Records, moves: Any = None) -> bool:
    """Return whether this may be what is left of a change that came to a sudden end; `moves` is the key it renames."""
    if exactly(found) in (exactly(old), exactly(new)):
        return True
    if moves is None or moves not in old:
        return False
    # Attributes cannot be changed and a file renamed in one step: in between the key is last, under its old name, and
    # lacks an unusual spelling.
    last = {key: seen for key, seen in old.items() if key != moves} | {moves: old[moves]}
    return list(found.items()) in (list(last.items()), list(new.items()))


# ---- by chance


class Deed(NamedTuple):
    """A change: what is done to which key at what time, and with what."""

    kind: str
    now: float
    key: Any
    value: bytes
    ttl: float | None
    metadata: dict[str, Any] | None
    target: Any

    @property
    def moves(self) -> Any:
        return self.key if self.kind in ("rename", "move") else None


KINDS = {
    "transaction": 3,
    "put": 9,
    "put file": 2,
    "move in": 3,
    "write": 2,
    "copy": 2,
    "move": 2,
    "delete": 3,
    "expire": 1,
    "persist": 1,
    "describe": 2,
    "rename": 3,
    "popitem": 1,
}
STREAMED = ("put file", "move in", "write", "copy", "move")
"""What is done to a dict as to a blob store, whose keys are text."""
TEXTS = [key for key in KEYS if isinstance(key, str)]


def plan(seed: int, first: int, lengths: list[int]) -> Iterator[Deed]:
    """Yield deeds without end, numbered and timed from `first`; no two give the same expiry or metadata."""
    chance = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    for number in itertools.count(first):
        kind = chance.choices(kinds, weights)[0]
        choice, sizes = (TEXTS, UPLOADED) if kind in STREAMED else (KEYS, SIZES)
        yield Deed(
            kind=kind,
            now=START + number,
            key=chance.choice(choice),
            value=SAME if not chance.randrange(4) else (b"%d|" % number * 150_000)[: chance.choice(sizes)],
            ttl=chance.choice([None, None, 3.0, 1e6]),
            metadata={"number": number, "pad": "m" * chance.choice(lengths)} if chance.randrange(3) else None,
            target=chance.choice(choice),
        )


def perform(d: DiskDict[Any, Any], deed: Deed) -> None:
    """Do it."""
    kind, _, key, value, ttl, metadata, target = deed
    try:
        if kind == "put":
            d.set(key, value, ttl=ttl, metadata=metadata)
        elif kind == "delete":
            d.delete(key)
        elif kind == "expire":
            d.expire(key, ttl)
        elif kind == "persist":
            d.persist(key)
        elif kind == "describe":
            d.set_metadata(key, metadata or {}, replace=True)
        elif kind == "rename":
            d.rename(key, target)
        elif kind == "popitem":
            d.popitem()
        elif kind == "put file":
            uploading.put_file(d, key, value, ttl, metadata)
        elif kind == "move in":
            uploading.move_in(d, key, value, ttl, metadata, deed.now)
        elif kind == "write":
            uploading.write(d, key, value, ttl)
        elif kind == "copy":
            uploading.copy(d, key, target)
        elif kind == "move":
            uploading.move(d, key, target)
        elif kind == "transaction":
            with d.transaction():
                d.set(key, value, ttl=ttl, metadata=metadata)
                d.delete(target)
                d.set(LAST, value)
    except KeyError:
        pass  # the key is not there, or the target is


def foreseen(records: Records, deed: Deed) -> Records:
    """Return what is there after a deed."""
    kind, now, key, value, ttl, metadata, target = deed
    there = alive(records, now)
    old = there.get(key)
    expires = None if ttl is None else now + ttl
    if kind == "write":
        metadata = None
    if kind in ("put", "transaction", "put file", "move in", "write"):
        there[key] = Seen(value, expires, metadata or {}, now if old is None else old.created)
    if kind == "transaction":
        there.pop(target, None)
        last = there.get(LAST)
        there[LAST] = Seen(value, None, {}, now if last is None else last.created)
    elif kind in ("put", "put file", "move in", "write"):
        pass
    elif kind == "popitem":
        there and there.popitem()
    elif old is None:
        pass
    elif kind == "delete":
        del there[key]
    elif kind == "expire":
        there[key] = old._replace(expires=expires)
    elif kind == "persist":
        there[key] = old._replace(expires=None)
    elif kind == "describe":
        there[key] = old._replace(metadata=metadata or {})
    elif kind == "rename" and target not in there:
        there[target] = there.pop(key)
    elif kind == "copy" and key != target:
        there[target] = old._replace(created=now if target not in there else there[target].created)
    elif kind == "move" and key != target:
        there.pop(target, None)
        there[target] = there.pop(key)
    return there


# ---- scenes


class Scene(NamedTuple):
    """What is there, and the change that is made to it.

    ``commit`` is the call that makes a change count, if just one does: before it everything is old, after it everything
    new. ``moves`` is the key that is renamed, ``now`` the time of the change.
    """

    setting: Callable[[DiskDict[Any, Any]], object]
    act: Callable[[DiskDict[Any, Any]], object]
    commit: str | None = None
    moves: Any = None
    now: float = START


def _nothing(d: DiskDict[Any, Any]) -> None:
    pass


def _some(d: DiskDict[Any, Any]) -> None:
    d.set("a", b"first", ttl=1_000, metadata={"of": "first"})
    d.set("b", b"second")
    d.set(LONG, b"long", ttl=2_000)


def _heavy(d: DiskDict[Any, Any]) -> None:
    # `a` needs a sidecar everywhere.
    d.set("a", b"first", ttl=1_000, metadata={"pad": "m" * 66_000})
    d.set("b", b"second")


def _large(d: DiskDict[Any, Any]) -> None:
    _some(d)
    d.set("a", LARGE, ttl=1_000, metadata={"of": "first"})


def _expired(d: DiskDict[Any, Any]) -> None:
    _some(d)
    d.set("c", b"expired!", ttl=1, metadata={"of": "expired"})
    d.set(LONG + "x", b"expired", ttl=1)


def _later(act: Callable[[DiskDict[Any, Any]], object], moves: Any = None) -> Scene:
    return Scene(_expired, act, moves=moves, now=START + 5)


def _spelled(d: DiskDict[Any, Any]) -> None:
    d.set(True, b"yes", ttl=1_000)
    d.set("b", b"second")
    d.set((1, "x"), b"third")


def _stripped(d: DiskDict[Any, Any]) -> None:
    _some(d)
    value = d.path_for("a")
    for name in os.listxattr(value) if hasattr(os, "listxattr") else ():
        os.removexattr(value, name)
    value.with_name(".a.attr").unlink(missing_ok=True)


HEAVY = {"pad": "n" * 66_000}


def _transact(d: DiskDict[Any, Any]) -> None:
    with d.transaction():
        d.set("c", b"third", ttl=50, metadata={"of": "third"})
        d.expire("a", 7)
        del d["b"]
        d.rename(LONG, "moved")
        d.set("b", b"again")
        d.set("n", b"fourth")


def _transact_heavily(d: DiskDict[Any, Any]) -> None:
    with d.transaction():
        d.set_metadata("a", {"of": "newer"}, replace=True)
        d.set_metadata("b", HEAVY)
        d.set("c", b"third", metadata=HEAVY)


SCENES = {
    "first put": Scene(_nothing, lambda d: d.set("c", b"third", ttl=5), "replace"),
    "put": Scene(_some, lambda d: d.set("c", b"third", ttl=5, metadata={"of": "third"}), "replace"),
    "put long key": Scene(_some, lambda d: d.set(LONG + "2", b"third", ttl=5), "replace"),
    "put heavy": Scene(_some, lambda d: d.set("c", b"third", metadata=HEAVY), "replace"),
    "overwrite": Scene(_some, lambda d: d.set("a", b"newer", ttl=5, metadata={"of": "newer"}), "replace"),
    "overwrite by the same": Scene(_some, lambda d: d.set("a", b"first", ttl=5)),
    "overwrite long key": Scene(_some, lambda d: d.set(LONG, b"newer", ttl=5), "replace"),
    "overwrite by heavy": Scene(_some, lambda d: d.set("a", b"newer", ttl=5, metadata=HEAVY), "replace"),
    "overwrite heavy": Scene(_heavy, lambda d: d.set("a", b"newer", ttl=5), "replace"),
    "overwrite heavy by heavy": Scene(_heavy, lambda d: d.set("a", b"newer", ttl=5, metadata=HEAVY), "replace"),
    "overwrite expired": _later(lambda d: d.set("c", b"new life")),
    "overwrite spelled": Scene(_spelled, lambda d: d.set(1, b"no", ttl=5), "replace"),
    "overwrite stripped": Scene(_stripped, lambda d: d.set("a", b"newer", ttl=5), "replace"),
    "delete": Scene(_some, lambda d: d.delete("a"), "unlink"),
    "delete long key": Scene(_some, lambda d: d.delete(LONG), "unlink"),
    "delete heavy": Scene(_heavy, lambda d: d.delete("a"), "unlink"),
    "popitem": Scene(_some, lambda d: d.popitem(), "unlink"),
    "expire": Scene(_some, lambda d: d.expire("a", 7)),
    "persist": Scene(_some, lambda d: d.persist("a")),
    "expire heavy": Scene(_heavy, lambda d: d.expire("a", 7)),
    "describe": Scene(_some, lambda d: d.set_metadata("a", {"of": "newer"})),
    "describe for the first time": Scene(_some, lambda d: d.set_metadata("b", {"of": "newer"})),
    "describe no more": Scene(_some, lambda d: d.set_metadata("a", {}, replace=True)),
    "describe heavily": Scene(_some, lambda d: d.set_metadata("a", HEAVY)),
    "describe heavy": Scene(_heavy, lambda d: d.set_metadata("a", {"of": "newer"}, replace=True)),
    "rename": Scene(_some, lambda d: d.rename("a", "c"), moves="a"),
    "rename long key": Scene(_some, lambda d: d.rename(LONG, LONG + "2"), moves=LONG),
    "rename to long key": Scene(_some, lambda d: d.rename("a", LONG + "2"), moves="a"),
    "rename heavy": Scene(_heavy, lambda d: d.rename("a", "c"), moves="a"),
    "rename over expired": _later(lambda d: d.rename("a", "c"), moves="a"),
    "rename over expired long key": _later(lambda d: d.rename("a", LONG + "x"), moves="a"),
    "rename to spelled": Scene(_spelled, lambda d: d.rename((1, "x"), (True, "y")), moves=(1, "x")),
    "rename spelled": Scene(_spelled, lambda d: d.rename(True, 7), moves=True),
    "upload": Scene(_some, lambda d: upload(d, "c", b"thi", b"rd", expires=START + 5), "replace"),
    "upload over": Scene(_some, lambda d: upload(d, "a", b"newer", expires=START + 5, metadata={"of": "n"}), "replace"),
    "upload over long key": Scene(_some, lambda d: upload(d, LONG, b"newer", expires=START + 5), "replace"),
    "upload over heavy": Scene(_heavy, lambda d: upload(d, "a", b"newer", metadata=HEAVY), "replace"),
    "upload over expired": _later(lambda d: upload(d, "c", b"new life")),
    "upload instead": Scene(_some, lambda d: upload(d, "c", b"third", expires=START + 5, instead_of="a")),
    "upload over and instead": Scene(_some, lambda d: upload(d, LONG, b"newer", metadata={"of": "n"}, instead_of="a")),
    "put file": Scene(_some, lambda d: uploading.put_file(d, "c", LARGE, 5, {"of": "third"})),
    "put file over long key": Scene(_some, lambda d: uploading.put_file(d, LONG, LARGE, 5)),
    "put file over heavy": Scene(_heavy, lambda d: uploading.put_file(d, "a", LARGE, 5, HEAVY)),
    "put small file": Scene(_some, lambda d: uploading.put_file(d, "c", b"third", 5)),
    "move in": Scene(_some, lambda d: uploading.move_in(d, "c", b"third", 5)),
    "move in over long key": Scene(_some, lambda d: uploading.move_in(d, LONG, LARGE, 5, {"of": "newer"})),
    "move in over heavy": Scene(_heavy, lambda d: uploading.move_in(d, "a", LARGE, 5, HEAVY)),
    "move in over expired": _later(lambda d: uploading.move_in(d, "c", b"new life")),
    "write": Scene(_some, lambda d: uploading.write(d, "c", LARGE, 5)),
    "write over long key": Scene(_some, lambda d: uploading.write(d, LONG, LARGE)),
    "write little over": Scene(_some, lambda d: uploading.write(d, "a", b"newer", 5)),
    "copy": Scene(_large, lambda d: uploading.copy(d, "a", "c")),
    "copy over long key": Scene(_large, lambda d: uploading.copy(d, "a", LONG)),
    "copy little over": Scene(_some, lambda d: uploading.copy(d, LONG, "a")),
    "get file": Scene(_large, lambda d: uploading.get_file(d, "a")),
    "move over": Scene(_some, lambda d: uploading.move(d, "a", "b"), moves="a"),
    "move over long key": Scene(_some, lambda d: uploading.move(d, "a", LONG), moves="a"),
    "move long key over": Scene(_some, lambda d: uploading.move(d, LONG, "a"), moves=LONG),
    "move over heavy": Scene(_heavy, lambda d: uploading.move(d, "b", "a"), moves="b"),
    "move heavy over": Scene(_heavy, lambda d: uploading.move(d, "a", "b"), moves="a"),
    "move over expired": _later(lambda d: uploading.move(d, "a", "c"), moves="a"),
    "transaction": Scene(_some, _transact),
    "transaction long key": Scene(_some, lambda d: d.set_many({LONG: b"newer", LONG + "2": b"third"})),
    "transaction heavy": Scene(_heavy, _transact_heavily),
    "transaction expired": _later(_transact),
    "delete many": Scene(_some, lambda d: d.delete_many(["a", LONG])),
    "clear": Scene(_some, lambda d: d.clear()),
    "clean up": _later(lambda d: d.cleanup_expired()),
    "close": Scene(_some, lambda d: (len(d), d.close())),
    "repair": Scene(_some, lambda d: d.repair()),
    "repair stripped": Scene(_stripped, lambda d: d.repair()),
}

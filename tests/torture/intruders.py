"""Things that someone hostile puts in the place of a store's files, and what is done with the store then."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import socket
import stat
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import deeds
from deeds import At
from folders import beside, kill, value_at

from diskdict import DiskDict, DiskDictError, journal
from diskdict.attributes import Attributes
from diskdict.layout import encode_name

SECRET: Final = b"the text that nobody may see here"
LONG: Final = "long " * 60
EXPECTED: Final = {
    "k": b"value of k",
    LONG: b"value of the long one",
    "other": b"value of other",
    "due": b"value of due",
}
"""What is in the store; `due` expires."""
WRITTEN: Final = frozenset({b"written", b"1", b"2", b"value of new", b"\xff{nonsense" * 50})
"""What operations write, and what lies in the place of a value after the store was closed: it counts as edited."""
PATIENCE: Final = 5  # seconds
_MEMORY: Final = 1 << 30
_FILE: Final = 64 << 20
_HUGE: Final = 1 << 40
_SHARDS: Final = 16

Store = DiskDict[Any, Any]


# ---- the store


def furnish(folder: Path, home: str, state: str) -> None:
    """Make the store, and leave it closed, killed, or killed with a transaction in its journal."""
    deeds.use(home)
    d = deeds.opened(folder, At())
    d.update({key: value for key, value in EXPECTED.items() if key != "due"})
    d.set("due", EXPECTED["due"], ttl=1_000, metadata={"of": "due"})
    len(d)
    if state == "closed":
        d.close()
        return
    if state == "journal":
        before, os.replace = os.replace, _refused
        with d.transaction():
            d["k"] = EXPECTED["k"]
            d["new"] = b"value of new"
        os.replace = before
    d["other"] = EXPECTED["other"]
    kill(d)


def _refused(*_: object, **__: object) -> None:
    raise OSError(28, "No space left on device")


def _shard(folder: Path, key: str) -> Path:
    return value_at(folder, encode_name(key), _SHARDS).parent


PARTS: Final[dict[str, Callable[[Path], Path]]] = {
    "data": lambda folder: folder / "data",
    "diskdict.json": lambda folder: folder / "diskdict.json",
    "diskdict.json.new": lambda folder: folder / "diskdict.json.new",
    "lock": lambda folder: folder / "lock",
    "journal": lambda folder: folder / "journal",
    "index": lambda folder: folder / "index",
    "index.new": lambda folder: folder / "index.new",
    "tmp": lambda folder: folder / "tmp",
    "staged": lambda folder: folder / "tmp" / "0",
    "quarantine": lambda folder: folder / "quarantine",
    "shard": lambda folder: _shard(folder, "k"),
    "value": lambda folder: _shard(folder, "k") / "k",
    "sidecar": lambda folder: beside(_shard(folder, "k") / "k", "attr"),
    "key": lambda folder: beside(_shard(folder, LONG) / encode_name(LONG), "key"),
    "temporary": lambda folder: _shard(folder, "k") / ".new",
    "name": lambda folder: _shard(folder, "k") / "No Key\udcff",
}


# ---- what is put there


def _away(path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _moved_out(path: Path, outside: Path) -> None:
    if path.exists():
        path.rename(outside / "moved")
    path.symlink_to(outside / "moved")


def _socket(path: Path, outside: Path) -> None:
    there = socket.socket(socket.AF_UNIX)
    here = os.open(path.parent, os.O_RDONLY)
    with contextlib.closing(there):
        there.bind(f"/proc/self/fd/{here}/{path.name}"[:107])
    os.close(here)


def _sparse(path: Path, outside: Path) -> None:
    with path.open("wb") as file:
        file.truncate(_HUGE)


def _deep(path: Path, outside: Path) -> None:
    path.joinpath(*["d"] * 50).mkdir(parents=True)


def _device(number: int) -> Callable[[Path, Path], None]:
    return lambda path, outside: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, number))


NEEDS_ROOT: Final = frozenset({"null", "zero", "full"})
WRITTEN_IN_PLACE: Final = frozenset({("value", "hard link")})
"""A second name of a file is that file: its attributes are changed by what is right to do."""
ALWAYS: Final = frozenset({"link to what was there", "link to a folder"})
KEPT: Final = frozenset({"link to what was there"})
KINDS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "link to a file": lambda path, outside: path.symlink_to(outside / "secret"),
    "link to a folder": lambda path, outside: path.symlink_to(outside),
    "link to nothing": lambda path, outside: path.symlink_to(outside / "nothing"),
    "link to itself": lambda path, outside: path.symlink_to(path.name),
    "link to what was there": _moved_out,
    "hard link": lambda path, outside: path.hardlink_to(outside / "linked"),
    "fifo": lambda path, outside: os.mkfifo(path),
    "socket": _socket,
    "null": _device(3),
    "zero": _device(5),
    "full": _device(7),
    "folder": lambda path, outside: path.mkdir(),
    "deep folder": _deep,
    "empty file": lambda path, outside: path.write_bytes(b"") and None,
    "nonsense": lambda path, outside: path.write_bytes(b"\xff{nonsense" * 50) and None,
    "huge file": _sparse,
}


def lay_out(outside: Path) -> None:
    """Make the folder that nobody may look into or change."""
    outside.mkdir()
    for name in ("secret", "0", "k", ".k.attr", "diskdict.json", "lock", "journal"):
        (outside / name).write_bytes(SECRET)
    (outside / "linked").write_bytes(b"linked")


def plant(folder: Path, outside: Path, part: str, kind: str) -> None:
    """Put a thing of a kind in the place of a part."""
    path = PARTS[part](folder)
    if kind not in KEPT:
        _away(path)
    path.parent.mkdir(exist_ok=True)
    KINDS[kind](path, outside)


STOLEN: Final = Attributes(1 << 50, 1.0, float("inf"), 1 << 50, len(SECRET), 0)
FILES: Final = {
    "a file outside": "../../outside/secret",
    "an absolute path": "{outside}/secret",
    "a folder": "..",
    "itself": "",
    "what was staged": "0",
    "the lock": "../lock",
    "a value": "../data/{shard}/k",
}


def forge(folder: Path, outside: Path, file: str, *, beside: bool, link: bool) -> None:
    """Leave a journal that has a value moved in from elsewhere."""
    named = FILES[file].format(outside=outside, shard=_shard(folder, "k").name)
    groups = (
        journal.Group(number, 0, (journal.Place(key, named, STOLEN, beside),))
        for number, key in enumerate(("other", "=no key"), 1)
    )
    _away(folder / "tmp")
    (folder / "tmp").symlink_to(outside) if link else (folder / "tmp").mkdir()
    (folder / "journal").write_bytes(
        journal.encode_head(5) + b"".join(journal.encode_group(group, 5) for group in groups)
    )


# ---- what is done then


def _all(d: Store) -> object:
    return {key: d.get(key) for key in EXPECTED}


def _transact(d: Store) -> None:
    with d.transaction():
        d["k"], d["new"] = b"1", b"2"


OPERATIONS: Final[dict[str, Callable[[Store], object]]] = {
    "nothing": lambda d: None,
    "get": lambda d: d.get("k"),
    "get all": _all,
    "get long": lambda d: d.get(LONG),
    "iterate": lambda d: dict(d.items()),
    "len": len,
    "info": lambda d: d.info("k"),
    "verify": lambda d: d.verify(),
    "stats": lambda d: d.stats(),
    "backup": lambda d: d.backup(f"{d.path}-copy"),
    "put": lambda d: d.__setitem__("k", b"written"),
    "put long": lambda d: d.__setitem__(LONG, b"written"),
    "put new": lambda d: d.set("new", b"written", ttl=5),
    "delete": lambda d: d.delete("k"),
    "expire": lambda d: d.expire("k", 500),
    "describe": lambda d: d.set_metadata("k", {"a": "b"}),
    "rename": lambda d: d.rename("k", "renamed"),
    "transaction": _transact,
    "cleanup": lambda d: d.cleanup_expired(),
    "repair": lambda d: d.repair(),
    "clear": lambda d: d.clear(),
}
READING: Final = ("nothing", "get", "get all", "get long", "iterate", "len", "info", "verify", "stats", "backup")


class Outcome(NamedTuple):
    """What was said, whatever of it, and what was raised that nobody expects."""

    said: str
    wrong: str


def attempt(folder: Path, home: str, operations: list[str], options: dict[str, Any], user: int = 0) -> Outcome:
    """Open a store, do something with it, and close it, as a process that is ended when it hangs."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE, _FILE))
    deeds.use(home)
    said: list[str] = []
    wrong: list[str] = []
    if user:
        os.setgid(user)
        os.setuid(user)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for operation in operations:
            d: Store | None = _tried(said, wrong, deeds.opened, folder, At(), **options)
            if d is not None:
                found = _tried(said, wrong, OPERATIONS[operation], d)
                if isinstance(found, dict):
                    wrong += [f"{key!r} is {value!r}" for key, value in found.items() if not _is_right(key, value)]
                _tried(said, wrong, d.close)
    signal.alarm(0)
    return Outcome(" ".join([*said, *(str(each.message) for each in warned)]), "\n".join(wrong))


def _is_right(key: object, value: object) -> bool:
    return value is None or value in WRITTEN or value == EXPECTED.get(str(key))


def _tried(said: list[str], wrong: list[str], act: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    try:
        result = act(*arguments, **options)
        said.append("" if isinstance(result, DiskDict) else repr(result))
    except KeyError as error:
        (said if error.args == ("k",) else wrong).append(repr(error))
    except (DiskDictError, OSError) as error:
        said.append(repr(error))
    except Exception:
        wrong.append(traceback.format_exc())
    else:
        return result
    return None


def texts(folder: Path) -> list[bytes]:
    """Return what is in the files of a folder, but for those that are huge."""
    found = [path for path in folder.rglob("*") if not path.is_symlink() and path.is_file()]
    return [path.read_bytes() for path in found if path.stat().st_size < _HUGE]

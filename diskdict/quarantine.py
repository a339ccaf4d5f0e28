"""Where what is damaged goes: moved aside in the store's folder, never deleted."""

from __future__ import annotations

from collections.abc import Iterator

from diskdict.files import Folder
from diskdict.layout import DATA, QUARANTINE, companions


def set_aside(folder: Folder, path: str) -> str:
    """Move a file, by its path in the store, to STORE/quarantine under a name that is free; return the new path.

    What lies beside a value goes with it.
    """
    moved = _move(folder, path)
    shard, _, name = path.rpartition("/")
    if shard.startswith(f"{DATA}/"):
        beside = [other for other, regular in folder.list(shard) if regular and other in companions(name)]
        for other in beside:
            _move(folder, f"{shard}/{other}")
    return moved


def _move(folder: Folder, path: str) -> str:
    folder.mkdir(QUARANTINE)
    folder.admit(QUARANTINE)
    taken = {name for name, _ in folder.list(QUARANTINE)}
    name = path.removeprefix("data/").replace("/", "-")
    free = next(choice for choice in _choices(name) if choice not in taken)
    folder.replace(path, f"{QUARANTINE}/{free}")
    return f"{QUARANTINE}/{free}"


def _choices(name: str) -> Iterator[str]:
    yield name
    number = 1
    while True:
        yield f"{name}~{number}"
        number += 1

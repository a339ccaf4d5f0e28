"""A store's folder that someone hostile has changed: nothing outside is seen or touched, nothing hangs."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import intruders
import pytest
from crew import Crew
from deeds import At, opened
from folders import tree
from intruders import ALWAYS, EXPECTED, FILES, KINDS, NEEDS_ROOT, OPERATIONS, PARTS, READING, SECRET, WRITTEN_IN_PLACE
from tallies import tally

HOMES = ("attributes", "sidecars")
STATES = ("closed", "killed", "journal")
NOBODY = 65_534


@pytest.fixture(scope="module")
def plain() -> Iterator[Crew]:
    """Processes that are started in no time."""
    with Crew("intruders", "shutil", "hashlib") as crew:
        yield crew


class Scene:
    """Stores to be spoilt, and the folder beside them."""

    def __init__(self, crew: Crew, folder: Path, home: str, state: str) -> None:
        self._crew = crew
        self._folder = folder
        self._home = home
        self._model = folder / "model"
        self.store, self.outside = folder / "store", folder / "outside"
        with crew.actor() as actor:
            actor.run("intruders.furnish(folder, home, state)", folder=self._model, home=home, state=state)

    def fresh(self) -> None:
        """Have a store as it was made, and a folder beside it."""
        for path in (self.store, self.outside, self._folder / "store-copy"):
            if path.exists():
                shutil.rmtree(path)
        shutil.copytree(self._model, self.store)
        intruders.lay_out(self.outside)

    def give_away(self) -> None:
        """Have a store as it was made that is somebody else's, where anybody may pass."""
        self.fresh()
        self._folder.chmod(0o755)
        for path in (self.store, *self.store.rglob("*")):
            os.chown(path, NOBODY, NOBODY)

    def attempt(self, operations: list[str], *, user: int = 0, **options: Any) -> list[str]:
        """Do something with the store, one after the other; return what went wrong."""
        before = tree(self.outside)
        names = {"folder": self.store, "home": self._home, "operations": operations, "options": options, "user": user}
        tally["attempts in hostile folders"] += len(operations)
        with self._crew.actor() as actor:
            try:
                outcome = actor.ask("intruders.attempt(folder, home, operations, options, user)", **names)
            except EOFError:
                return [f"{operations}: it hung or died"]
        copies = [folder for folder in (self.store, self._folder / "store-copy") if folder.is_dir()]
        found = {
            outcome.wrong: bool(outcome.wrong),
            "the secret was told": SECRET.decode() in outcome.said,
            "the secret is in the store": any(SECRET in text for each in copies for text in intruders.texts(each)),
            "something outside was changed": tree(self.outside) != before,
        }
        return [f"{operations}: {what}" for what, met in found.items() if met]


def things(*, root: bool) -> list[tuple[str, str]]:
    pairs = [(part, kind) for part in PARTS for kind in KINDS if root or kind not in NEEDS_ROOT]
    return [pair for pair in pairs if pair not in WRITTEN_IN_PLACE]


def spoilt(scene: Scene, *, root: bool, one_by_one: bool, step: int = 1) -> list[str]:
    """Put each thing in the place of each part, and return what went wrong with what was done then."""
    problems = []
    chosen_things = things(root=root)
    sample = chosen_things[random.randrange(step) :: step]
    for part, kind in [each for each in chosen_things if each in sample or each[1] in ALWAYS]:
        for options, operations in (({"readonly": True}, [*READING]), ({}, [*OPERATIONS])):
            for chosen in [[each] for each in operations] if one_by_one else [operations]:
                scene.fresh()
                intruders.plant(scene.store, scene.outside, part, kind)
                problems += [f"{kind} as {part} {options}: {each}" for each in scene.attempt(chosen, **options)]
    return problems


@pytest.fixture
def root(announce: Callable[[str], None]) -> bool:
    """Whether this user may make what only root makes."""
    if os.geteuid():
        announce("devices and the files of others in the place of a store's files: only root makes them.")
    return os.geteuid() == 0


each_state = pytest.mark.parametrize("state", STATES)
each_home = pytest.mark.parametrize("home", HOMES)


@each_state
@each_home
def test_things_in_the_place_of_files(plain: Crew, quick: Path, root: bool, home: str, state: str) -> None:
    """Whatever lies in the place of a part, here links and each hundredth, what is done is done or refused."""
    problems = spoilt(Scene(plain, quick, home, state), root=root, one_by_one=False, step=100)

    assert not problems, "\n".join(problems)


@pytest.mark.torture
@each_state
@each_home
def test_each_thing_in_the_place_of_each_file(plain: Crew, quick: Path, root: bool, home: str, state: str) -> None:
    """The same with every thing, and everything done first and alone, too."""
    scene = Scene(plain, quick, home, state)
    problems = [*spoilt(scene, root=root, one_by_one=False), *spoilt(scene, root=root, one_by_one=True)]

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("tmp", ["there", "a link"])
@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("file", FILES)
@each_home
def test_journal_that_names_other_files(plain: Crew, quick: Path, home: str, file: str, beside: bool, tmp: str) -> None:
    """Nothing is moved from elsewhere because a journal says so whose checksum is right."""
    scene = Scene(plain, quick, home, "closed")
    problems = []
    for options, operations in (({"readonly": True}, [*READING]), ({}, [*OPERATIONS])):
        scene.fresh()
        intruders.forge(scene.store, scene.outside, file, beside=beside, link=tmp == "a link")
        problems += scene.attempt(operations, **options)

    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("part", ["index", "lock", "journal"])
@pytest.mark.parametrize("state", ["closed", "killed"])
def test_parts_of_another_store(plain: Crew, quick: Path, state: str, part: str) -> None:
    """An index, a lock page, or a journal without what was staged changes no value where it does not belong."""
    (quick / "other").mkdir()
    other = Scene(plain, quick / "other", "attributes", "journal" if part == "journal" else "closed")
    other.fresh()
    scene = Scene(plain, quick, "attributes", state)
    scene.fresh()
    shutil.copy2(other.store / part, scene.store / part)

    with opened(scene.store, At()) as d:
        assert dict(d) == EXPECTED
        assert not {each.problem for each in d.verify().problems} - {"orphaned"}


@pytest.mark.parametrize("part", PARTS)
def test_parts_that_belong_to_others(plain: Crew, quick: Path, root: bool, part: str) -> None:
    """What this user may not read or write is a PermissionError for what needs it, or is left alone."""
    if not root:
        pytest.skip("only root makes files of others")
    scene = Scene(plain, quick, "attributes", "journal")
    scene.give_away()
    spoilt_part = PARTS[part](scene.store)
    if spoilt_part.exists():
        os.chown(spoilt_part, 0, 0)
        spoilt_part.chmod(0o700 if spoilt_part.is_dir() else 0o600)
    problems = scene.attempt([*READING], user=NOBODY, readonly=True) + scene.attempt([*OPERATIONS], user=NOBODY)

    assert not problems, "\n".join(problems)


NOT_READABLE = ("data", "diskdict.json", "lock", "journal")


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("part", NOT_READABLE)
def test_store_that_belongs_to_others(plain: Crew, quick: Path, root: bool, part: str, readonly: bool) -> None:
    """A store of which this user may not read a part that is needed is not opened: a PermissionError."""
    if not root:
        pytest.skip("only root makes files of others")
    scene = Scene(plain, quick, "attributes", "journal")
    scene.give_away()
    os.chown(scene.store / part, 0, 0)
    (scene.store / part).chmod(0o700)
    with plain.actor() as actor, pytest.raises(PermissionError):
        actor.run(
            "import os, deeds; os.setgid(user); os.setuid(user); deeds.opened(folder, deeds.At(), readonly=readonly)",
            folder=scene.store,
            user=NOBODY,
            readonly=readonly,
        )

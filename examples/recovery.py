"""Damage is found, named and set aside; what is healthy goes on working beside it.

Here two files are damaged by hand: one is cut short as by a bad disk, one is put into the folder by somebody else.
"""

import os
import tempfile
from pathlib import Path

from diskdict import DiskDict


def damage(letters: DiskDict[str, str]) -> None:
    os.truncate(letters.path_for("beta"), 3)
    Path(letters.path_for("gamma")).with_name("READ ME.txt").write_text("I do not belong here.")


def main(folder: str) -> None:
    with DiskDict[str, str](folder) as letters:
        letters.update(alpha="first letter", beta="second letter", gamma="third letter")
        damage(letters)

        found = letters.verify()
        print(f"verify: {found.checked} values checked, {'all well' if found.ok else 'damage found'}")
        for problem in found.problems:
            print(f"  {problem.problem}: {Path(problem.path).name} (key {problem.key!r})")

        print(f"repair: {len(letters.repair().problems)} problems dealt with, nothing deleted:")
        for path in sorted(Path(folder, "quarantine").rglob("*")):
            if path.is_file():
                print(f"  {path.name}: {path.read_text()!r}")

        print("verify:", "all well" if letters.verify().ok else "damage found")
        print("still there:", letters)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/letters")

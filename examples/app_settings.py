"""The settings of an application: a dict that is still there after a restart, and that `cat` can read."""

import tempfile
from pathlib import Path
from typing import Any

from diskdict import DiskDict

DEFAULTS: dict[str, Any] = {"theme": "light", "font.size": 11, "recent": []}


def first_start(folder: Path) -> None:
    with DiskDict[str, Any](folder) as settings:
        for name, value in DEFAULTS.items():
            settings.setdefault(name, value)
        settings["theme"] = "dark"
        # What a look-up gives is a copy: settings["recent"].append(…) would not be saved. edit() saves it.
        with settings.edit("recent") as recent:
            recent.append("letter.txt")


def second_start(folder: Path) -> None:
    with DiskDict[str, Any](folder) as settings:
        print("after a restart:", settings)
        print("the file of 'theme' holds:", Path(settings.path_for("theme")).read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        first_start(Path(temporary, "settings"))
        second_start(Path(temporary, "settings"))

"""What ``make test`` tells although several processes run the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from shell import ROOT, environment

TELLING = """
import pytest
from tallies import tally

@pytest.mark.parametrize("number", range(10))
def test_something(number, announce):
    announce("the moon: there is none here.")
    announce(f"star {number}: it is cloudy.")
    tally["stars"] += 1
"""
HANGING = """
import threading

def test_that_waits():
    threading.Event().wait()
"""


def run(folder: Path, code: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run tests by two workers, with the fixtures of all tests and no more plugins than that takes."""
    (folder / "test_given.py").write_text(code)
    plugins = ("-p", "xdist", "-p", "conftest", "-p", "no:cacheprovider")
    places = ("-c", ROOT / "setup.cfg", "--rootdir", folder, "--basetemp", folder / "temp", folder / "test_given.py")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, "--numprocesses", "2", "--dist", "worksteal", *options, *places],
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_summary_has_what_all_tests_have_said(tmp_path: Path) -> None:
    """Each sentence once, each tally as a sum."""
    done = run(tmp_path, TELLING)

    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines.count("NOT RUN HERE: the moon: there is none here.") == 1
    assert sum(line.startswith("NOT RUN HERE: star ") for line in lines) == 10
    assert f"{10:>12,} stars" in lines


def test_hanging_test_says_where_and_ends_the_run(tmp_path: Path) -> None:
    """The test is named, and the line it hangs at is told in the form that ``.ci/run`` looks for."""
    done = run(tmp_path, HANGING, "-o", "faulthandler_timeout=0.5")

    assert done.returncode == 1
    assert "a worker has died in test_given.py::test_that_waits" in done.stdout
    assert "Timeout (" in done.stderr
    assert f'"{tmp_path / "test_given.py"}", line 5 in test_that_waits' in done.stderr

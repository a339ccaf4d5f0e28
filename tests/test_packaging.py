"""What is shipped is whole, and importing it is cheap."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "diskdict"

REQUIRED = {"_cffi_backend", "cffi", "diskdict", "platformdirs", "ujson", "xattr"}
"""What the package may load beside the standard library, with what that loads itself."""

HEAVY = {
    "asyncio",
    "dataclasses",
    "inspect",
    "logging",
    "multiprocessing",
    "pathlib",
    "platformdirs",
    "socket",
    "unittest",
    "urllib.parse",
    "uuid",
}
"""What costs milliseconds to import and is not needed to open a store. (`decimal` comes with ujson.)"""

IMPORT_ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in allowed:
            raise ImportError(f"{name} is not among the requirements")

allowed = sys.stdlib_module_names | set(sys.argv[1:])
before = set(sys.modules)
sys.meta_path.insert(0, Refuse())
import diskdict
print(*sorted(set(sys.modules) - before))
"""

ALL_ALONE = (
    IMPORT_ALONE
    + """
from diskdict import *
print(Signed(BlobStore("memory:"), bytes(16)).put("a", b"signed with no extra"))
try:
    diskdict.Encrypted
except ImportError as error:
    print(error)
"""
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The built wheel. It is built from a copy, so that the checkout stays as it is."""
    source, out = copied(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--use-pep517", "--no-index", "--quiet", "--wheel-dir", str(out)]

    run("-m", "pip", "wheel", *options, str(source))

    with zipfile.ZipFile(next(out.glob("*.whl"))) as opened:
        yield opened


def copied(source: Path) -> Path:
    """Return a folder with what a distribution is built from."""
    for name in ("setup.cfg", "setup.py", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("diskdict", "docs", "examples", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def test_sources_have_what_the_readme_leads_to(tmp_path: Path) -> None:
    """The other documents, the examples and the pictures."""
    source = copied(tmp_path)

    run("setup.py", "-q", "sdist", cwd=source)

    with tarfile.open(next((source / "dist").glob("*.tar.gz"))) as opened:
        names = {name.partition("/")[2] for name in opened.getnames()}
    for folder in ("docs", "examples", "benchmarks/plots"):
        there = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).glob("*.*")}
        assert there
        assert there <= names


def test_wheel_contains_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """Every module, subpackages included, the marker that says that it is typed, and the server's page."""
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    here = {path.relative_to(ROOT).as_posix() for path in files}

    assert {"diskdict/py.typed", "diskdict/server/page/index.html", "diskdict/backends/redis/records.lua"} < here
    assert shipped == here


def test_wheel_carries_the_licence_and_the_readme(wheel: zipfile.ZipFile) -> None:
    """Both travel with the distribution."""
    names = wheel.namelist()
    metadata = wheel.read(next(name for name in names if name.endswith("METADATA"))).decode()

    assert any(name.endswith("LICENSE") for name in names)
    assert (ROOT / "README.rst").read_text(encoding="utf-8").strip() in metadata


def test_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    """As ``diskdict``."""
    found = wheel.read(next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))).decode()

    assert found.split() == ["[console_scripts]", "diskdict", "=", "diskdict.cli:main"]


def test_import_needs_no_extra_and_loads_nothing_heavy() -> None:
    """A fresh interpreter that has the requirements alone can import the package, and does so quickly."""
    loaded = set(run("-c", IMPORT_ALONE, *sorted(REQUIRED)).split())

    assert "diskdict" in loaded
    assert not loaded & HEAVY


def test_every_name_needs_no_extra_but_encryption() -> None:
    """All that a star brings is there with the requirements alone; Encrypted names the extra that it needs."""
    *_, signed, encrypted = run("-c", ALL_ALONE, *sorted(REQUIRED)).splitlines()

    assert signed == "a"
    assert encrypted == "encryption needs the extra: pip install 'diskdict-store[encryption]'"


def run(*arguments: str, cwd: Path | None = None) -> str:
    """Run this interpreter with the checkout importable and return what it prints; its errors fail the test."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

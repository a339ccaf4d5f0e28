"""Everything that is shown is executed: the README, what it links to in docs, the examples, the docstrings."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import io
import os
import pkgutil
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Announce
from docutils.core import publish_doctree
from elastic_stand_in import stand_in
from moto_server import Bucket, s3_server
from postgres_server import server_or_skip
from redis_server import Server, require_redis

import diskdict

ROOT = Path(__file__).parent.parent
README = ROOT / "README.rst"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MODULES = [diskdict.__name__, *(found.name for found in pkgutil.walk_packages(diskdict.__path__, "diskdict."))]
SMALLER = {"unicode_names.py": ["--limit", "2000"]}

DOCS = sorted(ROOT.glob("docs/*.rst"))
DOCUMENTS = [*ROOT.glob("*.rst"), *DOCS, *ROOT.glob("benchmarks/*.rst")]
SERVERS = {
    "redis://127.0.0.1:6379": "redis_url",
    "postgresql://me:secret@localhost/mydb": "postgres_url",
    "s3://my-bucket/app?region=eu-central-1": "s3_url",
    "elasticsearch://elastic:secret@localhost:9200/settings": "elastic_url",
}
"""The servers of a reader, and the fixtures that have one in their place."""
UNDERLINE = re.compile(r"([=\-~^\"'#*+])\1{2,}\s*$")
DIRECTIVE = re.compile(r"( *)\.\. code-block:: (python|pycon|console)\s*$")
LINK = re.compile(r"(?:<|image:: )([\w/-]+\.(?:rst|png|svg))>?")
DOCTEST_OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """A code block: the line of its first line of code, counted from 1, and the code."""

    line: int
    code: str


class Section(NamedTuple):
    """The blocks below one heading of a document. They run in order, in one namespace and one folder."""

    document: str
    title: str
    blocks: list[Block]


def sections(document: str, text: str) -> list[Section]:
    """Return the sections of a reStructuredText document that have Python in them."""
    lines = text.splitlines()
    found = [Section(document, "top", [])]
    for number, line in enumerate(lines):
        heading = lines[number - 1].strip() if number else ""
        if UNDERLINE.match(line) and heading and len(line.rstrip()) >= len(heading):
            found.append(Section(document, heading, []))
        if directive := DIRECTIVE.match(line):
            block = block_below(lines, number, len(directive[1]))
            if directive[2] != "console" or block.code.startswith(">>>"):
                found[-1].blocks.append(block)
    return [section for section in found if section.blocks]


def block_below(lines: list[str], directive: int, indent: int) -> Block:
    """Return what is indented below the directive, without its options."""
    first = directive + 1
    while first < len(lines) and (not lines[first].strip() or lines[first].strip().startswith(":")):
        first += 1
    last = first
    while last < len(lines) and (not lines[last].strip() or lines[last].startswith(" " * (indent + 1))):
        last += 1
    return Block(first + 1, textwrap.dedent("\n".join(lines[first:last])).rstrip() + "\n")


def source_of(module: str) -> str:
    """Return the text of a module, which need not be loaded for that."""
    return importlib.util.find_spec(module).loader.get_source(module)


SECTIONS = [
    section
    for path in [README, *DOCS]
    for section in sections(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8"))
]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run in an empty folder that is also the home of the user and the place for temporary files."""
    for name in ("HOME", "XDG_DATA_HOME", "TMPDIR"):
        monkeypatch.setenv(name, str(tmp_path))
    # What the README starts finds the package from there, too.
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_documents_show_python() -> None:
    """The README and what it links to are there, and their code blocks are found."""
    shown = {section.document for section in SECTIONS}

    assert shown >= {"README.rst", *(f"docs/{name}.rst" for name in ("server", "postgresql", "redis", "buckets"))}


def name_of(section: Section) -> str:
    """Return what tells a section from all others."""
    return f"{section.document}:{section.title}:{section.blocks[0].line}"


@pytest.mark.parametrize("section", SECTIONS, ids=name_of)
def test_section_of_a_document_runs(section: Section, elsewhere: Path, request: pytest.FixtureRequest) -> None:
    """The blocks of a section run in order, as a reader would type them."""
    namespace: dict[str, object] = {"__name__": "document"}
    for block in section.blocks:
        for url in filter(block.code.__contains__, SERVERS):
            block = block._replace(code=block.code.replace(url, request.getfixturevalue(SERVERS[url])))
        run_block(section.document, block, namespace)


@pytest.fixture
def redis_url(tmp_path: Path, announce: Announce) -> Iterator[str]:
    """A server in place of the reader's."""
    require_redis(announce)
    with Server(tmp_path / "redis") as server:
        yield server.url


@pytest.fixture
def postgres_url(announce: Announce) -> Iterator[str]:
    """A server in place of the reader's."""
    for server in server_or_skip(announce):
        yield server.url()


@pytest.fixture
def s3_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server in place of the reader's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with s3_server() as endpoint:
        yield Bucket(endpoint, "my-bucket").url("app")


@pytest.fixture
def elastic_url() -> Iterator[str]:
    """A stand-in in place of the reader's server."""
    with stand_in() as server:
        yield server.url("settings")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_document_is_sound(document: Path) -> None:
    """What is shown is reStructuredText without an error or a warning, so that it looks as it was meant to."""
    settings = {"report_level": 2, "halt_level": 2, "input_encoding": "utf-8"}

    assert publish_doctree(document.read_text(encoding="utf-8"), str(document), settings_overrides=settings).children


@pytest.mark.parametrize("document", [README, *DOCS], ids=lambda path: path.name)
def test_code_of_documents_is_executed(document: Path) -> None:
    """Python stands in the kind of block that is run."""
    assert ".. code::" not in document.read_text(encoding="utf-8")


def test_links_between_documents_lead_somewhere() -> None:
    """What the README and the others name by a path is there."""
    for document in [README, *DOCS]:
        for path in LINK.findall(document.read_text(encoding="utf-8")):
            assert (document.parent / path).exists(), (document, path)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_example_runs_and_leaves_nothing(example: Path, elsewhere: Path) -> None:
    """An example ends well, prints something, and cleans up behind itself."""
    command = [sys.executable, "-W", "error", str(example), *SMALLER.get(example.name, [])]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}

    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
    assert not list(elsewhere.iterdir())


def test_every_module_loads() -> None:
    """By itself, whether it has examples or not."""
    for name in MODULES:
        assert importlib.import_module(name).__doc__, name


@pytest.mark.parametrize("name", [name for name in MODULES if ">>>" in source_of(name)])
def test_docstring_examples_run(name: str, elsewhere: Path) -> None:
    """What a docstring shows is what happens."""
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS)
    report = io.StringIO()
    for test in doctest.DocTestFinder(exclude_empty=True).find(module):
        runner.run(test, out=report.write)

    assert not runner.failures, report.getvalue()


def run_block(document: str, block: Block, namespace: dict[str, object]) -> None:
    """Run one block of a document; a failure names the line in it."""
    if block.code.startswith(">>>"):
        run_session(document, block, namespace)
        return
    try:
        exec(compile("\n" * (block.line - 1) + block.code, str(ROOT / document), "exec"), namespace)
    except Exception as exc:
        pytest.fail(f"{document}, block at line {block.line}: {type(exc).__name__}: {exc}\n\n{block.code}")


def run_session(document: str, block: Block, namespace: dict[str, object]) -> None:
    """Run a block of prompts and answers. Names it makes are there for the next block."""
    test = doctest.DocTestParser().get_doctest(block.code, {}, document, str(ROOT / document), block.line - 1)
    test.globs = namespace
    runner = doctest.DocTestRunner(optionflags=DOCTEST_OPTIONS)
    report = io.StringIO()
    runner.run(test, out=report.write, clear_globs=False)
    if runner.failures:
        pytest.fail(f"{document}, block at line {block.line}:\n\n{report.getvalue()}")


def test_sections_finds_blocks_below_headings() -> None:
    """Python and sessions are taken, shell commands are left, options and blank lines are skipped."""
    text = (
        "Title\n=====\n\n.. code-block:: python\n   :caption: x\n\n   a = 1\n\n   b = 2\n\ntext\n\n"
        ".. code-block:: console\n\n   $ ls\n\nNext\n----\n\n.. code-block:: pycon\n\n   >>> 1\n   1\n"
    )

    assert sections("a.rst", text) == [
        Section("a.rst", "Title", [Block(7, "a = 1\n\nb = 2\n")]),
        Section("a.rst", "Next", [Block(22, ">>> 1\n1\n")]),
    ]

"""Imports point strictly down, modules and functions stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parent.parent / "diskdict"

LAYERS = (
    ("errors", "listening", "criteria", "escapes"),
    ("keys", "patterns", "hierarchy", "limits", "ids", "tags", "flights", "compression"),
    ("store", "zstd", "codecs", "layout", "files", "mutex", "checksums"),
    (
        "lock",
        "jsontext",
        "staging",
        "attributes",
        "index",
        "cache",
        "manifest",
        "quarantine",
        "repeating",
        "info",
        "recent",
        "refusals",
        "syncing",
        "copying",
        "uploads",
    ),
    (
        "caching",
        "sidecar",
        "ledger",
        "journal",
        "messages",
    ),
    ("companions", "opening", "journalfile", "asking"),
    ("finding",),
    ("records",),
    ("scanning", "applying"),
    ("snapshots",),
    ("reading",),
    ("committing",),
    ("behind",),
    ("following",),
    ("upkeep",),
    ("taking",),
    ("streaming",),
    ("backends.postgres.columns", "backends.elastic.documents"),
    (
        "backends.elastic.address",
        "backends.elastic.decisions",
        "backends.elastic.refusals",
        "backends.jsonfile.document",
        "backends.jsonfile.place",
        "backends.memory",
        "backends.objects.crew",
        "backends.objects.lines",
        "backends.objects.names",
        "backends.objects.numbering",
        "backends.objects.refusals",
        "backends.postgres.libpq",
        "backends.postgres.servertime",
        "backends.postgres.sqlstates",
        "backends.postgres.statements",
        "backends.redis.address",
        "backends.redis.records",
        "backends.redis.refusals",
    ),
    (
        "backends.elastic.index",
        "backends.objects.address",
        "backends.objects.bucket",
        "backends.objects.puts",
        "backends.postgres.pooling",
        "backends.postgres.rows",
        "backends.redis.calls",
    ),
    (
        "backends.objects.manifest",
        "backends.objects.streams",
        "backends.postgres.tables",
        "backends.redis.links",
        "backends.redis.tracking",
    ),
    ("backends.objects.apart", "backends.postgres.listing", "backends.redis.slots"),
    ("backends.objects.seeing", "backends.objects.uploading"),
    ("backends.objects.cells",),
    ("backends.objects.commits",),
    ("backends.objects.single",),
    ("backends.objects.taking",),
    ("backends.objects.store",),
    (
        "backends.elastic.__init__",
        "backends.elastic.store",
        "backends.file",
        "backends.http",
        "backends.jsonfile.__init__",
        "backends.jsonfile.store",
        "backends.objects.__init__",
        "backends.postgres.__init__",
        "backends.postgres.store",
        "backends.redis.__init__",
        "backends.redis.store",
    ),
    ("backends.postgres.given", "backends.redis.given"),
    ("backends.__init__",),
    ("changes", "face"),
    ("transactions", "writeback", "migrate"),
    ("values",),
    ("expiring",),
    ("together",),
    ("core",),
    ("repair", "backup"),
    ("disk",),
    ("datastore", "queues.items", "queues.orders", "queues.locks", "queues.dead"),
    ("queues.segmentfiles", "queues.letters"),
    ("queues.gaps",),
    ("queues.segments",),
    ("queues.folder",),
    ("queues.waiting", "queues.burial"),
    ("queues.given",),
    ("queues.engine",),
    ("queues.frame",),
    ("queues.blocking",),
    ("queues.acknowledging",),
    ("queues.durable", "queues.standard"),
    ("queues.flush", "queues.lines", "queues.batches", "remoteletters"),
    ("queues.tasks",),
    ("queues.asynchronous", "remote"),
    ("client",),
    ("queues.__init__",),
    ("blobs.rules", "blobs.streams"),
    ("blobs.layers",),
    ("blobs.face", "blobs.drafts"),
    ("blobs.store", "blobs.wrappers"),
    ("blobs.sealed", "blobs.cached"),
    ("blobs.compressed", "blobs.encrypted", "blobs.signed"),
    ("blobs.urls",),
    ("blobs.__init__",),
    ("kv.addresses", "kv.metadata", "kv.names", "kv.values"),
    ("kv.access", "kv.clients"),
    ("kv.connection", "kv.searching"),
    ("kv.several",),
    ("kv.gathering",),
    ("kv.calling", "kv.tree"),
    ("kv.opened",),
    ("kv.kvstore",),
    ("kv.moving",),
    ("kv.__init__",),
    ("__init__",),
    ("server.settings", "server.watched", "server.paging"),
    ("server.served",),
    ("server.problems",),
    ("server.gate",),
    ("server.wire",),
    ("server.conditions",),
    ("server.service", "server.catalogue", "server.numbers", "server.waiters"),
    ("server.answers", "server.events", "server.metrics", "server.shared"),
    ("server.handing",),
    ("server.one", "server.many", "server.whole", "server.exercise", "server.queues"),
    ("server.letters",),
    ("server.openapi.schemas",),
    ("server.openapi.parts",),
    ("server.openapi.datastore", "server.openapi.keys", "server.openapi.paths", "server.openapi.queues"),
    ("server.openapi.__init__",),
    ("server.application",),
    ("server.running",),
    ("server.__init__",),
    ("cli.screen", "cli.source"),
    ("cli.failures",),
    ("cli.parsing",),
    ("cli.printing", "cli.access", "cli.lines", "cli.foreign"),
    ("cli.single", "cli.listing", "cli.care", "cli.transfer", "cli.moving", "cli.serving", "cli.completion"),
    ("cli.__init__",),
    ("__main__",),
)
"""A module imports only from the lines above its own, never from its own line: so backends do not know each other."""

INSIDE_FUNCTIONS = {
    "dbm": "import time, and only for who imports such a file",
    "diskdict": "an optional extra, which what serves needs; import time, and only for asyncio and for files by key",
    "decimal": "import time, and only where such a value is met",
    "hashlib": "import time, and only for a key too long for a file name",
    "mimetypes": "import time, and only for who asks for the type of a value",
    "pathlib": "import time, and only for those who ask for a path",
    "pickle": "import time, and only for the codec of that name",
    "platformdirs": "import time, and only for a store without a path",
    "queue": "import time, and only for copies of large files",
    "rich": "an optional extra, and takes longer to load than most commands run",
    "shutil": "import time, and only for what is removed as a whole",
    "sqlite3": "import time, and only for who imports such a file",
    "tempfile": "import time, and only for a large value on its way to a server",
    "urllib": "import time, and only for a URL",
    "uuid": "import time, and only where such a value is met",
}
"""What may be imported inside a function, and why."""

RANKS = {module: rank for rank, layer in enumerate(LAYERS) for module in layer}
CORE = {"backends.file", "face", "core", "repair", "disk"}
VAGUE = {"utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "base"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported module, whether by `import` or by `from … import`."""

    line: int
    target: str
    level: int
    in_function: bool


class Module(NamedTuple):
    """A module of the package: its dotted name below `diskdict`, its text and what was parsed from it."""

    name: str
    text: str
    tree: ast.Module
    imports: list[Import]


@cache
def modules() -> list[Module]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        found.append(Module(name, text, tree, list(imports(tree))))
    return found


def test_modules_have_a_place_in_the_table() -> None:
    """A new module says where it stands."""
    assert [module.name for module in modules() if module.name not in RANKS] == []


def test_imports_point_down() -> None:
    """A module knows only what is below it, so there can be no cycle."""
    wrong = [
        f"{module.name}, line {line}: imports {target}"
        for module in modules()
        for line, target in inner_imports(module)
        if RANKS[target] >= RANKS[module.name]
    ]

    assert wrong == []


def test_imports_are_absolute() -> None:
    """`from diskdict.store import Store`, so that a reader sees where a name comes from."""
    assert [f"{module.name}, line {found.line}" for module, found in every_import() if found.level] == []


def test_imports_stand_at_the_top() -> None:
    """An import inside a function hides an edge; the exceptions are listed with their reason."""
    wrong = [
        f"{module.name}, line {found.line}: {found.target}"
        for module, found in every_import()
        if found.in_function and found.target.split(".")[0] not in INSIDE_FUNCTIONS
    ]

    assert wrong == []


def test_modules_have_telling_names() -> None:
    """A module is one idea and is called by it."""
    assert [module.name for module in modules() if VAGUE.intersection(module.name.split("."))] == []


def test_modules_are_short() -> None:
    """300 lines, 450 in the core."""
    long = [
        f"{module.name}: {lines} lines"
        for module in modules()
        if (lines := len(module.text.splitlines())) > (450 if module.name in CORE else 300)
    ]

    assert long == []


def test_functions_are_short() -> None:
    """45 lines, not counting the docstring."""
    long = [
        f"{module.name}, {node.name}: {length(node)} lines"
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, Function) and length(node) > 45
    ]

    assert long == []


def imports(tree: ast.AST, in_function: bool = False) -> Iterator[Import]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name, 0, in_function)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield Import(node.lineno, f"{node.module or ''}.{alias.name}", node.level, in_function)
        elif not isinstance(node, ast.expr):  # there are many, and nothing is imported in one
            yield from imports(node, in_function or isinstance(node, Function))


def every_import() -> Iterator[tuple[Module, Import]]:
    for module in modules():
        for found in module.imports:
            yield module, found


def inner_imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield line and module for each import from the package, by the longest name that is a module."""
    for found in module.imports:
        parts = found.target.split(".")
        if parts[0] == "diskdict":
            yield found.line, longest_module(parts[1:])


def longest_module(parts: list[str]) -> str:
    """Return the module that `a.b.name` comes from: `a.b.name`, `a.b`, or the package that they are in."""
    for end in range(len(parts), -1, -1):
        for name in (".".join(parts[:end]), ".".join([*parts[:end], "__init__"])):
            if name in RANKS:
                return name
    raise LookupError(f"no such module: diskdict.{'.'.join(parts)}")


def length(function: Function) -> int:
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines

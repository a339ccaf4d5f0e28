"""The command that copies a store, wherever it is, to another place: migrate."""

from __future__ import annotations

from contextlib import closing

from diskdict import FormatError
from diskdict.backends.file import FolderStore
from diskdict.cli import printing
from diskdict.cli.access import codec_hint, folder_of, manifest_of, store_at
from diskdict.cli.failures import FINE, UsageError
from diskdict.cli.parsing import BYTES, CODECS, Commands, Options, add_json, add_timeout, count
from diskdict.cli.screen import bar
from diskdict.compression import compression_behind, split
from diskdict.disk import absolute
from diskdict.manifest import Manifest
from diskdict.migrate import migrate as copy
from diskdict.store import Store

KINDS = ("dict", "datastore", "kv")
BLOBS = "blobs"
"""The kind of folders of files by key. Their codec tells them from all others, so that nobody has to name it."""


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add("migrate", migrate, "copy all keys of one store to another", _EXAMPLES, of_store=False)
    parser.add_argument("source", metavar="SOURCE", help="the folder, the file or the URL of a store")
    parser.add_argument(
        "target", metavar="TARGET", help="a folder or a file, made where there is none, or the URL of a store"
    )
    parser.add_argument(
        "--on-conflict",
        choices=("error", "skip", "overwrite"),
        default="error",
        help="what to do with keys that have another value there; error unless said",
    )
    parser.add_argument("--batch-size", type=count, default=100, metavar="N", help="copy N keys at a time; 100")
    parser.add_argument("--codec", choices=CODECS, help="that of the values, where no folder tells")
    parser.add_argument("--kind", choices=KINDS, help="what a new folder is for, where the source does not tell")
    add_timeout(parser)
    add_json(parser)


def migrate(options: Options) -> int:
    """Copy records as they are, and read again what was written."""
    places = options.source, options.target
    source, target = map(_manifest, places)
    if source is None and folder_of(options.source) is not None:
        raise UsageError(f"{options.source}: no store is here")
    there, here = _codecs(options, source, target)
    told = BLOBS if options.codec == BYTES else options.kind
    kind = (source and source.kind) or told or (target and target.kind) or "dict"
    with (
        codec_hint(),
        closing(_opened(options, options.source, kind, there, readonly=True)) as first,
        closing(_opened(options, options.target, kind, here)) as second,
        bar("copying", "keys") as told,
    ):
        compressions = compression_behind(there), compression_behind(here)
        done = copy(
            first,
            second,
            options.batch_size,
            on_conflict=options.on_conflict,
            progress=told,
            compressions=compressions,
            streams=kind == BLOBS,
        )
    printing.answer(done._asdict(), as_json=options.json)
    return FINE


def _manifest(place: str) -> Manifest | None:
    """Return what a folder says of itself, None where there is none, or no folder. UsageError for another kind."""
    path = folder_of(place)
    if path is None:
        return None
    found = manifest_of(path)
    if found is not None and found.kind not in (*KINDS, BLOBS):
        raise UsageError(f"{place}: a store of kind {found.kind!r} is not copied by this command")
    return found


def _codecs(options: Options, source: Manifest | None, target: Manifest | None) -> tuple[str, str]:
    """Return the codecs of both; but for how they are compressed they are the same."""
    given = options.codec or (source and source.codec) or (target and target.codec) or "json"
    there = source.codec if source is not None else split(given)[0]
    # A folder that is made is what the source is; a server knows of no compression.
    here = target.codec if target is not None else there if folder_of(options.target) else split(there)[0]
    named = {split(codec)[0] for codec in (given, there, here)}
    if len(named) > 1:
        said = ", ".join(sorted(named))
        raise FormatError(f"values are copied as they are written, and these are of different codecs: {said}")
    return there, here


def _opened(options: Options, place: str, kind: str, codec: str, *, readonly: bool = False) -> Store:
    path = folder_of(place)
    if path is None:
        return store_at(options, place, codec, create=not readonly)
    return FolderStore(absolute(path), kind=kind, codec=codec, readonly=readonly, timeout=options.timeout)


_EXAMPLES = """\
diskdict migrate inventory /other/disk/inventory
diskdict migrate inventory inventory.json
diskdict migrate inventory postgresql://me@db.example/shop
diskdict migrate 'redis://localhost/0?prefix=app:' inventory --on-conflict skip --json
diskdict migrate uploads 's3://my-bucket/uploads?region=eu-central-1'
diskdict migrate redis://localhost/0 uploads --codec bytes
Values, order, expiry, metadata and time of creation are those of the source, which is not to be changed meanwhile.
Stopped half-way, it completes when it is run again. A password is better in ~/.pgpass than in a command.
Files by key go as streams; that a server has them, which a folder tells, is said with --codec bytes."""

"""Every named character of Unicode in a folder: about 140,000 files that are a dict.

Stores them, closes, reopens, looks some up, shows that a second process is refused, reads every file again, shows what
lies on the disk, and how an entry ends by itself; and says how fast that was beside a plain loop of raw file writes.
Run it by ``make demo``, or ``make demo DEMO_DIR=folder`` to keep the folder and look around in it with ``ls``, ``cat``
and ``jq``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.tree import Tree

from diskdict import DiskDict

Entry = dict[str, str | float | None]

WEEK = 7 * 24 * 3600
LOOK_UPS = ("latin.capital.letter.a", "snowman", "black.chess.queen", "vulgar.fraction.one.half", "roman.numeral.fifty")
SECOND_PROCESS = """
import sys
from diskdict import DiskDict, StoreLockedError
try:
    DiskDict(sys.argv[1])
except StoreLockedError as error:
    print("StoreLockedError:", error.strerror)
"""

console = Console(highlight=False, soft_wrap=True)


def characters(limit: int | None) -> dict[str, Entry]:
    """Return key and value of all characters that have a name, or of the first `limit` and of those looked up below."""
    wanted = set(LOOK_UPS)
    found: dict[str, Entry] = {}
    for code in range(sys.maxunicode + 1):
        key = unicodedata.name(chr(code), "").lower().replace(" ", ".")
        if key and (limit is None or len(found) < limit - len(wanted) or key in wanted):
            found[key] = entry(chr(code))
            wanted.discard(key)
    return found


def entry(character: str) -> Entry:
    return {
        "code": f"U+{ord(character):04X}",
        "character": character,
        "category": unicodedata.category(character),
        "bidirectional": unicodedata.bidirectional(character),
        "numeric": unicodedata.numeric(character, None),
        "decomposition": unicodedata.decomposition(character),
    }


def bar() -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console)


def with_progress(entries: dict[str, Entry], what: str) -> Iterator[tuple[str, Entry]]:
    """Yield the items and move a bar on, now and then: moving it each time would be measured too."""
    with bar() as progress:
        task = progress.add_task(what, total=len(entries))
        for number, item in enumerate(entries.items()):
            if number % 1000 == 0:
                progress.update(task, completed=number)
            yield item
        progress.update(task, completed=len(entries))


def fill(store: Path, entries: dict[str, Entry]) -> float:
    """Store all entries, those with a numeric value for a week only; return the seconds that took."""
    with DiskDict[str, Entry](store) as names:
        start = time.perf_counter()
        for key, value in with_progress(entries, "storing"):
            if value["numeric"] is None:
                names[key] = value
            else:
                names.set(key, value, ttl=WEEK)
        return time.perf_counter() - start


def write_raw(folder: Path, store: Path, entries: dict[str, Entry]) -> float:
    """Write the same bytes to files of the same names, without anything around; return the seconds that took."""
    with DiskDict[str, Entry](store, readonly=True) as names:
        payloads = {key: Path(names.path_for(key)).read_bytes() for key in entries}
    for number in range(256):
        Path(folder, f"{number:02x}").mkdir(parents=True)
    start = time.perf_counter()
    for key, _ in with_progress(entries, "raw writes"):
        path = f"{folder}/{zlib.crc32(key.encode()) & 255:02x}/{key}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(descriptor, payloads[key])
        os.close(descriptor)
    return time.perf_counter() - start


def compare(count: int, stored: float, raw: float) -> None:
    heading("How fast")
    console.print(
        f"diskdict          {count / stored:10,.0f} entries per second ({stored:.1f} s), each whole or not at all"
    )
    console.print(
        f"raw file writes   {count / raw:10,.0f} entries per second ({raw:.1f} s), each may be found half written"
    )


def look_up(names: DiskDict[str, Entry]) -> None:
    heading("Reopened: look-ups")
    console.print(f"{len(names):,} entries; the last is {next(reversed(names))}")
    for key in LOOK_UPS:
        console.print(f"{key:26} {names[key]}", markup=False)
    console.print(f"no.such.character          {names.get('no.such.character')}")


def second_process(store: Path) -> None:
    heading("A second process is refused")
    done = subprocess.run([sys.executable, "-c", SECOND_PROCESS, store], capture_output=True, text=True, check=True)
    console.print(done.stdout.strip(), markup=False)


def verify(names: DiskDict[str, Entry]) -> None:
    heading("Every file is read again")
    with bar() as progress:
        task = progress.add_task("verifying")
        report = names.verify(progress=lambda done, total: progress.update(task, completed=done, total=total))
    console.print(f"{report.checked:,} values are {'as they were written' if report.ok else 'not all whole'}")


def show_tree(store: Path) -> None:
    heading("On the disk")
    tree = Tree(store.name)
    for path in sorted(store.iterdir()):
        if path.name != "data":
            tree.add(f"{path.name}  {path.stat().st_size:,} bytes" if path.is_file() else f"{path.name}/")
    shards = sorted((store / "data").iterdir())
    data = tree.add(f"data/  {len(shards)} folders")
    for shard in shards[:2]:
        files = sorted(path.name for path in shard.iterdir() if not path.name.startswith("."))
        branch = data.add(f"{shard.name}/  {len(files):,} files")
        for name in files[:3]:
            branch.add(name)
    console.print(tree, markup=False)


def show_file(names: DiskDict[str, Entry], key: str) -> None:
    heading(f"One file: {key}")
    path = names.path_for(key)
    console.print(f"$ cat {path}", markup=False)
    cat = ["cat"] if shutil.which("cat") else ["cmd", "/c", "type"]
    console.print(subprocess.run([*cat, path], capture_output=True, check=True).stdout.decode(), markup=False)
    show_attribute(os.fspath(path))
    info = names.info(key)
    console.print(f"created_at   {moment(info.created_at)}\nupdated_at   {moment(info.updated_at)}")
    console.print(f"expires_at   {moment(info.expires_at)}\nsize         {info.size} bytes")
    console.print(
        f"version      {info.version}\nchecksum     {info.checksum}\nmetadata     {dict(info.metadata)}", markup=False
    )


def show_attribute(path: str) -> None:
    """Print the attribute as it lies on the disk, where the filesystem has attributes."""
    if sys.platform == "linux":
        try:
            raw = os.getxattr(path, "user.diskdict").hex(" ", 8)
        except OSError as error:
            raw = f"none ({error.strerror}); a file beside it holds it"
        console.print(f"\nuser.diskdict  {raw}")


def run_out(names: DiskDict[str, Entry], key: str) -> None:
    heading("An entry runs out")
    count = len(names)
    names.expire(key, 1)
    console.print(f"{key} has {names.ttl(key):.1f} seconds left, and {count:,} entries are there")
    while key in names:
        time.sleep(0.05)
    console.print(f"{key} is {names.get(key)} now, and {len(names):,} entries are there")
    console.print(f"cleanup_expired() removed {names.cleanup_expired()} file")


def moment(seconds: float | None) -> str:
    return "never" if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def heading(text: str) -> None:
    console.print(f"\n[bold]{text}[/bold]")


def demo(folder: Path, limit: int | None) -> None:
    store = folder / "names"
    entries = characters(limit)
    stored = fill(store, entries)
    raw_folder = Path(tempfile.mkdtemp(prefix="raw-", dir=folder))
    try:
        raw = write_raw(raw_folder, store, entries)
    finally:
        shutil.rmtree(raw_folder)
    compare(len(entries), stored, raw)
    with DiskDict[str, Entry](store) as names:
        look_up(names)
        second_process(store)
        verify(names)
        show_tree(store)
        show_file(names, "vulgar.fraction.one.half")
        run_out(names, "snowman")


def main() -> None:
    parser = argparse.ArgumentParser(description="Store every named character of Unicode in a folder.")
    parser.add_argument("--limit", type=int, metavar="N", help="take no more than N characters (at least 10)")
    parser.add_argument(
        "--dir", type=Path, metavar="DIR", help="keep the store in DIR/names; default: a temporary folder"
    )
    options = parser.parse_args()
    if options.dir is not None:
        options.dir.mkdir(parents=True, exist_ok=True)
        demo(options.dir, options.limit)
        console.print(f"\nThe folder is yours to look around in: {options.dir / 'names'}", markup=False)
        return
    with tempfile.TemporaryDirectory(prefix="unicode-names-") as temporary:
        demo(Path(temporary), options.limit)


if __name__ == "__main__":
    main()

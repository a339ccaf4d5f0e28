"""Directories archived by content: whatever a file is called and however often it comes, its content is stored once.

A snapshot is a list of names, each with the key of a content. Restoring one makes the directory again; pruning removes
what no snapshot names any longer.
"""

import json
import tempfile
from pathlib import Path

from diskdict import BlobStore, Compressed, HashIds, Prefixed


class Archive:
    """Snapshots of directories in one blob store."""

    def __init__(self, blobs: BlobStore) -> None:
        self.contents = HashIds(Compressed(Prefixed(blobs, "content/")))
        self.snapshots = Prefixed(blobs, "snapshot/")

    def take(self, name: str, directory: Path) -> None:
        """Store a directory. The snapshot comes last: with it all that it names is there."""
        files = sorted(path for path in directory.rglob("*") if path.is_file())
        listed = {path.relative_to(directory).as_posix(): self.contents.put_file(None, path) for path in files}
        self.snapshots.put(name, json.dumps(listed).encode())

    def named(self, name: str) -> dict[str, str]:
        """Return the files of a snapshot, each with the key of its content."""
        listed: dict[str, str] = json.loads(self.snapshots.get(name))
        return listed

    def restore(self, name: str, directory: Path) -> None:
        """Make the directory of a snapshot again."""
        for path, key in self.named(name).items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            self.contents.get_file(key, directory / path)

    def prune(self) -> int:
        """Remove the contents that no snapshot names; return how many."""
        kept = {key for name in self.snapshots for key in self.named(name).values()}
        return sum(self.contents.delete(key) for key in self.contents.keys() if key not in kept)  # noqa: SIM118


def files_in(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def main(folder: Path) -> None:
    letters = folder / "letters"
    (letters / "copies").mkdir(parents=True)
    for name, text in (("ada.txt", "Dear Charles"), ("charles.txt", "Dear Ada"), ("copies/ada.txt", "Dear Charles")):
        (letters / name).write_text(text * 1000)

    with BlobStore(folder / "archive", keys="extended") as blobs:
        archive = Archive(blobs)
        archive.take("monday", letters)
        print("monday: ", len(archive.named("monday")), "files,", len(archive.contents.keys()), "contents")
        (letters / "ada.txt").write_text("Dear Mary" * 1000)
        archive.take("tuesday", letters)
        print("tuesday:", len(archive.named("tuesday")), "files,", len(archive.contents.keys()), "contents in all")

        archive.restore("tuesday", folder / "restored")
        print("restored as it was:", files_in(folder / "restored") == files_in(letters))

        (letters / "copies" / "ada.txt").unlink()
        archive.take("tuesday", letters)
        archive.snapshots.delete("monday")
        print("pruned: ", archive.prune(), "content; what is left:", list(archive.named("tuesday")))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))

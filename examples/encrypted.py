"""Files that only those can read who have the secret, which is replaced each year while the store goes on being used.

Encryption needs the extra ``encryption``. Secrets have names; the last one writes, and each reads what it has written.
"""

import secrets
import tempfile
import time
from pathlib import Path

from diskdict import FOREVER, BlobStore, Encrypted, VerificationError


def rotate(files: Encrypted) -> int:
    """Write everything again, with the last secret; return how many that were. It can be repeated."""
    keys = files.keys()
    for key in keys:
        found = files.info(key)
        ttl = FOREVER if found.expires_at is None else max(0.0, found.expires_at - time.time())
        with files.open(key) as content:
            files.put_file(key, content, ttl, metadata=found.metadata)
    return len(keys)


def main(folder: str) -> None:
    ring = {"2024": secrets.token_bytes(32)}
    with BlobStore(folder) as store:
        files = Encrypted(store, ring)
        files.put("diary.txt", b"Dear diary, " * 100_000, metadata={"by": "Ada"})
        files.put("plan.txt", b"the Analytical Engine")
        path = Path(store.url_for("diary.txt").removeprefix("file://"))
        print("on disk it can be read:", b"diary" in path.read_bytes())

        with files.open("diary.txt") as diary:
            diary.seek(600_000)
            print("read from the middle:  ", diary.read(10))

        ring["2025"] = secrets.token_bytes(32)
        print("written again:         ", rotate(Encrypted(store, ring)), "files")
        del ring["2024"]
        files = Encrypted(store, ring)
        print("with the new secret:   ", files.get("plan.txt"), dict(files.info("diary.txt").metadata))

        store.copy("plan.txt", "diary.txt")
        try:
            files.get("diary.txt")
        except VerificationError as error:
            print("exchanged:             ", error)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/files")

"""A cache whose entries end by themselves: each has a time to live, kept with its file.

The clock is a parameter, so this example does not have to wait for an hour.
"""

import tempfile
from datetime import timedelta

from diskdict import FOREVER, DiskDict


class Clock:
    """Stands in for `time.time`."""

    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def main(folder: str) -> None:
    clock = Clock()
    with DiskDict[str, object](folder, default_ttl=60, clock=clock) as cache:
        cache["session"] = {"user": "ada"}
        cache.set("page", "<h1>Hello</h1>", ttl=timedelta(hours=1))
        cache.set("logo", "(c)", ttl=FOREVER)
        print("at first:         ", {key: cache.ttl(key) for key in cache})

        clock.now += 30
        cache.touch("session")
        clock.now += 45
        print("after 75 seconds: ", {key: cache.ttl(key) for key in cache})

        clock.now += 3600
        print("after another hour:", list(cache), "- page is", cache.get("page"))
        print("files removed:    ", cache.cleanup_expired())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/cache")

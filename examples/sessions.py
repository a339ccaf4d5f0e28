"""Sessions of a web application: created, read, ended, and gone by themselves after a while.

A session that exists is not created again, one that is too large is refused, and what has expired makes room.
"""

import tempfile
import time

from diskdict import DataStore, KeyNotFoundError, LimitError


def visits(store: DataStore, session: str) -> str:
    try:
        seen = store.get(session)
    except KeyNotFoundError:
        return f"{session}: no session"
    return f"{session}: {seen['user']}"


def main(folder: str) -> None:
    with DataStore(folder, value_bytes=1_000) as store:
        store.create("3f9a", {"user": "anna"}, ttl=0.2)
        store.create("77c1", {"user": "bert"})
        print(visits(store, "3f9a"), "|", visits(store, "77c1"))
        try:
            store.create("9e02", {"user": "carl", "basket": ["something"] * 100})
        except LimitError as error:
            print("refused:", error)
        time.sleep(0.2)
        print(visits(store, "3f9a"), "|", visits(store, "77c1"))
        store.delete("77c1")
        print(len(store), "sessions are left")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/sessions")

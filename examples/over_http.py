"""Two programs change one value over HTTP, and neither overwrites the other.

The server runs as a process of its own; what asks it here is the standard library, and might be any language.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.request import Request, urlopen


@contextmanager
def server(folder: str) -> Iterator[str]:
    """Run ``diskdict serve`` as long as the block lasts, and give its URL."""
    command = [sys.executable, "-m", "diskdict", "serve", "--store", folder, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process.stderr.readline().split()[-1]
    finally:
        process.terminate()
        process.communicate()


def ask(method: str, url: str, value: object = None, **headers: str) -> tuple[object, str | None]:
    """Return what is answered, and the version of it."""
    body = None if value is None else json.dumps(value).encode()
    if body is not None:
        headers["Content-Type"] = "application/json"
    named = {name.replace("_", "-"): content for name, content in headers.items()}
    with urlopen(Request(url, body, named, method=method)) as response:
        content = response.read()
        return json.loads(content) if content else None, response.headers["ETag"]


def add(url: str, item: str) -> None:
    """Add an item to a list; where somebody else was quicker, to what the list is now."""
    while True:
        basket, version = ask("GET", url)
        assert isinstance(basket, list)
        try:
            ask("PUT", url, [*basket, item], If_Match=str(version))
        except HTTPError as error:
            if error.code != 412:
                raise
            print(f"{item}: somebody else was quicker")
            error.close()
        else:
            return


def main() -> None:
    """Fill a basket."""
    with tempfile.TemporaryDirectory() as folder, server(f"{folder}/store") as url:
        basket = f"{url}/v1/keys/basket"
        ask("PUT", basket, ["apple"])

        _, seen = ask("GET", basket)
        add(basket, "pear")
        try:
            ask("PUT", basket, ["apple", "plum"], If_Match=str(seen))
        except HTTPError as error:
            problem = json.load(error)
            print(f"refused: {problem['status']} {problem['title']}")
            error.close()
        add(basket, "plum")

        print("in the basket:", ask("GET", basket)[0])
        print("all is well:", ask("POST", f"{url}/v1/verify")[0])


if __name__ == "__main__":
    main()

"""The command ``diskdict serve``: what it opens, where it listens, who it lets in, how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from pathlib import Path

import httpx
import pytest
from serving import ask, client, served, started
from shell import COMMAND, environment, follow, run, session_of, start
from tallies import Announce

from diskdict import DataStore, DiskDict, StoreLockedError


def test_newcomers_way(tmp_path: Path) -> None:
    """Serve a folder, put and get with any client, end it: the folder is closed clean and holds what was put."""
    with served(tmp_path / "inventory") as url:
        assert ask("PUT", url, "/v1/keys/apple", json={"colour": "red"}).status_code == 201
        assert ask("GET", url, "/v1/keys/apple").json() == {"colour": "red"}
        with pytest.raises(StoreLockedError):
            DiskDict(tmp_path / "inventory")

    with DiskDict(tmp_path / "inventory", create=False) as d:
        assert d == {"apple": {"colour": "red"}}
        assert not d._folder.suspect


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it(tmp_path: Path, how: int) -> None:
    """Ctrl-C and SIGTERM end it with 0, though somebody listens to events and keeps a connection."""
    with (
        started(tmp_path / "store") as running,
        client(running.url) as http,
        http.stream("GET", "/v1/events") as events,
    ):
        http.put("/v1/keys/k", json=1)
        running.process.send_signal(how)
        assert running.process.wait(30) == 0
        assert "event: set" in list(events.iter_lines())


def test_what_is_under_way_is_finished(tmp_path: Path) -> None:
    """A body that was half sent when the signal came is stored, and answered."""
    with started(tmp_path / "store") as running:
        host, port = running.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(b"PUT /v1/keys/k HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            sock.sendall(b'Content-Length: 6\r\n\r\n"ab')
            assert ask("GET", running.url, "/healthz").status_code == 200
            running.process.terminate()
            refuses(running.url)
            sock.sendall(b'cd"')
            assert sock.recv(100).startswith(b"HTTP/1.1 201")
        assert running.process.wait(30) == 0
    with DiskDict(tmp_path / "store") as d:
        assert d == {"k": "abcd"}


def refuses(url: str) -> None:
    """Wait until no connection is taken any more."""
    while True:
        try:
            ask("GET", url, "/healthz")
        except httpx.TransportError:
            return


def test_killed_server_leaves_a_store(tmp_path: Path) -> None:
    """After kill -9 the next server has all that was answered for, and takes the same port."""
    with started(tmp_path / "store") as running:
        for number in range(50):
            ask("PUT", running.url, f"/v1/keys/{number}", json=number)
        running.process.kill()
        running.process.wait()
    port = running.url.rpartition(":")[2]
    with served(tmp_path / "store", "--port", port) as url:
        assert url == running.url
        assert ask("GET", url, "/v1/keys", params={"count": "true"}).json()["total"] == 50
        assert ask("POST", url, "/v1/verify").json()["ok"]


def test_unix_socket(tmp_path: Path) -> None:
    """It listens for this user alone; what a killed server has left is replaced, a living one is not."""
    path = tmp_path / "socket"
    with started(tmp_path / "store", "--unix-socket", path) as running:
        assert path.stat().st_mode & 0o777 == 0o600
        with httpx.Client(
            transport=httpx.HTTPTransport(verify=False, uds=str(path)), base_url="http://localhost"
        ) as http:
            assert http.put("/v1/keys/k", json=1).status_code == 201
        second = run("serve", "--unix-socket", path, store=tmp_path / "other")
        assert second.code == 2
        assert "in use" in second.err
        running.process.kill()
        running.process.wait()
    assert path.exists()
    with started(tmp_path / "store", "--unix-socket", path):
        pass
    assert not path.exists()


def test_limits_serve_a_data_store(tmp_path: Path) -> None:
    """--limits makes a DataStore, which keeps them; --datastore is another name for --store."""
    with served(tmp_path / "unused", "--datastore", tmp_path / "store", "--limits", "5,100,1000") as url:
        assert ask("POST", url, "/datastore/create", json={"key": "k", "value": {"a": 1}}).status_code == 201
        assert ask("POST", url, "/datastore/create", json={"key": "longer", "value": {}}).status_code == 400
    with DataStore(tmp_path / "store") as store:
        assert store["k"] == {"a": 1}
    with served(tmp_path / "store") as url:
        assert ask("PUT", url, "/v1/keys/longer", json={}).json()["title"] == "LimitError"


def test_store_of_its_own(tmp_path: Path) -> None:
    """Without a store it serves one in the user's data folder, the same each time."""
    command = ["serve", "--port", "0"]
    home = {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    for number in range(2):
        process = start(*command, store=None, stderr=subprocess.PIPE, more=home)
        assert process.stderr is not None
        said = process.stderr.readline().decode()
        url = said.split()[-1]
        assert str(tmp_path / "data" / "diskdict" / "served") in said
        assert ask("POST", url, "/v1/keys/n/increment").json() == {"value": number + 1}
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == 0


def test_token_file(tmp_path: Path) -> None:
    """Who does not bring the token is refused; by another address than the loopback there has to be one."""
    file = tmp_path / "token"
    file.write_text("0123456789abcdef\n")
    with served(tmp_path / "store", "--token-file", file, "--host", "0.0.0.0") as url:
        url = url.replace("0.0.0.0", "127.0.0.1")
        assert ask("GET", url, "/v1/keys").status_code == 401
        assert ask("GET", url, "/v1/keys", headers={"Authorization": "Bearer 0123456789abcdef"}).status_code == 200


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "say with --token-file"),
        (["--host", "::"], "say with --token-file"),
        (["--host", "example.invalid", "--token-file", "good"], "example.invalid"),
        (["--token-file", "none"], "No such file"),
        (["--token-file", "short"], "16 or more characters"),
        (["--token-file", "odd"], "16 or more characters"),
        (["--port", "65536"], "a port is"),
        (["--port", "-1"], "port"),
        (["--limits", "1,2"], "three numbers"),
        (["--limits", "0,1,1"], "three numbers"),
        (["--codec", "pickle"], "not served"),
        (["--max-body", "x"], "whole number"),
    ],
    ids=str,
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    """It ends with 2 and one line that says why, and makes no store."""
    (tmp_path / "good").write_text("0123456789abcdef")
    (tmp_path / "short").write_text("short")
    (tmp_path / "odd").write_bytes(b"0123456789abcdef\xff")

    answer = run("serve", *arguments, store=tmp_path / "store", cwd=tmp_path)

    assert answer.code == 2
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not (tmp_path / "store").exists()


def test_port_in_use(tmp_path: Path) -> None:
    """The error says so, and the store is not touched."""
    with served(tmp_path / "store") as url:
        answer = run("serve", "--port", url.rpartition(":")[2], store=tmp_path / "other")

    assert answer.code == 2
    assert "in use" in answer.err
    assert not (tmp_path / "other").exists()


def test_store_in_use(tmp_path: Path) -> None:
    """A second server of the same folder ends with 3; a backup then says how a server is asked for one."""
    with served(tmp_path / "store"):
        second = run("serve", "--port", "0", store=tmp_path / "store")
        copied = run("backup", tmp_path / "copy", store=tmp_path / "store")

    assert (second.code, copied.code) == (3, 3)
    assert "in use by" in second.err
    assert "POST /v1/backup" in copied.err


def test_without_the_extra(tmp_path: Path) -> None:
    """Where Starlette is missing the error names what to install; all other commands work."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "starlette.py").write_text("raise ImportError('no starlette', name='starlette')")
    env = environment(tmp_path / "store")
    env["PYTHONPATH"] = f"{hidden}{os.pathsep}{env['PYTHONPATH']}"

    def said(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [*COMMAND, *arguments]
        return subprocess.run(command, env=env, capture_output=True, check=False)

    refused = said("serve")
    assert refused.returncode == 2
    assert b"diskdict-store[server]" in refused.stderr
    assert said("set", "k", "1").returncode == 0


def test_full_durability(tmp_path: Path) -> None:
    """Sixteen clients that write at once share the syncs of the disk, and all that they were told is there."""
    with served(tmp_path / "store", "--durability", "full") as url:
        threads = [threading.Thread(target=put_some, args=(url, number)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert ask("GET", url, "/v1/stats").json()["durability"] == "full"
    with DiskDict(tmp_path / "store") as d:
        assert d == {f"{number}.{each}": each for number in range(16) for each in range(5)}


def put_some(url: str, number: int) -> None:
    """Store five keys."""
    with client(url) as http:
        for each in range(5):
            http.put(f"/v1/keys/{number}.{each}", json=each).raise_for_status()


@pytest.mark.parametrize(("document", "number"), [("README.rst", 2), ("docs/server.rst", 8)])
def test_readme_session(document: str, number: int, tmp_path: Path, announce: Announce) -> None:
    """What the README and docs/server.rst show of the server is what it does."""
    if shutil.which("curl") is None:
        announce("the README's session with the server: there is no curl here; make tools installs it.")
        pytest.skip("no curl")
    (serve, _), *steps = session_of("Over HTTP", document)
    assert serve == "diskdict serve --store inventory &"

    with served(tmp_path / "inventory") as url:
        for command, expected in steps:
            follow(command.replace("localhost:8765", url), expected.strip("\n"), tmp_path)
    assert len(steps) == number

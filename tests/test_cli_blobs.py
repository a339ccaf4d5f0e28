"""The command on the folder of a blob store: what it shows and keeps in order, and what it leaves to BlobStore."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from serving import ask, served
from shell import run_here

from diskdict import BlobStore
from diskdict.cli.failures import DAMAGED, NOT_FOUND, USAGE

CONTENT = b"\x00\xff\n" * 100_000


@pytest.fixture
def blobs(folder: Path) -> Path:
    """The folder of a blob store with three keys."""
    with BlobStore(folder, keys="extended") as blobs:
        blobs.put("img/logo.png", CONTENT, metadata={"by": "Ada"})
        blobs.put("empty", b"")
        blobs.put("short", b"text", 1000)
    return folder


def test_get_prints_the_bytes(blobs: Path) -> None:
    """As they are, none too; what is missing is told."""
    assert run_here("get", "img/logo.png", store=blobs) == (0, CONTENT, "")
    assert run_here("get", "empty", store=f"file:{blobs}") == (0, b"", "")
    assert run_here("get", "short", "--json", store=blobs).out == b'{"$bytes":"dGV4dA=="}\n'
    assert run_here("get", "missing", store=blobs).code == NOT_FOUND


def test_keys_are_listed(blobs: Path) -> None:
    """With what is known of them."""
    assert run_here("keys", store=blobs).out == b"img/logo.png\nempty\nshort\n"
    [line] = run_here("ls", "img*", "--json", store=blobs).out.splitlines()
    assert json.loads(line)["size"] == len(CONTENT)
    assert json.loads(run_here("info", "img/logo.png", "--json", store=blobs).out)["metadata"] == {"by": "Ada"}
    assert json.loads(run_here("stats", "--json", store=blobs).out)["payload_bytes"] == len(CONTENT) + 4
    assert 990 < float(run_here("ttl", "short", store=blobs).out) <= 1000


def test_keys_expire_and_go(blobs: Path) -> None:
    """What needs no value can be changed."""
    assert run_here("expire", "short", "never", store=blobs) == (0, b"", "")
    assert run_here("del", "empty", store=blobs) == (0, b"", "")

    with BlobStore(blobs, keys="extended") as store:
        assert store.keys() == ["img/logo.png", "short"]
        assert store.info("short").expires_at is None


def test_the_folder_is_verified_repaired_and_copied(blobs: Path, tmp_path: Path) -> None:
    """An empty value is no damage, a torn one is; the copy is a blob store."""
    assert run_here("verify", store=blobs) == (0, b"3 values checked, 0 problems found\n", "")
    assert run_here("backup", tmp_path / "copy", store=blobs).code == 0
    with BlobStore(tmp_path / "copy", keys="extended") as copy:
        assert (copy.get("img/logo.png"), copy.get("empty")) == (CONTENT, b"")
        path = Path(copy.url_for("img/logo.png").removeprefix("file://"))
    path.write_bytes(CONTENT[:100])

    assert run_here("verify", store=tmp_path / "copy").code == DAMAGED
    assert run_here("repair", store=tmp_path / "copy").code == 0
    assert run_here("verify", store=tmp_path / "copy").code == 0


def test_an_export_has_the_values(blobs: Path, tmp_path: Path) -> None:
    """As bytes of a dict, which can be imported to one."""
    exported = run_here("export", store=blobs).out

    assert run_here("import", store=tmp_path / "dict", stdin=exported).code == 0
    assert run_here("get", "img/logo.png", store=tmp_path / "dict").out == CONTENT


@pytest.mark.parametrize(
    "command",
    [["set", "a", "1"], ["set", "a", "--raw", "x"], ["create", "a", "1"], ["import"], ["serve", "--limits", "1,2,3"]],
    ids=lambda command: command[0],
)
def test_what_is_for_dicts_is_refused(blobs: Path, command: list[str]) -> None:
    """The message names the kind, and nothing has changed."""
    said = run_here(*command, store=blobs, stdin=run_here("export", store=blobs).out)

    assert (said.code, said.out) == (USAGE, b"")
    assert "kind 'blobs'" in said.err
    with BlobStore(blobs, keys="extended") as store:
        assert store.keys() == ["img/logo.png", "empty", "short"]


def test_the_folder_is_served(blobs: Path, tmp_path: Path) -> None:
    """To other processes as files by key, to all that speak HTTP as bytes as they are; with --codec bytes a new one."""
    escaped = b"\x1b" * 100_000

    with served(blobs) as url, BlobStore(url, keys="extended") as there:
        assert there.get("img/logo.png") == CONTENT
        assert there.put("escaped", escaped) == "escaped"
        with there.open("written", "wb", 1000) as file:
            file.write(b'{"a": 1}')
        for key, content in {"escaped": escaped, "written": b'{"a": 1}', "empty": b""}.items():
            answer = ask("GET", url, f"/v1/keys/{key}")
            assert (answer.content, answer.headers["content-type"]) == (content, "application/octet-stream")
            assert there.size(key) == len(content)
        assert ask("GET", url, "/v1/keys/escaped", headers={"Range": "bytes=99998-"}).content == b"\x1b\x1b"
        assert ask("PUT", url, "/v1/keys/json", json={"a": 1}).status_code == 400
    with BlobStore(blobs, keys="extended") as store:
        assert store.keys() == ["img/logo.png", "empty", "short", "escaped", "written"]
        assert store.get("escaped") == escaped
        assert store.info("written").expires_at is not None
    with served(tmp_path / "new", "--codec", "bytes") as url, BlobStore(url) as there:
        there.put("a", b"")
    with BlobStore(tmp_path / "new") as store:
        assert store.get("a") == b""

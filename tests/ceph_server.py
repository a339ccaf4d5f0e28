"""Ceph's S3 for tests: a monitor, a store in memory and the gateway, on free ports and in a temporary folder."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest
from redis_server import free_port, wait_until

USER: Final = "someone"
PASSWORD: Final = "secret"

_TOOLS: Final = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "ceph-authtool", "monmaptool")
_SETTINGS: Final = """
[global]
fsid = {fsid}
mon initial members = a
mon host = {monitor}
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd crush chooseleaf type = 0
osd objectstore = memstore
mon allow pool size one = true
mon max pg per osd = 1000
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
keyring = {folder}/keyring
ms bind ipv6 = false
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
keyring = {folder}/osd.keyring
osd class load list = *
osd class default list = *
[client.rgw]
rgw data = {folder}
keyring = {folder}/rgw.keyring
rgw frontends = beast endpoint=127.0.0.1:{port}
"""


def require_ceph(announce: Callable[[str], None]) -> None:
    """Leave out what needs it where it is not installed."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        announce(f"buckets of Ceph: no {' and no '.join(missing)} here; apt-get install ceph-mon ceph-osd radosgw.")
        pytest.skip("no Ceph")


@contextmanager
def ceph_server(folder: Path) -> Iterator[str]:
    """Give the URL of a gateway whose user is `USER`."""
    folder.chmod(0o755)
    port = free_port()
    monitor = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
    (folder / "ceph.conf").write_text(_SETTINGS.format(fsid=uuid4(), monitor=monitor, folder=folder, port=port))
    with ExitStack() as stack:

        def run(*command: str) -> None:
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, timeout=120)

        def start(*command: str) -> None:
            log = stack.enter_context((folder / f"{command[0]}.out").open("wb"))
            process = subprocess.Popen([*command, "-f"], cwd=folder, env=environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)

        environment = os.environ | {"CEPH_CONF": str(folder / "ceph.conf")}
        everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
        run("ceph-authtool", "--create-keyring", "keyring", "--gen-key", "-n", "client.admin", *everything)
        run("ceph-authtool", "keyring", "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        fsid = subprocess.run(["ceph-conf", "--lookup", "fsid"], env=environment, capture_output=True, check=True)
        run("monmaptool", "--create", "--addv", "a", monitor, "--fsid", fsid.stdout.decode().strip(), "monmap")
        run("ceph-mon", "--mkfs", "-i", "a", "--monmap", "monmap", "--keyring", "keyring")
        start("ceph-mon", "-i", "a")
        disk = str(uuid4())
        run("ceph", "osd", "new", disk)
        run("ceph", "auth", "get-or-create", "osd.0", "mon", "allow profile osd", "osd", "allow *", "-o", "osd.keyring")
        (folder / "osd").mkdir()
        run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", disk)
        run("ceph", "osd", "crush", "add", "osd.0", "1.0", "root=default", "host=here")
        start("ceph-osd", "-i", "0")
        run("ceph", "auth", "get-or-create", "client.rgw", "mon", "allow rwx", "osd", "allow rwx", "-o", "rgw.keyring")
        start("radosgw", "-n", "client.rgw")
        wait_until(lambda: _listens(port))
        keys = (f"--access-key={USER}", f"--secret-key={PASSWORD}")
        run("radosgw-admin", "user", "create", f"--uid={USER}", f"--display-name={USER}", *keys)
        yield f"http://127.0.0.1:{port}"


def make_bucket(endpoint: str, name: str) -> None:
    """Make a bucket, which obstore cannot."""
    date = formatdate(usegmt=True)
    signed = hmac.new(PASSWORD.encode(), f"PUT\n\n\n{date}\n/{name}".encode(), hashlib.sha1).digest()
    headers = {"Date": date, "Authorization": f"AWS {USER}:{base64.b64encode(signed).decode()}", "Content-Length": "0"}
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    connection.request("PUT", f"/{name}", headers=headers)
    assert connection.getresponse().status == 200
    connection.close()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False

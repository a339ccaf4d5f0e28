"""A copy of a store that is in use: `backup`."""

from __future__ import annotations

import errno
import os
import shutil

from diskdict.backends.file import FolderStore
from diskdict.errors import ReadOnlyError
from diskdict.files import Folder, sync_filesystem
from diskdict.layout import DATA, LOCK, MANIFEST
from diskdict.lock import encode_page, own_page
from diskdict.scanning import Progress, told


def backup(store: FolderStore, target: str, progress: Progress | None = None) -> int:
    """Copy a store to the folder `target`, which is made or empty; return the number of files.

    See `diskdict.DiskDict.backup`.
    """
    with store.exclusive():
        store.check_open()
        store.finish()
        source = store.folder.path
        if store.unfinished:
            raise ReadOnlyError(
                f"{source} has a transaction in its journal; open it once to write, which finishes that"
            )
        real = os.path.realpath(source)
        if os.path.commonpath([os.path.realpath(target), real]) == real:
            raise ValueError(f"{target} lies in the store that is to be copied; choose a folder outside of it")
        os.makedirs(target, mode=os.stat(source).st_mode & 0o777, exist_ok=True)
        if os.listdir(target):
            raise FileExistsError(errno.EEXIST, "a copy goes to a folder that is new or empty; this is not", target)
        try:
            return _copy(store, source, target, progress)
        except BaseException:
            shutil.rmtree(os.path.join(target, DATA), ignore_errors=True)
            raise


def _copy(store: FolderStore, source: str, target: str, progress: Progress | None) -> int:
    count = 0
    os.mkdir(os.path.join(target, DATA), 0o700)
    for shard in told(store.files.present(), progress):
        folder = os.path.join(target, DATA, shard)
        os.mkdir(folder, 0o700)
        for name, regular in store.files.data.list(shard):
            if regular:
                # It copies attributes too, within the kernel where that can.
                shutil.copy2(os.path.join(source, DATA, shard, name), os.path.join(folder, name), follow_symlinks=False)
                count += 1
        shutil.copystat(os.path.join(source, DATA, shard), folder)
    shutil.copystat(os.path.join(source, DATA), os.path.join(target, DATA))
    own = own_page()
    page = store.ledger.page._replace(clean=True, pid=own.pid, host=own.host, since=own.since)
    made = Folder(target, mode=store.folder.mode, exact=store.folder.exact)
    try:
        made.write(LOCK, encode_page(page), f"{LOCK}.new")
        # Everything is on disk before the file that says so.
        sync_filesystem(made.fd)
        made.write(MANIFEST, store.folder.read(MANIFEST), f"{MANIFEST}.new", durable=True)
        made.sync()
    finally:
        made.close()
    return count

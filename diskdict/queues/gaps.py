"""Files of items that hold few are written anew: `close_gaps`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Final

from diskdict.files import Folder, read_at, sync_data, write_at
from diskdict.queues.items import Damage, walk
from diskdict.queues.segmentfiles import Segment, SegmentFiles

LONG: Final = 1 << 20
"""Bytes after which a new file is begun."""
_SPARSE: Final = 4  # times what the items take, before gaps are given back
_FEW: Final = 8  # files whose gaps do not matter
_TEMPORARY: Final = ".new"


def close_gaps(data: Folder, files: SegmentFiles, segments: Sequence[Segment], *, lasting: bool) -> None:
    """Give back what the items that are gone take, in the files where that is most, if it is much in all.

    Each item keeps its place: what is not written takes no space, where the filesystem has such files.
    """
    taken = sum(segment.end - segment.gaps for segment in segments)
    if taken < _SPARSE * sum(segment.used for segment in segments) + _FEW * LONG:
        return
    sparse = sorted(segments, key=lambda each: each.end - each.gaps - each.used, reverse=True)
    for segment in sparse[: _FEW // 2]:
        with contextlib.suppress(OSError):
            _rewrite(data, files, segment, lasting=lasting)


def _rewrite(data: Folder, files: SegmentFiles, segment: Segment, *, lasting: bool) -> None:
    content = read_at(files.fd(segment), segment.end, 0)
    entries = walk(content, segment.first, segment.salt, last=False)
    kept = [each for each in entries if isinstance(each, Damage) or each.waiting]
    fd = data.create(_TEMPORARY)
    try:
        try:
            for each in kept:
                write_at(fd, content[each.at : each.end], each.at)
            os.ftruncate(fd, segment.end)
            # Always: a power cut must not have the new name without what is long on disk under the old one.
            sync_data(fd)
        finally:
            os.close(fd)
        # Interrupted anywhere from here, it is opened again by its name, whichever file has that by then.
        files.close(segment)
        data.replace(_TEMPORARY, segment.name)
    except BaseException:
        data.discard(_TEMPORARY)
        raise
    if lasting:
        with files.refusal():
            data.sync()
    segment.used = sum(each.end - each.at for each in kept)
    segment.gaps = segment.end - segment.used

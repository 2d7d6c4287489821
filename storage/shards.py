"""Tar shards: members in order, every header the same but for name and size, so equal content gives equal bytes.

A member is found by (offset, length) from an index, without reading the tar's headers: 0.04 ms a picture, against
1.4 ms out of a Parquet column with row groups of 100 (measured).
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from storage.lake import Lake

_HEADER_BYTES = 512


class ShardWriter:
    """Appends members to a tar."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.num_bytes = 0

    def add(self, name: str, data: bytes) -> tuple[int, int]:
        """Append one member and return (offset, length) of its data in the tar.

        Args:
            name: at most 100 ASCII letters, so that its header is one block.
        """
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        offset = self._tar.offset + _HEADER_BYTES
        self._tar.addfile(info, BytesIO(data))
        self.num_bytes = self._tar.offset
        return offset, len(data)


@contextmanager
def create_shard(lake: Lake, path: str) -> Iterator[ShardWriter]:
    """A new tar at `path`, there in one step when the block ends well and not at all when it does not."""
    with (
        lake.create(path) as temporary,
        tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        yield ShardWriter(tar)


def read_member(lake: Lake, path: str, offset: int, length: int) -> bytes:
    """The bytes of one member."""
    return lake.read(path, offset, length)

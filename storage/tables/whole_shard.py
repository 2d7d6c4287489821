"""A whole tar for whoever reads most of its members: of a bucket it is copied to this machine with one request.

A request to a store takes as long as a megabyte on the wire, and a picture has a tenth of that. Of a lake on disk
nothing is copied.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from storage.files.lake import Lake
from storage.tables.shards import misplaced, missing


@dataclass(frozen=True, slots=True)
class WholeShard:
    """A tar on this machine, which other processes may read too.

    Attributes:
        file: None if there is no such tar.
        where: the tar in the lake, for errors.
    """

    file: Path | None
    where: str

    def member(self, offset: int, length: int) -> bytes:
        """The bytes of one member.

        Raises:
            LakeError: there is no such tar, or it ends before the member does.
        """
        if self.file is None:
            raise missing(self.where)
        try:
            file = self.file.open("rb")
        except FileNotFoundError as error:
            raise missing(self.where) from error
        with file:
            if offset < 0 or length < 0 or offset + length > os.fstat(file.fileno()).st_size:
                raise misplaced(self.where, offset, length)
            file.seek(offset)
            return file.read(length)


@contextmanager
def whole_shard(lake: Lake, path: str) -> Iterator[WholeShard]:
    """A tar for a block that reads most of its members.

    Raises:
        LakeError: it cannot be read, or the copy cannot be written.
    """
    with ExitStack() as stack:
        file = None
        with suppress(FileNotFoundError):
            file = stack.enter_context(lake.local_copy(path))
        yield WholeShard(file, f"{lake.url}/{path}")

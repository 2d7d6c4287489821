"""Tar shards: members in order, every header the same but for name and size, so equal content gives equal bytes.

A member is found by (offset, length) from an index, without reading the tar's headers: 0.05 ms a picture, against
1.4 ms out of a Parquet column with row groups of 100 (`bench.layout`).
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import IO

from storage.errors import LakeError
from storage.files.lake import Lake

_BLOCK_BYTES = tarfile.BLOCKSIZE
_NAME_BYTES = 100
_LARGE_BYTES, _FAR_BYTES = 64_000_000, 2**40
# Members of a tar in a bucket are read in one request with what lies between them, up to these numbers of bytes: a
# request takes as long as a megabyte, and a part of 16 MB is held in memory.
_GAP_BYTES, _PART_BYTES = 1_000_000, 16_000_000


def _empty_header() -> bytes:
    info = tarfile.TarInfo()
    info.mode = 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


# What all headers have in common, their checksum read as blanks (POSIX.1-1988, ustar).
_HEADER = _empty_header()[:148] + b" " * 8 + _empty_header()[156:]
_SIZE = slice(124, 135)
# The checksum of a header without name and size: to add up all 512 bytes takes a third of writing a member.
_SUM_OF_REST = sum(_HEADER) - sum(_HEADER[_SIZE])


class ShardWriter:
    """Appends members to a tar. `tarfile` makes one header for all: its own writing costs a member 0.1 CPU-ms."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.num_bytes = 0

    def add(self, name: str, data: bytes) -> tuple[int, int]:
        """Append one member and return (offset, length) of its data in the tar.

        Args:
            name: at most 100 ASCII letters, so that its header is one block.

        Raises:
            ValueError: the name is longer, or of other letters.
        """
        header = _header(name.encode("ascii"), len(data))
        offset = self.num_bytes + len(header)
        self._write(b"".join((header, data, bytes(-len(data) % _BLOCK_BYTES))))
        return offset, len(data)

    def reserve(self, name: str, num_bytes: int) -> int:
        """Append one member without its data, which `fill` writes; returns the offset of the data in the tar.

        Args:
            name: as of `add`.
        """
        self._write(_header(name.encode("ascii"), num_bytes))
        offset = self.num_bytes
        self.num_bytes += num_bytes + -num_bytes % _BLOCK_BYTES
        self._file.seek(self.num_bytes)
        return offset

    def fill(self, offset: int, data: bytes) -> None:
        """Write the data of a reserved member; members are filled in any order."""
        os.pwrite(self._file.fileno(), data, offset)

    def end(self) -> None:
        """Write what ends a tar: two blocks of zeros, and zeros up to a whole record."""
        self._write(bytes(2 * _BLOCK_BYTES))
        self._pad(tarfile.RECORDSIZE)

    def _pad(self, unit: int) -> None:
        self._write(bytes(-self.num_bytes % unit))

    def _write(self, data: bytes | bytearray) -> None:
        self._file.write(data)
        self.num_bytes += len(data)


def _header(name: bytes, num_bytes: int) -> bytearray:
    if len(name) > _NAME_BYTES:
        raise ValueError(f"the name {name!r} is too long for a tar header: {len(name)} characters, over {_NAME_BYTES}")
    header = bytearray(_HEADER)
    size = b"%011o" % num_bytes
    header[: len(name)] = name
    header[_SIZE] = size
    header[148:155] = b"%06o\0" % (_SUM_OF_REST + sum(name) + sum(size))
    return header


@contextmanager
def create_shard(lake: Lake, path: str) -> Iterator[ShardWriter]:
    """A new tar at `path`, there in one step when the block ends well and not at all when it does not."""
    with lake.create(path) as temporary, temporary.open("wb") as file:
        writer = ShardWriter(file)
        yield writer
        writer.end()


def read_member(lake: Lake, path: str, offset: int, length: int) -> bytes:
    """The bytes of one member.

    Raises:
        LakeError: there is no such tar, or it ends before the member does.
    """
    _check_place(lake, path, offset, length)
    with _present(lake, path):
        data = lake.read(path, offset, length)
    if len(data) != length:
        raise misplaced(f"{lake.url}/{path}", offset, length)
    return data


def read_members(lake: Lake, path: str, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    """The bytes of many members of one tar. It is opened once; of a bucket, members near each other are one request.

    Args:
        places: (offset, length) of each member, in the order of the tar.

    Raises:
        LakeError: there is no such tar, or it ends before a member does.
    """
    for place in places:
        _check_place(lake, path, *place)
    with _present(lake, path):
        yield from _read_local(lake, path, places) if lake.is_local else _read_parts(lake, path, places)


def read_places(lake: Lake, places: Sequence[tuple[str, int, int]]) -> list[bytes]:
    """The bytes of members of several tars, in their order: of some dozens, since all are in memory.

    Args:
        places: (path of the tar, offset, length) of each member.

    Raises:
        LakeError: as `read_members`.
    """
    found = [b""] * len(places)
    for path, some in groupby(sorted(range(len(places)), key=lambda at: places[at]), key=lambda at: places[at][0]):
        ats = list(some)
        for at, data in zip(ats, read_members(lake, path, [places[at][1:] for at in ats]), strict=True):
            found[at] = data
    return found


def _read_local(lake: Lake, path: str, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    with lake.open(path) as file:
        for offset, length in places:
            data = os.pread(file.fileno(), length, offset)
            if len(data) != length:
                raise misplaced(f"{lake.url}/{path}", offset, length)
            yield data


def _read_parts(lake: Lake, path: str, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
    for part in _parts(places):
        first, end = part[0][0], max(offset + length for offset, length in part)
        data = lake.read(path, first, end - first)
        for offset, length in part:
            if offset + length > first + len(data):
                raise misplaced(f"{lake.url}/{path}", offset, length)
            yield data[offset - first : offset - first + length]


def _parts(places: Sequence[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """The places in runs that one request reads."""
    part: list[tuple[int, int]] = []
    for offset, length in places:
        if part and (
            offset - sum(part[-1]) > _GAP_BYTES or offset + length - part[0][0] > _PART_BYTES or offset < part[-1][0]
        ):
            yield part
            part = []
        part.append((offset, length))
    if part:
        yield part


@contextmanager
def _present(lake: Lake, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise missing(f"{lake.url}/{path}") from error


def _check_place(lake: Lake, path: str, offset: int, length: int) -> None:
    if offset < 0 or length < 0:
        raise misplaced(f"{lake.url}/{path}", offset, length)
    # Reading asks for so much memory first, so what no picture needs is compared with the tar's length before that.
    if (length > _LARGE_BYTES or offset > _FAR_BYTES) and offset + length > (lake.size(path) or 0):
        raise misplaced(f"{lake.url}/{path}", offset, length)


def missing(where: str) -> LakeError:
    """The error for a tar that is not there."""
    return LakeError(f"{where} is missing: run `facemill check --repair`")


def misplaced(where: str, offset: int, length: int) -> LakeError:
    """The error for a tar that ends before a member does."""
    return LakeError(f"{where} has no {length} bytes at {offset}, where the index has a member: run `facemill check`")

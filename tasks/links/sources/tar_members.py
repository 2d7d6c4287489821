"""The members of a tar: names and offsets, from the headers alone."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from storage.errors import SourceError
from storage.records import Reason

# The largest header is that of a long name or of PAX fields, usually a few kilobytes.
_MAX_HEADER_BYTES = 1_000_000
# img2dataset writes 10,000 pictures a shard, so 30,000 members.
MAX_MEMBERS = 5_000_000
_BROKEN = (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError)


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a tar.

    Attributes:
        name: without a leading `./`.
        offset: of its bytes in the tar.
        size: in bytes.
        refused: the reason it is not a regular file in the tar; None if it is one.
    """

    name: str
    offset: int
    size: int
    refused: tuple[Reason, str] | None = None


def is_tar(path: Path) -> bool:
    """Whether a file begins like an uncompressed tar."""
    with path.open("rb") as file:
        return file.read(262)[257:] == b"ustar"


def read_members(path: Path, shown: str) -> Iterator[Member]:
    """The members of a tar in order, without folders. The last one is refused if the tar is damaged or truncated there.

    Args:
        shown: the tar as shown in errors.

    Raises:
        SourceError: it is not a tar, or has over `MAX_MEMBERS` members.
        OSError: it cannot be read.
    """
    num_bytes = path.stat().st_size
    with path.open("rb") as file:
        try:
            tar = tarfile.open(fileobj=_Headers(file, num_bytes), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        except _BROKEN as error:
            raise SourceError(f"{shown} is not an uncompressed tar ({error}): give the list as .tar") from error
        last = -1
        for _ in range(MAX_MEMBERS):
            try:
                info = tar.next()
            except _BROKEN as error:
                yield _cut(last, f"{error}")
                return
            # A negative size would lead back to an earlier header.
            if info is not None and (info.size < 0 or info.offset <= last):
                yield _cut(last, "a negative size or offset")
                return
            if info is None:
                file.seek(tar.offset)
                block = file.read(tarfile.BLOCKSIZE)
                if len(block) < tarfile.BLOCKSIZE or block.strip(b"\0"):
                    yield _cut(tar.offset, "the end-of-archive block is missing" if not block else "not a header")
                return
            last = info.offset
            tar.members.clear()
            if not info.isdir():
                yield Member(plain_name(info.name), info.offset_data, info.size, _why_refused(info, num_bytes))
        raise SourceError(f"{shown} has over {MAX_MEMBERS:,} members: split it into several tars")


def plain_name(name: str) -> str:
    """A member's name without a leading `./` and surrounding blanks."""
    return re.sub(r"^(\./)+", "", name.strip())


def _why_refused(info: tarfile.TarInfo, num_bytes: int) -> tuple[Reason, str] | None:
    if info.issym() or info.islnk():
        return Reason.SYMBOLIC_LINK, "a link to another file, which is not followed"
    if not info.isreg() or info.sparse is not None:
        return Reason.NOT_LISTED, "not a regular file"
    if info.offset_data + info.size > num_bytes:
        return Reason.MALFORMED_LINE, f"{info.size:,} bytes extend beyond the end of the tar: download the tar again"
    return None


def _cut(offset: int, why: str) -> Member:
    detail = f"the tar is damaged or truncated after byte {max(offset, 0):,} ({why[:100]}): download it again"
    return Member("", max(offset, 0), 0, (Reason.MALFORMED_LINE, detail))


class _Headers:
    """A file for `tarfile`, which would seek to any offset, and read a header of any size that the tar states."""

    def __init__(self, file: BinaryIO, num_bytes: int) -> None:
        self._file = file
        self._num_bytes = num_bytes
        self.tell = file.tell

    def seek(self, place: int) -> int:
        if place > self._num_bytes:
            raise tarfile.ReadError(f"byte {place:,} is beyond the end")
        return self._file.seek(place)

    def read(self, num: int) -> bytes:
        if num > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {num:,} bytes, at most {_MAX_HEADER_BYTES:,}")
        return self._file.read(num)

"""The bytes of a list: decompressed, in UTF-8, with line feeds as line ends, in blocks of whole lines."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from storage.errors import SourceError
from storage.text.encodings import as_utf8, encoding_of

BLOCK_BYTES = 8_000_000
# Limits of a line, and of a decompressed file.
MAX_LINE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 64_000_000_000
# JSON in one document, and text in UTF-16 or UTF-32, are read as a whole.
MAX_WHOLE_BYTES = 1_000_000_000
HEAD_BYTES = 1_000_000


@contextmanager
def unbroken(shown: str) -> Iterator[None]:
    """Within the block, errors of a damaged file become a SourceError of one line."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile, pa.ArrowException) as error:
        why = " ".join(str(error).split())[:200]
        raise SourceError(f"{shown} is damaged or truncated ({why}): download it again") from error


def unpacked(path: Path) -> BinaryIO:
    """A file's bytes, decompressed from gzip or zstd whatever its name."""
    with path.open("rb") as file:
        start = file.read(4)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(path)  # type: ignore[return-value]
    if start == b"\x28\xb5\x2f\xfd":
        return pa.input_stream(str(path), compression="zstd")  # type: ignore[no-any-return]
    return path.open("rb")


def read_head(path: Path) -> bytes:
    """The first megabyte of a list, in UTF-8 and with line feeds alone; Parquet as it is."""
    with unpacked(path) as stream:
        head = stream.read(HEAD_BYTES)
    return head if head.startswith(b"PAR1") else with_line_feeds(as_utf8(head))


def text_blocks(path: Path, shown: str) -> Iterator[tuple[bytes, bool]]:
    """(whole lines, whether they are the last), in UTF-8 and with line feeds alone."""
    with unpacked(path) as stream:
        head = stream.read(BLOCK_BYTES)
        if encoding_of(head) != "utf-8":
            data = as_utf8(head + stream.read(MAX_WHOLE_BYTES))
            if len(data) >= MAX_WHOLE_BYTES:
                raise SourceError(
                    f"{shown} is in UTF-16 or UTF-32 and has over {MAX_WHOLE_BYTES:,} bytes: save it as UTF-8"
                )
            yield with_line_feeds(data), True
            return
        yield from _whole_lines(_Reader(stream, head.removeprefix(codecs.BOM_UTF8), shown), shown)


class _Reader:
    """Reads a stream into one buffer, again and again: fresh memory for every block takes as long as the reading."""

    def __init__(self, stream: BinaryIO, head: bytes, shown: str) -> None:
        self._stream = cast(BufferedIOBase, stream)
        self._shown = shown
        self._num_bytes = len(head)
        self.buffer = bytearray(head)

    def fill(self, held: int) -> int:
        """Read a block behind the first `held` bytes of the buffer; returns their number with it."""
        if len(self.buffer) < held + BLOCK_BYTES:
            self.buffer = self.buffer[:held] + bytes(BLOCK_BYTES)
        view, num = memoryview(self.buffer), held
        # A compressed stream returns less than there is room for.
        while num < held + BLOCK_BYTES and (more := self._stream.readinto(view[num : held + BLOCK_BYTES])):
            num += more
        self._num_bytes += num - held
        if self._num_bytes > MAX_UNPACKED_BYTES:
            raise SourceError(
                f"{self._shown} has over {MAX_UNPACKED_BYTES:,} bytes when decompressed: split the list into several "
                "files"
            )
        return num


def _whole_lines(read: _Reader, shown: str) -> Iterator[tuple[bytes, bool]]:
    """Blocks of whole lines; the start of a line that continues is kept for the next block."""
    held = len(read.buffer)
    while True:
        num = read.fill(held)
        is_last = num < held + BLOCK_BYTES
        num = _replace_returns(read.buffer, num, is_last=is_last)
        end = num if is_last else read.buffer.rfind(b"\n", 0, num) + 1
        if end or is_last:
            yield bytes(memoryview(read.buffer)[:end]), is_last
        if is_last:
            return
        held = num - end
        if held > MAX_LINE_BYTES:
            raise SourceError(
                f"{shown} has a line of over {MAX_LINE_BYTES:,} bytes, so it is not a list: give another file"
            )
        read.buffer[:held] = read.buffer[end:num]


def _replace_returns(buffer: bytearray, num: int, *, is_last: bool) -> int:
    """Apply `with_line_feeds` to the first `num` bytes in place; returns the number left.

    Carriage returns at the end stay, since a line feed may follow, unless the block is the last.
    """
    if buffer.find(b"\r", 0, num) < 0:
        return num
    data = bytes(buffer[:num])
    ended = data if is_last else data.rstrip(b"\r")
    data = with_line_feeds(ended) + data[len(ended) :]
    buffer[: len(data)] = data
    return len(data)


def with_line_feeds(data: bytes) -> bytes:
    """Text with line feeds in place of CR LF and CR."""
    if b"\r" not in data:
        return data
    return re.sub(rb"\r+\n", b"\n", data).replace(b"\r", b"\n")

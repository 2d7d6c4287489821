"""The bytes of a list: decompressed, in UTF-8, with line feeds as line ends, in blocks of whole lines."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from storage.errors import SourceError
from storage.text import as_utf8, encoding_of

BLOCK_BYTES = 4_000_000
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
        block = stream.read(BLOCK_BYTES)
        if encoding_of(block) != "utf-8":
            data = as_utf8(block + stream.read(MAX_WHOLE_BYTES))
            if len(data) >= MAX_WHOLE_BYTES:
                raise SourceError(
                    f"{shown} is in UTF-16 or UTF-32 and has over {MAX_WHOLE_BYTES:,} bytes: save it as UTF-8"
                )
            yield with_line_feeds(data), True
            return
        rest = b""
        block = block.removeprefix(codecs.BOM_UTF8)
        num_bytes = len(block)
        while True:
            following = stream.read(BLOCK_BYTES)
            num_bytes += len(following)
            if num_bytes > MAX_UNPACKED_BYTES:
                raise SourceError(
                    f"{shown} has over {MAX_UNPACKED_BYTES:,} bytes when decompressed: split the list into several "
                    f"files"
                )
            # A CR LF split between two blocks must not count as two line ends.
            held = b"\r" if following and block.endswith(b"\r") else b""
            data = with_line_feeds(block[: len(block) - len(held)])
            if not following:
                yield rest + data, True
                return
            end = data.rfind(b"\n") + 1
            if end:
                # One copy of the block, not one to join it to the rest and another to cut it.
                yield b"".join((rest, memoryview(data)[:end])), False
            rest, block = (data[end:] if end else rest + data), held + following
            if len(rest) > MAX_LINE_BYTES:
                raise SourceError(
                    f"{shown} has a line of over {MAX_LINE_BYTES:,} bytes, so it is not a list: give another file"
                )


def with_line_feeds(data: bytes) -> bytes:
    """Text with line feeds in place of CR LF and CR."""
    if b"\r" not in data:
        return data
    return re.sub(rb"\r+\n", b"\n", data).replace(b"\r", b"\n")

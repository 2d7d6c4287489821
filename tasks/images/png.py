"""The chunks of a PNG file (W3C PNG, third edition): copy a file without the chunks that decoding does not need."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

from tasks.images.formats import TooCostlyError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour profile, EXIF and the text chunk that ImageMagick writes EXIF to
# are kept if valid; everything else (text, times, further frames) does not affect the first picture.
_NEEDED = frozenset({b"IHDR", b"PLTE"})
# The length of the transparent colour by the colour type, byte 9 of the header: gray, RGB.
_COLOUR_BYTES = {0: 2, 2: 6}
_EXIF_TEXT = b"Raw profile type exif\0"
# Encoders write 8 KB or more to a chunk, so files of 32 MB have 4,000. Walking 50,000 takes 0.1 CPU-s.
_MOST_CHUNKS = 50_000
# What a profile or EXIF may unpack to; profiles of cameras take up to 600 KB.
_MOST_UNPACKED_BYTES = 1 << 20


def bare(data: bytes) -> bytes:
    """A copy of a PNG with the chunks of its first picture, the pixels in one chunk.

    Bad checksums, decompression bombs and odd lengths in other chunks are thereby ignored. Completeness is not checked
    here; a decoder does that on the copy.

    Raises:
        TooCostlyError: there are over 50,000 chunks.
    """
    parts, pixels, header = [_SIGNATURE], [], b""
    for kind, body, is_sound in _chunks(data):
        header = header or body
        if kind == b"IDAT":
            pixels.append(body)
        elif pixels:
            # The chunks of pixels are consecutive; nothing after them matters.
            break
        elif kind in _NEEDED:
            parts.append(_chunk(kind, body, is_sound))
        elif is_sound and _is_useful(kind, body, header):
            parts.append(_chunk(kind, body))
    if pixels:
        parts.append(_chunk(b"IDAT", b"".join(pixels)))
    return b"".join([*parts, _chunk(b"IEND", b"")])


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Type, content, and validity of the checksum of each chunk."""
    at = len(_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        kind, start = data[at + 4 : at + 8], at + 8
        end = start + int.from_bytes(data[at : at + 4], "big")
        if not (len(kind) == 4 and kind.isalpha()):
            return
        body = data[start:end]
        yield kind, body, data[end : end + 4] == zlib.crc32(body, zlib.crc32(kind)).to_bytes(4, "big")
        at = end + 4
    raise TooCostlyError(f"over {_MOST_CHUNKS} chunks")


def _chunk(kind: bytes, body: bytes, is_sound: bool = True) -> bytes:
    checksum = zlib.crc32(body, zlib.crc32(kind)) ^ (not is_sound)
    return len(body).to_bytes(4, "big") + kind + body + checksum.to_bytes(4, "big")


def _is_useful(kind: bytes, body: bytes, header: bytes) -> bool:
    if kind == b"tRNS" and len(header) == 13:
        return len(body) == _COLOUR_BYTES.get(header[9], len(body))
    if kind == b"iCCP":
        return _unpacks(body.partition(b"\0")[2])
    if kind == b"zTXt" and body.startswith(_EXIF_TEXT):
        return _unpacks(body[len(_EXIF_TEXT) :])
    return kind == b"eXIf" or (kind == b"tEXt" and body.startswith(_EXIF_TEXT) and len(body) < _MOST_UNPACKED_BYTES)


def _unpacks(packed: bytes) -> bool:
    """Whether the data are a method byte of zero and a zlib stream of at most a megabyte unpacked."""
    unpacker = zlib.decompressobj()
    with suppress(zlib.error):
        unpacker.decompress(packed[1:], _MOST_UNPACKED_BYTES)
        return packed[:1] == b"\0" and unpacker.eof
    return False

"""JPEG files by their markers (ITU-T T.81, annex B): the cost of decoding, completeness, and a copy without parts that
confuse decoders.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from tasks.images.formats import TooCostlyError

_EOI, _SOS, _APP0, _APP1, _APP2, _ADOBE = 0xD9, 0xDA, 0xE0, 0xE1, 0xE2, 0xEE
# Start of frame by coding; the other three codes of this range are tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC9})
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
# Segments that decoding needs: frames, and tables of Huffman, arithmetic and quantization, restart interval.
_NEEDED = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDD}
# Besides, libjpeg passes over DNL, application segments and comments.
_KNOWN = _NEEDED | {_SOS, 0xDC, *range(0xE0, 0xF0), 0xFE}
# TEM, the only marker without a length that may stand between segments.
_ALONE = 0x01
# A marker other than a restart, with its fill bytes.
_MARKER = re.compile(rb"\xff+[^\x00\xd0-\xd7\xff]")
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")

# The least side of the gray picture that `gray` gives.
GRAY_PX = 64
# The warnings of libjpeg on damaged or missing coded data. Others may be harmless.
_DAMAGE = ("premature end of data segment", "bad Huffman code", "bad arithmetic code")

# Progressive pictures of the web have about 10 scans, the most elaborate scripts under 20.
_MOST_SCANS = 100
# A nearly empty scan costs up to 1 ns a pixel (measured): 2 s for this many.
_MOST_SCANNED = 2_000_000_000
# The bounds for decoding in this process: at most 0.3 CPU-s and 130 MB.
_BOUNDED_PIXELS, _BOUNDED_SCANNED = 16_000_000, 128_000_000


class Header(NamedTuple):
    """The header before the first scan; `is_one_scan` if the standard allows no further scan."""

    frame: int
    width: int
    height: int
    is_one_scan: bool


class Segment(NamedTuple):
    """A marker's code and offset, its content, and the coded data after the header of a scan."""

    code: int
    at: int
    body: bytes
    coded: bytes = b""


def read_header(data: bytes) -> Header | None:
    """The header of a file with segments in the standard's form; None for any other file."""
    at, frame = 2, b""
    while at + 4 < len(data) and data[at] == 0xFF and (code := data[at + 1]) in _KNOWN:
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if code == _SOS:
            return _header(frame, data[at + 4]) if len(frame) > 8 else None
        if length < 2:
            break
        if code in _FRAMES:
            frame = data[at + 1 : at + 2 + length]
        at += 2 + length
    return None


def _header(frame: bytes, num_in_scan: int) -> Header:
    height, width = int.from_bytes(frame[4:6], "big"), int.from_bytes(frame[6:8], "big")
    return Header(frame[0], width, height, frame[0] in _SEQUENTIAL and num_in_scan == frame[8])


def is_bounded(data: bytes) -> bool:
    """Whether decoding the file is certainly cheap, so that it needs no child process."""
    header = read_header(data)
    if header is None or header.frame not in _HUFFMAN or header.width * header.height > _BOUNDED_PIXELS:
        return False
    if header.is_one_scan:
        return True
    num = _num_scan_markers(data)
    return num <= _MOST_SCANS and num * header.width * header.height <= _BOUNDED_SCANNED


def check_cost(data: bytes, width: int, height: int) -> None:
    """Reject a picture with too many scans for its size.

    A progressive picture may repeat a band any number of times; each scan costs a pass over all its blocks.

    Raises:
        TooCostlyError: there are over 100 scans, or scans of over 2,000 million pixels in all.
        ValueError: a marker that no decoder knows.
    """
    if is_bounded(data):
        return
    num = _num_scan_markers(data)
    if num > _MOST_SCANS:
        # Data after the picture, such as the film that phones append, contain such bytes by chance.
        num = sum(one.code == _SOS for one in _segments(data))
    if num > _MOST_SCANS:
        raise TooCostlyError(f"{num} scans are over {_MOST_SCANS}")
    if num * width * height > _MOST_SCANNED:
        raise TooCostlyError(f"{num} scans of {width}x{height} are over {_MOST_SCANNED} pixels")


def _num_scan_markers(data: bytes) -> int:
    """The number of scan markers in the file, thumbnails included. A fifth of the time of `bytes.count`."""
    raw = np.frombuffer(data, np.uint8)
    starts = np.flatnonzero(raw[:-1] == 0xFF)
    return int(np.count_nonzero(raw[starts + 1] == _SOS))


def gray(data: bytes, width: int, height: int, *, strict: bool = True) -> NDArray[np.uint8]:
    """The picture, uint8 [height, width, 1], at the smallest scale of at least 64 px a side.

    Takes 0.66 CPU-ms (`bench.floor`); Pillow's full decode, which accepts zeroed blocks, takes more than twice that. A
    fixed scale of 1/8 takes no less and finds fewer copies.

    Args:
        strict: every warning of libjpeg is an error, which detects truncation and zeroed blocks.

    Raises:
        ValueError: the picture is damaged, or with `strict` not quite standard.
    """
    pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
        data,
        colorspace="GRAY",
        fastdct=True,
        fastupsample=True,
        min_height=min(height, GRAY_PX),
        min_width=min(width, GRAY_PX),
        strict=strict,
    )
    return pixels


def mended(data: bytes) -> bytes:
    """A standard copy of a nonstandard but complete JPEG.

    Completeness is proven: the copy decodes strictly, to the same gray pixels as the original decoded leniently, as
    viewers do.

    Raises:
        TooCostlyError: as `check_cost`.
        ValueError: it is incomplete, or not proven complete.
    """
    odd = tidied(data, header_only=True)
    height, width, _, _ = simplejpeg.decode_jpeg_header(odd, strict=True)
    check_cost(data, width, height)
    seen = gray(odd, width, height, strict=False)
    # One zero at the end of a scan is coded data in 1 of 256 files; more are padding or lost data.
    for keep_one_zero in (True, False):
        tidy = tidied(data, keep_one_zero=keep_one_zero)
        with suppress(ValueError):
            if np.array_equal(gray(tidy, width, height), seen):
                return tidy
    raise ValueError("its scans are not complete")


def mended_or_raise(data: bytes, error: Exception) -> bytes:
    """The `mended` copy of a JPEG that a decoder rejected with `error`; raises that error if there is none.

    Raises:
        TooCostlyError: as `check_cost`.
    """
    try:
        return mended(data)
    except TooCostlyError:
        raise
    except ValueError:
        raise error from None


def is_damage(error: ValueError) -> bool:
    """Whether an error of `gray` proves that the picture is incomplete."""
    return any(words in str(error) for words in _DAMAGE)


def tidied(data: bytes, *, header_only: bool = False, keep_one_zero: bool = True) -> bytes:
    """A copy with the segments needed for decoding, each in the standard's form.

    Removed: bytes between segments, metadata except EXIF, XMP, a valid colour profile and a valid Adobe segment, and
    data after the end of the picture. Corrected: the JFIF version, Adobe's colour transform, the band of a sequential
    scan, the numbers of restarts, and a missing end marker if all scans are complete. Zero bytes at the end of a scan
    are removed, since some editors pad there.

    Completeness is not checked here; a strict decoder does that on the copy.

    Args:
        header_only: copy everything from the first scan on unchanged.
        keep_one_zero: keep one zero byte at the end of a scan.

    Raises:
        ValueError: there is no frame or no scan, or the file ends before all scans.
    """
    segments = list(_segments(data))
    frame = next((one for one in segments if one.code in _FRAMES and len(one.body) > 5), None)
    scans = [one for one in segments if one.code == _SOS and len(one.body) > 3]
    if frame is None or not scans:
        raise ValueError("no frame or no scan")
    if segments[-1].code != _EOI and not _is_complete(frame, scans):
        raise ValueError("the file ends before all scans of its picture")
    has_profile = _is_sound_profile([one.body for one in segments if _is_profile(one)])
    parts = [b"\xff\xd8"]
    for one in segments:
        if one.code == _SOS and header_only:
            return b"".join([*parts, data[one.at :]])
        if not _is_profile(one) or has_profile:
            parts += _tidied_segment(one, frame, keep_one_zero)
    return b"".join([*parts, b"\xff\xd9"])


def _segments(data: bytes) -> Iterator[Segment]:
    """All segments up to the end of the picture. As in libjpeg, other bytes are skipped.

    Raises:
        ValueError: a marker that no decoder knows.
    """
    at = 2
    while found := _MARKER.search(data, at):
        code, at = data[found.end() - 1], found.end()
        if code == _EOI:
            yield Segment(code, found.start(), b"")
            return
        if code != _ALONE:
            if code not in _KNOWN:
                raise ValueError(f"unknown marker 0x{code:02x}")
            end = at + max(int.from_bytes(data[at : at + 2], "big"), 2)
            following = _MARKER.search(data, end) if code == _SOS else None
            stop = following.start() if following else len(data)
            yield Segment(code, found.start(), data[at + 2 : end], data[end:stop] if code == _SOS else b"")
            at = end


def _tidied_segment(one: Segment, frame: Segment, keep_one_zero: bool) -> list[bytes]:
    if one.code == _SOS:
        body = one.body[:-3] + b"\0\x3f\0" if frame.code in _SEQUENTIAL else one.body
        return [_segment(_SOS, body), _tidied_scan(one.coded, keep_one_zero)]
    if one.code in _NEEDED or one.code == _APP1 or _is_profile(one):
        return [_segment(one.code, one.body)]
    if one.code == _APP0 and one.body.startswith(b"JFIF\0") and len(one.body) >= 14:
        return [_segment(_APP0, one.body[:5] + b"\x01" + one.body[6:])]
    if one.code == _ADOBE and one.body.startswith(b"Adobe") and len(one.body) >= 12:
        # libjpeg treats any other transform as YCbCr, or with four components as YCCK.
        usual = 2 if frame.body[5] == 4 else 1
        return [_segment(_ADOBE, one.body[:11] + bytes([one.body[11] and usual]) + one.body[12:])]
    return []


def _tidied_scan(coded: bytes, keep_one_zero: bool) -> bytes:
    bare = coded.rstrip(b"\0")
    # A byte of 255 in coded data is followed by a stuffed zero.
    kept = int(bare.endswith(b"\xff"))
    if keep_one_zero and len(coded) == len(bare) + kept + 1:
        kept += 1
    numbers = cycle(range(0xD0, 0xD8))
    return _RESTART.sub(lambda _: bytes([0xFF, next(numbers)]), coded[: len(bare) + kept])


def _segment(code: int, body: bytes) -> bytes:
    return bytes([0xFF, code]) + (len(body) + 2).to_bytes(2, "big") + body


def _is_profile(one: Segment) -> bool:
    return one.code == _APP2 and one.body.startswith(b"ICC_PROFILE\0")


def _is_sound_profile(bodies: list[bytes]) -> bool:
    """Whether the parts of a colour profile are numbered from 1 to their stated count."""
    numbers = sorted(body[12:14] for body in bodies)
    return all(number == bytes([place + 1, len(bodies)]) for place, number in enumerate(numbers) if len(bodies) < 256)


def _is_complete(frame: Segment, scans: list[Segment]) -> bool:
    """Whether the scans hold every coefficient of every component to its last bit."""
    low_bits: dict[tuple[int, int], int] = {}
    for scan in scans:
        start, end, bits = scan.body[-3:] if frame.code not in _SEQUENTIAL else (0, 63, 0)
        components = scan.body[1 : 1 + 2 * scan.body[0] : 2]
        low_bits |= {(one, place): bits & 15 for one in components for place in range(start, min(end, 63) + 1)}
    return all(low_bits.get((one, place)) == 0 for one in frame.body[6::3] for place in range(64))

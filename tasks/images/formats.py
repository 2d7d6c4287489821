"""The accepted picture formats, identified by their first bytes, and the error for pictures that cost too much."""

from __future__ import annotations

# Pillow's name of each accepted format, and its media type for the Accept header. Not HEIC, which Pillow does not read,
# SVG, which is a program, nor EPS, for which Pillow starts another program.
FORMATS = {
    "AVIF": "image/avif",
    "WEBP": "image/webp",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}
_AVIF_BRANDS = {b"avif", b"avis"}
# The most bytes of a box of brands: 16 names. AVIF writers list 4 to 8.
_LONGEST_BRANDS = 16 + 4 * 16


class TooCostlyError(ValueError):
    """Decoding would take more time or memory than any picture needs; determined before decoding."""


def sniff(data: bytes) -> str | None:
    """The format by the first bytes, by Pillow's name; None if it is not one of `FORMATS`."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return "AVIF" if _AVIF_BRANDS & set(_brands(data)) else None
    return next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)


def _brands(data: bytes) -> list[bytes]:
    """The major and the compatible brands of an ISO media file (ISO/IEC 14496-12, 4.3)."""
    end = min(int.from_bytes(data[:4], "big"), len(data), _LONGEST_BRANDS)
    return [data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))]

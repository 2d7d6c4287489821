"""Check whether the bytes of a picture reach its end marker."""

from __future__ import annotations

from tasks.images.formats import sniff

# The last bytes of a file: JPEG's end of image, PNG's chunk IEND with its checksum, GIF's last empty block and trailer.
_LAST = {"JPEG": b"\xff\xd9", "PNG": b"\0\0\0\0IEND\xaeB`\x82", "GIF": b"\0;"}


def has_end_marker(data: bytes) -> bool:
    """Whether `data` ends with the end of its picture, apart from zero bytes. The picture itself may be damaged.

    False for TIFF, which has no end marker, and for data that are not a picture.
    """
    kind = sniff(data)
    if kind in _LAST:
        return data.rstrip(b"\0").endswith(_LAST[kind].rstrip(b"\0"))
    if kind == "WEBP":
        return len(data) >= int.from_bytes(data[4:8], "little") + 8
    if kind == "BMP":
        return len(data) >= int.from_bytes(data[2:6], "little") > 0
    return kind == "AVIF" and _boxes_end(data)


def _boxes_end(data: bytes) -> bool:
    """Whether the last box of an ISO media file is complete (ISO/IEC 14496-12, 4.2)."""
    start = 0
    while start + 8 <= len(data):
        size, header = int.from_bytes(data[start : start + 4], "big"), 8
        if size == 1:
            size, header = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        if size < header:  # 0: the box extends to the end of the file
            return False
        start += size
    return start == len(data)

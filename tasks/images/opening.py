"""Open pictures with Pillow after cheap checks of format and cost."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from math import prod

from PIL import Image, ImageFile, UnidentifiedImageError

from tasks.images import jpeg, png
from tasks.images.formats import TooCostlyError, sniff

# Pillow decodes these bitmaps in Python, at 0.2 CPU-us a pixel: 0.8 s for this many.
_MOST_RLE_PIXELS = 4_000_000
_RLE = (1, 2)
# TIFF tiles extend beyond the edges, so a small picture of large tiles has many more pixels.
_MOST_TILED_PIXELS = 16_000_000
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS = 322, 323, 324


def open_picture(data: bytes) -> ImageFile.ImageFile:
    """Open a picture: the header is read, no pixel is decoded.

    PNG chunks that the pixels do not need, and JPEG segments that Pillow cannot read, are ignored, as viewers do.

    Raises:
        TooCostlyError: its structure costs more to decode than any picture needs.
        decode.PARSER_ERRORS: the format is not accepted, or the picture is damaged.
    """
    kind = sniff(data)
    if kind is None:
        raise UnidentifiedImageError(f"starts with {data[:12]!r}")
    image = Image.open(BytesIO(png.bare(data) if kind == "PNG" else data), formats=[kind])
    try:
        _CHECKS.get(kind, _no_check)(image, data)
    except TooCostlyError:
        image.close()
        raise
    return image


def _no_check(image: ImageFile.ImageFile, data: bytes) -> None:
    """The cost of a GIF, PNG, WebP or AVIF depends on its pixels only."""


def _check_jpeg(image: ImageFile.ImageFile, data: bytes) -> None:
    jpeg.check_cost(data, *image.size)


def _check_bitmap(image: ImageFile.ImageFile, data: bytes) -> None:
    if image.info.get("compression") in _RLE and prod(image.size) > _MOST_RLE_PIXELS:
        raise TooCostlyError(f"{image.width}x{image.height} in run lengths is over {_MOST_RLE_PIXELS} pixels")


def _check_tiff(image: ImageFile.ImageFile, data: bytes) -> None:
    tags = getattr(image, "tag_v2", {})
    width, length, offsets = (tags.get(tag, 0) for tag in (_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS))
    if not (isinstance(width, int) and isinstance(length, int)):
        raise SyntaxError("the size of tiles is no number")
    tiled = width * length * (len(offsets) if isinstance(offsets, tuple) else 1)
    if tiled > max(_MOST_TILED_PIXELS, 2 * len(image.getbands()) * prod(image.size)):
        raise TooCostlyError(f"tiles of {tiled} pixels for {image.width}x{image.height}")


# The checks of decoding cost, by format.
_CHECKS: dict[str, Callable[[ImageFile.ImageFile, bytes], None]] = {
    "JPEG": _check_jpeg,
    "BMP": _check_bitmap,
    "TIFF": _check_tiff,
}

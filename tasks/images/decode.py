"""Decode pictures as a viewer displays them: upright, 8-bit sRGB, on white, first frame."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from storage.records import Reason
from tasks.images import jpeg, sandbox
from tasks.images.formats import TooCostlyError, sniff
from tasks.images.opening import open_picture

# The exceptions of Pillow's parsers on damaged files: of 157,000 all but 1900 gave OSError, most of the rest
# DecompressionBombError, then SyntaxError, ValueError, TypeError. A missing palette gives AssertionError.
# The others were found in its code.
PARSER_ERRORS = (
    AssertionError,
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)

T = TypeVar("T")

_ORIENTATION = 0x0112
# The pixels of a band of rows: whole pictures would need several copies.
_BAND_PIXELS = 1 << 20
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UndecodableImage(ValueError):
    """The bytes cannot be decoded; `reason` is stored in their row."""

    def __init__(self, message: str, reason: Reason = Reason.BROKEN_IMAGE) -> None:
        super().__init__(message)
        self.reason = reason


def decode(data: bytes, max_pixels: int = 100_000_000) -> Image.Image:
    """Decode a picture as a viewer displays it.

    The EXIF orientation is applied, colours are converted to sRGB, transparency is put on white, 16 bits become 8,
    and an animation gives its first frame. Damaged EXIF and colour profiles are ignored.

    Anything but a JPEG that is certainly cheap to decode is decoded in a child process (`tasks.images.sandbox`), so
    that no file takes more than 20 CPU-s and 2 GB. Pillow keeps 4 bytes for each pixel
    of RGB, and there are two copies at a time at most: 8 bytes a pixel, besides what the decoder holds while it
    works (with one copy: up to 8 bytes for the coefficients of a progressive JPEG, 12 for WebP). In this process
    that is at most 200 MB for a JPEG of 16 million pixels; any other picture takes 7 bytes a pixel here, 3 as
    received and 4 as returned (`bench.decode`).

    Args:
        data: a JPEG, PNG, GIF, WebP, AVIF, BMP or TIFF file.
        max_pixels: the most pixels to decode, by the header.

    Returns:
        A picture of mode RGB without metadata.

    Raises:
        UndecodableImage: the format is not supported; the picture is damaged, over `max_pixels`, or too costly.
    """
    if jpeg.is_bounded(data):
        return decode_here(data, max_pixels)
    try:
        facts, pixels = sandbox.Call(decode_for_parent, data, max_pixels=max_pixels).run()
    except sandbox.OverLimitError as error:
        raise UndecodableImage(str(error), Reason.TOO_COSTLY) from error
    except sandbox.CrashedError as error:
        raise UndecodableImage(str(error)) from error
    if "reason" in facts:
        raise UndecodableImage(facts["detail"], Reason(facts["reason"]))
    return Image.frombytes("RGB", (facts["width"], facts["height"]), pixels)


def decode_for_parent(data: bytes, max_pixels: int) -> sandbox.Result:
    """`decode_here` for the parent process: width, height and pixels, or reason and detail."""
    try:
        image = decode_here(data, max_pixels)
    except UndecodableImage as error:
        return {"reason": error.reason, "detail": str(error)}, b""
    return {"width": image.width, "height": image.height}, image.tobytes()


def decode_here(data: bytes, max_pixels: int) -> Image.Image:
    """`decode` in this process, without limits; MemoryError is not caught."""
    try:
        # Pillow's warnings on large pictures and odd files would reject a good picture under `-W error`.
        with warnings.catch_warnings(action="ignore"):
            return _read(data, partial(_decode, max_pixels=max_pixels))
    except (UndecodableImage, MemoryError):
        raise
    except TooCostlyError as error:
        raise UndecodableImage(str(error), Reason.TOO_COSTLY) from error
    except Image.DecompressionBombError as error:
        raise UndecodableImage(str(error), Reason.TOO_MANY_PIXELS) from error
    except PARSER_ERRORS as error:
        raise UndecodableImage(f"{type(error).__name__}: {error}"[:200]) from error


def orientation(data: bytes) -> int:
    """The EXIF orientation of a picture's file: 2 to 8 if its pixels must be rotated or mirrored, else 1."""
    try:
        with warnings.catch_warnings(action="ignore"):
            found = _read(data, _orientation)
    except PARSER_ERRORS:
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def _read(data: bytes, read: Callable[[Image.Image], T]) -> T:
    """The result of `read` for the opened picture, or for its repaired copy if Pillow cannot read a JPEG."""
    try:
        with open_picture(data) as image:
            return read(image)
    except (UndecodableImage, MemoryError, TooCostlyError, Image.DecompressionBombError):
        raise
    except PARSER_ERRORS as error:
        if sniff(data) != "JPEG":
            raise
        with open_picture(jpeg.mended_or_raise(data, error)) as image:
            return read(image)


def _decode(image: Image.Image, max_pixels: int) -> Image.Image:
    if image.width * image.height > max_pixels:
        raise UndecodableImage(f"{image.width}x{image.height} is over {max_pixels} pixels", Reason.TOO_MANY_PIXELS)
    image.load()
    return _as_seen(image)


def _as_seen(image: Image.Image) -> Image.Image:
    # Read before the conversions below, which may drop them.
    turned, profile = _orientation(image), image.info.get("icc_profile")
    steps: list[Callable[[Image.Image], Image.Image]] = [_in_8_bits, _opaque, partial(_in_srgb, profile=profile)]
    if turned in _UPRIGHT:
        steps.append(partial(Image.Image.transpose, method=_UPRIGHT[turned]))
    for step in steps:
        seen = step(image)
        if seen is not image:
            # At most two copies at a time.
            image.close()
        image = seen
    # A profile or comment would be written into every crop.
    image.info.clear()
    return image


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except PARSER_ERRORS:
        return None


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Scale I;16 from 0..65535; I and F, which have no defined range, from their lowest to their highest value."""
    if not image.mode.startswith(("I", "F")):
        return image
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else _range(image)
    seen = Image.new("L", image.size)
    for top, band in _bands(image):
        scaled = (_values(band) - low) * (255 / max(high - low, 1e-9))
        seen.paste(Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8)), (0, top))
    return seen


def _range(image: Image.Image) -> tuple[float, float]:
    ends = [(float(values.min()), float(values.max())) for values in (_values(band) for _, band in _bands(image))]
    return min(low for low, _ in ends), max(high for _, high in ends)


def _values(band: Image.Image) -> NDArray[np.float32]:
    return np.nan_to_num(np.asarray(band, dtype=np.float32))


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """The picture in bands of rows, each with its first row."""
    rows = max(_BAND_PIXELS // image.width, 1)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _opaque(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        white = Image.new("RGB", image.size, "white")
        for top, band in _bands(image):
            clear = band.convert("RGBA")
            white.paste(clear, (0, top), mask=clear.getchannel("A"))
        return white
    return image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            theirs = ImageCms.ImageCmsProfile(BytesIO(profile))
            # Most profiles on the web are sRGB, for which a conversion changes nothing.
            if not ImageCms.getProfileDescription(theirs).startswith("sRGB"):
                converted = ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, *PARSER_ERRORS):
            pass
    return image.convert("RGB")

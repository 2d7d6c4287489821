"""From bytes to pixels as a person would see them: upright, 8-bit sRGB, on white, first frame."""

from __future__ import annotations

import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

from tasks.formats import FORMATS

# Pillow knows many more formats; some of them start other programs (EPS).
_FORMATS = tuple(FORMATS)

# What Pillow's parsers raise on damaged files: of 157,000 all but 1900 gave OSError, most of those a
# DecompressionBombError, then SyntaxError, ValueError, TypeError. The others are read out of their code.
PARSER_ERRORS = (
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

_ORIENTATION = 0x0112
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
    """The bytes give no picture: a row with `Reason.BROKEN_IMAGE`."""


def decode(data: bytes, max_pixels: int = 100_000_000) -> Image.Image:
    """The picture in `data` as it is meant to be seen.

    EXIF rotation is applied, colours are brought to sRGB, transparency lies on white, 16 bits become 8, and
    of an animation the first frame counts. Damaged EXIF and colour profiles are passed over.

    Args:
        data: a JPEG, PNG, GIF, WebP, AVIF, BMP or TIFF file.
        max_pixels: the most pixels to decode, by the header's word (100 million take 300 MB).

    Returns:
        A picture of mode RGB that carries no metadata.

    Raises:
        UndecodableImage: the bytes are of no such format, damaged, or of more than `max_pixels`.
    """
    try:
        # Pillow warns of large pictures and odd files; under `-W error` that would lose a good picture.
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UndecodableImage(f"{image.width}x{image.height} is over {max_pixels} pixels")
            image.load()
            return _as_seen(image)
    except UndecodableImage:
        raise
    except PARSER_ERRORS as error:
        raise UndecodableImage(f"{type(error).__name__}: {error}"[:200]) from error


def orientation(data: bytes) -> int:
    """The EXIF orientation of a picture's file: 2 to 8 where its pixels are to be turned or mirrored, else 1."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(data), formats=_FORMATS) as image:
            found = _orientation(image)
    except PARSER_ERRORS:
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def _as_seen(image: Image.Image) -> Image.Image:
    # Read before the conversions below, which may drop them.
    turned, profile = _orientation(image), image.info.get("icc_profile")
    seen = _in_srgb(_opaque(_in_8_bits(image)), profile)
    if turned in _UPRIGHT:
        seen = seen.transpose(_UPRIGHT[turned])
    # A profile or a comment left here would be written into every crop.
    seen.info.clear()
    return seen


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except PARSER_ERRORS:
        return None


def _in_8_bits(image: Image.Image) -> Image.Image:
    """I;16 scaled from 0..65535; I and F, whose range nobody states, from the lowest to the highest value."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32))
    low, high = (0.0, 65535.0) if image.mode.startswith("I;16") else (float(values.min()), float(values.max()))
    scaled = (values - low) * (255 / max(high - low, 1e-9))
    return Image.fromarray(scaled.round().clip(0, 255).astype(np.uint8))


def _opaque(image: Image.Image) -> Image.Image:
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(clear, mask=clear.getchannel("A"))
        return white
    return image if image.mode in ("RGB", "CMYK", "L") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            theirs = ImageCms.ImageCmsProfile(BytesIO(profile))
            # Most profiles on the web say sRGB; converting those would cost time and change nothing.
            if not ImageCms.getProfileDescription(theirs).startswith("sRGB"):
                converted = ImageCms.profileToProfile(image, theirs, ImageCms.createProfile("sRGB"), outputMode="RGB")
                return converted if converted is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, *PARSER_ERRORS):
            pass
    return image.convert("RGB")

"""Validate pictures: format, completeness and size, from the bytes alone, cheapest check first."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image, ImageFile

from storage.records import ImageFacts, Reason, bytes_digest
from storage.stamps.setting_field import setting
from tasks.images import jpeg, sandbox
from tasks.images.decode import PARSER_ERRORS
from tasks.images.formats import TooCostlyError, sniff
from tasks.images.opening import open_picture


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """The accepted sizes of a picture, in stored pixels."""

    min_side_px: int = setting(64, "least shorter side of a picture, in pixels", ge=1)
    max_pixels: int = setting(64_000_000, "greatest number of pixels of a picture", ge=1, le=100_000_000)


@dataclass(frozen=True, slots=True)
class Invalid:
    """The reason a picture is rejected."""

    reason: Reason
    detail: str


def validate(data: bytes, limits: ImageLimits = ImageLimits()) -> ImageFacts | Invalid:
    """Validate one picture and describe it, in a child process if that may be expensive. Never raises for the content
    of the bytes.

    The limit of pixels is applied to the header, before decoding.
    """
    if is_bounded(data):
        return validate_here(data, limits, bounded=True)
    return validate_apart(call_apart(data, limits), data)


def is_bounded(data: bytes) -> bool:
    """Whether validation is certainly cheap: the data are not a picture, or a JPEG of ordinary coding and size."""
    kind = sniff(data)
    return kind is None or (kind == "JPEG" and jpeg.is_bounded(data))


def call_apart(data: bytes, limits: ImageLimits, apart: sandbox.Limits = sandbox.Limits()) -> sandbox.Call:
    """The call that validates a picture in a child process, for `validate_apart`."""
    return sandbox.Call(validate_for_parent, data, apart, min_side_px=limits.min_side_px, max_pixels=limits.max_pixels)


def validate_apart(call: sandbox.Call, data: bytes) -> ImageFacts | Invalid:
    """The result of `validate_here` in a child process."""
    try:
        facts, dhash = call.run()
    except sandbox.OverLimitError as error:
        return Invalid(Reason.TOO_COSTLY, str(error))
    except sandbox.CrashedError as error:
        return Invalid(Reason.BROKEN_IMAGE, str(error))
    if "reason" in facts:
        return Invalid(Reason(facts["reason"]), facts["detail"])
    return ImageFacts(bytes_digest(data), len(data), facts["format"], facts["width"], facts["height"], dhash)


def validate_for_parent(data: bytes, min_side_px: int, max_pixels: int) -> sandbox.Result:
    """`validate_here` for the parent process: format, width, height and hash, or reason and detail."""
    result = validate_here(data, ImageLimits(min_side_px, max_pixels))
    if isinstance(result, Invalid):
        return {"reason": result.reason, "detail": result.detail}, b""
    return {"format": result.format, "width": result.width, "height": result.height}, result.dhash


def validate_here(data: bytes, limits: ImageLimits, *, bounded: bool = False) -> ImageFacts | Invalid:
    """`validate` in this process, without limits; MemoryError is not caught.

    Args:
        bounded: `is_bounded` is known to hold for the data.
    """
    if not data:
        return Invalid(Reason.EMPTY, "0 bytes")
    kind = sniff(data)
    if kind is None:
        return Invalid(Reason.NOT_AN_IMAGE, f"starts with {data[:12]!r}")
    try:
        return _facts(data, kind, limits, bounded=bounded)
    except MemoryError:
        raise
    except PARSER_ERRORS as error:
        return Invalid(_reason(error), f"{kind}: {error}"[:200])


def _reason(error: Exception) -> Reason:
    if isinstance(error, TooCostlyError):
        return Reason.TOO_COSTLY
    # Pillow's own limit on the header, 179 million pixels, is applied first.
    return Reason.TOO_MANY_PIXELS if isinstance(error, Image.DecompressionBombError) else Reason.BROKEN_IMAGE


def _facts(data: bytes, kind: str, limits: ImageLimits, *, bounded: bool) -> ImageFacts | Invalid:
    seen = _inspect_jpeg(data, limits, bounded=bounded) if kind == "JPEG" else _inspect(data, limits)
    if isinstance(seen, Invalid):
        return seen
    width, height, gray = seen
    return ImageFacts(
        digest=bytes_digest(data),
        num_bytes=len(data),
        format=kind,
        width=width,
        height=height,
        dhash=difference_hash(gray),
    )


def difference_hash(gray: Image.Image) -> bytes:
    """The difference hash, 16 bytes: whether each cell of an 8x8 grid is brighter than its left and upper neighbours.

    Both directions of dHash (Krawetz, "Kind of Like That", 2013). Copies that were resized or compressed again
    differ in a few bits.
    """
    cells = np.asarray(gray.resize((9, 9), Image.Resampling.BILINEAR), dtype=np.int16)
    across = cells[:8, 1:] > cells[:8, :-1]
    down = cells[1:, :8] > cells[:-1, :8]
    return np.packbits(np.concatenate([across.ravel(), down.ravel()])).tobytes()


def _inspect_jpeg(data: bytes, limits: ImageLimits, *, bounded: bool) -> tuple[int, int, Image.Image] | Invalid:
    """Width, height and gray pixels. The header is read by the decoder itself: Pillow's results on 19,000 damaged files
    were the same, and reading it with Pillow would take a tenth of the time of a validation.
    """
    try:
        return _decode_jpeg(data, limits, bounded=bounded)
    except TooCostlyError:
        raise
    except ValueError as error:
        if jpeg.is_damage(error):
            raise
        return _decode_jpeg(jpeg.mended_or_raise(data, error), limits, bounded=False)


def _decode_jpeg(data: bytes, limits: ImageLimits, *, bounded: bool) -> tuple[int, int, Image.Image] | Invalid:
    height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=True)
    refused = _check_size(width, height, limits)
    if refused:
        return refused
    if not bounded:
        jpeg.check_cost(data, width, height)
    return width, height, Image.fromarray(jpeg.gray(data, width, height)[:, :, 0])


def _inspect(data: bytes, limits: ImageLimits) -> tuple[int, int, Image.Image] | Invalid:
    """Width, height and gray pixels of any other format."""
    with warnings.catch_warnings(action="ignore"), open_picture(data) as image:
        width, height = image.size
        return _check_size(width, height, limits) or (width, height, _gray_of(image))


def _check_size(width: int, height: int, limits: ImageLimits) -> Invalid | None:
    if width * height > limits.max_pixels:
        return Invalid(Reason.TOO_MANY_PIXELS, f"{width}x{height} is over {limits.max_pixels} pixels")
    if min(width, height) < limits.min_side_px:
        return Invalid(Reason.TOO_SMALL, f"{width}x{height} is under {limits.min_side_px} px")
    return None


def _gray_of(image: ImageFile.ImageFile) -> Image.Image:
    image.load()
    if image.mode == "P" and image.palette is None:
        raise SyntaxError("its palette is missing")
    # A direct conversion of 16-bit and float pictures clips to white: they are scaled to their own range.
    if image.mode.startswith(("I", "F")):
        # Reduced first: 64 million pixels as float64 would take 1.3 GB, this 0.55 (measured).
        wide = image if image.mode == "F" else image.convert("I")
        values = np.nan_to_num(
            np.asarray(wide.resize((jpeg.GRAY_PX, jpeg.GRAY_PX), Image.Resampling.BOX), dtype=np.float64)
        )
        spread = max(float(np.ptp(values)), 1.0)
        return Image.fromarray(((values - values.min()) * (255 / spread)).astype(np.uint8))
    return image.convert("L")

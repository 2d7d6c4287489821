"""Cut a loose square out of the picture. Tighter and aligned crops are derived from it later."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from storage.records import Box
from tasks.faces.methods.crop_settings import CropSettings


@dataclass(frozen=True, slots=True)
class Square:
    """A square of whole pixels, resized to `out_px` x `out_px`. It may extend beyond the picture.

    A point (x, y) of the picture is at ((x - left) * scale, (y - top) * scale) in the crop, exactly.
    """

    left: int
    top: int
    side_px: int
    out_px: int

    @property
    def scale(self) -> float:
        """Pixels of the crop per pixel of the picture, at most 1."""
        return self.out_px / self.side_px

    def points(self, xy: tuple[float, ...]) -> tuple[float, ...]:
        """Points (x, y, x, y, ...) of the picture, or a box, in pixels of the crop."""
        origin = (self.left, self.top)
        return tuple((value - origin[i % 2]) * self.scale for i, value in enumerate(xy))

    def box(self, box_xyxy: Box) -> Box:
        """A box of the picture in pixels of the crop."""
        left, top, right, bottom = self.points(box_xyxy)
        return left, top, right, bottom


def square_around(box_xyxy: Box, size: tuple[int, int], settings: CropSettings) -> Square:
    """The square around a box: its longer side and the margin on both sides, centred.

    In whole pixels: a crop that is not resized has the picture's own pixels. It contains at least one pixel of the
    picture, wherever the box is.

    Args:
        size: width and height of the picture.
    """
    left, top, right, bottom = box_xyxy
    side = max(1, round(max(right - left, bottom - top) * (1 + 2 * settings.margin)))
    x, y = round((left + right - side) / 2), round((top + bottom - side) / 2)
    x, y = (min(max(start, 1 - side), extent - 1) for start, extent in zip((x, y), size, strict=True))
    return Square(x, y, side, min(side, settings.max_side_px))


def cut(image: Image.Image, square: Square, settings: CropSettings) -> bytes:
    """The square as a JPEG (4:4:4) of `out_px` x `out_px`; the same picture gives the same bytes.

    The crop is never enlarged. Where the square extends beyond the picture, the border pixels are repeated: a black
    border would be the strongest edge in the crop, and a reflection would show a second chin.

    Args:
        image: mode RGB, without metadata.
    """
    across = _covered(square.left, square.side_px, image.width, square.out_px)
    down = _covered(square.top, square.side_px, image.height, square.out_px)
    shown = image.resize(
        (across.stop - across.start, down.stop - down.start),
        Image.Resampling.LANCZOS,
        box=(across.low, down.low, across.high, down.high),
        reducing_gap=3.0,
    )
    # Padded after resizing: a huge square around a narrow picture needs little memory.
    margins = ((down.start, square.out_px - down.stop), (across.start, square.out_px - across.stop), (0, 0))
    padded = Image.fromarray(np.pad(np.asarray(shown), margins, mode="edge"))
    file = BytesIO()
    padded.save(file, "JPEG", quality=settings.jpeg_quality, subsampling="4:4:4")
    return file.getvalue()


@dataclass(frozen=True, slots=True)
class _Span:
    """Along one axis: pixels [start, stop) of the crop show [low, high) of the picture."""

    start: int
    stop: int
    low: float
    high: float


def _covered(origin: int, side: int, extent: int, out: int) -> _Span:
    """The pixels of the crop that the picture covers completely, or the middle one if there are none."""
    begin, end = max(0, -origin), min(side, extent - origin)
    start, stop = -(-begin * out // side), end * out // side
    if stop <= start:
        start = (begin + end) * out // (2 * side)
        stop = start + 1
    low, high = origin + start * side / out, origin + stop * side / out
    return _Span(start, stop, max(low, 0.0), min(high, float(extent)))

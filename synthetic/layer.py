"""Drawing layers: shapes are drawn at double size and downsampled for antialiasing."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from synthetic.geometry import Points
from synthetic.identity import RGB

Plane = NDArray[np.float32]
_OVER = 2
UNDER = 3


class Region(NamedTuple):
    """A rectangle in whole pixels of the picture."""

    left: int
    top: int
    width: int
    height: int


class Layer:
    """A transparent layer over one region of a picture; points are in the picture's pixels."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._image = Image.new("RGBA", (region.width * _OVER, region.height * _OVER), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, points: Points, colour: RGB) -> None:
        """Fill a polygon."""
        self._draw.polygon(self._local(points), fill=colour)

    def line(self, points: Points, colour: RGB, width_px: float) -> None:
        """Draw a line through points, at least half a pixel wide."""
        self._draw.line(self._local(points), fill=colour, width=max(1, round(width_px * _OVER)), joint="curve")

    def pixels(self) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Colours (height, width, 3) 0-255 and coverage (height, width, 1) 0-1 at the layer's own size."""
        pixels = np.asarray(self._image.reduce(_OVER))
        return pixels[..., :3], pixels[..., 3:] * np.float32(1 / 255)

    def _local(self, points: Points) -> list[tuple[float, float]]:
        shifted = (points - (self.region.left, self.region.top)) * _OVER
        return list(map(tuple, shifted.tolist()))


class SoftMask:
    """A blurred mask over one region at a third of its size, which suffices for shadows and blushes."""

    def __init__(self, region: Region) -> None:
        self.region = region
        self._image = Image.new("L", coarse_size(region), 0)
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, points: Points, strength: float) -> None:
        """Fill a polygon with a strength between 0 and 1; later shapes overwrite earlier ones."""
        shifted = (points - (self.region.left, self.region.top)) / UNDER
        self._draw.polygon(list(map(tuple, shifted.tolist())), fill=round(255 * strength))

    def pixels(self, blur_px: float) -> Plane:
        """The coarse mask, 0-1, blurred by `blur_px` pixels of the picture."""
        soft = self._image.filter(ImageFilter.GaussianBlur(blur_px / UNDER))
        return np.asarray(soft) * np.float32(1 / 255)


def coarse_size(region: Region) -> tuple[int, int]:
    """Width and height of a region at a third of its size."""
    return max(1, region.width // UNDER), max(1, region.height // UNDER)


def enlarged(coarse: Plane, region: Region) -> Plane:
    """Enlarge a coarse plane to the region's size, (height, width, 1)."""
    image = Image.fromarray(np.ascontiguousarray(coarse))
    return np.asarray(image.resize((region.width, region.height), Image.Resampling.BILINEAR))[..., None]


def tinted(colour: RGB, factor: float) -> RGB:
    """Darken (factor < 1) or lighten a colour."""
    red, green, blue = (min(255, max(0, round(value * factor))) for value in colour)
    return red, green, blue


def mixed(colour: RGB, other: RGB, share: float) -> RGB:
    """Mix a colour with `share` of another."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(colour, other, strict=True))
    return red, green, blue

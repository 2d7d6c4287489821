"""Backgrounds: a new scene for every picture, so that two pictures have only the face in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

# Scenes are painted at a third of their size and enlarged, which also blurs them.
_UNDER = 3


def paint_scene(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Paint a background of (width, height) `size` as floats 0-255, (height, width, 3)."""
    small = (max(2, size[0] // _UNDER), max(2, size[1] // _UNDER))
    image = _clouds(rng, small)
    draw = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 12))):
        _draw_thing(rng, draw, small)
    image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 3.0))))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC), np.float32).copy()


def _clouds(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Smooth patches of a few colours around one base colour."""
    base = rng.uniform(40, 215) + rng.normal(0, rng.uniform(5, 45), 3)
    cells = tuple(int(n) for n in rng.integers(2, 7, 2))
    patches = np.clip(base + rng.normal(0, rng.uniform(15, 55), (*cells, 1)) + rng.normal(0, 18, (*cells, 3)), 0, 255)
    return Image.fromarray(patches.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def _draw_thing(rng: np.random.Generator, draw: ImageDraw.ImageDraw, size: tuple[int, int]) -> None:
    """Draw one window, lamp, stripe or leaf."""
    width, height = size
    grey, strength = rng.uniform(20, 235), rng.uniform(5, 50)
    colour = tuple(np.clip(grey + rng.normal(0, strength, 3), 0, 255).astype(int).tolist())
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    w, h = rng.uniform(0.05, 0.5) * width, rng.uniform(0.05, 0.7) * height
    kind = rng.integers(4)
    if kind == 0:
        draw.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), fill=colour)
    elif kind == 1:
        draw.ellipse((x - w / 2, y - w / 2, x + w / 2, y + w / 2), fill=colour)
    elif kind == 2:
        draw.line((x, 0, x + rng.uniform(-w, w), height), fill=colour, width=int(rng.integers(2, 14)))
    else:
        corners = rng.normal(0, 0.25, (5, 2)) * (w, h) + (x, y)
        draw.polygon(list(map(tuple, corners.tolist())), fill=colour)

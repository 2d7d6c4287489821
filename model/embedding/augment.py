"""Data augmentation: random changes are drawn, then applied to a batch on its device."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# At strength 1. One warp flips, rotates, scales and shifts; then brightness and contrast; then one erased rectangle.
TURN_DEGREES = 8.0
SCALE = 0.08
SHIFT = 0.06  # of the side
BRIGHTNESS = 0.2  # of the range from black to white
CONTRAST = 0.25
ERASE_SHARE = 0.25  # of the pictures
ERASE_SIDE = (0.1, 0.35)  # of the side
# The share of images padded with black, as in a face aligned at the border of its photo; the others repeat the border
# pixels. A person with black wedges in some crops tends to have them in others, and a network learns them as a feature
# of the person unless they occur for everybody.
BLACK_SHARE = 0.5


class Augmentation(NamedTuple):
    """The changes to each of n faces; float32, on one device.

    `affine` [n, 2, 3] maps output to input pixels, as for `affine_grid`. `contrast` [n] is a factor, `brightness` [n]
    an offset. `hole` [n, 4] is the erased rectangle: left, top, right and bottom as shares of the side, empty for most.
    `is_black` [n] selects black padding.
    """

    affine: Tensor
    contrast: Tensor
    brightness: Tensor
    hole: Tensor
    is_black: Tensor

    def of(self, faces: slice) -> Augmentation:
        """The changes of some of the faces."""
        return Augmentation(*(one[faces] for one in self))


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The random generator of one training step, a function of seed and step."""
    state = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> 1))


def normalise(images: Tensor) -> Tensor:
    """A backbone's input: float32 [n, 3, px, px] in [-1, 1], channels last, from uint8 [n, px, px, 3]."""
    return images.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)


def draw_augmentation(count: int, generator: torch.Generator, strength: float = 1.0) -> Augmentation:
    """Draw random changes for `count` faces.

    Args:
        generator: equal states give equal changes, on its device.
        strength: factor on every amount; 0 leaves only the flip.
    """

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low

    flip = torch.where(uniform(-1, 1) < 0, -1.0, 1.0)
    turn = torch.deg2rad(uniform(-TURN_DEGREES, TURN_DEGREES) * strength)
    scale = 1 + uniform(-SCALE, SCALE) * strength
    # The grid runs from -1 to 1, so a shift by a share of the side is doubled.
    shift_x, shift_y = (uniform(-2 * SHIFT, 2 * SHIFT) * strength for _ in range(2))
    cos, sin = turn.cos() * scale, turn.sin() * scale
    rows = [torch.stack([cos * flip, -sin, shift_x], 1), torch.stack([sin * flip, cos, shift_y], 1)]
    contrast = 1 + uniform(-CONTRAST, CONTRAST) * strength
    brightness = uniform(-2 * BRIGHTNESS, 2 * BRIGHTNESS) * strength
    is_erased = uniform(0, 1) < ERASE_SHARE * strength
    width, height = (uniform(*ERASE_SIDE) * is_erased for _ in range(2))
    left, top = (uniform(0, 1) * (1 - side) for side in (width, height))
    hole = torch.stack([left, top, left + width, top + height], 1)
    return Augmentation(torch.stack(rows, 1), contrast, brightness, hole, uniform(0, 1) < BLACK_SHARE)


def augment(images: Tensor, augmentation: Augmentation) -> Tensor:
    """Apply changes to uint8 [n, px, px, 3]: float32 [n, 3, px, px] as from `normalise`, within [-1, 1]."""
    grid = functional.affine_grid(augmentation.affine, [len(images), 3, *images.shape[1:3]], align_corners=False)
    warped = functional.grid_sample(normalise(images), grid, padding_mode="border", align_corners=False)
    batch = warped.contiguous(memory_format=torch.channels_last)
    contrast, brightness = (one.view(-1, 1, 1, 1) for one in (augmentation.contrast, augmentation.brightness))
    lit = (batch * contrast + batch.mean((1, 2, 3), keepdim=True) * (1 - contrast) + brightness).clamp(-1, 1)
    is_beyond = (grid.abs() > 1).any(-1) & augmentation.is_black.view(-1, 1, 1)
    framed = torch.where(is_beyond[:, None], -1.0, lit)
    return torch.where(_hole(augmentation.hole, images.shape[1]), 0.0, framed)


def _hole(hole: Tensor, side_px: int) -> Tensor:
    """The mask of erased pixels: bool [n, 1, side_px, side_px]."""
    places = (torch.arange(side_px, device=hole.device) + 0.5) / side_px
    left, top, right, bottom = hole[:, :, None].unbind(1)
    columns, rows = (places >= left) & (places < right), (places >= top) & (places < bottom)
    return (rows[:, :, None] & columns[:, None, :])[:, None]

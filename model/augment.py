"""Random changes to a batch that leave the person the same, made on the device the batch lies on."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

# At strength 1. One warp flips, turns, scales and shifts at once; then light, then one erased rectangle.
_TURN_DEGREES = 8.0
_SCALE = 0.08
_SHIFT = 0.06  # of the side
_BRIGHTNESS = 0.2  # of the range from black to white
_CONTRAST = 0.25
_ERASE_SHARE = 0.25  # of the pictures
_ERASE_SIDE = (0.1, 0.35)  # of the side


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The generator of one training step, the same whenever that step is taken."""
    state = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(state[0] >> 1))


def normalise(images: Tensor) -> Tensor:
    """What a backbone takes: float32 [n, 3, px, px] in [-1, 1], channels last, from uint8 [n, px, px, 3]."""
    return images.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5)


def augment(images: Tensor, generator: torch.Generator, strength: float = 1.0) -> Tensor:
    """A randomly changed batch.

    Args:
        images: uint8 [n, px, px, 3].
        generator: on the device of `images`; equal states give equal changes.
        strength: factor on every amount; 0 leaves only the flip.

    Returns:
        float32 [n, 3, px, px] as `normalise` gives it, values beyond [-1, 1] cut off.
    """
    batch = _warp(normalise(images), generator, strength)
    if strength == 0:
        return batch
    return _erase(_relight(batch, generator, strength), generator, strength)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low


def _warp(batch: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    count = len(batch)
    flip = torch.where(_uniform(count, -1, 1, generator) < 0, -1.0, 1.0)
    turn = torch.deg2rad(_uniform(count, -_TURN_DEGREES, _TURN_DEGREES, generator) * strength)
    scale = 1 + _uniform(count, -_SCALE, _SCALE, generator) * strength
    # The grid runs from -1 to 1, so a shift by a share of the side counts twice.
    shift_x, shift_y = (_uniform(count, -2 * _SHIFT, 2 * _SHIFT, generator) * strength for _ in range(2))
    cos, sin = turn.cos() * scale, turn.sin() * scale
    rows = [torch.stack([cos * flip, -sin, shift_x], 1), torch.stack([sin * flip, cos, shift_y], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), list(batch.shape), align_corners=False)
    warped = functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)
    return warped.contiguous(memory_format=torch.channels_last)


def _relight(batch: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    count = len(batch)
    contrast = 1 + _uniform(count, -_CONTRAST, _CONTRAST, generator) * strength
    brightness = _uniform(count, -2 * _BRIGHTNESS, 2 * _BRIGHTNESS, generator) * strength
    mean = batch.mean((1, 2, 3))
    offset = mean * (1 - contrast) + brightness
    return (batch * contrast.view(-1, 1, 1, 1) + offset.view(-1, 1, 1, 1)).clamp_(-1, 1)


def _erase(batch: Tensor, generator: torch.Generator, strength: float) -> Tensor:
    count, _, height, width = batch.shape
    erased = _uniform(count, 0, 1, generator) < _ERASE_SHARE * strength

    def band(length: int) -> Tensor:
        side = _uniform(count, *_ERASE_SIDE, generator)
        start = _uniform(count, 0, 1, generator) * (1 - side)
        places = (torch.arange(length, device=batch.device) + 0.5) / length
        return (places >= start[:, None]) & (places < (start + side)[:, None])

    rows, columns = band(height), band(width)
    hole = rows[:, :, None] & columns[:, None, :] & erased[:, None, None]
    return batch.masked_fill_(hole[:, None], 0.0)

"""MTCNN's three networks on facenet-pytorch's weights, with the steps that torch is slow at written otherwise.

On one core and in the layout `channels_last`: PReLU over 10 channels takes 0.70 ms at 240x240, and 0.15 as three
passes over whole rows; halving that takes 0.89 ms, and 0.17 as two maxima; 3x3 pooling of 20 crops takes 0.20 ms,
and 0.08 as maxima of slices. Results are the same to the bit.
"""

from __future__ import annotations

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import Tensor


def centred(means: Tensor) -> Tensor:
    """Colours of 0 to 255 as the networks take them, in place."""
    return means.sub_(127.5).mul_(0.0078125)


def first_features(net: PNet, sheet: Tensor) -> Tensor:
    """The first network up to its halving: [n, height - 2, width - 2, 10] from [n, 3, height, width], both even."""
    seen = net.conv1(sheet).permute(0, 2, 3, 1)
    num, height, width, channels = seen.shape
    rows = seen.reshape(num * height, width * channels)
    slopes = net.prelu1.weight.repeat(width)
    bent: Tensor = rows.clamp(min=0).addcmul_(rows.clamp_(max=0), slopes)
    return bent.view(num, height, width, channels)


def window_features(net: PNet, seen: Tensor) -> Tensor:
    """The rest of the first network but its two heads: [n, 32, ...] from `first_features`."""
    num, height, width, channels = seen.shape
    rows = seen.view(num * height // 2, 2, width * channels)
    pairs = torch.maximum(rows[:, 0], rows[:, 1]).view(num, height // 2, width // 2, 2, channels)
    halved = torch.maximum(pairs[..., 0, :], pairs[..., 1, :]).permute(0, 3, 1, 2)
    features: Tensor = net.prelu3(net.conv3(net.prelu2(net.conv2(halved))))
    return features


def refined(net: RNet, crops: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [n] and shares to move the edges by [n, 4], from crops [n, 3, 24, 24]."""
    seen = pooled(net.prelu1(net.conv1(crops)))
    seen = pooled(net.prelu2(net.conv2(seen)))
    seen = net.prelu3(net.conv3(seen))
    seen = net.prelu4(net.dense4(seen.permute(0, 3, 2, 1).flatten(1)))
    return net.dense5_1(seen).float().softmax(dim=1)[:, 1], net.dense5_2(seen)


def finished(net: ONet, crops: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Scores [n], shares to move the edges by [n, 4] and points [n, 10], from crops [n, 3, 48, 48]."""
    seen = pooled(net.prelu1(net.conv1(crops)))
    seen = pooled(net.prelu2(net.conv2(seen)))
    seen = net.pool3(net.prelu3(net.conv3(seen)))
    seen = net.prelu4(net.conv4(seen))
    seen = net.prelu5(net.dense5(seen.permute(0, 3, 2, 1).flatten(1)))
    return net.dense6_1(seen).float().softmax(dim=1)[:, 1], net.dense6_2(seen), net.dense6_3(seen)


def pooled(seen: Tensor) -> Tensor:
    """`MaxPool2d(3, 2, ceil_mode=True)` of [n, channels, height, width], each at least 3."""
    return _pooled(_pooled(seen, 2), 3)


def _pooled(seen: Tensor, axis: int) -> Tensor:
    size = seen.shape[axis]
    pairs, triples = size // 2, (size - 1) // 2
    even, odd = seen.unfold(axis, 1, 2).squeeze(-1), seen.narrow(axis, 1, size - 1).unfold(axis, 1, 2).squeeze(-1)
    best = torch.maximum(even.narrow(axis, 0, pairs), odd.narrow(axis, 0, pairs))
    into = best.narrow(axis, 0, triples)
    torch.maximum(into, even.narrow(axis, 1, triples), out=into)
    return best

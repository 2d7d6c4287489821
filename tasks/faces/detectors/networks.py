"""MTCNN's three networks in torch, for a GPU. The last step is in float32 at any precision."""

from __future__ import annotations

import torch
from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
from torch import Tensor


def centred(means: Tensor) -> Tensor:
    """Scale colours of 0 to 255 to the networks' input range, in place."""
    return means.sub_(127.5).mul_(0.0078125)


def proposed(net: PNet, sheet: Tensor, edges: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [n, rows, columns] and shares [n, 4, rows, columns], from sheets [n, 3, height, width].

    Args:
        edges: added after the first convolution, [n, 1, height - 2, width - 2] (`pyramid.edges`).
    """
    seen = net.pool1(net.prelu1(net.conv1(sheet)) + edges)
    seen = net.prelu3(net.conv3(net.prelu2(net.conv2(seen))))
    return _chances(net.conv4_1(seen)), net.conv4_2(seen).float()


def refined(net: RNet, crops: Tensor) -> Tensor:
    """Scores and shares to move the edges by, [n, 5], from crops [n, 3, 24, 24]."""
    seen = net.pool2(net.prelu2(net.conv2(net.pool1(net.prelu1(net.conv1(crops))))))
    seen = net.prelu3(net.conv3(seen))
    seen = net.prelu4(net.dense4(seen.permute(0, 3, 2, 1).flatten(1)))
    return torch.cat((_chances(net.dense5_1(seen)).unsqueeze(1), net.dense5_2(seen).float()), dim=1)


def finished(net: ONet, crops: Tensor) -> Tensor:
    """Scores, shares, five x and five y, [n, 15], from crops [n, 3, 48, 48]."""
    seen = net.pool2(net.prelu2(net.conv2(net.pool1(net.prelu1(net.conv1(crops))))))
    seen = net.prelu4(net.conv4(net.pool3(net.prelu3(net.conv3(seen)))))
    seen = net.prelu5(net.dense5(seen.permute(0, 3, 2, 1).flatten(1)))
    chances = _chances(net.dense6_1(seen)).unsqueeze(1)
    return torch.cat((chances, net.dense6_2(seen).float(), net.dense6_3(seen).float()), dim=1)


def _chances(logits: Tensor) -> Tensor:
    return logits.float().softmax(dim=1)[:, 1]

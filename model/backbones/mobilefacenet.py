"""MobileFaceNet, a face recognition network for mobile devices."""

from __future__ import annotations

from torch import Tensor, nn

from model.configuration.ranges import SIDE_MULTIPLE_PX

# The bottlenecks of MobileFaceNet: (expansion, channels, repeats, stride of the first).
_STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
# The stem and three stages halve the resolution, so the last grid is 7 x 7 at 112 px.


class MobileFaceNet(nn.Module):
    """MobileFaceNet (Chen et al. 2018, arXiv 1804.07573, table 1): 1.0 M parameters at 112 px, width 1, 128 outputs.

    The last feature map has `image_px / 16` cells per side. A global depthwise convolution weighs each cell separately,
    because the corners of a face carry less information than its centre.

    Args:
        embedding_dim: length of the output.
        width: factor on all channels except the output.
        image_px: side of the input, a multiple of 16.
    """

    def __init__(self, embedding_dim: int = 128, width: float = 1.0, image_px: int = 112) -> None:
        super().__init__()
        channels = _scaled(64, width)
        layers: list[nn.Module] = [
            *_conv(3, channels, kernel=3, stride=2),
            *_conv(channels, channels, kernel=3, groups=channels),
        ]
        for expansion, unscaled, repeats, first_stride in _STAGES:
            for repeat in range(repeats):
                stride = first_stride if repeat == 0 else 1
                layers.append(_Bottleneck(channels, _scaled(unscaled, width), expansion, stride))
                channels = _scaled(unscaled, width)
        last = _scaled(512, width)
        self.features = nn.Sequential(*layers, *_conv(channels, last, kernel=1))
        self.pool = nn.Sequential(
            *_conv(last, last, kernel=image_px // SIDE_MULTIPLE_PX, padding=0, groups=last, linear=True)
        )
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(last, embedding_dim, bias=False))
        self.norm = nn.BatchNorm1d(embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 3, px, px] in [-1, 1] to embeddings [n, embedding_dim], not normalized."""
        embeddings: Tensor = self.norm(self.project(self.pool(self.features(images))))
        return embeddings


class _Bottleneck(nn.Module):
    """Expand, depthwise convolution, project; with a residual connection if the shapes match."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.layers = nn.Sequential(
            *_conv(inputs, inner, kernel=1),
            *_conv(inner, inner, kernel=3, stride=stride, groups=inner),
            *_conv(inner, outputs, kernel=1, linear=True),
        )
        self.is_residual = stride == 1 and inputs == outputs

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.layers(images)
        return images + out if self.is_residual else out


def _conv(
    inputs: int,
    outputs: int,
    *,
    kernel: int,
    stride: int = 1,
    padding: int | None = None,
    groups: int = 1,
    linear: bool = False,
) -> list[nn.Module]:
    padding = kernel // 2 if padding is None else padding
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(outputs), *([] if linear else [nn.PReLU(outputs)])]


def _scaled(channels: int, width: float) -> int:
    """Channels times width, rounded to a multiple of 8, at least 8."""
    return max(8, int(channels * width / 8 + 0.5) * 8)

"""The networks in torch on a GPU: batches of pictures, by summed-area tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.mtcnn import PNet
from numpy.typing import NDArray
from torch import Tensor

from tasks.faces.detectors.detector import DetectorSettings
from tasks.faces.detectors.integral_image import AreaTables
from tasks.faces.detectors.networks import centred, finished, proposed, refined
from tasks.faces.detectors.picture_batch import Floats, Integers, Windows
from tasks.faces.detectors.pyramid import Canvas, Pyramids, bins, edges, level_bins

# The launch overhead of a step is the same for one picture and for many; 32 pictures of 2048x2048 take 1.6 GB.
_BATCH = 32
# Crops per batch, bounded by the card's memory.
_CHUNKS = (4096, 1024)


class Stage(NamedTuple):
    """A network for crops of `side_px`, run on `chunk` at a time."""

    look: Callable[[Tensor], Tensor]
    side_px: int
    chunk: int


class GpuNetworks:
    """Loads pictures for the networks."""

    batch = _BATCH

    def __init__(self, settings: DetectorSettings) -> None:
        self.device, self.dtype = torch.device(settings.device), getattr(torch, settings.precision)
        nets = MTCNN(device="cpu").eval().to(self.device, self.dtype, memory_format=torch.channels_last)
        self.first: PNet = nets.pnet
        self.second = Stage(partial(refined, nets.rnet), 24, _CHUNKS[0])
        self.third = Stage(partial(finished, nets.onet), 48, _CHUNKS[1])

    def load(self, pictures: list[NDArray[np.uint8]]) -> GpuBatch:
        """Load pictures of any sizes."""
        return GpuBatch(self, AreaTables(pictures, self.device))


class GpuBatch:
    """Some pictures and the networks' outputs on them (`picture_batch.PictureBatch`)."""

    def __init__(self, networks: GpuNetworks, tables: AreaTables) -> None:
        self._networks, self._tables = networks, tables

    @torch.inference_mode()
    def propose(self, levels: Pyramids, canvas: Canvas, threshold: float) -> Windows:
        """As `PictureBatch.propose`."""
        sheet, added = self._draw(levels, canvas), self._here(edges(levels, canvas)[:, None])
        scores, shares = proposed(self._networks.first, sheet, added.to(self._networks.dtype))
        pictures, rows, columns = (scores >= threshold).nonzero().unbind(1)
        found = (pictures, rows, columns, scores[pictures, rows, columns], shares[pictures, :, rows, columns])
        return Windows(*(part.cpu().numpy() for part in found))

    def refine(self, pictures: Integers, pixels: Integers) -> Floats:
        """As `PictureBatch.refine`."""
        return self._outputs(self._networks.second, pictures, pixels)

    def finish(self, pictures: Integers, pixels: Integers) -> Floats:
        """As `PictureBatch.finish`."""
        return self._outputs(self._networks.third, pictures, pixels)

    def _draw(self, levels: Pyramids, canvas: Canvas) -> Tensor:
        """The canvases with all levels, [num_pictures, 3, height, width]."""
        heights, widths = levels.sizes.max(axis=0).T.tolist()
        pictures = torch.arange(len(levels.sizes), device=self._networks.device)
        rows = self._tables.rows(pictures, *self._here(level_bins(levels, 0))).split(heights)
        columns = self._tables.columns(*self._here(level_bins(levels, 1))).split(widths)
        sheet = torch.zeros(len(pictures), canvas.height, canvas.width, 3, device=self._networks.device)
        for (top, left), down, along in zip(canvas.corners, rows, columns, strict=True):
            means = self._tables.means(down, along)
            sheet[:, top : top + means.shape[1], left : left + means.shape[2]] = means
        return centred(sheet).to(self._networks.dtype).permute(0, 3, 1, 2)

    @torch.inference_mode()
    def _outputs(self, stage: Stage, pictures: Integers, pixels: Integers) -> Floats:
        owners, places = self._here(pictures), self._here(_places(pixels, stage.side_px))
        # At least one chunk, even an empty one, which gives the output its shape.
        chunks = [slice(start, start + stage.chunk) for start in range(0, max(len(pixels), 1), stage.chunk)]
        parts = [stage.look(self._crops(owners[part], places[:, part])) for part in chunks]
        outputs: Floats = torch.cat(parts).cpu().numpy()
        return outputs

    def _crops(self, pictures: Tensor, places: Tensor) -> Tensor:
        """Windows resized to [n, 3, side, side]."""
        columns, rows = places.unbind(2)
        means = self._tables.means(self._tables.rows(pictures, *rows), self._tables.columns(*columns))
        return centred(means).to(self._networks.dtype).permute(0, 3, 1, 2)

    def _here(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._networks.device)


def _places(pixels: Integers, side_px: int) -> Integers:
    """Starts and ends of the columns and rows that windows [n, 4] average, [2, n, 2, side]."""
    near, far = pixels[:, :2, None], pixels[:, 2:, None]
    return bins(far - near, side_px, np.arange(side_px)) + near

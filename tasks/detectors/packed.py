"""MTCNN on facenet-pytorch's own networks and weights, fed by summed-area tables: the engine of the pipeline.

The shipped code shrinks the whole float picture once a level and cuts every candidate out of it by itself. Here one
table a picture gives the same means, bit for bit (`area`); all levels lie on one canvas that the first network sees
once (`proposals`); and candidates go through the other two in chunks, in the memory layout they like (`networks`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from storage.records import FoundFace
from tasks.detectors.area import AreaTables, bins
from tasks.detectors.candidates import Candidates, best_of, best_of_nested, moved, squared, windows
from tasks.detectors.detector import DetectorSettings, in_picture, working_scale
from tasks.detectors.networks import centred, finished, refined
from tasks.detectors.proposals import Proposals
from tasks.detectors.pyramid import pyramids

# On a CPU, what a chunk of crops holds meanwhile should fit its cache (third network: 0.33 ms a crop by 16, 0.55 by
# 32); on a GPU a chunk is only kept from filling its memory.
_CPU_CHUNKS, _GPU_CHUNKS = (64, 16), (4096, 1024)
# On a GPU each step costs the same to start for one picture as for all; 32 pictures of 2048x2048 take 1.6 GB.
_GPU_BATCH = 32
# Of the last network's faces, one goes that shares so much of the smaller one with a better one.
_FACE_OVERLAP = 0.7


class Network(NamedTuple):
    """One that looks at crops of `side_px`, `chunk` at a time, and keeps those that score over `threshold`."""

    look: Callable[[Tensor], tuple[Tensor, ...]]
    side_px: int
    chunk: int
    threshold: float


class PackedMtcnn:
    """Finds what `ShippedMtcnn` finds, several times faster; many pictures at a time on a GPU, one on a CPU.

    The same to a hundredth of a pixel, with `overlaps` of (0.7, 0.7). Less is quicker, and dearer than it looks:
    (0.5, 0.7) saves 10% and loses 3 of 309 faces of score 0.9 in 300 web photographs, one of them 285 px tall.
    """

    def __init__(self, settings: DetectorSettings) -> None:
        on_cpu = settings.device == "cpu"
        if on_cpu:
            # One process a core: threads inside make the same work dearer (measured).
            torch.set_num_threads(1)
        self.batch = 1 if on_cpu else _GPU_BATCH
        self._settings, self._device = settings, torch.device(settings.device)
        self._dtype: torch.dtype = getattr(torch, settings.precision)
        nets = MTCNN(device="cpu").eval().to(self._device, self._dtype, memory_format=torch.channels_last)
        self._proposals = Proposals(nets.pnet, settings.thresholds[0], settings.overlaps[0])
        chunks = _CPU_CHUNKS if on_cpu else _GPU_CHUNKS
        self._refiner = Network(partial(refined, nets.rnet), 24, chunks[0], settings.thresholds[1])
        self._finisher = Network(partial(finished, nets.onet), 48, chunks[1], settings.thresholds[2])

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, best first; none in one smaller than the smallest face."""
        return self.find_together([image])[0]

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each of some pictures, `batch` of them looked at together."""
        batches = (images[start : start + self.batch] for start in range(0, len(images), self.batch))
        return [faces for batch in batches for faces in self.find_together(batch)]

    @torch.inference_mode()
    def find_together(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each picture; all of them, of any sizes, go through each network together."""
        scales = [working_scale(image.size, self._settings) for image in images]
        small = [
            image.reduce(shrink) if shrink > 1 else image for image, (shrink, _) in zip(images, scales, strict=True)
        ]
        levels = pyramids([image.size for image in small], [px for _, px in scales], self._settings.factor)
        if not levels.scales.size:
            return [()] * len(images)
        tables = AreaTables([np.array(image) for image in small], self._device)
        sizes = torch.tensor([image.size for image in small], device=self._device)
        found = self._refine(tables, sizes, self._proposals(tables, levels))
        boxes, points, pictures = (part.cpu().numpy() for part in self._finish(tables, sizes, found))
        return [
            _faces(boxes[pictures == picture], points[pictures == picture], shrink)
            for picture, (shrink, _) in enumerate(scales)
        ]

    def _refine(self, tables: AreaTables, sizes: Tensor, found: Candidates) -> Candidates:
        found, shares = self._pass(self._refiner, tables, sizes, found)
        best = best_of(found, found.pictures, self._settings.overlaps[1])
        found, shares = found.pick(best), shares[best]
        return Candidates(squared(moved(found.boxes, shares, 1)), found.scores, found.pictures)

    def _finish(self, tables: AreaTables, sizes: Tensor, found: Candidates) -> tuple[Tensor, Tensor, Tensor]:
        """Boxes with scores [n, 5], points [n, 5, 2], and the pictures they are in [n]."""
        found, said = self._pass(self._finisher, tables, sizes, found)
        sides = (found.boxes[:, 2:] - found.boxes[:, :2] + 1).unsqueeze(1)
        points = sides * said[:, 4:].view(-1, 2, 5).transpose(1, 2) + found.boxes[:, None, :2] - 1
        boxes = torch.cat((moved(found.boxes, said[:, :4], 1), found.scores.unsqueeze(1)), dim=1)
        return boxes, points, found.pictures

    def _pass(
        self, network: Network, tables: AreaTables, sizes: Tensor, found: Candidates
    ) -> tuple[Candidates, Tensor]:
        """Those that pass a network, with its scores; and what else it says of them, side by side."""
        pixels, there = windows(found.boxes, sizes[found.pictures])
        found, pixels = found.pick(there), pixels[there]
        said = []
        # One chunk at least, though it be empty, for the shapes of what comes out.
        for start in range(0, max(len(found), 1), network.chunk):
            part = slice(start, start + network.chunk)
            crops = _crops(tables, found.pictures[part], pixels[part], network.side_px).to(self._dtype)
            scores, *rest = network.look(crops)
            said.append(torch.cat((scores.unsqueeze(1), *rest), dim=1).float())
        answers = torch.cat(said)
        sure = answers[:, 0] > network.threshold
        answers = answers[sure]
        return Candidates(found.boxes[sure], answers[:, 0], found.pictures[sure]), answers[:, 1:]


def _crops(tables: AreaTables, pictures: Tensor, pixels: Tensor, side_px: int) -> Tensor:
    """Windows (left, top, right, bottom) [n, 4] of their pictures, shrunk or stretched to [n, 3, side, side]."""
    near, far = pixels[:, :2, None], pixels[:, 2:, None]
    starts, ends = bins(far - near, side_px, torch.arange(side_px, device=pixels.device))
    (left, top), (right, bottom) = (starts + near).unbind(1), (ends + near).unbind(1)
    means = tables.means(tables.rows(pictures, top, bottom), tables.columns(left, right))
    return centred(means).permute(0, 3, 1, 2)


def _faces(boxes: NDArray[np.float32], points: NDArray[np.float32], shrink: int) -> tuple[FoundFace, ...]:
    kept = best_of_nested(boxes[:, :4], boxes[:, 4], _FACE_OVERLAP)
    pairs = zip(boxes[kept].tolist(), points[kept].tolist(), strict=True)
    faces = [in_picture(box, marks, shrink) for box, marks in pairs]
    return tuple(sorted(faces, key=lambda face: -face.score))

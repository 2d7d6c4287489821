"""MTCNN with facenet-pytorch's networks and weights and fewer operations: the default engine.

The shipped code resizes the whole float picture for every level and crops every candidate separately. Here cumulative
sums give the same means (`column_sums`, `integral_image`); all levels are packed on one canvas, which the first network
processes once (`pyramid`); and the other two networks process candidates in chunks. This file is the cascade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from storage.records import FoundFace
from tasks.faces.detectors.candidates import Candidates, best_of, best_of_nested, moved, overlapped, squared, windows
from tasks.faces.detectors.detector import DetectorSettings, in_picture, short_scale, working_scale
from tasks.faces.detectors.picture_batch import Floats, Integers, Networks, PictureBatch
from tasks.faces.detectors.pyramid import STRIDE_PX, WINDOW_PX, Pyramids, owners, pack, pyramids

# Non-maximum suppression within a level: the shipped code's IoU.
_LEVEL_OVERLAP = 0.5
# Non-maximum suppression of the last network's faces: overlap relative to the smaller one.
_FACE_OVERLAP = 0.7
# Shortcuts. The threshold of the first network, which passes half as many windows.
_FIRST_SCORE = 0.85
# Candidates with more overlap form a cluster, of which a face of this score represents all: a third of the crops.
_CROWD_OVERLAP, _CERTAIN = 0.4, 0.95


class FastMtcnn:
    """The same results as `ReferenceMtcnn`, several times faster; batches of pictures on a GPU, single ones on a CPU.

    Args:
        networks: None for those of the settings' device.
    """

    def __init__(self, settings: DetectorSettings, networks: Networks | None = None) -> None:
        self._settings, self._networks = settings, networks or _networks(settings)
        self.batch = self._networks.batch
        self._scale = partial(short_scale if settings.takes_shortcuts else working_scale, settings=settings)

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, highest score first; none if it is smaller than the smallest face."""
        return self.find_together([image])[0]

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each picture, processed in batches of `batch`."""
        batches = (images[start : start + self.batch] for start in range(0, len(images), self.batch))
        return [faces for batch in batches for faces in self.find_together(batch)]

    def find_together(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each picture; all pictures, of any sizes, pass each network together."""
        scales = [self._scale(image.size) for image in images]
        small = [
            image.reduce(shrink) if shrink > 1 else image for image, (shrink, _) in zip(images, scales, strict=True)
        ]
        levels = pyramids([image.size for image in small], [px for _, px in scales], self._settings.factor)
        if not levels.scales.size:
            return [()] * len(images)
        batch = self._networks.load([np.asarray(image) for image in small])
        sizes = levels.full_sizes[:, ::-1]
        boxes, points, pictures = self._finish(batch, sizes, self._refine(batch, sizes, self._propose(batch, levels)))
        return [
            _faces(boxes[pictures == picture], points[pictures == picture], shrink)
            for picture, (shrink, _) in enumerate(scales)
        ]

    def _propose(self, batch: PictureBatch, levels: Pyramids) -> Candidates:
        """Squares around the windows of all levels that may contain a face; highest score first."""
        canvas = pack(levels.sizes.max(axis=0).tolist())
        threshold = self._settings.thresholds[0]
        windows = batch.propose(
            levels, canvas, max(threshold, _FIRST_SCORE) if self._settings.takes_shortcuts else threshold
        )
        level = owners(levels, canvas)[windows.pictures, windows.rows, windows.columns]
        inside = level >= 0
        level, picture = level[inside], windows.pictures[inside]
        corner = (
            np.stack((windows.columns, windows.rows), axis=1)[inside] * STRIDE_PX
            - np.array(canvas.corners)[level, ::-1]
        )
        # In float32, as in the shipped code.
        edges = np.concatenate((corner + 1, corner + WINDOW_PX), axis=1).astype(np.float32)
        boxes = np.floor(edges / levels.scales.astype(np.float32)[picture, level, None])
        found, shares = Candidates(boxes, windows.scores[inside], picture), windows.shares[inside]
        best = best_of(found, picture * len(canvas.corners) + level, _LEVEL_OVERLAP)
        found, shares = found.pick(best), shares[best]
        best = best_of(found, found.pictures, self._settings.overlaps[0])
        found, shares = found.pick(best), shares[best]
        return Candidates(squared(moved(found.boxes, shares, 0)), found.scores, found.pictures)

    def _refine(self, batch: PictureBatch, sizes: Integers, found: Candidates) -> Candidates:
        found, shares = _passed(batch.refine, self._settings.thresholds[1], sizes, found)
        best = best_of(found, found.pictures, self._settings.overlaps[1])
        found, shares = found.pick(best), shares[best]
        return Candidates(squared(moved(found.boxes, shares, 1)), found.scores, found.pictures)

    def _finish(self, batch: PictureBatch, sizes: Integers, found: Candidates) -> tuple[Floats, Floats, Integers]:
        """Boxes with scores [n, 5], points [n, 5, 2], and the pictures they are in [n]."""
        found, outputs = self._final(batch, sizes, found)
        sides = (found.boxes[:, 2:] - found.boxes[:, :2] + 1)[:, None]
        points = sides * outputs[:, 4:].reshape(-1, 2, 5).transpose(0, 2, 1) + found.boxes[:, None, :2] - 1
        boxes = np.concatenate((moved(found.boxes, outputs[:, :4], 1), found.scores[:, None]), axis=1)
        return boxes, points, found.pictures

    def _final(self, batch: PictureBatch, sizes: Integers, found: Candidates) -> tuple[Candidates, Floats]:
        """The candidates that pass the third network; of a cluster around a certain face, the best only."""
        threshold = self._settings.thresholds[2]
        if not self._settings.takes_shortcuts:
            return _passed(batch.finish, threshold, sizes, found)
        leads = np.zeros(len(found), np.bool_)
        leads[best_of(found, found.pictures, _CROWD_OVERLAP)] = True
        first, outputs = _passed(batch.finish, threshold, sizes, found.pick(leads))
        others, certain = found.pick(~leads), first.pick(first.scores >= _CERTAIN)
        others = others.pick(~overlapped(others, certain, _CROWD_OVERLAP))
        if not len(others):
            return first, outputs
        second, more = _passed(batch.finish, threshold, sizes, others)
        return first.joined(second), np.concatenate((outputs, more))


def _networks(settings: DetectorSettings) -> Networks:
    if settings.device == "cpu":
        from tasks.faces.detectors.on_cpu import CpuNetworks  # noqa: PLC0415

        return CpuNetworks()
    from tasks.faces.detectors.on_gpu import GpuNetworks  # noqa: PLC0415

    return GpuNetworks(settings)


def _passed(
    ask: Callable[[Integers, Integers], Floats], threshold: float, sizes: Integers, found: Candidates
) -> tuple[Candidates, Floats]:
    """The candidates that pass a network, with its scores, and its other outputs."""
    pixels, there = windows(found.boxes, sizes[found.pictures])
    found = found.pick(there)
    answers = ask(found.pictures, pixels[there])
    sure = answers[:, 0] > threshold
    found, answers = found.pick(sure), answers[sure]
    return Candidates(found.boxes, answers[:, 0], found.pictures), answers[:, 1:]


def _faces(boxes: Floats, points: NDArray[np.float32], shrink: int) -> tuple[FoundFace, ...]:
    kept = best_of_nested(boxes[:, :4], boxes[:, 4], _FACE_OVERLAP)
    pairs = zip(boxes[kept].tolist(), points[kept].tolist(), strict=True)
    faces = [in_picture(box, marks, shrink) for box, marks in pairs]
    return tuple(sorted(faces, key=lambda face: -face.score))

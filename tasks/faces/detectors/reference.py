"""MTCNN (Zhang et al. 2016, arXiv 1604.02878) as shipped by facenet-pytorch: the reference engine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from facenet_pytorch import MTCNN
from facenet_pytorch.models.utils.detect_face import detect_face
from PIL import Image

from storage.records import FoundFace
from tasks.faces.detectors.detector import DetectorSettings, in_picture, working_scale


class ReferenceMtcnn:
    """The cascade of `MTCNN.detect` with a smallest face per picture; one picture at a time."""

    batch = 1

    def __init__(self, settings: DetectorSettings) -> None:
        if settings.device == "cpu":
            # There is one process per core; threads within it need more CPU time for the same work (measured).
            torch.set_num_threads(1)
        networks = MTCNN(device=settings.device).eval()
        self._settings = settings
        self._cascade = partial(
            torch.no_grad()(detect_face),
            pnet=networks.pnet,
            rnet=networks.rnet,
            onet=networks.onet,
            threshold=settings.thresholds,
            factor=settings.factor,
            device=settings.device,
        )

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, highest score first; none if it is no larger than the smallest face."""
        shrink, smallest_px = working_scale(image.size, self._settings)
        small = image.reduce(shrink) if shrink > 1 else image
        if min(small.size) <= smallest_px:
            return ()
        try:
            boxes, points = self._cascade(small, smallest_px)
        except (IndexError, RuntimeError):
            # Its indices would be wrong for a candidate outside the picture (never in 4800 noise pictures).
            return ()
        # For one picture: [1, n, 5] boxes with scores, [1, n, 5, 2] points of the same faces.
        pairs = zip(boxes[0].tolist(), points[0].tolist(), strict=True)
        faces = [in_picture(box, marks, shrink) for box, marks in pairs]
        return tuple(sorted(faces, key=lambda face: -face.score))

    def find_all(self, images: Sequence[Image.Image]) -> list[tuple[FoundFace, ...]]:
        """The faces in each picture, one by one: the shipped code batches equal sizes only."""
        return [self.find(image) for image in images]

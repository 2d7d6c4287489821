"""Inference with a model version: embed aligned faces, and compare two embeddings.

Needs only the version's folder and ONNX Runtime on the CPU; torch only if the version has no ONNX file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.configuration.ranges import published_settings
from model.verification.thresholds import Thresholds
from model.versions.external_data import no_network
from model.versions.onnx_session import onnx_errors, open_session
from storage.errors import LakeError, UsageError
from storage.versions.models import ModelFolder

Embeddings = NDArray[np.float32]
# Faces per batch: at 112 px each needs about 10 MB in MobileFaceNet.
_BATCH = 32


@dataclass(frozen=True, slots=True)
class FaceComparison:
    """The comparison of two faces by a model.

    Attributes:
        distance: squared distance of the unit embeddings: 0 for the same picture, 2 for orthogonal ones, at most 4.
        threshold: the largest distance of the same person.
        probability: probability of the same person, at equal priors.
        is_same: whether `distance` is at most `threshold`.
    """

    distance: float
    threshold: float
    probability: float
    is_same: bool


class FaceModel:
    """A model version opened for inference.

    Raises:
        LakeError: a file of the version does not match its manifest, or is invalid.
    """

    def __init__(self, version: ModelFolder) -> None:
        self.version = version
        settings = published_settings(version)
        self.image_px: int = settings["image_px"]
        self.embedding_dim: int = settings["embedding_dim"]
        self._network = _network(version, self.embedding_dim)

    def embed(self, faces: NDArray[np.uint8]) -> Embeddings:
        """Embed aligned faces, uint8 [n, px, px, 3] RGB, to unit rows, float32 [n, d].

        Raises:
            UsageError: the faces have another size.
        """
        if faces.shape[1:] != (self.image_px, self.image_px, 3) or faces.dtype != np.uint8:
            raise UsageError(
                f"{self.version} takes faces uint8 [n, {self.image_px}, {self.image_px}, 3], not {faces.dtype} "
                f"{list(faces.shape)}; align them to {self.image_px} px"
            )
        parts = [self._network(faces[start : start + _BATCH]) for start in range(0, len(faces), _BATCH)]
        return np.concatenate([np.zeros((0, self.embedding_dim), np.float32), *parts])

    @cached_property
    def thresholds(self) -> Thresholds:
        """The version's thresholds and calibration."""
        return Thresholds.from_json(self.version.read_json("thresholds.json"))

    def compare(self, one: Embeddings, other: Embeddings) -> FaceComparison:
        """Compare two unit embeddings [d]."""
        cosine = float(one.astype(np.float64) @ other)
        threshold = self.thresholds.accuracy
        return FaceComparison(
            distance=2 - 2 * cosine,
            threshold=2 - 2 * threshold,
            probability=float(self.thresholds.calibration.probability(cosine)),
            is_same=cosine >= threshold,
        )


def _network(version: ModelFolder, embedding_dim: int) -> Callable[[NDArray[np.uint8]], Embeddings]:
    """A function from a batch of faces to unit embeddings."""
    if version.manifest.get("onnx"):
        session = open_session(version.read("model.onnx"))

        def run(faces: NDArray[np.uint8]) -> Embeddings:
            try:
                found: Embeddings = session.run(["embeddings"], {"faces": faces})[0]
            except onnx_errors() as error:
                raise no_network(error) from error
            if getattr(found, "shape", None) != (len(faces), embedding_dim) or found.dtype != np.float32:
                raise LakeError(
                    f"{version.url}/model.onnx must give float32 [{len(faces)}, {embedding_dim}] for {len(faces)} "
                    "faces as configured in config.json, and does not: copy the version again"
                )
            return found

        return run
    import torch  # noqa: PLC0415

    from model.embedding.embed import embed  # noqa: PLC0415
    from model.versions.version import load_backbone  # noqa: PLC0415

    backbone = load_backbone(version)
    return lambda faces: embed(backbone, faces, torch.device("cpu"))

"""A model version ready to use: from aligned faces to embeddings, and from two embeddings to a verdict.

It takes the folder of the version and nothing else, and ONNX Runtime on the CPU; torch only where the version was made
without ONNX.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.external_data import no_network, refuse_external_data
from model.ranges import published_settings
from model.thresholds import Thresholds
from storage.errors import LakeError, UsageError
from storage.models import ModelFolder

Embeddings = NDArray[np.float32]
# Faces at a time: at 112 px one takes about 10 MB on its way through MobileFaceNet.
_BATCH = 32


@dataclass(frozen=True, slots=True)
class FaceComparison:
    """What a model says of two faces.

    Attributes:
        distance: squared, of their unit embeddings: 0 for the same picture, 2 for nothing in common, 4 at most.
        threshold: the largest distance at which the version takes two faces for one person.
        probability: that they show one person, if beforehand both cases were equally likely.
        is_same: whether `distance` is at most `threshold`.
    """

    distance: float
    threshold: float
    probability: float
    is_same: bool


class FaceModel:
    """A model version opened for use.

    Raises:
        LakeError: a file of the version is not what its manifest says, or not what it must be.
    """

    def __init__(self, version: ModelFolder) -> None:
        self.version = version
        settings = published_settings(version)
        self.image_px: int = settings["image_px"]
        self.embedding_dim: int = settings["embedding_dim"]
        self._network = _network(version, self.embedding_dim)

    def embed(self, faces: NDArray[np.uint8]) -> Embeddings:
        """Unit rows, float32 [n, d], of aligned faces, uint8 [n, px, px, 3] RGB.

        Raises:
            UsageError: the faces are of another size.
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
        """Those of the version, with its calibration."""
        return Thresholds.from_json(self.version.read_json("thresholds.json"))

    def compare(self, one: Embeddings, other: Embeddings) -> FaceComparison:
        """Hold two unit embeddings [d] against each other."""
        cosine = float(one.astype(np.float64) @ other)
        threshold = self.thresholds.accuracy
        return FaceComparison(
            distance=2 - 2 * cosine,
            threshold=2 - 2 * threshold,
            probability=float(self.thresholds.calibration.probability(cosine)),
            is_same=cosine >= threshold,
        )


def open_session(graph: bytes, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU; with 0 threads it takes one a core.

    Raises:
        LakeError: the graph is none, or keeps numbers in other files.
    """
    import onnxruntime  # noqa: PLC0415

    refuse_external_data(graph)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Waiting threads that spin make everything else on busy cores twice as slow.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What was looked at above is what is opened: not ONNX Runtime's own format, which bytes could be as well.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except _onnx_errors() as error:
        raise no_network(error) from error


def _onnx_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises; its errors have no base of their own."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415

    errors = (one for one in vars(state).values() if isinstance(one, type) and issubclass(one, Exception))
    return (*errors, RuntimeError, ValueError, TypeError, MemoryError)


def _network(version: ModelFolder, embedding_dim: int) -> Callable[[NDArray[np.uint8]], Embeddings]:
    """What gives the unit embeddings of a batch of faces."""
    if version.manifest.get("onnx"):
        session = open_session(version.read("model.onnx"))

        def run(faces: NDArray[np.uint8]) -> Embeddings:
            try:
                found: Embeddings = session.run(["embeddings"], {"faces": faces})[0]
            except _onnx_errors() as error:
                raise no_network(error) from error
            if getattr(found, "shape", None) != (len(faces), embedding_dim) or found.dtype != np.float32:
                raise LakeError(
                    f"{version.url}/model.onnx must give float32 [{len(faces)}, {embedding_dim}] for {len(faces)} "
                    "faces, as its config.json says, and does not: get the version anew"
                )
            return found

        return run
    import torch  # noqa: PLC0415

    from model.embed import embed  # noqa: PLC0415
    from model.version import load_backbone  # noqa: PLC0415

    backbone = load_backbone(version)
    return lambda faces: embed(backbone, faces, torch.device("cpu"))

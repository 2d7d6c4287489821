"""Export of a network to ONNX, from pixels to embeddings, verified against torch.

Input `faces` is uint8 [n, px, px, 3], aligned faces as RGB. The graph scales them to [-1, 1] itself, so that callers
cannot scale them differently. Outputs are `embeddings`, float32 [n, d] unit rows, and `raw`, the same before
normalization. `n` is dynamic.
"""

from __future__ import annotations

import copy
import io
import threading
import warnings
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from model.embedding.augment import normalise
from storage.errors import TrainingError

# Supported by ONNX Runtime since 1.12.
OPSET = 17
# Maximum deviation from torch: absolute for embeddings, relative to the largest value for raw outputs.
TOLERANCE = 1e-5
_PACKAGES = ("onnx", "onnxruntime")
# The exporter keeps its state in globals and is not thread-safe.
_exporting = threading.Lock()
_INPUT, _OUTPUTS = "faces", ["embeddings", "raw"]


@dataclass(frozen=True)
class Graph:
    """A network as an ONNX file, and the largest deviation of its embeddings from torch."""

    onnx: bytes
    largest_difference: float


class _EmbeddingGraph(nn.Module):
    """A backbone with input scaling and output normalization."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.backbone(normalise(faces))
        return functional.normalize(raw), raw


def missing_packages() -> list[str]:
    """The packages needed by `make_graph` that are not installed, as on a training-only machine."""
    return [package for package in _PACKAGES if find_spec(package) is None]


def make_graph(backbone: nn.Module, image_px: int, facts: dict[str, str]) -> Graph:
    """Export `backbone` as a float32 graph for the CPU, whatever its training precision. `backbone` is unchanged.

    Args:
        facts: metadata of the file.

    Raises:
        TrainingError: the embeddings of ONNX Runtime and torch differ.
    """
    whole = _EmbeddingGraph(copy.deepcopy(backbone).cpu().float()).eval()
    faces = np.random.default_rng(0).integers(0, 256, (3, image_px, image_px, 3), np.uint8)
    graph = _with_facts(_traced(whole, torch.from_numpy(faces)), facts)
    return Graph(graph, _largest_difference(whole, graph, faces))


def _traced(whole: _EmbeddingGraph, faces: Tensor) -> bytes:
    file = io.BytesIO()
    # The tracing exporter takes 0.2 CPU-s per network, the one based on torch.export 4.4; the results are equal.
    with _exporting, warnings.catch_warnings(action="ignore"):
        torch.onnx.export(
            whole,
            (faces,),
            file,  # type: ignore[arg-type]  # accepts open files as well
            dynamo=False,
            opset_version=OPSET,
            input_names=[_INPUT],
            output_names=_OUTPUTS,
            dynamic_axes={name: {0: "n"} for name in (_INPUT, *_OUTPUTS)},
        )
    return file.getvalue()


def _with_facts(graph: bytes, facts: dict[str, str]) -> bytes:
    import onnx  # noqa: PLC0415

    model = onnx.load_model_from_string(graph)
    onnx.helper.set_model_props(model, facts)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _largest_difference(whole: _EmbeddingGraph, graph: bytes, faces: np.ndarray) -> float:
    from model.versions.onnx_session import open_session  # noqa: PLC0415

    session = open_session(graph, threads=1)
    with torch.inference_mode():
        expected = [output.numpy() for output in whole(torch.from_numpy(faces))]
    # Includes a batch size other than the traced one.
    found = [
        np.concatenate(parts)
        for parts in zip(*(session.run(_OUTPUTS, {_INPUT: part}) for part in (faces[:1], faces[1:])), strict=True)
    ]
    unit, raw = (float(np.abs(one - other).max()) for one, other in zip(expected, found, strict=True))
    difference = max(unit, raw / max(float(np.abs(expected[1]).max()), 1e-12))
    if not difference <= TOLERANCE:
        raise TrainingError(
            f"the ONNX graph differs from the network by {difference:.2g}, more than {TOLERANCE:g}: no version is "
            "written; install the versions of torch and onnxruntime in requirements.lock, and run again"
        )
    return difference

"""Provenance of a model version: data, code, seed and installed packages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from model.configuration.config import TrainConfig
from model.devices.distributed import num_ranks
from storage.records import bytes_digest
from storage.stamps.code_version import code_version
from storage.versions.datasets import DatasetVersion

_LIBRARIES = ("numpy", "pillow", "safetensors", "onnx", "onnxruntime")


def lineage(dataset: DatasetVersion, config: TrainConfig, device: torch.device) -> dict[str, Any]:
    """The content of `lineage.json`. It contains no machine names or local paths."""
    manifest = dataset.lake.read(f"{dataset.folder}/manifest.json")
    is_cuda = device.type == "cuda"
    return {
        "dataset": str(dataset),
        "dataset_state": dataset.state,
        "dataset_manifest_sha256": bytes_digest(manifest).hex(),
        "code": code_version(),
        "seed": config.seed,
        "device": torch.cuda.get_device_name(device) if is_cuda else "cpu",
        "cuda": torch.version.cuda if is_cuda else None,
        "precision": "bfloat16" if config.uses_bfloat16(device) else "float32",
        "compiled": config.compiles(device),
        "processes": num_ranks(),
        "python": platform.python_version(),
        # Torch's own version string includes the build.
        "libraries": {"torch": str(torch.__version__), **{library: _installed(library) for library in _LIBRARIES}},
    }


def _installed(distribution: str) -> str | None:
    """The version of an installed package; None if not installed, as on a training-only machine."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None

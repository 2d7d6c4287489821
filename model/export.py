"""What a model version is made of, and how to load one. No pickle: safetensors, JSON and a card."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import nn

from model.backbones import BACKBONES
from model.config import TrainConfig
from model.evaluate import EvaluationReport
from model.thresholds import Thresholds
from storage.datasets import DatasetVersion
from storage.lake import Lake
from storage.models import ModelVersion, write_model
from storage.records import bytes_digest
from storage.tables import stamp


def model_version_id(dataset: DatasetVersion, config: TrainConfig) -> str:
    """The id of the model version that training with `config` on `dataset` makes."""
    return stamp(dataset.state, config.recipe())


def build_backbone(config: TrainConfig) -> nn.Module:
    """The backbone of `config` with fresh weights, drawn from torch's current random state."""
    return BACKBONES[config.backbone](config.embedding_dim, config.width, config.image_px)


def export(
    lake: Lake,
    dataset: DatasetVersion,
    config: TrainConfig,
    backbone: nn.Module,
    *,
    device: torch.device,
    untrained: EvaluationReport,
    trained: EvaluationReport,
    thresholds: Thresholds,
    history: list[dict[str, Any]],
) -> ModelVersion:
    """Write the version: weights, config, metrics, thresholds, history, lineage, card, and the manifest last."""
    metrics = {"untrained": untrained.to_json(), "trained": trained.to_json()}
    weights = {name: tensor.cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    files = {
        "weights.safetensors": save(weights),
        "config.json": _json(config.recipe()),
        "metrics.json": _json(metrics),
        "thresholds.json": _json(thresholds.to_json()),
        "history.json": _json({"intervals": history}),
        "lineage.json": _json(_lineage(dataset, config, device)),
        "card.md": card(dataset, config, untrained, trained, _num_parameters(backbone)).encode(),
    }
    manifest = {
        "name": config.name,
        "dataset": str(dataset),
        "config": config.recipe(),
        "trained_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "num_parameters": _num_parameters(backbone),
        "auc": trained.auc,
        "auc_interval": trained.auc_interval,
        "auc_untrained": untrained.auc,
        "eer": trained.eer,
        "accuracy": trained.accuracy,
        "rank_1": trained.rank_1,
    }
    return write_model(lake, config.name, model_version_id(dataset, config), files, manifest)


def load_backbone(model: ModelVersion) -> nn.Module:
    """The backbone of a version with its weights, on the CPU, in evaluation mode.

    Raises:
        LakeError: a file of the version is not what its manifest says.
    """
    backbone = build_backbone(TrainConfig(**json.loads(model.read("config.json"))))
    backbone.load_state_dict(load(model.read("weights.safetensors")))
    return backbone.eval()


def card(
    dataset: DatasetVersion,
    config: TrainConfig,
    untrained: EvaluationReport,
    trained: EvaluationReport,
    num_parameters: int,
) -> str:
    """The model card, Markdown."""
    low, high = trained.auc_interval
    terms = dataset.manifest.get("terms") or "none stated in the dataset's manifest"
    return f"""# {config.name}

Turns a face of {config.image_px} x {config.image_px} pixels, aligned by five landmarks, into
{config.embedding_dim} numbers; the more two faces look like one person, the higher the cosine of theirs.
{config.backbone}, width {config.width:g}, {num_parameters:,} parameters, loss {config.loss}, margin
{config.margin:g}, {config.steps} steps.

## Data

{dataset}. Terms: {terms}

## Figures

On {trained.num_faces} faces of {trained.num_identities} people of the test split, none of whom was trained on
({trained.num_genuine} genuine and {trained.num_impostor} impostor pairs):

| figure | untrained | trained |
|---|---|---|
| ROC AUC | {untrained.auc:.3f} | {trained.auc:.3f} (95%: {low:.3f} to {high:.3f}) |
| equal error rate | {untrained.eer:.3f} | {trained.eer:.3f} |
| balanced accuracy | {untrained.accuracy:.3f} | {trained.accuracy:.3f} at cosine {trained.threshold:.3f} |
| rank-1 | {untrained.rank_1:.3f} | {trained.rank_1:.3f} |

## Limits

The figures hold for pictures like those of the dataset. Fairness between groups of people was not measured.
The threshold suits equally many genuine and impostor pairs; choose your own for another use.

## Biometric data

An embedding of a face is biometric data, and in many places identifying people by it needs their consent or
another basis in law. The terms of the data above bind the weights as well.
"""


def _lineage(dataset: DatasetVersion, config: TrainConfig, device: torch.device) -> dict[str, Any]:
    manifest = dataset.lake.read(f"{dataset.folder}/manifest.json")
    return {
        "dataset": str(dataset),
        "dataset_manifest_sha256": bytes_digest(manifest).hex(),
        "seed": config.seed,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "facemill": _installed("facemill"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "pillow": _installed("pillow"),
    }


def _installed(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _num_parameters(backbone: nn.Module) -> int:
    return sum(parameter.numel() for parameter in backbone.parameters())


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()

"""Writing and loading of model versions. Files are safetensors, ONNX, JSON and a Markdown card; no pickle."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from model.backbones import BACKBONES, set_activations
from model.configuration.config import TrainConfig, config_of
from model.embedding.align import TEMPLATE_112
from model.embedding.flip_tta import as_evaluated
from model.verification.evaluation import EvaluationReport
from model.verification.thresholds import Thresholds
from model.versions.card import card
from model.versions.onnx_export import OPSET, make_graph, missing_packages
from storage.errors import LakeError
from storage.files.lake import Lake
from storage.text.names import visible
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelFolder, ModelVersion, write_model


@dataclass(frozen=True, slots=True)
class Training:
    """What a model is trained on and how, as it was when the training began.

    Attributes:
        version: the id of the model version (`config.model_version_id`).
        lineage: as `provenance.lineage` gives it.
    """

    dataset: DatasetVersion
    config: TrainConfig
    version: str
    lineage: dict[str, Any]


def build_backbone(config: TrainConfig) -> nn.Module:
    """The backbone of `config` with new weights from torch's current random state."""
    backbone = BACKBONES[config.backbone](config.embedding_dim, config.width, config.image_px)
    return set_activations(backbone, config.activation)


def export(
    lake: Lake,
    training: Training,
    backbone: nn.Module,
    *,
    untrained: EvaluationReport,
    trained: EvaluationReport,
    thresholds: Thresholds,
    history: list[dict[str, Any]],
) -> ModelVersion:
    """Write a version: weights, graph, config, metrics, thresholds, history, lineage, card, and the manifest last.

    If the packages for the graph are not installed, as on a training-only machine, the version has no `model.onnx`,
    which is recorded in its manifest.

    Raises:
        TrainingError: the embeddings of ONNX Runtime and torch differ.
    """
    dataset, config = training.dataset, training.config
    num_parameters = sum(parameter.numel() for parameter in backbone.parameters())
    weights = {name: tensor.cpu().contiguous() for name, tensor in backbone.state_dict().items()}
    graph = (
        None if missing_packages() else make_graph(as_evaluated(backbone, config), config.image_px, _facts(training))
    )
    files = {
        "weights.safetensors": save(weights),
        **({"model.onnx": graph.onnx} if graph else {}),
        "config.json": _json(config.recipe()),
        "metrics.json": _json({"untrained": untrained.to_json(), "trained": trained.to_json()}),
        "thresholds.json": _json(thresholds.to_json()),
        "history.json": _json({"intervals": history}),
        "lineage.json": _json(training.lineage),
        "card.md": card(dataset, config, untrained, trained, thresholds, num_parameters).encode(),
    }
    manifest = {
        "dataset": str(dataset),
        "config": config.recipe(),
        "trained_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "num_parameters": num_parameters,
        "onnx": {"opset": OPSET, "largest_difference": graph.largest_difference} if graph else None,
        "auc": trained.auc,
        "auc_interval": trained.auc_interval,
        "auc_untrained": untrained.auc,
        "eer": trained.eer,
        "accuracy": trained.accuracy,
        "rank_1": trained.rank_1,
    }
    return write_model(lake, config.name, training.version, files, manifest)


def load_backbone(model: ModelFolder) -> nn.Module:
    """Load the backbone of a version as it was evaluated, on the CPU, in evaluation mode.

    Raises:
        LakeError: a file of the version does not match its manifest, or is invalid.
    """
    config, data = config_of(model), model.read("weights.safetensors")
    backbone = build_backbone(config)
    try:
        backbone.load_state_dict(load(data))
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
        words = " ".join(visible(str(error)).split())[:200]
        raise LakeError(
            f"{model.url}/weights.safetensors does not match its config.json ({words}): copy the version again, or "
            "retrain"
        ) from error
    return as_evaluated(backbone, config).eval()


def _facts(training: Training) -> dict[str, str]:
    """Metadata of the ONNX file, for use without its folder."""
    px = training.config.image_px
    return {
        "model": f"{training.config.name}@{training.version}",
        "dataset": str(training.dataset),
        "terms": training.dataset.manifest.get("terms", ""),
        "input": f"uint8 [n, {px}, {px}, 3], RGB; scaled to [-1, 1] by the graph itself",
        "alignment": "both eyes, nose and mouth corners mapped to the points of `template` by a similarity transform",
        "template": json.dumps((TEMPLATE_112 * (px / 112)).round(4).tolist()),
        "output": "embeddings: unit rows, compared by squared distance; raw: the same before normalization",
    }


def _json(value: dict[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()

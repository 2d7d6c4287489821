"""Checkpoints of training runs, in one file that is written atomically and contains no pickle.

The file is in safetensors format: tensors under "backbone.", "averaged.", "loss." and "optimizer.<parameter>.", and the
step and the history as JSON in its header. A single file cannot be half new and half old.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from storage.errors import TrainingError
from storage.files.atomic import whole_file


@dataclass
class TrainState:
    """The mutable state of training after `step` steps.

    `averaged` is the backbone with averaged weights (EMA), `learner` the backbone and loss in training.
    """

    backbone: nn.Module
    averaged: nn.Module
    loss: nn.Module
    learner: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def save_checkpoint(path: Path, state: TrainState) -> None:
    """Write `state` to `path` atomically.

    Raises:
        TrainingError: the disk is full or not writable.
    """
    header = {"state": json.dumps({"step": state.step, "history": state.history})}
    tensors = {name: tensor.contiguous() for name, tensor in _tensors(state).items()}
    try:
        with whole_file(path) as temporary:
            save_file(tensors, temporary, metadata=header)
    except SafetensorError as error:
        raise TrainingError(
            f"checkpoint {path} cannot be written: {error}; fix this and run the same command again to resume"
        ) from error


def restore_checkpoint(path: Path, state: TrainState) -> bool:
    """Load a checkpoint into `state`, which was newly built from the same configuration.

    Returns:
        False, with `state` unchanged, if there is no checkpoint.

    Raises:
        TrainingError: the file cannot be read, or belongs to another network.
    """
    if not path.exists():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        _load(state, tensors)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise TrainingError(f"checkpoint {path} cannot be resumed ({error}); delete it to start over") from error
    state.step, state.history = header["step"], header["history"]
    return True


def _tensors(state: TrainState) -> dict[str, Tensor]:
    moments = {
        f"optimizer.{number}.{name}": tensor
        for number, values in state.optimizer.state_dict()["state"].items()
        for name, tensor in values.items()
    }
    modules = {"backbone": state.backbone, "averaged": state.averaged, "loss": state.loss}
    weights = {
        f"{module}.{name}": tensor for module, one in modules.items() for name, tensor in one.state_dict().items()
    }
    return moments | weights


def _load(state: TrainState, tensors: dict[str, Tensor]) -> None:
    state.backbone.load_state_dict(_below("backbone.", tensors))
    state.averaged.load_state_dict(_below("averaged.", tensors))
    state.loss.load_state_dict(_below("loss.", tensors))
    parameters = [one for group in state.optimizer.param_groups for one in group["params"]]
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in _below("optimizer.", tensors).items():
        number, _, name = key.partition(".")
        moments.setdefault(int(number), {})[name] = _laid_out_as(parameters[int(number)], tensor)
    optimizer = state.optimizer.state_dict()
    state.optimizer.load_state_dict({**optimizer, "state": moments})


def _laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """An optimizer moment with the strides of its parameter, which fused AdamW requires without checking."""
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, requires_grad=False).copy_(tensor)


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

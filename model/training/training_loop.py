"""The training loop, from a dataset version to a model version.

The batch, its augmentation and the learning rate of a step are functions of (seed, step). A killed run resumes from its
checkpoint with the same result: on a CPU with the same number of threads the weights are bit-identical. Several
processes can share the batches of one run (`model.devices.distributed`).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from model.configuration.config import TrainConfig, model_version_id
from model.devices import distributed as ranks
from model.devices.device import resolve_device
from model.embedding.augment import draw_augmentation, step_generator
from model.embedding.data import Faces, load_faces
from model.embedding.flip_tta import as_evaluated
from model.losses import LOSSES
from model.training.checkpoint import TrainState, restore_checkpoint, save_checkpoint
from model.training.train_set import TrainSet, put_on
from model.training.training_step import make_learner
from model.verification.evaluation import evaluate
from model.verification.pairs import check_pairs
from model.verification.validation import is_due, validation_auc, watched_faces
from model.versions.provenance import lineage
from model.versions.version import Training, build_backbone, export
from storage.errors import TrainingError
from storage.files.lake import Lake
from storage.records import Split
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion, has_model

# Reports and checkpoints per run: about 30, and at least every 500 steps (a minute on one GPU).
_REPORTS = 30
_MAX_INTERVAL_STEPS = 500


@dataclass(frozen=True)
class Progress:
    """Progress of a run: means over the steps since the last report, and the learning rate of the last step.

    `triplet_loss` and `active_share` are None for a loss without triplets. `spread` is the variance of the unit
    embeddings of a batch: 1 if they are spread evenly, 0 if they are all equal. `cpu_s` is the CPU time of this process
    over all threads. `val_auc` is a point of the curve of `model.verification.validation`, None in most reports.
    """

    step: int
    steps: int
    loss: float
    triplet_loss: float | None
    active_share: float | None
    spread: float
    learning_rate: float
    images_per_s: float
    cpu_s: float
    val_auc: float | None = None


def train(
    lake: Lake,
    dataset: DatasetVersion,
    config: TrainConfig,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    work_folder: Path,
) -> ModelVersion:
    """Train on the train split, evaluate on the test split, and publish. Returns an existing version unchanged.

    With several processes, rank 0 writes the checkpoint and the version, and calls `on_progress`.

    Args:
        on_progress: called about 30 times per run, each time after the checkpoint was saved.
        work_folder: folder for decoded faces and the checkpoint; a run restarted with the same folder resumes.

    Raises:
        UsageError: the dataset has too few people or faces for training or evaluation.
        TrainingError: the loss is not finite, or the embeddings have collapsed to one point.
    """
    version = model_version_id(dataset, config)
    if has_model(lake, config.name, version):
        return ModelVersion(lake, config.name, version)
    device = resolve_device(config.device)
    # Before the faces are read: a takedown that is recorded during the training was not known to it.
    made_from = lineage(dataset, config, device)
    with ranks.rank_0_first():
        faces, val, test = (
            load_faces(dataset, split, config.image_px, cache_folder=work_folder / "faces")
            for split in (Split.TRAIN, Split.VAL, Split.TEST)
        )
    check_pairs(test.labels, Split.TEST)
    train_set = put_on(device, faces, config)
    state = initial_state(config, len(faces.identities), device)
    checkpoint = work_folder / f"checkpoint-{config.name}-{version}.safetensors"
    restore_checkpoint(checkpoint, state)
    watched = watched_faces(val) if ranks.is_rank_0() else None
    while state.step < config.steps:
        progress = run_interval(state, train_set, config)
        check_health(progress, config)
        if watched and is_due(len(state.history) + 1, is_last=state.step == config.steps):
            seen = validation_auc(as_evaluated(state.averaged, config), watched, device)
            progress = replace(progress, val_auc=seen)
        state.history.append(asdict(progress))
        if ranks.is_rank_0():
            save_checkpoint(checkpoint, state)
            if on_progress is not None:
                on_progress(progress)
    with ranks.rank_0_first():
        if ranks.is_rank_0():
            trained = Training(dataset, config, version, made_from)
            publish(lake, trained, state, test, val)
            checkpoint.unlink(missing_ok=True)
    return ModelVersion(lake, config.name, version)


def publish(lake: Lake, training: Training, state: TrainState, test: Faces, val: Faces) -> ModelVersion:
    """Evaluate the averaged and the initial weights, and write the version."""
    config = training.config
    device = resolve_device(config.device)
    untrained, _ = evaluate(as_evaluated(first_modules(config, 1)[0], config), test, val, device=device)
    trained, thresholds = evaluate(as_evaluated(state.averaged, config), test, val, device=device)
    return export(
        lake,
        training,
        state.averaged,
        untrained=untrained,
        trained=trained,
        thresholds=thresholds,
        history=state.history,
    )


def first_modules(config: TrainConfig, num_identities: int) -> tuple[nn.Module, nn.Module]:
    """Backbone and loss with initial weights, which depend on the seed only."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return build_backbone(config), LOSSES[config.loss](config, num_identities)


def initial_state(config: TrainConfig, num_identities: int, device: torch.device) -> TrainState:
    """The state before the first step: initial weights and a new AdamW.

    Weight decay excludes vectors (norms, biases, PReLU slopes): shrinking these does not regularize a network.
    """
    backbone, loss = first_modules(config, num_identities)
    backbone.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    loss.to(device)
    averaged = copy.deepcopy(backbone).requires_grad_(False)
    if config.sync_batch_norm and ranks.num_ranks() > 1:
        backbone = nn.SyncBatchNorm.convert_sync_batchnorm(backbone)  # type: ignore[no-untyped-call]
    parameters = [*backbone.parameters(), *loss.parameters()]
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)
    return TrainState(backbone, averaged, loss, make_learner(backbone, loss, config, device), optimizer)


def learning_rate(config: TrainConfig, step: int) -> float:
    """The learning rate of step 0, 1, ...: linear warm-up, then a half cosine to 0."""
    warmup = min(config.warmup_steps, config.steps // 2)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * (1 + math.cos(math.pi * done)) / 2


def run_interval(state: TrainState, train_set: TrainSet, config: TrainConfig, steps: int | None = None) -> Progress:
    """Take `steps` steps, or those up to the next report, and return their progress."""
    started, started_cpu, first = time.perf_counter(), time.process_time(), state.step
    length = steps or min(_MAX_INTERVAL_STEPS, math.ceil(config.steps / _REPORTS))
    last = min(config.steps, first + length)
    # Metrics stay on the device until the interval ends: reading one blocks the host.
    with torch.backends.cudnn.flags(enabled=True, benchmark=True):
        figures = torch.stack([_step(state, train_set, config) for _ in range(first, last)]).mean(0).tolist()
    loss, triplet_loss, active_share, spread = figures
    return Progress(
        step=state.step,
        steps=config.steps,
        loss=loss,
        triplet_loss=None if math.isnan(triplet_loss) else triplet_loss,
        active_share=None if math.isnan(active_share) else active_share,
        spread=spread,
        learning_rate=learning_rate(config, last - 1),
        images_per_s=(last - first) * train_set.sampler.batch_size / (time.perf_counter() - started),
        cpu_s=time.process_time() - started_cpu,
    )


def _step(state: TrainState, train_set: TrainSet, config: TrainConfig) -> Tensor:
    """One forward and backward pass. Returns loss, triplet loss, active share and spread; NaN if undefined."""
    device = train_set.device
    generator = step_generator(config.seed, state.step, device)
    changes = draw_augmentation(train_set.sampler.batch_size, generator, config.augment_strength).of(train_set.own)
    images, labels = train_set.batch(state.step)
    value, spread = state.learner.train()(images, changes, labels)
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(config, state.step)
    state.optimizer.zero_grad(set_to_none=True)
    value.total.backward()
    state.optimizer.step()
    follow(state.averaged, state.backbone, min(config.ema_decay, (1 + state.step) / (10 + state.step)))
    state.step += 1
    missing = torch.full((), torch.nan, device=device)
    figures = (value.total, value.triplet, value.active_share, spread)
    return torch.stack([missing if figure is None else figure.detach() for figure in figures])


@torch.no_grad()
def follow(averaged: nn.Module, backbone: nn.Module, decay: float) -> None:
    """Update the moving average of weights and norm statistics by a share of 1 - decay."""
    ours, theirs = (
        [tensor for tensor in one.state_dict().values() if tensor.is_floating_point()] for one in (averaged, backbone)
    )
    torch._foreach_lerp_(ours, theirs, 1 - decay)


def check_health(progress: Progress, config: TrainConfig) -> None:
    """Check that training has not diverged or collapsed.

    Raises:
        TrainingError: the loss is not finite, or the triplet loss equals the margin because all embeddings are
        equal.
    """
    if not math.isfinite(progress.loss):
        raise TrainingError(
            f"loss must be finite, it is {progress.loss} at step {progress.step}; lower learning_rate "
            f"(now {config.learning_rate:g}) or raise warmup_steps (now {config.warmup_steps})"
        )
    at_margin = progress.triplet_loss is not None and abs(progress.triplet_loss - config.margin) < 0.02 * config.margin
    if at_margin and progress.spread < 0.01:
        raise TrainingError(
            f"the embeddings collapsed: their variance is {progress.spread:.4f} (at least 0.01 is needed) and the "
            f"triplet loss stays at the margin {config.margin:g} at step {progress.step}; train with mining batch_all "
            f"(now {config.mining}) or lower learning_rate (now {config.learning_rate:g})"
        )

"""Train: one model version per dataset version and configuration."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.settings import Device, load_settings, user_name
from flows.watch import artifacts
from flows.watch.progress import Track, track
from model.config import PRESETS, TrainConfig, default_preset
from model.export import model_version_id
from model.train import Progress
from model.train import train as train_model
from storage.aliases import nominate
from storage.datasets import DatasetVersion, open_dataset
from storage.lake import Lake
from storage.leases import alone
from storage.models import ModelVersion, model_versions

Preset = Literal["auto", "smoke", "cpu", "full"]


@flow(name="train", flow_run_name="train on {dataset} margin {margin}", persist_result=False)
def train(
    lake: str,
    dataset: str = "faces-mtcnn",
    model: str = "embedder",
    margin: float = 1.0,
    preset: Preset = "auto",
    steps: int | None = None,
    seed: int = 0,
    device: Device = "auto",
) -> dict[str, Any]:
    """Train an embedding model on a dataset version, publish it as a model version and make it the candidate.

    Args:
        lake: the folder or URL everything is kept in.
        dataset: `name@version`, or a name for its newest version.
        model: what the model is called.
        margin: of the triplet loss, in squared distance of unit vectors. The author tried 1 and 2.
        preset: smoke (a minute of a CPU), cpu (twenty), full (a GPU), or auto: full on a GPU, and smoke without.
        steps: batches to train on; None for as many as the preset says.
        seed: of the first weights, the batches and the augmentation.
        device: where to train; auto is a GPU if there is one.

    Returns:
        The model, its version, whether it is new, the dataset, and the verification AUC before and after training.
    """
    store = Lake(lake)
    chosen = open_dataset(store, dataset)
    recipe = recipe_of(preset, device)
    config = replace(recipe, name=model, margin=margin, seed=seed, device=device, steps=steps or recipe.steps)
    known = {str(one) for one in model_versions(store, model)}
    with track("train", config.steps) as progress:
        version = train_task(store, chosen, config, progress)
    nominate(store, version.name, version.version, user_name())
    metrics = version.read_json("metrics.json")
    _show(version, metrics)
    auc = metrics["trained"]["auc"], metrics["untrained"]["auc"]
    get_run_logger().info("%s: AUC on unseen people %.3f, untrained %.3f", version, *auc)
    return {
        "model": version.name,
        "version": version.version,
        "is_new": str(version) not in known,
        "dataset": str(chosen),
        "auc": metrics["trained"]["auc"],
        "untrained_auc": metrics["untrained"]["auc"],
    }


def recipe_of(preset: Preset, device: Device) -> TrainConfig:
    """The configuration of a preset."""
    return PRESETS[default_preset(device) if preset == "auto" else preset]


# Here and not among the other tasks, since `tasks` knows nothing of `model`.
@task(name="train", task_run_name="train {config.name}", tags=["gpu"], cache_policy=NO_CACHE, persist_result=False)
def train_task(lake: Lake, dataset: DatasetVersion, config: TrainConfig, progress: Track) -> ModelVersion:
    """Train, or find the model trained already; a killed run goes on from its last checkpoint."""
    page = artifacts.LivePage("training", f"## {config.name} on {dataset}\n\nGetting ready.\n")
    losses: list[float] = []

    def on_progress(now: Progress) -> None:
        lease.check()
        losses.append(now.loss)
        told = f"loss {now.loss:.3f}, {now.images_per_s:.0f} faces/s"
        progress.reach(now.step, told)
        page.show(
            f"## {config.name} on {dataset}\n\nStep {now.step} of {now.steps}: {told}, learning rate "
            f"{now.learning_rate:.2g}.\n\n{artifacts.curve(losses)}\n"
        )

    # Two that were asked for the same, by a person and by an event for instance: the second finds the version made.
    version = model_version_id(dataset, config)
    with alone(lake, "train", config.name, version, good_for_s=load_settings().lease_s) as lease:
        return train_model(lake, dataset, config, on_progress=on_progress, work_folder=lake.work_folder)


def _show(version: ModelVersion, metrics: dict[str, Any]) -> None:
    untrained, trained = metrics["untrained"], metrics["trained"]
    rows = [
        {"figure": name, "untrained": untrained[name], "trained": value, "95%": trained.get(f"{name}_interval")}
        for name, value in trained.items()
        if isinstance(value, float)
    ]
    artifacts.table("model-figures", rows, f"{version} on people it has not seen")
    losses = [row["loss"] for row in version.read_json("history.json")["intervals"]]
    card = version.read("card.md").decode()
    artifacts.markdown("model", f"{card}\n## Training loss over the run of {version}\n\n{artifacts.curve(losses)}\n")

"""Train one model version per dataset version and configuration."""

from __future__ import annotations

from typing import Any

from flows.configuration.setting_groups import SettingValues, check_settings
from flows.configuration.settings import Device, Share, user_name
from flows.configuration.training_config import Preset, training_config
from flows.runs.engine import flow, run_logger
from flows.runs.report_step import model_report
from flows.runs.training_need import why_not_needed
from flows.tasks import train_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from model.verification.claims import remarks, too_few
from storage.files.lake import Lake
from storage.versions.aliases import nominate
from storage.versions.datasets import open_dataset
from storage.versions.models import ModelVersion, model_versions


@flow(name="train", flow_run_name="train on {dataset} margin {margin}")
def train(
    lake: str,
    dataset: str = "faces-mtcnn",
    model: str = "embedder",
    margin: float = 1.0,
    preset: Preset = "auto",
    steps: int | None = None,
    seed: int = 0,
    device: Device = "auto",
    report: bool = False,
    min_change: Share = 0.0,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Train an embedding model on a dataset version, publish it as a model version, and make it the candidate.

    Args:
        lake: folder or URL of the lake.
        dataset: `name@version`, or a name for its newest version.
        model: name of the model.
        margin: margin of the triplet loss, in squared distance of unit vectors. The original experiment used 1 and 2.
        preset: smoke (a minute of a CPU), cpu (twenty), full (a GPU), or auto: full on a GPU, and smoke without.
        steps: number of batches; None for the preset's.
        seed: random seed of the initial weights, the batches and the augmentation.
        device: training device; auto is a GPU if there is one.
        report: write the HTML report on the version, which `facemill serve` shows.
        min_change: least share of faces or people added or removed that is worth a training, 0 to 1, since the dataset
            version of the newest model of this name and these settings. A version with other settings, or cleaned by
            another model, is always trained on.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        The model, its version, whether it is new, the dataset, the verification AUC before and after training, and
        remarks on their validity (`claims.remarks`); with `report`, its path. If nothing was trained: the model, the
        dataset, and `left_out`, the reason.
    """
    store, settings = Lake(lake), check_settings(settings, "train")
    chosen = open_dataset(store, dataset)
    chosen.require_names()
    _, config = training_config(
        model, margin=margin, preset=preset, steps=steps, seed=seed, device=device, settings=settings
    )
    if why := why_not_needed(store, chosen, config, min_change):
        run_logger().info("%s is not trained on %s: %s", model, chosen, why)
        return {"model": model, "dataset": str(chosen), "left_out": why}
    known = {str(one) for one in model_versions(store, model)}
    with track("train", config.steps) as progress:
        version = train_task(store, chosen, config, progress)
    nominate(store, version.name, version.version, user_name())
    metrics = version.read_json("metrics.json")
    written = model_report(version, chosen, device) if report else {}
    _show(version, metrics, written.get("report"))
    auc = metrics["trained"]["auc"], metrics["untrained"]["auc"]
    note = "; ".join(remarks(metrics["trained"], metrics["untrained"]))
    run_logger().info("%s: AUC on unseen people %.3f, untrained %.3f; %s", version, *auc, note)
    return {
        "model": version.name,
        "version": version.version,
        "is_new": str(version) not in known,
        "dataset": str(chosen),
        "auc": metrics["trained"]["auc"],
        "untrained_auc": metrics["untrained"]["auc"],
        "note": note,
        **written,
    }


def _show(version: ModelVersion, metrics: dict[str, Any], report: str | None) -> None:
    untrained, trained = metrics["untrained"], metrics["trained"]
    few = too_few(trained.get("num_identities"))
    rows = [
        {
            "figure": name,
            "untrained": untrained.get(name),
            "trained": value,
            "95%": few or trained.get(f"{name}_interval"),
        }
        for name, value in trained.items()
        if isinstance(value, float)
    ]
    artifacts.table("model-figures", rows, f"{version} on unseen people")
    history = version.read_json("history.json")["intervals"]
    steps, losses = [row["step"] for row in history], [row["loss"] for row in history]

    def page() -> str:
        card = artifacts.foreign_page(version.read_text("card.md"))
        plot = artifacts.loss_plot(steps, losses)
        return f"{artifacts.report_line(report)}{card}\n## Training loss over the run of {version}\n\n{plot}\n"

    artifacts.markdown("model", page, f"Card and training loss of {version}")

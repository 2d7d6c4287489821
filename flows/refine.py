"""Refine: train on a dataset version, publish it without the faces that the model doubts, and train on that."""

from __future__ import annotations

from typing import Any

from flows.configuration.setting_groups import SettingValues, changed, check_settings, of_flow
from flows.configuration.settings import Device, Share
from flows.doubts import doubts, settings_of
from flows.publish import publish
from flows.runs.engine import flow, run_logger
from flows.telemetry import artifacts
from flows.telemetry.cleaning_words import cleaning_page
from flows.telemetry.stage_summaries import stage_ended
from flows.train import train
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import ModelVersion, open_model
from tasks.dataset.cleaned_twin import cleaned_twin
from tasks.dataset.diff import diff
from tasks.dataset.funnel import Funnel
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning


@flow(name="refine", flow_run_name="refine {model}")
def refine(
    lake: str,
    versions: list[str],
    *,
    model: str = "embedder",
    margin: float = 1.0,
    steps: int | None = None,
    device: Device = "auto",
    min_change: Share = 0.0,
    report: bool = False,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """Train on a dataset version, publish it without the faces that the model doubts, and train on the result.

    What exists is not made again: neither a model, nor the cleaned version of a version by its model.

    Args:
        lake: folder or URL of the lake.
        versions: `name@version` of one or more versions that are not cleaned; the models are trained on the last.
        model: name of the model.
        margin: margin of the triplet loss, in squared distance of unit vectors.
        steps: number of training batches; None for the preset's.
        device: device of training and scoring.
        min_change: least share of faces or people added or removed that is worth a training, as for `train`.
        report: write the HTML reports on the versions that are made, which `facemill serve` shows.
        settings: fields of training and cleaning that differ from their defaults, such as {"clean.rounds": 2}. Cleaned
            versions have the other settings of their versions.

    Returns:
        `train`, the result of the first training. Unless it was left out: `clean`, the result of `doubts` for each
        version that had no cleaned version yet; `publish_cleaned`, that of `publish` for each version with doubtful
        faces, with what it changed as `cleaned_from`; and `train_cleaned`, if the last version is among these.

    Raises:
        UsageError: a version is cleaned already, or was published without people on a list of names.
    """
    store, settings = Lake(lake), check_settings(settings, "pipeline")
    plain = [open_dataset(store, one) for one in versions]
    for one in plain:
        _check_plain(one)
    training: dict[str, Any] = {"model": model, "margin": margin, "steps": steps, "device": device}
    training |= {"min_change": min_change, "report": report, "settings": of_flow(settings, "train")}
    done: dict[str, Any] = {}

    def ended(name: str, result: Any) -> None:
        done[name] = result
        stage_ended(name, result)

    ended("train", train(lake, str(plain[-1]), **training))
    if "left_out" in done["train"]:
        return done
    scorer = open_model(store, f"{model}@{done['train']['version']}")
    twins = {one: _twin(one, scorer, settings) for one in plain}
    scored = {one: doubts(one, scorer, device, settings) for one in plain if twins[one] is None}
    if scored:
        ended("clean", list(scored.values()))
    doubtful = [one for one in plain if twins[one] or scored[one]["doubtful"]]
    if not doubtful:
        run_logger().info("%s doubts no face of %s", scorer, ", ".join(map(str, plain)))
        return done
    ended("publish_cleaned", [_cleaned(one, twins[one], scorer, settings, report=report) for one in doubtful])
    if plain[-1] in doubtful:
        last = done["publish_cleaned"][-1]
        ended("train_cleaned", train(lake, f"{last['dataset']}@{last['version']}", **training))
    _show(store, done)
    return done


def _check_plain(version: DatasetVersion) -> None:
    version.require("source", "method", "num_samples", "num_identities")
    if "cleaning" in version.manifest:
        raise UsageError(f"{version} is cleaned already: name the version from which it was made")
    if "exclude" in version.manifest:
        raise UsageError(
            f"{version} was published without people on a list of names, which the lake does not hold: use "
            "`facemill publish --exclude FILE --cleaned-by MODEL`"
        )


def _twin(version: DatasetVersion, model: ModelVersion, settings: SettingValues) -> DatasetVersion | None:
    cleaning = changed(Cleaning(str(model), 1.0), "cleaning", settings)
    return cleaned_twin(version, cleaning, changed(CleanRules(), "clean", settings))


def _cleaned(
    version: DatasetVersion, twin: DatasetVersion | None, model: ModelVersion, settings: SettingValues, *, report: bool
) -> dict[str, Any]:
    """The result of publishing the cleaned version, or of finding it, and what it changed."""
    result = _found(twin) if twin else _published(version, model, settings, report=report)
    after = twin or open_dataset(version.lake, f"{result['dataset']}@{result['version']}")
    before = {name: version.manifest[f"num_{name}"] for name in ("samples", "identities")}
    changes = diff(version, after).counts()
    return result | {"cleaned_from": {"version": version.version, **before, "changes": changes}}


def _published(
    version: DatasetVersion, model: ModelVersion, settings: SettingValues, *, report: bool
) -> dict[str, Any]:
    own = {name: one for name, one in settings.items() if name.startswith(("clean.", "cleaning."))}
    (result,) = publish(
        version.lake.url,
        source=version.source,
        dataset=version.name.rpartition("-")[0],
        method=version.manifest["method"],
        cleaned_by=str(model),
        keep=version.manifest.get("kept"),
        report=report,
        starts_training=False,
        settings=settings_of(version) | own,
    )
    return dict(result)


def _found(version: DatasetVersion) -> dict[str, Any]:
    """An existing version, as `publish` would return it."""
    return {
        "dataset": version.name,
        "version": version.version,
        "is_new": False,
        "note": "",
        "samples": version.manifest["num_samples"],
        "identities": version.manifest["num_identities"],
        "excluded": [],
        "funnel": version.manifest["funnel"],
        "funnels": version.manifest.get("funnels", {}),
    }


def _show(lake: Lake, done: dict[str, Any]) -> None:
    """Show the cleaned version, what cleaning changed, and both models."""
    *_, last = done["publish_cleaned"]
    version = open_dataset(lake, f"{last['dataset']}@{last['version']}")
    plain = f"{last['dataset']}@{last['cleaned_from']['version']}"
    title = f"From link lines to samples of {version}, the cleaned {plain}"
    artifacts.table("refine-funnel", Funnel.from_json(last["funnel"]).rows(), title)
    page = f"What cleaning by {done['train']['model']} changed in {version.name}"
    artifacts.markdown(
        "refine", lambda: f"{artifacts.dataset_page(version, last.get('report'))}\n{cleaning_page(done)}", page
    )

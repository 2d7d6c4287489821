"""The whole pipeline: ingest, retry immediately what is due, crop, publish, and training, cleaned if asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flows.configuration.setting_groups import SettingValues, changed, check_settings, of_flow
from flows.configuration.settings import Device, Share
from flows.crop import Method, crop
from flows.doubts import doubts
from flows.ingest import ingest
from flows.publish import publish
from flows.refine import refine
from flows.retry import retry
from flows.runs.engine import flow
from flows.runs.peer_runs import has_deployment, peer_runs, schedule_run
from flows.selection import Selection, SourceNames
from flows.synthetic_web import web_for
from flows.telemetry import artifacts
from flows.telemetry.cleaning_words import cleaning_page, model_line
from flows.telemetry.stage_summaries import stage_ended
from flows.train import train
from storage.files.lake import Lake
from storage.versions.datasets import open_dataset
from storage.versions.models import open_model
from tasks.dataset.funnel import Funnel
from tasks.dataset.split import SplitRules, check_enough_people
from tasks.links.sources import source_named

# Settings of the cleaning, which only `refine` and `doubts` apply.
_OF_SCORES = ("clean.", "cleaning.")


@flow(name="pipeline", flow_run_name="pipeline {source}")
async def pipeline(
    lake: str,
    *,
    source: SourceNames = "vggface1",
    links: str | None = None,
    identities: int | list[str] | None = None,
    per_identity: int | None = None,
    connect_to: str | None = None,
    method: Method = "both",
    dataset: str = "faces",
    min_face: int = 100,
    margin: float = 1.0,
    steps: int | None = None,
    device: Device = "auto",
    runs: Annotated[int, Field(ge=1)] = 1,
    allow_outside: bool = False,
    recipe: str | None = None,
    min_change: Share = 0.0,
    report: bool = False,
    clean: bool = False,
    settings: SettingValues | None = None,
) -> dict[str, Any]:
    """From link files to dataset versions and a model version. Work that is already done is skipped.

    Args:
        lake: folder or URL of the lake.
        source: source of the links, or several, `a,b`: each is fetched and cropped, and all make one dataset.
        links: folder or archive of link files, URL of such an archive, or base URL of single files; for a source
            that is a folder of pictures, that folder; for a list, that file, its folder or its URL. None: the source's
            published location, or the list's location at the last run.
        identities: the number of people, from the first on, or their names; None for all.
        per_identity: the number of links per person, from the first on; None for all.
        connect_to: HOST:PORT that every request is sent to instead of its own host.
        method: crop method; both: one dataset each for bbox and mtcnn; agree: the faces where these two agree.
        dataset: datasets are named `<dataset>-<method>`.
        min_face: minimum shorter side of a face, in pixels of its picture.
        margin: margin of the triplet loss, in squared distance of unit vectors.
        steps: number of training batches; None for the preset's.
        device: training device.
        runs: number of runs that share ingest, retry and crop: this one, and peer runs on free workers.
        allow_outside: consent to the lake's first contact with hosts outside this machine for this source.
        recipe: meaning of the columns of a list: a preset or a TOML file. None: the recipe that the lake keeps, the one
            named like the source, or a guess.
        min_change: least share of faces or people added or removed that is worth a new version, as for `publish`, and
            a training, as for `train`. The training of a server's deployment has its own.
        report: write the HTML reports on the versions, which `facemill serve` shows; a deployment has its own.
        clean: once trained, publish the versions again without the faces that the model doubts, and train on that.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        The result of each flow, by its name; with `clean` also those that `refine` adds. `clean` is the result of
        `doubts` for each version. If a run of a server's deployment trains, `train` has only its name, `flow_run`, its
        `id`, and whether it `cleans`. For a source that names nobody it has only `left_out`, the reason.
    """
    store, settings = Lake(lake), check_settings(settings, "pipeline")
    chosen = Selection(source, links, recipe, identities, per_identity, connect_to)
    sources, others = chosen.sources, runs - 1
    if identities is not None:
        num = identities if isinstance(identities, int) else len(set(identities))
        check_enough_people(num, changed(SplitRules(), "split", settings))
    # Another process may have a different working directory.
    shared = {"lake": store.root if store.is_local else store.url, "source": source}
    selection: dict[str, Any] = {"identities": identities, "per_identity": per_identity}
    done: dict[str, Any] = {}

    def ended(name: str, result: Any) -> None:
        done[name] = result
        stage_ended(name, result)

    def with_settings(name: str, asked: dict[str, Any]) -> dict[str, Any]:
        return asked | {"settings": of_flow(settings, name)}

    with web_for(store, chosen) as web:
        asked: dict[str, Any] = {
            "source": source,
            "links": web.links,
            "connect_to": web.connect_to,
            "allow_outside": allow_outside,
        }
        fetched = with_settings("ingest", asked | selection)
        with peer_runs("ingest", others, shared | fetched):
            ended("ingest", await ingest(lake, **fetched, recipe=recipe))
        retried = with_settings("retry", asked)
        with peer_runs("retry", others, shared | retried):
            ended("retry", await retry(lake, **retried))
    cropped = with_settings("crop", {"source": source, "method": method})
    with peer_runs("crop", others, shared | cropped):
        ended("crop", crop(lake, **cropped))
    published: dict[str, Any] = {"source": source, "dataset": dataset, "method": method, "min_face": min_face}
    published |= {"min_change": min_change, "report": report, "starts_training": False}
    of_publish = {name: one for name, one in of_flow(settings, "publish").items() if not name.startswith(_OF_SCORES)}
    ended("publish", publish(lake, **published, settings=of_publish))
    if all(source_named(one, store).names_people for one in sources):
        training = {"margin": margin, "steps": steps, "device": device, "min_change": min_change, "settings": settings}
        done |= learn(store, shared["lake"], done["publish"], training, clean=clean, report=report)
    else:
        ended("train", {"left_out": f"{source} names nobody, so there is nothing to train on"})
    _show(store, done)
    return done


def model_name(dataset: str) -> str:
    """The name of a dataset's model. Each model name belongs to one dataset.

    `embedder` for faces-mtcnn, `embedder-<method>` for the faces of another method, `embedder-<dataset>` for others.
    """
    base, _, method = dataset.rpartition("-")
    if base != "faces":
        return f"embedder-{dataset}"
    return "embedder" if method == "mtcnn" else f"embedder-{method}"


def learn(
    lake: Lake,
    url: str,
    published: list[dict[str, Any]],
    training: dict[str, Any],
    *,
    clean: bool,
    report: bool = False,
) -> dict[str, Any]:
    """Train on the last version (that of mtcnn, if both methods were published), and find the doubtful faces.

    On a server with the deployment `refine`, or `train` without `clean`, a run of it is scheduled instead, on its
    worker and with its own `min_change`.

    Args:
        url: of the lake, for other processes.
        training: margin, steps, device, min_change and the settings of the pipeline.
        report: write the reports on what is made here; the deployments have a parameter of their own.

    Returns:
        The results by stage, reported as each ends.
    """
    versions = [f"{one['dataset']}@{one['version']}" for one in published]
    settings, model = training["settings"], model_name(published[-1]["dataset"])
    of_all = {**training, "versions": versions, "model": model}
    of_one = {**training, "dataset": versions[-1], "model": model, "settings": of_flow(settings, "train")}
    deployment, asked = ("refine/refine", of_all) if clean else ("train/train", of_one)
    done: dict[str, Any] = {}

    def ended(name: str, result: Any) -> None:
        done[name] = result
        stage_ended(name, result)

    if has_deployment(deployment):
        there = {**asked, "lake": url}
        del there["min_change"]
        run = schedule_run(deployment, there)
        ended("train", {"flow_run": run.name, "id": str(run.id), "cleans": clean})
    elif clean:
        done |= refine(lake.url, **asked, report=report)
    else:
        ended("train", train(lake.url, **asked, report=report))
        if "version" in done["train"]:
            scorer = open_model(lake, f"{model}@{done['train']['version']}")
            ended("clean", [doubts(open_dataset(lake, one), scorer, training["device"], settings) for one in versions])
    return done


def _show(lake: Lake, done: dict[str, Any]) -> None:
    """Show the funnel and a page with pictures for the whole run."""
    cleaned, trained = done.get("publish_cleaned", []), done["train"]
    newest = {one["dataset"]: one for one in [*done["publish"], *cleaned]}
    published = list(newest.values())
    versions = [open_dataset(lake, f"{one['dataset']}@{one['version']}") for one in published]
    last, reports = versions[-1], [one.get("report") for one in published]
    funnel = Funnel.from_json(last.manifest["funnel"])
    artifacts.table("pipeline-funnel", funnel.rows(), f"From link lines to samples of {last}")
    if "flow_run" in trained:
        model = f"training is scheduled as {trained['flow_run']}, on {last}"
    elif "model" in trained:
        model = model_line(trained)
    else:
        model = f"none: {trained['left_out']}"

    def page() -> str:
        pages = "\n".join(artifacts.dataset_page(*one) for one in zip(versions, reports, strict=True))
        models = cleaning_page(done) if cleaned else f"## Model\n\n{model}\n"
        return f"{pages}\n{models}\n{artifacts.report_line({**trained, **done.get('train_cleaned', {})}.get('report'))}"

    artifacts.markdown("pipeline", page, f"Faces of {', '.join(map(str, versions))}, and the model")

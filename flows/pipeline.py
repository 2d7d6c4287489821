"""The whole pipeline: ingest, retry immediately what is due, crop, publish, and start training on the result."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from flows.crop import Method, crop
from flows.engine import flow
from flows.ingest import SourceNames, ingest
from flows.peer_runs import has_deployment, peer_runs, schedule_run
from flows.publish import Share, publish
from flows.retry import retry
from flows.selection import Selection
from flows.setting_groups import SettingValues, changed, check_settings, of_flow
from flows.settings import Device
from flows.synthetic_web import web_for
from flows.telemetry import artifacts
from flows.telemetry.stage_summaries import stage_ended
from flows.train import train
from storage.datasets import open_dataset
from storage.lake import Lake
from tasks.dataset.funnel import Funnel
from tasks.dataset.split import SplitRules, check_enough_people
from tasks.links.sources import source_named

_TRAIN_DEPLOYMENT = "train/train"
# The training parameters of the pipeline by default.
AS_DEPLOYED: dict[str, Any] = {"margin": 1.0, "steps": None, "device": "auto", "settings": {}}
# The dataset whose publication event triggers the deployment `train`.
TRAINED_BY_EVENT = "faces-mtcnn"


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
        min_change: least share of faces or people added or removed that is worth a new version, as for `publish`.
        report: write the HTML reports on the versions, which `facemill serve` shows.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        The result of each flow, by its name. If a server's deployment trains, `train` has only a `flow_run`: the run's
        name, or None if the event of the new version starts it. For a source that names nobody it has only `left_out`,
        the reason.
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
    published = {"source": source, "dataset": dataset, "method": method, "min_face": min_face, "min_change": min_change}
    published |= {"report": report}
    ended("publish", publish(lake, **with_settings("publish", published)))
    if all(source_named(one, store).names_people for one in sources):
        trained = with_settings("train", {"margin": margin, "steps": steps, "device": device})
        ended("train", start_training(done["publish"], trained, lake, report=report))
    else:
        ended("train", {"left_out": f"{source} names nobody, so there is nothing to train on"})
    _show(store, done["publish"], done["train"])
    return done


def model_name(dataset: str) -> str:
    """The name of a dataset's model. Each model name belongs to one dataset.

    `embedder` for faces-mtcnn, `embedder-<method>` for the faces of another method, `embedder-<dataset>` for others.
    """
    base, _, method = dataset.rpartition("-")
    if base != "faces":
        return f"embedder-{dataset}"
    return "embedder" if method == "mtcnn" else f"embedder-{method}"


def start_training(
    published: list[dict[str, Any]], asked: dict[str, Any], lake: str, *, report: bool = False
) -> dict[str, Any]:
    """Train on the last method's version only (that of mtcnn, if both were published).

    On a server with the deployment `train`, the event of a new version of `TRAINED_BY_EVENT` already starts it with
    the deployment's parameters; any other training is scheduled on the deployment here.

    Args:
        report: write the report on a model that is trained here; the deployment has a parameter of its own.
    """
    chosen = published[-1]
    model = model_name(chosen["dataset"])
    parameters = {**asked, "lake": lake, "dataset": f"{chosen['dataset']}@{chosen['version']}", "model": model}
    if not has_deployment(_TRAIN_DEPLOYMENT):
        result: dict[str, Any] = train(**parameters, report=report)
        return result
    if chosen["is_new"] and asked == AS_DEPLOYED and chosen["dataset"] == TRAINED_BY_EVENT:
        return {"flow_run": None}
    run = schedule_run(_TRAIN_DEPLOYMENT, parameters)
    return {"flow_run": run.name, "id": str(run.id)}


def _show(lake: Lake, published: list[dict[str, Any]], trained: dict[str, Any]) -> None:
    """Show the funnel and a page with pictures for the whole run."""
    versions = [open_dataset(lake, f"{one['dataset']}@{one['version']}") for one in published]
    last, reports = versions[-1], [one.get("report") for one in published]
    funnel = Funnel.from_json(last.manifest["funnel"])
    artifacts.table("pipeline-funnel", funnel.rows(), f"From link lines to samples of {last}")
    if "left_out" in trained:
        model = f"none: {trained['left_out']}"
    elif "auc" in trained:
        model = f"{trained['model']}@{trained['version']}: AUC on unseen people {trained['auc']:.3f}"
    else:
        model = f"training is scheduled as {trained['flow_run'] or 'a separate run'}"

    def page() -> str:
        pages = "\n".join(artifacts.dataset_page(*one) for one in zip(versions, reports, strict=True))
        return f"{pages}\n## Model\n\n{model}, on {last}\n\n{artifacts.report_line(trained.get('report'))}"

    artifacts.markdown("pipeline", page, f"Faces of {', '.join(map(str, versions))}, and the model")

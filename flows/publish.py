"""Publish: one immutable dataset version per crop method, or of the faces where methods agree, with its funnel."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from flows.configuration.setting_groups import SettingValues, changed, check_settings
from flows.configuration.settings import Share, load_settings
from flows.crop import Method
from flows.runs.engine import emit, flow, run_logger
from flows.runs.report_step import dataset_report
from flows.selection import SourceNames
from flows.tasks import compare_task, publish_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from flows.telemetry.stage_summaries import part_ended
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.leases.leases import alone
from storage.text.source_names import parse_sources, sources_of
from storage.versions.datasets import DatasetVersion
from storage.versions.sample_shards import STAGE, UNIT
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import exclude as exclude_names
from tasks.dataset.exclude import read_names
from tasks.dataset.funnel import by_source
from tasks.dataset.people import PeopleRules
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import require_people_in_each
from tasks.dataset.select import SelectRules
from tasks.dataset.source_tables import check_kept, planned_people, read_plan, require_digests
from tasks.dataset.split import SplitRules
from tasks.dataset.version_change import VersionChange
from tasks.faces.method_choice import datasets_of
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning, read_cleaned, scoring_model
from tasks.links.sources import sources_named

# The label of the event by which the automation of the deployment `train` decides.
STARTS_TRAINING = "facemill.starts-training"


@flow(name="publish", flow_run_name="publish {dataset} {method}")
def publish(
    lake: str,
    source: SourceNames = "vggface1",
    dataset: str = "faces",
    method: Method = "both",
    min_face: int = 100,
    check_boxes: bool = True,
    exclude: Path | None = None,
    cleaned_by: str | None = None,
    wrong_person_score: float | None = None,
    only_as_listed: bool = False,
    keep: list[str] | None = None,
    min_change: Share = 0.0,
    report: bool = False,
    starts_training: bool = True,
    settings: SettingValues | None = None,
) -> list[dict[str, Any]]:
    """Publish the faces of a source as `<dataset>-<method>`.

    Args:
        lake: folder or URL of the lake.
        source: source of the links, or several, `a,b`, that make one dataset: copies are found across them, and a
            person listed in two of them is one person.
        dataset: datasets are named `<dataset>-<method>`.
        method: crop method; both: one dataset each for bbox and mtcnn; agree: the faces where these two agree.
        min_face: minimum shorter side of a face, in pixels of its picture. The original experiment used 100 and 150.
        check_boxes: check listed boxes against the detected faces.
        exclude: file of names to leave out, one per line.
        cleaned_by: drop the faces that `clean` marked as mislabelled with this model, `name[@version]`.
        wrong_person_score: drop faces from this probability of being mislabelled, 0 to 1; None for the threshold
            expected to lose 2% of correct faces.
        only_as_listed: only pictures that have the digest their list gives. Other bytes are mostly the same picture,
            resized or compressed again, whose box a face confirms.
        keep: columns of the lists to store in the column `kept` of the index.
        min_change: least share of faces or people added or removed that is worth a new version, 0 to 1; below it the
            newest version of these settings stays. A version with other settings is always made.
        report: write the HTML report on each version, which `facemill serve` shows.
        starts_training: whether the event of a new version may start the deployment `train`.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        For each method: dataset, version, whether it is new, samples, identities, the people left out, and the funnel;
        with `report`, its path.
    """
    store, settings = Lake(lake), check_settings(settings, "publish")
    source = parse_sources(source)
    sources = sources_named(source, store)
    require_people_in_each(sources)
    rules = SelectRules(
        min_face_px=min_face,
        min_agreement=SelectRules().min_agreement if check_boxes else 0.0,
        only_as_listed=only_as_listed,
        # Groups by hash are not people: one face in a group is enough.
        min_faces=SelectRules().min_faces if sources[0].names_people else 1,
    )
    if cleaned_by is None and (unused := [name for name in settings if name.startswith(("clean.", "cleaning."))]):
        raise UsageError(f"{unused[0]} has no effect without --cleaned-by MODEL")
    dedupe, people = changed(DedupeRules(), "dedupe", settings), changed(PeopleRules(), "people", settings)
    check_kept(store, source, keep or [])
    if only_as_listed:
        require_digests(store, source)
    exclusion = exclude_names(planned_people(store, source), read_names(exclude)) if exclude else None
    requests = [
        Request(
            name=f"{dataset}-{one}",
            source=source,
            method=one,
            select=changed(rules, "select", settings),
            split=changed(SplitRules(), "split", settings),
            dedupe=dedupe,
            exclusion=exclusion,
            cleaning=_cleaning(store, source, one, cleaned_by, wrong_person_score, settings),
            clean=changed(CleanRules(), "clean", settings),
            people=people,
            kept=tuple(sorted(set(keep or []))),
        )
        for one in datasets_of(method, *sources)
    ]
    compare_task(store, source, dedupe, people)
    switches = {"report": report, "starts_training": starts_training}
    return [_publish_one(store, request, min_change, **switches) for request in requests]


def _cleaning(
    lake: Lake, source: str, method: str, model: str | None, limit: float | None, settings: SettingValues
) -> Cleaning | None:
    if model is None:
        return None
    scored_by = scoring_model(lake, source, method, model)
    if limit is None:
        limit = read_cleaned(lake, lake.cleaned(method, source, *scored_by.split("@"))).limit()
    return changed(Cleaning(scored_by, limit), "cleaning", settings)


def _publish_one(
    lake: Lake, request: Request, min_change: float, *, report: bool, starts_training: bool
) -> dict[str, Any]:
    method = request.method
    with (
        track(f"publish {method}", _num_planned(lake, request.source)) as progress,
        alone(lake, "publish", request.source, "all", good_for_s=load_settings().lease_s) as lease,
        alone(lake, STAGE, request.name, UNIT, good_for_s=load_settings().lease_s) as shards,
    ):

        def on_sample(done: int) -> None:
            lease.check()
            shards.check()
            progress.reach(done)

        published = publish_task(lake, request, min_change, on_sample)
    version = published.dataset
    artifacts.table(f"funnel-{method}", published.funnel.rows(), f"From link lines to samples of {version}")
    if published.funnels:
        rows = by_source(published.funnels)
        artifacts.table(f"funnel-{method}-by-source", rows, f"From link lines to samples of {version}, by source")
    run_logger().info("%s: %d samples", version, version.manifest["num_samples"])
    if published.note:
        run_logger().info("%s: %s", version, published.note)
    if published.is_new and version.names_people:
        announce(version, published.change, starts_training=starts_training)
    # After the event, so that a training does not wait for a page.
    written = dataset_report(version) if report else {}
    page = partial(artifacts.dataset_page, version, written.get("report"))
    artifacts.markdown(f"dataset-{method}", page, f"Some faces of {version}")
    result = {
        "dataset": version.name,
        "version": version.version,
        "is_new": published.is_new,
        "note": published.note,
        "samples": version.manifest["num_samples"],
        "identities": version.manifest["num_identities"],
        "excluded": [asdict(match) for match in request.exclusion.matches] if request.exclusion else [],
        "funnel": published.funnel.to_json(),
        "funnels": {name: one.to_json() for name, one in published.funnels.items()},
        **written,
    }
    part_ended("publish", result)
    return result


def _num_planned(lake: Lake, source: str) -> int:
    return sum(len(read_plan(lake, one, ["unit"])) for one in sources_of(source))


def announce(version: DatasetVersion, change: VersionChange | None = None, *, starts_training: bool = True) -> None:
    """Emit the Prefect event of a new version, which may trigger the deployment `train`.

    Args:
        change: since the version before, for automations that decide by it; None for a first version.
        starts_training: False for a version that its run trains on itself.
    """
    resource = {
        "prefect.resource.id": f"facemill.dataset.{version.name}",
        "prefect.resource.name": str(version),
        STARTS_TRAINING: "yes" if starts_training else "no",
    }
    payload = {"lake": version.lake.url, "dataset": str(version), "change": asdict(change) if change else None}
    emit("dataset.published", resource, payload=payload)

"""Clean: score each face's probability of being mislabelled, and find people listed under two names."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.configuration.setting_groups import SettingValues, changed, check_settings
from flows.configuration.settings import Device, load_settings
from flows.crop import Method
from flows.embedder_choice import choose_embedder
from flows.runs.engine import flow, run_logger
from flows.runs.report_step import doubts_report
from flows.selection import SourceNames
from flows.tasks import clean_task, compare_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.text.source_names import parse_sources
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion
from storage.versions.readers import reading
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.find_duplicates import compare_pictures, read_verdicts
from tasks.dataset.people import PeopleRules, people_in
from tasks.dataset.source_tables import planned_lines, read_faces
from tasks.faces.method_choice import datasets_of
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaned, Cleaning, clean_stamp, faces_to_score, is_cleaned, read_cleaned
from tasks.links.line_ids import by_person
from tasks.links.sources import sources_named

if TYPE_CHECKING:
    from model.versions.embedders import Embedder

_SHOWN = 24


@flow(name="clean", flow_run_name="clean {source} {method}")
def clean(
    lake: str,
    source: SourceNames = "vggface1",
    method: Method = "both",
    model: str | None = None,
    fit_on: str | None = None,
    weights: str | None = None,
    device: Device = "auto",
    settings: SettingValues | None = None,
) -> list[dict[str, Any]]:
    """Score the accepted faces of a source with a model. `publish` applies the scores, with `cleaned_by`.

    Args:
        source: source of the links, or several, `a,b`: names of one person are found across them.
        model: `name@version`, or a name for its newest version.
        fit_on: use histogram features fitted to this dataset version (or a dataset's newest) instead of a model.
        weights: use facenet-pytorch's InceptionResnetV1 with the weights in this file instead.
        settings: fields that differ from their defaults, such as {"select.min_sharpness": 100}; `facemill settings`
            lists all.

    Returns:
        For each method: the model, the numbers of faces and people scored, and at the default thresholds of `publish`:
        the number of mislabelled faces, the pairs of names of the same person, and the page of both, if there are any.

    Raises:
        UsageError: not exactly one of model, fit_on and weights is given, or there are no faces.
    """
    store, settings = Lake(lake), check_settings(settings, "clean")
    source = parse_sources(source)
    sources = sources_named(source, store)
    if unnamed := [one.name for one in sources if not one.names_people]:
        raise UsageError(f"{unnamed[0]} contains no names, so no face can be mislabelled")
    chosen = choose_embedder(store, model, fit_on, weights)
    datasets = [chosen] if isinstance(chosen, DatasetVersion) else []
    models = [chosen] if isinstance(chosen, ModelVersion) else []
    with reading(store, datasets=datasets, models=models, good_for_s=load_settings().lease_s):
        embedder = cache(partial(_embedder, store, chosen))
        # A model is loaded, which imports torch, only if there are faces to embed.
        scored_by = str(chosen if isinstance(chosen, ModelVersion) else embedder())
        methods = datasets_of(method, *sources)
        return [_clean_one(store, source, one, scored_by, embedder, device, settings) for one in methods]


def _embedder(lake: Lake, chosen: ModelVersion | DatasetVersion | Path) -> Embedder:
    from model.versions.embedders import facenet_embedder, histogram_embedder, model_embedder  # noqa: PLC0415 - imports torch

    match chosen:
        case ModelVersion():
            return model_embedder(chosen)
        case DatasetVersion():
            return histogram_embedder(chosen, lake.work_folder)
        case Path():
            return facenet_embedder(chosen)


def _clean_one(
    lake: Lake,
    source: str,
    method: str,
    scored_by: str,
    embedder: Callable[[], Embedder],
    device: Device,
    settings: SettingValues,
) -> dict[str, Any]:
    dedupe, rules = changed(DedupeRules(), "dedupe", settings), changed(CleanRules(), "clean", settings)
    people_rules = changed(PeopleRules(), "people", settings)
    compare_task(lake, source, dedupe, people_rules)
    with lake.listing_once():
        # Once more, mostly of what was compared just now: pictures that came since must not be missing in the verdicts.
        compare_pictures(lake, source, dedupe, people_rules)
        people = people_in(planned_lines(lake, source, ["identity", "key"]), people_rules)
        verdicts = read_verdicts(lake, source, dedupe, people_rules)
        faces = faces_to_score(people.added_to(read_faces(lake, source, method)), verdicts)
    if not len(faces):
        raise UsageError(f"{lake.url} holds no faces of {source} by {method}: run `facemill crop` first")
    folder = lake.cleaned(method, source, *scored_by.split("@"))
    state = clean_stamp(scored_by, faces, rules)
    if not is_cleaned(lake, folder, state):
        with track(f"clean {method}", len(faces)) as progress:
            clean_task(lake, folder, faces, embedder(), rules, device, state, progress)
    cleaned = read_cleaned(lake, folder)
    limits = Cleaning(scored_by, cleaned.limit())
    written = doubts_report(lake, faces, cleaned, limits, source=source, method=method, state=state)
    return _result(lake, method, faces, cleaned, limits, written)


def _result(
    lake: Lake, method: str, faces: pa.Table, cleaned: Cleaned, limits: Cleaning, written: dict[str, str]
) -> dict[str, Any]:
    """The result at the default thresholds, also shown in Prefect's UI: the worst faces first.

    Args:
        written: `report`, the path of the page of the doubtful faces, if there is one.
    """
    scores = cleaned.faces["wrong_person_score"].to_numpy()
    wrong = scores >= limits.wrong_person_score
    worst = np.argsort(-scores)[: min(_SHOWN, int(wrong.sum()))]
    columns = ["identity", "line", "wrong_person_score", "looks_like"]
    rows = cleaned.faces.select(columns).take(pa.array(worst)).to_pylist()
    same = [row for row in cleaned.people.to_pylist() if row["same_person_score"] >= limits.same_person_score]
    people = len(pc.unique(by_person(faces)["identity"]))
    title = f"{int(wrong.sum())} of {len(faces)} faces of {people} people mislabelled according to {limits.model}"
    artifacts.table(f"clean-{method}", rows or [{"identity": "", "line": "no mislabelled faces"}], title)
    members = faces.select(["shard", "offset", "length"]).take(pa.array(worst)).to_pylist()

    def sheet() -> str:
        return artifacts.member_sheet(lake, [tuple(member.values()) for member in members])

    page = f"The faces of {method} most certainly mislabelled"
    head = f"## {title}\n\n{artifacts.report_line(written.get('report'))}The most certain:\n\n"
    artifacts.markdown(f"clean-faces-{method}", lambda: f"{head}{sheet()}\n", page)
    run_logger().info("clean %s: %s", method, title)
    return {
        "method": method,
        "model": limits.model,
        "faces": len(faces),
        "people": people,
        "wrong_person": int(wrong.sum()),
        "wrong_person_score": limits.wrong_person_score,
        "same_person": same,
        **written,
    }

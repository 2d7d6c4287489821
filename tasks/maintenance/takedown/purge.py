"""Purge: remove all bytes under takedown from the lake. A killed purge is completed by the next one.

Covered data are searched for each time: in shards of images and everything computed from them, deduplication outcomes,
and dataset versions. What cannot be searched is removed entirely: decoded faces and pages in `work/`, the quarantine,
and temporary files of killed processes. Models are only listed, since data cannot be removed from weights. Of a pruned
version no picture is left; what a killed prune has left of one is removed.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import ATTEMPTS, DETECTIONS, FACES
from storage.tables.parquet import read_as, read_table
from storage.text.source_names import is_joint, sources_of
from storage.versions.datasets import DatasetVersion, all_versions
from storage.versions.models import model_versions
from storage.versions.takedowns import Forgotten, blanked, read_forgotten, read_takedowns
from tasks.fetch.ledger import image_stems
from tasks.maintenance.prune.finish import half_pruned, remove_remains
from tasks.maintenance.takedown.blank_lines import blank_lines, blank_own_lines, lines_to_blank
from tasks.maintenance.takedown.redact import redact, unnamed_shards
from tasks.maintenance.takedown.replace_shards import covered_shards, remove_shards, replace_shards, tars_without_rows
from tasks.maintenance.takedown.rewrite import (
    computed_alone,
    pieces,
    replace_shard,
    superseded,
    tars_without_index,
)


@dataclass
class Purged:
    """The result of a purge.

    Attributes:
        shards: image shards that were replaced; `pictures`: the number removed from them.
        datasets: the versions that lost samples, with the numbers.
        models: those trained on a version before it lost samples.
        unknown: those trained on a version that was pruned, of which nobody can tell any more whether it had such
            samples.
        removed: other removed paths of the lake.
    """

    shards: int = 0
    pictures: int = 0
    datasets: dict[str, int] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    unknown: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)


def purge(lake: Lake, on_progress: Callable[[str], None] = lambda path: None) -> Purged:
    """Remove everything under takedown from the lake. Nothing else may write to it meanwhile (`leases.sole_use`).

    Args:
        on_progress: called with the item being rewritten.
    """
    purged = Purged()
    if not lake.names(lake.takedowns()):
        return purged
    for folder in list(half_pruned(lake)):
        remove_remains(lake, folder)
        purged.removed.append(folder)
    # First, so that no kill leaves rows in them: they are made again from what is left.
    lake.remove(lake.merged())
    lake.remove(lake.cache())
    # Also if no shard holds anything: a repair may have put the only copy in the quarantine.
    _remove_what_cannot_be_searched(lake, purged)
    sources = _sources(lake)
    # A tar that gets its index later is of a run that is writing: what is without one before and after is left over.
    left_over = set(_tars_alone(lake, sources))
    shards = {source: held_stems(lake, source, read_forgotten(lake, source)) for source in sources}
    versions, shared, lines = held_versions(lake), covered_shards(lake), lines_to_blank(lake)
    for source in sources:
        _purge_source(lake, source, shards[source], purged, on_progress)
    _purge_datasets(lake, versions, shared, purged, on_progress)
    for path in lines:
        on_progress(path)
        blank_lines(lake, path)
    _remove_all(lake, [path for path in _tars_alone(lake, sources) if path in left_over], purged)
    for path in lake.unclaimed():
        lake.remove_leftover(path)
        purged.removed.append(path)
    for lost in lake.lost_uploads():
        lake.abort(lost)
        purged.removed.append(lost.path)
    purged.models = stale_models(lake)
    purged.unknown = unknown_models(lake)
    return purged


def _sources(lake: Lake) -> list[str]:
    """The sources with images, or with what was computed from images, as of a lake that lost some."""
    folders = ["images", "detections", *(lake.faces(method, "") for method in lake.names("faces"))]
    return sorted({source for folder in folders for source in lake.names(folder)})


def _tars_alone(lake: Lake, sources: list[str]) -> list[str]:
    """The tars of shards without the table that is written last."""
    return [path for source in sources for path in tars_without_index(lake, source)] + tars_without_rows(lake)


def _purge_datasets(
    lake: Lake,
    held: list[DatasetVersion],
    shared: dict[str, list[str]],
    purged: Purged,
    on_progress: Callable[[str], None],
) -> None:
    """Replace shared shards with covered samples, and redact the versions that hold some or name such a shard."""
    moved = {dataset: replace_shards(lake, dataset, shards) for dataset, shards in shared.items()}
    names = {str(version) for version in held}
    for version in all_versions(lake):
        theirs = moved.get(version.name, {}) if version.shares_files else {}
        blank_own_lines(version)
        if str(version) not in names and not theirs:
            continue
        on_progress(version.folder)
        num_gone = redact(version, theirs)
        if num_gone or str(version) in names:
            purged.datasets[str(version)] = num_gone
    for dataset, shards in shared.items():
        purged.removed += remove_shards(lake, dataset, shards)


def held_stems(lake: Lake, source: str, forgotten: Forgotten) -> list[str]:
    """The image shards with covered data, in themselves or in what was computed from them."""
    return [stem for stem in image_stems(lake, source) if _holds(lake, source, stem, forgotten)]


def held_versions(lake: Lake) -> list[DatasetVersion]:
    """The dataset versions with covered data, or with an interrupted redaction."""
    return [
        version for version in all_versions(lake) if pc.any(version.taken_down()).as_py() or unnamed_shards(version)
    ]


def stale_models(lake: Lake) -> dict[str, str]:
    """The model versions that were trained on a dataset version before it lost samples, and that version."""
    versions = all_versions(lake, pruned=True)
    before = {entry.get("manifest_sha256"): version for version in versions for entry in version.redactions}
    lineages = {str(model): model.read_json("lineage.json") for model in model_versions(lake)}
    found = {model: before.get(lineage.get("dataset_manifest_sha256") or "") for model, lineage in lineages.items()}
    # If the takedown was recorded before the training, its samples were not used.
    knew = {model: one for model, one in found.items() if one and lineages[model].get("dataset_state") != _state(one)}
    return {model: str(dataset) for model, dataset in knew.items()}


def _state(version: DatasetVersion) -> str:
    """`version.state`; of a pruned version the state in which it was last purged."""
    return version.purged_state if version.pruned else version.state


def unknown_models(lake: Lake) -> dict[str, str]:
    """The model versions on a dataset version that was pruned before the last takedown, and that version.

    What it held is not known any more. Earlier takedowns had been purged from it: prune leaves a version alone until
    they are.
    """
    pruned = {str(one): one.pruned["at"] for one in all_versions(lake, pruned=True) if one.pruned}
    trained = {str(model): model.manifest.get("dataset") or "" for model in model_versions(lake)} if pruned else {}
    at = {model: pruned[dataset] for model, dataset in trained.items() if dataset in pruned}
    last = pc.max(read_takedowns(lake)["recorded_at"]).as_py() if at else None
    return {model: trained[model] for model, when in at.items() if _is_before(when, last)}


def _is_before(text: str, time: datetime | None) -> bool:
    """Whether a recorded time is before another, or cannot be read."""
    try:
        return time is not None and datetime.fromisoformat(text) < time
    except (ValueError, TypeError):
        return True


def _purge_source(
    lake: Lake, source: str, stems: list[str], purged: Purged, on_progress: Callable[[str], None]
) -> None:
    for stem in superseded(lake, source):
        _remove_all(lake, pieces(lake, source, stem), purged)
    forgotten = read_forgotten(lake, source)
    for stem in computed_alone(lake, source):
        if _is_computed_from(lake, source, stem, forgotten):
            _remove_all(lake, pieces(lake, source, stem), purged)
    if stems:
        # Before the shards, which tell the next purge that something is held.
        _remove_all(lake, _of_all_pictures(lake, source), purged)
    for stem in stems:
        path = f"{lake.images(source, stem)}.parquet"
        if not lake.exists(path):
            continue
        on_progress(path)
        index = read_as(lake, path, ATTEMPTS)
        covered = forgotten.rows(index)
        replace_shard(lake, source, stem, blanked(index, covered))
        purged.shards += 1
        purged.pictures += pc.sum(pc.and_(covered, pc.is_valid(index["shard"]))).as_py() or 0
        _remove_all(lake, pieces(lake, source, stem), purged)
    for name in lake.names(lake.unique(source)):
        path = f"{lake.unique(source)}/{name}"
        if pc.any(forgotten.rows(read_table(lake, path, ["key"]))).as_py():
            _remove_all(lake, [path], purged)


def _of_all_pictures(lake: Lake, source: str) -> list[str]:
    """The folders of what was computed from all pictures of a source together, and cannot be searched."""
    # The scores of a model by name and line; its embeddings are in the work folder.
    methods = lake.names(lake.cleaned())
    scores = [lake.cleaned(method, of) for method in methods for of in lake.names(lake.cleaned(method))]
    # The keys of comparisons of several sources.
    joint = [lake.unique(of) for of in lake.names("unique") if is_joint(of)]
    return [folder for folder in scores + joint if source in sources_of(folder.split("/")[-1])]


def _holds(lake: Lake, source: str, stem: str, forgotten: Forgotten) -> bool:
    path = f"{lake.images(source, stem)}.parquet"
    index = read_as(lake, path, ATTEMPTS, ["key", "url", "reason", "digest"])
    if pc.any(pc.and_(forgotten.rows(index), pc.not_equal(index["url"], ""))).as_py():
        return True
    return _is_computed_from(lake, source, stem, forgotten)


def _is_computed_from(lake: Lake, source: str, stem: str, forgotten: Forgotten) -> bool:
    """Whether detections or crops of a shard are of a picture under takedown."""
    images = f"{lake.images(source, stem)}.parquet"
    computed = [one for one in pieces(lake, source, stem) if one.endswith(".parquet") and one != images]
    return any(pc.any(forgotten.rows(_pictures(lake, one), "image_digest")).as_py() for one in computed)


def _pictures(lake: Lake, path: str) -> pa.Table:
    """The pictures of a table of detections or crops."""
    is_crops = path.startswith("faces/")
    return read_as(lake, path, FACES, ["key", "image_digest"]) if is_crops else read_as(lake, path, DETECTIONS, ["key"])


def _remove_what_cannot_be_searched(lake: Lake, purged: Purged) -> None:
    if lake.work_folder.exists():
        shutil.rmtree(lake.work_folder)
        purged.removed.append("work")
    _remove_all(lake, [f"{lake.quarantine()}/{name}" for name in lake.names(lake.quarantine())], purged)
    # Pages that earlier releases wrote beside a version show rejected faces too.
    folders = [version.folder for version in all_versions(lake)]
    pages = [f"{folder}/{name}" for folder in folders for name in lake.names(folder) if name.endswith(".html")]
    _remove_all(lake, pages, purged)


def _remove_all(lake: Lake, paths: list[str], purged: Purged) -> None:
    for path in paths:
        lake.remove(path)
        purged.removed.append(path)

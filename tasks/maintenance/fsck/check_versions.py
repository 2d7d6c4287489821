"""Verify dataset and model versions against their manifests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import FacemillError, LakeError
from storage.files.lake import Lake
from storage.records import PLACED_SAMPLES
from storage.tables.parquet import with_plain_words
from storage.versions.datasets import DatasetVersion
from storage.versions.models import ModelVersion
from storage.versions.sample_shards import rows_at
from storage.versions.takedowns import Forgotten, covered_samples
from tasks.dataset.funnel import Funnel, count_outcomes
from tasks.dataset.manifest import sample_counts
from tasks.dataset.publish_request import id_by_manifest
from tasks.dataset.select import Stage
from tasks.maintenance.fsck.check_shared_shards import SharedShards
from tasks.maintenance.fsck.check_tar import Member, read_tar, tar_findings
from tasks.maintenance.fsck.findings import Finding, Kind
from tasks.maintenance.prune.finish import remains_of
from tasks.maintenance.shared_files import stems_of
from tasks.maintenance.takedown.redact import redacted_samples, unnamed_shards

# What an index says of a sample, and its shard too.
_IN_BOTH = [name for name in PLACED_SAMPLES.names if name not in {"cluster", "shard", "offset"}]


def check_dataset(
    lake: Lake, name: str, version: str, covered: Callable[[str], Forgotten], shared: SharedShards, *, quick: bool
) -> list[Finding]:
    """Check a dataset version: its shards, index, outcomes and manifest agree, and it has no samples under takedown.

    Args:
        covered: returns the takedowns that apply to a source.
        shared: the shards that the versions of the dataset share.
    """
    folder = lake.dataset(name, version)
    if not lake.exists(f"{folder}/manifest.json"):
        return [Finding(Kind.UNFINISHED, folder, "manifest.json is missing: publishing was interrupted")]
    try:
        lake.read_json(f"{folder}/manifest.json")
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, folder, str(error))]
    try:
        dataset = DatasetVersion(lake, name, version)
    except LakeError as error:
        return [Finding(Kind.UNTRUE_MANIFEST, folder, str(error))]
    if dataset.pruned:
        return _half_pruned(lake, folder)
    try:
        index, outcomes = dataset.whole_index(), dataset.outcomes()
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, folder, str(error))]
    found = [Finding(Kind.UNTRUE_MANIFEST, folder, words) for words in _mismatches(dataset, index, outcomes)]
    if dataset.shares_files:
        found += shared.of_version(folder, stems_of(dataset))
        found += _misplaced(dataset)
    else:
        found += _check_shards(dataset, index, quick=quick)
    gone = redacted_samples(dataset) & set(index["sample"].to_pylist())
    num_covered = pc.sum(covered_samples(index, covered)).as_py() or 0
    if gone or num_covered:
        words = f"{max(len(gone), num_covered)} samples are taken down but not purged"
        found.append(Finding(Kind.TAKEN_DOWN, folder, words))
    return found


def _half_pruned(lake: Lake, folder: str) -> list[Finding]:
    """Check that of a pruned version only the manifest is there."""
    left = remains_of(lake, folder)
    words = f"it was pruned, and {len(left)} of its files are left: removing them was interrupted"
    return [Finding(Kind.HALF_PRUNED, folder, words)] if left else []


def _mismatches(dataset: DatasetVersion, index: pa.Table, outcomes: pa.Table) -> list[str]:
    try:
        return list(manifest_findings(dataset.manifest, index, outcomes, dataset.folder))
    except (AttributeError, KeyError, TypeError) as error:
        return [f"its structure is invalid: {type(error).__name__} {error}"]


def manifest_findings(manifest: dict[str, Any], index: pa.Table, outcomes: pa.Table, folder: str) -> Iterator[str]:
    """The entries of a dataset manifest that are wrong.

    Args:
        index: `records.SAMPLES`.
        outcomes: `records.LINE_OUTCOMES`; empty for versions older than this table.
    """
    if f"datasets/{manifest.get('name')}/{manifest.get('version')}" != folder:
        yield f"it is of {manifest.get('name')}@{manifest.get('version')}"
    for name, value in sample_counts(index).items():
        if manifest.get(name) != value:
            yield f"{name} is {manifest.get(name)}, the index has {value}"
    num_redacted = sum(entry["num_samples"] for entry in manifest.get("redactions", []))
    if "funnel" in manifest:
        yield from _funnel_findings(manifest, outcomes, len(index) + num_redacted)
    if "select" in manifest and not num_redacted and id_by_manifest(manifest, index) != manifest.get("version"):
        yield f"the id of its samples and settings is {id_by_manifest(manifest, index)}"


def _funnel_findings(manifest: dict[str, Any], outcomes: pa.Table, num_samples: int) -> Iterator[str]:
    funnel = Funnel.from_json(manifest["funnel"])
    for stage in funnel.stages:
        if stage.num_in != stage.num_out + sum(stage.rejected.values()):
            yield f"the funnel's stage {stage.stage} does not pass and reject as many lines as came in"
    for before, after in pairwise(funnel.stages):
        if before.num_out != after.num_in:
            yield f"the funnel loses lines between {before.stage} and {after.stage}"
    if funnel.stages[-1].num_out != num_samples:
        yield f"the funnel ends with {funnel.stages[-1].num_out} samples, and the index has or had {num_samples}"
    if len(outcomes):
        left_out = funnel.stages[0].rejected if funnel.stages[0].stage not in set(Stage) else None
        plain = outcomes.set_column(3, "stage", outcomes["stage"].cast(pa.string()))
        plain = plain.set_column(4, "reason", outcomes["reason"].cast(pa.string()))
        if count_outcomes(plain, funnel.method, left_out) != funnel:
            yield "the funnel does not match outcomes.parquet"


def _misplaced(dataset: DatasetVersion) -> list[Finding]:
    """Check that the shards have the samples of an index at the places that it gives."""
    placed = dataset.placed()
    there = with_plain_words(rows_at(dataset.lake, dataset.name, placed, _IN_BOTH))
    placed = with_plain_words(placed)
    wrong = [name for name in _IN_BOTH if not pc.all(pc.equal(placed[name], there[name])).as_py()]
    words = f"the columns {', '.join(wrong)} of its index differ from those of its shards"
    return [Finding(Kind.UNTRUE_MANIFEST, dataset.folder, words)] if wrong else []


def _check_shards(dataset: DatasetVersion, index: pa.Table, *, quick: bool) -> list[Finding]:
    found = []
    for shard in pc.unique(index["shard"]).to_pylist():
        rows = index.filter(pc.equal(index["shard"], shard)).select(["sample", "offset", "length", "crop_digest"])
        members = [
            Member(f"{row['sample']}.jpg", row["offset"], row["length"], row["crop_digest"]) for row in rows.to_pylist()
        ]
        facts = read_tar(dataset.lake, f"{dataset.folder}/{shard}", members, quick=quick)
        beside = frozenset(f"{sample}.json" for sample in rows["sample"].to_pylist())
        for one in tar_findings(dataset.folder, members, facts, beside=beside):
            found.append(Finding(one.kind, one.path, f"{shard}: {one.detail}"))
    for shard in unnamed_shards(dataset):
        found.append(Finding(Kind.NO_INDEX, f"{dataset.folder}/{shard}", "the version's index has no such file"))
    return found


def check_model(lake: Lake, name: str, version: str, *, quick: bool) -> list[Finding]:
    """Check a model version: every file of its manifest exists and matches it."""
    folder = lake.model(name, version)
    if not lake.exists(f"{folder}/manifest.json"):
        return [Finding(Kind.UNFINISHED, folder, "manifest.json is missing: publishing was interrupted")]
    try:
        model = ModelVersion(lake, name, version)
    except FacemillError as error:
        return [Finding(Kind.UNREADABLE, folder, str(error))]
    if (model.name, model.version) != (name, version):
        return [Finding(Kind.UNTRUE_MANIFEST, folder, f"it is of {model}")]
    if model.pruned:
        return _half_pruned(lake, folder)
    missing = [file for file in model.manifest["files"] if not lake.exists(f"{folder}/{file}")]
    others = [] if quick else [file for file in model.manifest["files"] if file not in missing]
    found = [Finding(Kind.UNTRUE_MANIFEST, folder, f"{file} is not there") for file in missing]
    return found + [finding for file in others for finding in _check_file(model, file)]


def _check_file(model: ModelVersion, file: str) -> list[Finding]:
    """Check a file of a model version: its digest matches the manifest, and JSON has the expected form."""
    try:
        model.read(file)
    except LakeError:
        return [Finding(Kind.BROKEN_BYTES, model.folder, f"{file} does not match the manifest")]
    try:
        if file.endswith(".json"):
            model.read_json(file)
    except LakeError as error:
        return [Finding(Kind.UNREADABLE, model.folder, str(error))]
    return []

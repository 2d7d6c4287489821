"""Publish a dataset version: write the samples that no shard has, then index, outcomes, and the manifest last."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import ChangedMeanwhile, UsageError
from storage.files.lake import Lake, to_json
from storage.records import PLACED_SAMPLES
from storage.tables.parquet import with_plain_words, write_table
from storage.tables.take import take
from storage.versions.datasets import LAYOUT, DatasetVersion, has_dataset, versions
from storage.versions.sample_shards import PLACE, read_rows, shared_shards
from storage.versions.shared_lines import write_lines
from storage.versions.tombstones import clear_for_rewrite, write_manifest
from storage.versions.write_shards import write_shards
from tasks.dataset.decide_outcomes import Content, decide
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.funnel import Funnel, FunnelStage
from tasks.dataset.leaks import count_leaks, refuse_leaks
from tasks.dataset.manifest import manifest_counts
from tasks.dataset.place_samples import place_samples
from tasks.dataset.publish_request import Request, chosen_settings, version_id
from tasks.dataset.source_tables import made_with
from tasks.dataset.unchanged import keep_published, of_one_state, published_before, request_state
from tasks.dataset.version_change import VersionChange, change_since, no_change
from tasks.links.line_ids import Ints, words_and_codes
from tasks.links.sources import sources_named
from tasks.links.sources.source import Source

_SAMPLES_PER_SHARD = 10_000
# How often a version is decided on when other runs replace what it is made of.
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset version, its current funnel (and that of each of several sources), and whether it is new.

    Attributes:
        change: since the newest version of the same settings; None if there is none.
        note: why no new version was made of the content; empty if it was, or existed.
    """

    dataset: DatasetVersion
    funnel: Funnel
    is_new: bool
    funnels: dict[str, Funnel] = field(default_factory=dict)
    change: VersionChange | None = None
    note: str = ""


def publish_source(
    lake: Lake, request: Request, *, min_change: float = 0.0, on_progress: Callable[[int], None] = lambda done: None
) -> Published:
    """Compare all pictures, decide the outcome of every line, and publish the samples; nothing of it if no input has
    changed since. If another run replaces inputs meanwhile, it starts anew.

    Args:
        min_change: the least share of faces or people added or removed that is worth a new version; below it the
            newest version of the same settings is returned.

    Raises:
        UsageError: nothing has been planned yet, or no face is fit to be published.
        ChangedMeanwhile: another run goes on replacing inputs.
    """
    sources = sources_named(request.source, lake)
    require_people_in_each(sources)
    for _ in range(_TRIES - 1):
        with suppress(ChangedMeanwhile):
            return _publish_current(lake, request, sources, min_change, on_progress)
    return _publish_current(lake, request, sources, min_change, on_progress)


def _publish_current(
    lake: Lake, request: Request, sources: Sequence[Source], min_change: float, on_progress: Callable[[int], None]
) -> Published:
    """Publish what the lake holds now."""
    with lake.listing_once(), of_one_state(lake, request) as check_inputs:
        compare_pictures(lake, request.source, request.dedupe, request.people)
        state = request_state(lake, request)
        if known := published_before(lake, request, state):
            version, funnel, funnels = known
            return Published(version, funnel, False, funnels, no_change(version))
        request = replace(request, made_with=made_with(lake, request.source, request.method))
        content = decide(lake, request)
        check_inputs()
        publish_it = partial(publish, lake, request, content, on_progress=on_progress, check=check_inputs)
        published = _publish_if_changed(lake, request, content, sources, min_change, publish_it)
        if not published.note:
            version, funnel, funnels = published.dataset, published.funnel, published.funnels
            keep_published(lake, request, state, version.version, funnel, funnels)
    return published


def _publish_if_changed(
    lake: Lake,
    request: Request,
    content: Content,
    sources: Sequence[Source],
    min_change: float,
    publish_it: Callable[[dict[str, Any]], Published],
) -> Published:
    """Publish the samples, unless they are much the same as those of the version before.

    Args:
        publish_it: `publish` of this content, given its `origin`.
    """
    origin = {"made_from": content.made_from, **terms_of(sources)}
    if not sources[0].names_people:
        origin["names_people"] = False
    change = None
    if earlier := _newest_of_same_settings(lake, request):
        change = change_since(earlier, content.samples)
        if change.share < min_change and version_id(request, content.samples) != earlier.version:
            note = f"no new version: {change}, less than {min_change:.1%}"
            return Published(earlier, Funnel.from_json(earlier.manifest["funnel"]), False, change=change, note=note)
    return replace(publish_it(origin), change=change)


def _newest_of_same_settings(lake: Lake, request: Request) -> DatasetVersion | None:
    """The newest version of the dataset that was made with the same settings.

    Versions with other settings, such as a cleaned one, may be newer.
    """
    wanted = json.loads(to_json(request.settings()))
    same = [one for one in versions(lake, request.name) if chosen_settings(one.manifest) == wanted]
    return same[-1] if same else None


def require_people_in_each(sources: Sequence[Source]) -> None:
    """Check that several sources go into one dataset: each names people.

    Raises:
        UsageError: one does not.
    """
    unnamed = [one.name for one in sources if not one.names_people]
    if unnamed and len(sources) > 1:
        raise UsageError(
            f"{' and '.join(unnamed)} names nobody, so its faces cannot be in one dataset with others: publish each "
            "such source as a dataset of its own"
        )


def terms_of(sources: Sequence[Source]) -> dict[str, Any]:
    """The manifest entries on the terms of the sources."""
    if len(sources) == 1:
        return {"terms": sources[0].terms}
    terms = {one.name: one.terms for one in sources}
    return {"terms": " ".join(f"{name}: {text}" for name, text in terms.items()), "terms_by_source": terms}


def publish(
    lake: Lake,
    request: Request,
    content: Content,
    origin: dict[str, Any],
    *,
    on_progress: Callable[[int], None] = lambda done: None,
    check: Callable[[], None] = lambda: None,
) -> Published:
    """Write the version of this content, or return the existing one. A pruned version is restored.

    Args:
        origin: the manifest entries on the origin of the content.
        check: raises if the crops may have been replaced since the content was decided (`write_shards`).

    Raises:
        UsageError: there are no samples.
        LeakError: something stands on two sides of the split.
    """
    if not len(content.samples):
        raise UsageError(
            f"no {request.method} face of {request.source} meets the requirements: "
            + "; ".join(map(_stage_counts, content.funnel.stages))
        )
    leaks = count_leaks(content.samples, content.ties)
    refuse_leaks(leaks, request.name)
    version = version_id(request, content.samples)
    folder = lake.dataset(request.name, version)
    is_new = not has_dataset(lake, request.name, version)
    if is_new:
        is_restored = clear_for_rewrite(lake, folder)
        before = _version_before(lake, request)
        index = _place(lake, request.name, content.samples, before, on_progress, check)
        write_table(lake, f"{folder}/index.parquet", index)
        write_table(lake, f"{folder}/outcomes.parquet", content.outcomes)
        lines = write_lines(lake, request.name, content.lines)
        manifest = {"version": version, "name": request.name, "layout": LAYOUT, "lines": lines}
        manifest |= {**request.settings(), **origin}
        manifest |= {
            "leaks": leaks,
            **manifest_counts(index, content.funnel, content.funnels),
        }
        is_new = write_manifest(lake, folder, manifest, over_tombstone=is_restored)
    return Published(DatasetVersion(lake, request.name, version), content.funnel, is_new, content.funnels)


def _stage_counts(stage: FunnelStage) -> str:
    """The counts of a stage, and its most frequent reason."""
    top = max(stage.rejected.items(), key=lambda item: item[1], default=None)
    return f"{stage.stage} {stage.num_out} of {stage.num_in}" + (f" ({top[0]} {top[1]})" if top else "")


def _version_before(lake: Lake, request: Request) -> DatasetVersion | None:
    """The newest version of the same settings, or else of any, if it shares shards."""
    newest = [version for version in versions(lake, request.name) if version.shares_files][-1:]
    earlier = _newest_of_same_settings(lake, request)
    return earlier if earlier and earlier.shares_files else next(iter(newest), None)


def _place(
    lake: Lake,
    dataset: str,
    samples: pa.Table,
    before: DatasetVersion | None,
    on_progress: Callable[[int], None],
    check: Callable[[], None],
) -> pa.Table:
    """The index of the samples (`records.PLACED_SAMPLES`). Those that lie in no shard of the dataset are written."""
    shards = ((shard, read_rows(lake, dataset, shard)) for shard in shared_shards(lake, dataset))
    listed = frozenset(pc.unique(before.placed(["shard"])["shard"]).to_pylist()) if before else frozenset()
    placed = place_samples(samples, shards, listed)
    missing = np.flatnonzero(placed.shard < 0)
    num_done = len(samples) - len(missing)
    if num_done:
        on_progress(num_done)

    def on_samples(num: int) -> None:
        nonlocal num_done
        num_done += num
        on_progress(num_done)

    start = 0
    for written in write_shards(lake, dataset, _parts(samples, missing), on_samples, check):
        rows = missing[start : start + len(written)]
        placed.shard[rows] = len(placed.shards)
        placed.shards.append(written["shard"][0].as_py())
        for column, name in ((placed.offset, "offset"), (placed.length, "length")):
            column[rows] = written[name].to_numpy()
        start += len(written)
    columns = {name: samples[name] for name in PLACED_SAMPLES.names if name not in PLACE}
    shard = pa.DictionaryArray.from_arrays(pa.array(placed.shard, pa.int32()), pa.array(placed.shards, pa.string()))
    columns |= {"shard": shard, "offset": placed.offset, "length": placed.length}
    columns |= {"cluster": pc.if_else(pa.array(placed.is_same), None, samples["cluster"])}
    return with_plain_words(pa.table(columns).select(PLACED_SAMPLES.names)).cast(PLACED_SAMPLES)


def _parts(samples: pa.Table, rows: Ints) -> Iterator[pa.Table]:
    """Rows of the samples by shard; they are sorted by split."""
    splits = words_and_codes(samples["split"])[1][rows]
    bounds = [0, *(np.flatnonzero(np.diff(splits)) + 1).tolist(), len(rows)] if len(rows) else [0]
    for first, end in pairwise(bounds):
        for start in range(first, end, _SAMPLES_PER_SHARD):
            yield take(samples, rows[start : min(start + _SAMPLES_PER_SHARD, end)])

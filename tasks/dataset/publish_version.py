"""Publish a dataset version: copy samples into shards by split, then write index, outcomes, and the manifest last."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.datasets import DatasetVersion, versions
from storage.errors import UsageError
from storage.lake import Lake, to_json
from storage.records import SAMPLES, Reason
from storage.shards import create_shard, read_member
from storage.source_names import is_joint, sources_of
from storage.stamped_fields import counted, differing
from storage.tables import stamp, write_table
from tasks.dataset.cross_split import cross_split_rows
from tasks.dataset.dedupe import DedupeRules
from tasks.dataset.exclude import Exclusion, lines_of
from tasks.dataset.find_duplicates import compare_pictures
from tasks.dataset.funnel import Funnel, FunnelStage, count_outcomes
from tasks.dataset.leaks import count_leaks, refuse_leaks
from tasks.dataset.manifest import manifest_counts
from tasks.dataset.people import PeopleRules
from tasks.dataset.samples import chosen_people, collect_samples, kept_outcomes
from tasks.dataset.select import SelectRules, select, stop_people_with_few_faces, stop_samples
from tasks.dataset.source_tables import (
    MadeWith,
    lines_left_out,
    listed_people,
    made_with,
    planned_lines,
    read_attempts,
    read_faces,
    read_verdicts,
    source_digests,
)
from tasks.dataset.split import SplitRules, split_identities
from tasks.dataset.version_change import VersionChange, change_since
from tasks.label_noise.estimate import CleanRules
from tasks.label_noise.score_table import Cleaning, judged_faces, open_cleaned
from tasks.links.sources import source_named
from tasks.links.sources.source import Source

_SAMPLES_PER_SHARD = 10_000
# The keys of `Request.settings`: the part of a manifest that determines the version's id.
_SETTINGS = (
    "source", "method", "select", "split", "exclude", "cleaning", "dedupe", "clean", "made_with", "people", "kept"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """A publish request. Its settings and the selected content determine the version's id.

    Attributes:
        source: one source or several (`storage.source_names`).
        people: which names in several sources are one person.
        kept: columns of the lists to store in the index.
        made_with: of the faces, as `source_tables.made_with` gives it; `publish_source` fills it in.
    """

    name: str
    source: str
    method: str
    select: SelectRules = field(default_factory=SelectRules)
    split: SplitRules = field(default_factory=SplitRules)
    exclusion: Exclusion | None = None
    cleaning: Cleaning | None = None
    dedupe: DedupeRules = field(default_factory=DedupeRules)
    clean: CleanRules = field(default_factory=CleanRules)
    people: PeopleRules = field(default_factory=PeopleRules)
    kept: tuple[str, ...] = ()
    made_with: MadeWith = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """The settings that are part of the id: all but the name; a list of names by its digest.

        Of the settings of earlier stages only those that differ from their defaults, so that the id of a version made
        with the defaults is that of the first format.
        """
        rules = {"select": counted("select", self.select), "split": counted("split", self.split)}
        excluded = {"exclude": self.exclusion.to_json()} if self.exclusion else {}
        cleaned = {"cleaning": counted("cleaning", self.cleaning)} if self.cleaning else {}
        earlier = {
            "dedupe": differing(self.dedupe),
            "clean": differing(self.clean),
            "made_with": self.made_with,
            "people": differing(self.people),
            "kept": list(self.kept),
        }
        made = {name: one for name, one in earlier.items() if one}
        return {"source": self.source, "method": self.method, **rules, **excluded, **cleaned, **made}


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version: samples (`samples.collect_samples`) and the outcome of every line, as rows and counted.

    `ties` are pairs of names that are one person, which the split kept together. `funnels` are those of each source
    where there are several.
    """

    samples: pa.Table
    outcomes: pa.Table
    funnel: Funnel
    ties: tuple[tuple[str, str], ...] = ()
    funnels: dict[str, Funnel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Published:
    """A dataset version, its current funnel (and that of each of several sources), and whether it is new.

    Attributes:
        change: since the newest earlier version of the same settings; None if there is none.
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
    """Compare all pictures, decide the outcome of every line, and publish the samples.

    Args:
        min_change: the least share of faces or people added or removed that is worth a new version; below it the
            newest version of the same settings is returned.

    Raises:
        UsageError: nothing has been planned yet, or no face is fit to be published.
    """
    sources = [source_named(one, lake) for one in sources_of(request.source)]
    require_people_in_each(sources)
    compare_pictures(lake, request.source, request.dedupe, request.people)
    request = replace(request, made_with=made_with(lake, request.source, request.method))
    content = decide(lake, request)
    origin = {"made_from": source_digests(lake, request.source), **terms_of(sources)}
    if not sources[0].names_people:
        origin["names_people"] = False
    change = None
    if earlier := _newest_of_same_settings(lake, request):
        change = change_since(earlier, content.samples)
        if change.share < min_change and version_id(request, content.samples) != earlier.version:
            note = f"no new version: {change}, less than {min_change:.1%}"
            return Published(earlier, Funnel.from_json(earlier.manifest["funnel"]), False, change=change, note=note)
    return replace(publish(lake, request, content, origin, on_progress=on_progress), change=change)


def _newest_of_same_settings(lake: Lake, request: Request) -> DatasetVersion | None:
    """The newest version of the dataset, if it was made with the same settings."""
    existing = versions(lake, request.name)
    if not existing:
        return None
    manifest = existing[-1].manifest
    settings = {name: manifest[name] for name in _SETTINGS if name in manifest}
    return existing[-1] if settings == json.loads(to_json(request.settings())) else None


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


def decide(lake: Lake, request: Request) -> Content:
    """Decide the samples of the version and the reasons for all other lines, from the tables of the source.

    Raises:
        UsageError: its pictures have not been compared yet (`find_duplicates.compare_pictures`).
    """
    people = listed_people(lake, request.source, request.people)
    lines = people.added_to(planned_lines(lake, request.source))
    attempts = read_attempts(lake, request.source, ["key", "outcome", "reason"])
    verdicts = read_verdicts(lake, request.source, lines, request.dedupe)
    faces = people.added_to(read_faces(lake, request.source, request.method))
    refused, ties = _refused(lake, request, lines, verdicts, faces)
    outcomes = select(
        lines,
        attempts,
        verdicts,
        faces,
        method=request.method,
        rules=request.select,
        refused=refused,
        names_people=all(source_named(one, lake).names_people for one in sources_of(request.source)),
    )
    splits = split_identities(chosen_people(lines, outcomes), request.split, ties, people.names())
    outcomes = stop_samples(outcomes, cross_split_rows(lines, verdicts, faces, outcomes, splits), Reason.CROSS_SPLIT)
    outcomes = stop_people_with_few_faces(lines, outcomes, request.select.min_faces)
    return Content(
        samples=collect_samples(request.source, lines, verdicts, faces, outcomes, splits, request.kept),
        outcomes=kept_outcomes(request.source, lines, outcomes),
        ties=ties,
        **_funnels(lake, request, lines, outcomes),
    )


def _funnels(lake: Lake, request: Request, lines: pa.Table, outcomes: pa.Table) -> dict[str, Any]:
    """The funnel of all lines, and of the lines of each source where there are several."""
    if not is_joint(request.source):
        left_out = lines_left_out(lake, request.source, len(lines))
        return {"funnel": count_outcomes(outcomes, request.method, left_out)}
    funnels, all_left_out = {}, Counter[str]()
    for source in sources_of(request.source):
        theirs = outcomes.filter(pc.equal(lines["source"].cast(pa.string()), source))
        left_out = lines_left_out(lake, source, len(theirs))
        all_left_out.update(left_out)
        funnels[source] = count_outcomes(theirs, request.method, left_out)
    return {"funnel": count_outcomes(outcomes, request.method, all_left_out), "funnels": funnels}


def _refused(
    lake: Lake, request: Request, lines: pa.Table, verdicts: pa.Table, faces: pa.Table
) -> tuple[pa.Table, tuple[tuple[str, str], ...]]:
    """Lines excluded by name or by label noise scores (identity, line, reason), and names that may be one person."""
    named = lines_of(lines, request.exclusion.identities if request.exclusion else ())
    if request.cleaning is None:
        return named, ()
    judged = judged_faces(faces, verdicts)
    cleaned = open_cleaned(lake, request.source, request.method, request.cleaning.model, judged, request.clean)
    return pa.concat_tables([named, cleaned.refused(request.cleaning)]), cleaned.ties()


def version_id(request: Request, samples: pa.Table) -> str:
    """The id of the version these samples make: a digest of the samples and of the rules."""
    return _content_id(request.settings(), samples)


def id_by_manifest(manifest: dict[str, Any], samples: pa.Table) -> str:
    """The id that a version's samples make under the settings of its manifest."""
    return _content_id({name: manifest[name] for name in _SETTINGS if name in manifest}, samples)


def _content_id(settings: dict[str, Any], samples: pa.Table) -> str:
    content = samples.select(["sample", "identity", "split", "crop_digest"]).to_pylist()
    return stamp("dataset", settings, [list(row.values()) for row in content])


def publish(
    lake: Lake,
    request: Request,
    content: Content,
    origin: dict[str, Any],
    *,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Published:
    """Write the version of this content, or return the existing one.

    Args:
        origin: the manifest entries on the origin of the content.

    Raises:
        UsageError: there are no samples.
        LeakError: something stands on two sides of the split.
    """
    if not len(content.samples):
        raise UsageError(
            f"no {request.method} face of {request.source} meets the requirements: "
            + "; ".join(map(_stage_counts, content.funnel.stages))
        )
    refuse_leaks(count_leaks(content.samples, content.ties), request.name)
    version = version_id(request, content.samples)
    folder = lake.dataset(request.name, version)
    is_new = not lake.exists(f"{folder}/manifest.json")
    if is_new:
        index = _write_shards(lake, folder, content.samples, on_progress)
        write_table(lake, f"{folder}/index.parquet", index)
        write_table(lake, f"{folder}/outcomes.parquet", content.outcomes)
        manifest = {"version": version, "name": request.name, **request.settings(), **origin}
        manifest |= {
            "leaks": count_leaks(index, content.ties),
            **manifest_counts(index, content.funnel, content.funnels),
        }
        is_new = lake.write_once(f"{folder}/manifest.json", to_json(manifest))
    return Published(DatasetVersion(lake, request.name, version), content.funnel, is_new, content.funnels)


def _stage_counts(stage: FunnelStage) -> str:
    """The counts of a stage, and its most frequent reason."""
    top = max(stage.rejected.items(), key=lambda item: item[1], default=None)
    return f"{stage.stage} {stage.num_out} of {stage.num_in}" + (f" ({top[0]} {top[1]})" if top else "")


def _write_shards(lake: Lake, folder: str, samples: pa.Table, on_progress: Callable[[int], None]) -> pa.Table:
    places: list[tuple[str, int, int]] = []
    for split in pc.unique(samples["split"]).to_pylist():
        part = samples.filter(pc.equal(samples["split"], split))
        for number, start in enumerate(range(0, len(part), _SAMPLES_PER_SHARD)):
            shard = f"{split}-{number:05d}.tar"
            with create_shard(lake, f"{folder}/{shard}") as tar:
                for row in part.slice(start, _SAMPLES_PER_SHARD).to_pylist():
                    jpeg = read_member(lake, row["from_shard"], row["from_offset"], row["from_length"])
                    places.append((shard, *tar.add(f"{row['sample']}.jpg", jpeg)))
                    tar.add(f"{row['sample']}.json", _sample_json(row))
                    on_progress(len(places))
    shards, offsets, lengths = zip(*places, strict=True)
    whole = samples.append_column("shard", pa.array(shards)).append_column("offset", pa.array(offsets))
    return whole.append_column("length", pa.array(lengths)).select(SAMPLES.names).cast(SAMPLES)


def _sample_json(row: dict[str, Any]) -> bytes:
    """The JSON member next to the picture in the shard, for readers without Parquet."""
    names = ("identity", "split", "source", "method", "line", "url", "face_box_xyxy", "landmarks", "score")
    facts = {name: row[name] for name in names} | {"image_sha256": row["image_digest"].hex()}
    return json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()

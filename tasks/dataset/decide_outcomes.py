"""Decide the content of a dataset version: the outcome of every link line, and the samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import Reason
from storage.text.source_names import is_joint, sources_of
from tasks.dataset import samples as sample_tables
from tasks.dataset import select
from tasks.dataset.cross_split import cross_split_rows
from tasks.dataset.exclude import lines_of
from tasks.dataset.find_duplicates import read_verdicts
from tasks.dataset.funnel import Funnel, count_outcomes
from tasks.dataset.people import people_in
from tasks.dataset.publish_request import Request
from tasks.dataset.samples import chosen_people, collect_samples, kept_outcomes
from tasks.dataset.select import stop_people_with_few_faces, stop_samples
from tasks.dataset.source_tables import (
    DIGESTED,
    lines_left_out,
    planned_lines,
    read_attempts,
    read_faces,
    source_digests,
)
from tasks.dataset.split import split_identities
from tasks.label_noise.score_table import faces_to_score, open_cleaned
from tasks.links.sources import names_people

# What a version needs of its lines, and of its faces.
_OF_LINES = ["identity", "line", "key", "url"]
_OF_FACES = list(dict.fromkeys(["outcome", "reason", *select.OF_FACES, *sample_tables.OF_FACES, "offset", "length"]))


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version: samples (`samples.collect_samples`) and the outcome of every line, as rows and counted.

    Attributes:
        ties: pairs of names that are one person, which the split kept together.
        made_from: digests of the inputs (`source_tables.source_digests`).
        funnels: of each source, where there are several.
    """

    samples: pa.Table
    outcomes: pa.Table
    funnel: Funnel
    ties: tuple[tuple[str, str], ...] = ()
    made_from: dict[str, Any] = field(default_factory=dict)
    funnels: dict[str, Funnel] = field(default_factory=dict)


def decide(lake: Lake, request: Request) -> Content:
    """Decide the samples of the version and the reasons for all other lines, from the tables of the source.

    Raises:
        UsageError: its pictures have not been compared yet (`find_duplicates.compare_pictures`).
    """
    lines = planned_lines(lake, request.source, [*_OF_LINES, *(["kept"] if request.kept else [])])
    people = people_in(lines, request.people)
    lines = people.added_to(lines)
    attempts = read_attempts(lake, request.source, DIGESTED)
    made_from = source_digests(lake, request.source, None if is_joint(request.source) else attempts)
    attempts = attempts.drop_columns(["digest"])
    verdicts = read_verdicts(lake, request.source, request.dedupe, request.people)
    faces = people.added_to(read_faces(lake, request.source, request.method, _OF_FACES))
    refused, ties = _refused(lake, request, lines, verdicts, faces)
    outcomes = select.select(
        lines,
        attempts,
        verdicts,
        faces,
        method=request.method,
        rules=request.select,
        refused=refused,
        names_people=names_people(request.source, lake),
    )
    splits = split_identities(chosen_people(lines, outcomes), request.split, ties, people.names())
    outcomes = stop_samples(outcomes, cross_split_rows(lines, verdicts, faces, outcomes, splits), Reason.CROSS_SPLIT)
    outcomes = stop_people_with_few_faces(lines, outcomes, request.select.min_faces)
    samples = collect_samples(request.source, lines, verdicts, faces, outcomes, splits, request.kept)
    del attempts, verdicts, faces  # a gigabyte of five million lines, before URLs are copied
    return Content(
        samples=samples,
        outcomes=kept_outcomes(request.source, lines, outcomes),
        ties=ties,
        made_from=made_from,
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
    scored = faces_to_score(faces, verdicts)
    cleaned = open_cleaned(lake, request.source, request.method, request.cleaning.model, scored, request.clean)
    return pa.concat_tables([named, cleaned.refused(request.cleaning)]), cleaned.ties()

"""Decide the content of a dataset version: the outcome of every link line, and the samples."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from storage.files.lake import Lake
from storage.records import Reason
from storage.tables.stored_rows import StoredRows
from storage.text.source_names import is_joint, sources_of
from tasks.dataset import select
from tasks.dataset.cross_split import cross_split_rows
from tasks.dataset.exclude import lines_of
from tasks.dataset.face_rows import face_rows
from tasks.dataset.find_duplicates import read_verdicts
from tasks.dataset.funnel import Funnel, count_outcomes
from tasks.dataset.people import People, people_in
from tasks.dataset.publish_request import Request
from tasks.dataset.samples import chosen_people, collect_samples, kept_lines, kept_outcomes
from tasks.dataset.select import stop_people_with_few_faces, stop_samples
from tasks.dataset.source_tables import (
    DIGESTED,
    lines_left_out,
    read_attempts,
    read_faces,
    source_digests,
    stored_faces,
    stored_lines,
)
from tasks.dataset.split import split_identities
from tasks.label_noise.score_table import OF_SCORES, faces_to_score, open_cleaned
from tasks.links.sources import names_people

# The columns of lines that decide, and of verdicts.
_OF_LINES = ["identity", "line", "key"]
_OF_VERDICTS = ["identity", "line", "outcome", "reason", "cluster"]


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a version: samples (`samples.collect_samples`) and the outcome of every line, as rows and counted.

    Attributes:
        outcomes: `records.STORED_OUTCOMES`.
        lines: `records.SHARED_LINES`, of the same lines.
        ties: pairs of names that are one person, which the split kept together.
        made_from: digests of the inputs (`source_tables.source_digests`).
        funnels: of each source, where there are several.
    """

    samples: pa.Table
    outcomes: pa.Table
    lines: StoredRows
    funnel: Funnel
    ties: tuple[tuple[str, str], ...] = ()
    made_from: dict[str, Any] = field(default_factory=dict)
    funnels: dict[str, Funnel] = field(default_factory=dict)


def decide(lake: Lake, request: Request) -> Content:
    """Decide the samples of the version and the reasons for all other lines, from the tables of the source.

    Of all lines and faces only what decides is in memory, and only as long as it does: 12 GB hold 50 million lines.

    Raises:
        UsageError: its pictures have not been compared yet (`find_duplicates.compare_pictures`).
    """
    attempts = read_attempts(lake, request.source, DIGESTED)
    made_from = source_digests(lake, request.source, None if is_joint(request.source) else attempts)
    attempts = attempts.drop_columns(["digest"])
    listed = stored_lines(lake, request.source)
    lines = listed.table(_OF_LINES)
    people = people_in(lines, request.people)
    lines, listed = people.added_to(lines), listed.changed(people.added_to)
    reached = select.fetched(lines, attempts)
    lines = lines.drop_columns(["key"])
    del attempts
    verdicts = read_verdicts(lake, request.source, request.dedupe, request.people, _OF_VERDICTS)
    faces = face_rows(stored_faces(lake, request.source, request.method).changed(people.added_to))
    refused, ties = _refused(lake, request, lines, verdicts, people)
    outcomes = select.select(
        lines,
        reached,
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
    stored = faces.stored
    del faces
    samples = collect_samples(request, lines, listed, verdicts, stored, outcomes, splits)
    return Content(
        samples=samples,
        outcomes=kept_outcomes(request.source, lines, outcomes),
        lines=kept_lines(request.source, listed, outcomes),
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
    lake: Lake, request: Request, lines: pa.Table, verdicts: pa.Table, people: People
) -> tuple[pa.Table, tuple[tuple[str, str], ...]]:
    """Lines excluded by name or by label noise scores (identity, line, reason), and names that may be one person."""
    named = lines_of(lines, request.exclusion.identities if request.exclusion else ())
    if request.cleaning is None:
        return named, ()
    faces = people.added_to(read_faces(lake, request.source, request.method, list(OF_SCORES)))
    scored = faces_to_score(faces, verdicts)
    cleaned = open_cleaned(lake, request.source, request.method, request.cleaning.model, scored, request.clean)
    return pa.concat_tables([named, cleaned.refused(request.cleaning)]), cleaned.ties()

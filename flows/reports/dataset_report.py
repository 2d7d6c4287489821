"""HTML report of a dataset version: funnel, faces kept and rejected, changes, splits, hosts, quality, reasons.

The report shows faces. By default it is written to the lake's work folder, which may be deleted.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.charts import Chart, histogram
from flows.reports.crop_report import agreement_counts, cropped_methods, digest_counts, overlap_histogram
from flows.reports.doubtful_people import loosest_fits, main_hosts, worst_hosts, worst_people
from flows.reports.funnel_pictures import Pictures, evenly
from flows.reports.kept_doubts import kept_doubts, scores_of
from flows.reports.people_alike import people_alike
from flows.reports.reason_glossary import explained
from flows.reports.rejected_sheets import reason_counts, rejected_sheets
from flows.reports.version_before import change_since_before
from storage.records import Reason, Split
from storage.tables.parquet import with_plain_words
from storage.text.source_names import sources_of
from storage.versions.datasets import DatasetVersion
from storage.versions.takedowns import about, covered_lines, read_forgotten
from tasks.dataset.funnel import Funnel, by_source
from tasks.dataset.manifest import origins
from tasks.dataset.select import Stage
from tasks.faces.agreement import compare

# Limits of the report's length: the same for 2622 people with 2.6 million lines as for 60 people.
ROWS, PEOPLE, FACES, FIGURES, DOUBTS, ALIKE = 10, 24, 8, 16, 12, 4
# Faces of each of two people who look alike; faces that came, and that went.
FACES_ALIKE, CHANGED = 3, 6
# (column, title, range of the histogram).
_MEASURES = (
    ("face_px", "Shorter side of the face, in pixels of its picture", 0.0, 500.0),
    ("score", "Score of the detected face", 0.0, 1.0),
    ("agreement", "IoU of the listed box with the face", 0.0, 1.0),
    ("sharpness", "Sharpness (variance of the Laplacian)", 0.0, 1000.0),
    ("yaw_deg", "Yaw, in degrees", -90.0, 90.0),
    ("roll_deg", "Roll, in degrees", -90.0, 90.0),
)


def write_report(dataset: DatasetVersion, path: Path | None = None) -> Path:
    """Write the report of a version, by default to the lake's work folder, and return its path."""
    dataset.require("source", "method", "num_samples", "num_identities", "splits")
    manifest = dataset.manifest
    index, outcomes = with_plain_words(dataset.index()), with_plain_words(dataset.outcomes())
    named = _named(dataset, outcomes)
    stages = Funnel.from_json(manifest["funnel"]).stages if "funnel" in manifest else ()
    return page.write(
        path or dataset.lake.report_file(dataset.name, dataset.version),
        "dataset.html",
        title=str(dataset),
        manifest=manifest,
        splits=list(Split),
        stages=stages,
        sources=by_source({name: Funnel.from_json(one) for name, one in manifest.get("funnels", {}).items()}),
        num_lines=len(outcomes),
        num_fetched=pc.sum(pc.not_equal(outcomes["stage"], Stage.FETCH.value)).as_py(),
        num_faces=len(index),
        most_faces=FACES,
        change=change_since_before(dataset, CHANGED),
        reasons=explained({reason for one in stages for reason in one.rejected} | set(dict(reason_counts(outcomes)))),
        origins=origins(manifest),
        **_statistics(dataset, index, outcomes, named),
        **_sheets(dataset, index, named),
    )


def _statistics(dataset: DatasetVersion, index: pa.Table, outcomes: pa.Table, named: pa.Table) -> dict[str, Any]:
    """The values of the template that are numbers and charts."""
    faces = cropped_methods(dataset.lake, dataset.source)
    return {
        "people": _people(index),
        "hosts": main_hosts(index, ROWS),
        "quality": _quality(index),
        "digests": digest_counts(faces),
        "methods": _methods(faces),
        "losing_hosts": worst_hosts(named, ROWS),
        "losing_people": worst_people(named, ROWS),
        "loose_fits": loosest_fits(index, ROWS),
        "unfetched": _unfetched(outcomes, named),
    }


def _sheets(dataset: DatasetVersion, index: pa.Table, named: pa.Table) -> dict[str, Any]:
    """The values of the template that are pictures."""
    pictures, cleaned = Pictures(dataset), scores_of(dataset)
    return {
        "portraits": _portraits(index, pictures),
        "doubts": kept_doubts(index, cleaned, pictures, DOUBTS),
        "rejected": rejected_sheets(dataset, named, pictures, FIGURES),
        "alike": people_alike(index, cleaned, pictures, ALIKE, FACES_ALIKE),
    }


def _named(dataset: DatasetVersion, outcomes: pa.Table) -> pa.Table:
    """The outcomes of lines that were not taken down, then or since, whose names, URLs and pictures may be shown."""
    forgotten = [read_forgotten(dataset.lake, source) for source in sources_of(dataset.source)]
    people = frozenset[bytes]().union(*(one.people for one in forgotten))
    taken_down = pc.fill_null(pc.equal(outcomes["reason"], Reason.TAKEN_DOWN.value), False)
    since = covered_lines(outcomes, partial(read_forgotten, dataset.lake))
    return outcomes.filter(pc.invert(pc.or_(pc.or_(taken_down, since), about(outcomes, people))))


def _people(index: pa.Table) -> dict[str, Any] | None:
    """The faces per person."""
    if not len(index):
        return None
    counts = index.group_by("identity").aggregate([("line", "count")])["line_count"].to_numpy()
    top = max(20.0, 10.0 * np.ceil(counts.max() / 10.0))
    return {
        "num": len(counts),
        "median_faces": float(np.median(counts)),
        "faces_per_person": histogram(counts.tolist(), "Faces per person", high=float(top)),
    }


def _quality(index: pa.Table) -> list[Chart]:
    return [
        histogram(values.to_pylist(), title, low=low, high=high)
        for name, title, low, high in _MEASURES
        if len(values := index[name].drop_null())
    ]


def _methods(faces: dict[str, pa.Table]) -> dict[str, Any] | None:
    """How two methods agree on the source; None unless both have been used."""
    if not {"bbox", "mtcnn"} <= faces.keys():
        return None
    pairs = compare(faces, "bbox", "mtcnn")
    counts = agreement_counts(pairs, "bbox", "mtcnn")
    return {"num_lines": len(pairs), "counts": counts, "overlap": overlap_histogram(pairs)}


def _unfetched(outcomes: pa.Table, named: pa.Table) -> list[dict[str, Any]]:
    """Reasons of failed fetches, each with two of its URLs."""
    rows = []
    for reason, num in reason_counts(outcomes.filter(pc.equal(outcomes["stage"], Stage.FETCH.value))):
        urls = named.filter(pc.equal(named["reason"], reason))["url"]
        some = urls.take(pa.array(evenly(len(urls), 2), pa.int64())).to_pylist()
        rows.append({"reason": reason, "num": num, "urls": some})
    return rows


def _portraits(index: pa.Table, pictures: Pictures) -> list[dict[str, Any]]:
    """People evenly spaced from most to fewest faces, each with figures."""
    counts = index.group_by(["identity", "split"]).aggregate([("line", "count")])
    counts = counts.sort_by([("line_count", "descending"), ("identity", "ascending")])
    found = []
    for person in counts.take(pa.array(evenly(len(counts), PEOPLE), pa.int64())).to_pylist():
        rows = index.filter(pc.equal(index["identity"], person["identity"]))
        rows = rows.take(pa.array(evenly(len(rows), FACES)))
        crops, lines = pictures.of_samples(rows), rows["line"].to_pylist()
        figures = [page.figure([crop], f"line {line}") for crop, line in zip(crops, lines, strict=True)]
        found.append({**person, "figures": figures})
    return found

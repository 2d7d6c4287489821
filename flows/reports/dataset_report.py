"""HTML report of a dataset version: funnel, splits, hosts, face quality, rejected lines, and sample faces.

The report shows faces. By default it is written to the lake's work folder, which may be deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.reports import page
from flows.reports.doubtful_people import Offender, loosest_fits, main_hosts, worst_hosts, worst_people
from flows.reports.funnel_pictures import Pictures, evenly
from storage.atomic import whole_file
from storage.datasets import DatasetVersion
from storage.records import Reason, Split
from storage.tables import with_plain_words
from storage.takedowns import about, read_forgotten
from tasks.dataset.funnel import Funnel
from tasks.dataset.manifest import origins
from tasks.dataset.select import Stage
from tasks.dataset.source_tables import read_faces
from tasks.faces.agreement import Agreement, compare, count_agreement

# Limits of the report's length: the same for 2622 people with 2.6 million lines as for 60 people.
_ROWS, _PEOPLE, _FACES, _FIGURES = 12, 24, 8, 16
# (column, title, range of the histogram).
_MEASURES = (
    ("face_px", "Shorter side of the face, in pixels of its picture", 0.0, 500.0),
    ("score", "Score of the detected face", 0.0, 1.0),
    ("agreement", "IoU of the listed box with the face", 0.0, 1.0),
    ("sharpness", "Sharpness (variance of the Laplacian)", 0.0, 1000.0),
    ("yaw_deg", "Yaw, in degrees", -90.0, 90.0),
    ("roll_deg", "Roll, in degrees", -90.0, 90.0),
)


class Story(NamedTuple):
    """Data of a report, with dictionary columns decoded; `named` are the fates without taken-down people and lines."""

    dataset: DatasetVersion
    index: pa.Table
    fates: pa.Table
    named: pa.Table
    pictures: Pictures

    @property
    def manifest(self) -> dict[str, Any]:
        """The version's manifest."""
        return self.dataset.manifest


def write_report(dataset: DatasetVersion, path: Path | None = None) -> Path:
    """Write the report of a version, by default to the lake's work folder, and return its path."""
    dataset.require("source", "method", "num_samples", "num_identities", "splits")
    fates = with_plain_words(dataset.fates())
    story = Story(dataset, with_plain_words(dataset.index()), fates, _named(dataset, fates), Pictures(dataset))
    sections = {title: html for title, html in _sections(story) if html}
    links = page.contents(sections)
    path = path or dataset.lake.work_folder / "reports" / f"{dataset.name}-{dataset.version}.html"
    parts = [_overview(story), links, *(page.heading(title) + html for title, html in sections.items())]
    with whole_file(path) as temporary:
        temporary.write_text(page.page(str(dataset), _subtitle(story.manifest), parts), encoding="utf-8")
    return path


def _named(dataset: DatasetVersion, fates: pa.Table) -> pa.Table:
    people = read_forgotten(dataset.lake, dataset.source).people
    taken_down = pc.fill_null(pc.equal(fates["reason"], Reason.TAKEN_DOWN.value), False)
    return fates.filter(pc.invert(pc.or_(taken_down, about(fates, people))))


def _sections(story: Story) -> Iterator[tuple[str, str]]:
    yield "From link lines to samples", _funnel_section(story)
    if len(story.index):
        yield "People and splits", _people(story)
        yield "Hosts", _hosts(story)
        yield "Face quality", _faces(story.index)
    yield "Agreement of crop methods", _methods(story)
    yield "Largest losses", _offenders(story)
    yield "Fetch failures", _unfetched(story)
    yield "Rejected pictures", _rejected_pictures(story)
    if len(story.index):
        yield "Sample faces", _portraits(story)
    yield "Settings", _making(story.manifest)


def _subtitle(manifest: dict[str, Any]) -> str:
    when = str(manifest["published_at"])[:16].replace("T", " ")
    return (
        f"Faces of {manifest['source']} by {manifest['method']}, published {when} UTC. {manifest.get('terms', '')} "
        "This page shows people's faces: treat it like the pictures."
    )


def _overview(story: Story) -> str:
    manifest, fates = story.manifest, story.fates
    figures = {"faces": f"{manifest['num_samples']:,}", "people": f"{manifest['num_identities']:,}"}
    if len(fates):
        fetched = len(fates) - int(pc.sum(pc.equal(fates["stage"], Stage.FETCH.value)).as_py())
        figures = {
            "link lines": f"{len(fates):,}",
            "lines with a picture": f"{fetched:,}",
            **figures,
            "of lines became samples": f"{manifest['num_samples'] / len(fates):.1%}",
        }
    return page.tiles(figures)


def _funnel_section(story: Story) -> str:
    if "funnel" not in story.manifest:
        return ""
    stages = Funnel.from_json(story.manifest["funnel"]).stages
    steps = [page.Step(one.stage, one.num_in, one.num_out, _most_first(one.rejected)) for one in stages]
    stopped = sum(sum(one.lost.values()) for one in steps)
    words = f"{steps[0].num_in:,} link lines gave {steps[-1].num_out:,} samples; {stopped:,} lines were rejected."
    if gone := steps[-1].num_out - int(story.manifest["num_samples"]):
        words += f" {gone:,} samples have been taken down since."
    return page.words(words) + page.funnel(steps, set(_reasons(_rejected_lines(story))))


def _people(story: Story) -> str:
    """Faces per split and per person, and the leaks found between splits."""
    manifest = story.manifest
    counts = story.index.group_by("identity").aggregate([("line", "count")])["line_count"].to_numpy()
    top = max(20.0, 10.0 * np.ceil(counts.max() / 10.0))
    rows = [
        (name, f"{part['samples']:,}", f"{part['identities']:,}", f"{part['samples'] / part['identities']:.1f}", "")
        for name, part in ((split.value, manifest["splits"].get(split)) for split in Split)
        if part
    ]
    leaks = ", ".join(f"{_name(what)} {num:,}" for what, num in manifest.get("leaks", {}).items())
    leak_words = f"Each person is in one split only. Found in more than one split: {leaks}." if leaks else ""
    return page.words(f"The median person has {np.median(counts):,.0f} faces. {leak_words}") + page.side_by_side(
        [
            page.subheading("Splits") + page.table(("split", "faces", "people", "faces per person", ""), rows),
            page.histogram(counts.tolist(), "Faces per person", high=float(top)),
        ]
    )


def _hosts(story: Story) -> str:
    hosts, num_samples = main_hosts(story.index, _ROWS), len(story.index)
    rows = [
        (one.name or "none", f"{one.num_samples:,}", f"{one.num_samples / num_samples:.1%}", f"{one.num_people:,}", "")
        for one in hosts
    ]
    share = sum(one.num_samples for one in hosts) / num_samples
    words = f"The top {len(hosts)} hosts contribute {share:.0%} of the faces."
    return page.words(words) + page.table(("host", "faces", "share", "people", ""), rows)


def _faces(index: pa.Table) -> str:
    return page.side_by_side(
        page.histogram(values.to_pylist(), title, low=low, high=high)
        for name, title, low, high in _MEASURES
        if len(values := index[name].drop_null())
    )


def _offenders(story: Story) -> str:
    """Hosts with the most failures, people with the highest losses, and people with the worst listed boxes."""
    fits = loosest_fits(story.index, _ROWS)
    rows = [(_name(one.name), f"{one.num_samples:,}", f"{one.agreement:.2f}", "") for one in fits]
    return "".join(
        page.subheading(title) + table
        for title, table in (
            ("Hosts with most failures", _losses("host", worst_hosts(story.named, _ROWS))),
            ("People with the highest losses", _losses("person", worst_people(story.named, _ROWS))),
            (
                "People with the lowest IoU of listed boxes",
                page.table(("person", "faces", "mean IoU", ""), rows) if rows else "",
            ),
        )
        if table
    )


def _losses(what: str, worst: list[Offender]) -> str:
    if not worst:
        return ""
    rows = [
        (
            _name(one.name) if what == "person" else one.name or "none",
            f"{one.num_lines:,}",
            f"{one.num_failed:,}",
            f"{one.num_samples:,}",
            f"{one.num_samples / one.num_lines:.0%}",
            ", ".join(f"{reason} {num:,}" for reason, num in list(one.lost.items())[:4]),
        )
        for one in worst
    ]
    return page.table((what, "lines", "not fetched", "faces", "kept", "main reasons"), rows)


def _methods(story: Story) -> str:
    faces = {method: read_faces(story.dataset.lake, story.manifest["source"], method) for method in ("bbox", "mtcnn")}
    if not all(len(table) for table in faces.values()):
        return ""
    pairs = compare(faces, "bbox", "mtcnn")
    names = {Agreement.ONLY_FIRST: "only bbox", Agreement.ONLY_SECOND: "only mtcnn"}
    counts = {names.get(kind, kind.value): num for kind, num in count_agreement(pairs).items()}
    words = f"bbox against mtcnn on the {len(pairs):,} lines of the source that both processed, as of now."
    shown = page.histogram(pairs["iou"].drop_null().to_pylist(), "IoU of the two faces of a line")
    return page.words(words) + page.shares(counts) + shown


def _unfetched(story: Story) -> str:
    stopped = story.fates.filter(pc.equal(story.fates["stage"], Stage.FETCH.value))
    rows = []
    for reason, num in _reasons(stopped).items():
        urls = story.named.filter(pc.equal(story.named["reason"], reason))["url"]
        some = urls.take(pa.array(evenly(len(urls), 2), pa.int64())).to_pylist()
        rows.append((reason, f"{num:,}", f"{num / len(story.fates):.1%}", "\n".join(some)))
    return page.table(("reason", "lines", "share", "examples"), rows) if rows else ""


def _rejected_pictures(story: Story) -> str:
    """One contact sheet per reason: the crop if there is one, else the whole picture."""
    stopped = _rejected_lines(story)
    return "".join(_sheet(story, stopped, reason, num) for reason, num in _reasons(stopped).items())


def _rejected_lines(story: Story) -> pa.Table:
    """The fates of lines that have a picture but are not samples."""
    others = pa.array([Stage.FETCH.value, Stage.SAMPLE.value])
    return story.named.filter(pc.invert(pc.is_in(story.named["stage"], value_set=others)))


def _sheet(story: Story, stopped: pa.Table, reason: str, num: int) -> str:
    rows = stopped.filter(pc.equal(stopped["reason"], reason))
    rows = rows.take(pa.array(evenly(len(rows), _FIGURES)))
    captions = [f"{_name(row['identity'])} {row['line']}" for row in rows.to_pylist()]
    figures = [([data], caption) for data, caption in zip(story.pictures.of_stopped(rows), captions, strict=True)]
    return page.sheet(f"{reason}: {num:,}", "", figures)


def _portraits(story: Story) -> str:
    counts = story.index.group_by(["identity", "split"]).aggregate([("line", "count")])
    counts = counts.sort_by([("line_count", "descending"), ("identity", "ascending")])
    chosen = counts.take(pa.array(evenly(len(counts), _PEOPLE))).to_pylist()
    words = (
        f"{len(chosen)} of {len(counts):,} people, evenly spaced from most to fewest faces; "
        f"at most {_FACES} faces each."
    )
    return page.words(words) + page.side_by_side(_portrait(story, one) for one in chosen)


def _portrait(story: Story, person: dict[str, Any]) -> str:
    rows = story.index.filter(pc.equal(story.index["identity"], person["identity"]))
    rows = rows.take(pa.array(evenly(len(rows), _FACES)))
    captions = [f"line {line}" for line in rows["line"].to_pylist()]
    figures = [([data], caption) for data, caption in zip(story.pictures.of_samples(rows), captions, strict=True)]
    return page.sheet(f"{_name(person['identity'])}: {person['line_count']:,}, {person['split']}", "", figures)


def _making(manifest: dict[str, Any]) -> str:
    return page.table(("setting", ""), [(name, str(value)) for name, value in origins(manifest).items()])


def _reasons(rows: pa.Table) -> dict[str, int]:
    """Rows by reason, most frequent first."""
    found = pc.value_counts(rows["reason"].drop_null()).to_pylist()
    return _most_first({item["values"]: item["counts"] for item in found})


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _name(identity: str) -> str:
    return identity.replace("_", " ")

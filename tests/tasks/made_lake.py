"""A small lake with every kind of outcome in it: real files, as the stages before `publish` leave them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from storage.files.lake import Lake
from storage.records import REJECTED_LINES, Reason, bytes_digest
from storage.tables.parquet import rows_to_table, write_table
from storage.tables.shards import create_shard
from tasks.links.plan import plan
from tests.tasks.builders import BOX, OTHER_BOX, attempt, attempts, face, faces, jpeg
from tests.tasks.image_shards import link_lines

SOURCE, STEM = "synthetic", "0000-0"
PEOPLE = tuple(f"Person_{letter}" for letter in "ABCDEFGH")
# What each line of every person is like.
LINES = {
    1: "gone",
    2: "waits",
    3: "fine",
    4: "copy of 3",
    5: "no face",
    6: "small",
    7: "other face",
    8: "no box fits",
    9: "fine",
}
# Where such a line ends by bbox, by mtcnn, and where the two must agree.
_ENDS = {
    "fine": ("sample", "sample", "sample"),
    "gone": ("gone", "gone", "gone"),
    "waits": ("pending", "pending", "pending"),
    "copy of 3": ("exact_duplicate", "exact_duplicate", "exact_duplicate"),
    "small": ("face_too_small", "face_too_small", "face_too_small"),
    "no face": ("sample", "no_face", "no_face"),
    "other face": ("sample", "sample", "methods_disagree"),
    "no box fits": ("box_disagrees", "sample", "box_disagrees"),
}
MALFORMED = 3


def url_of(person: str, line: int) -> str:
    return f"http://{'dead' if LINES[line] == 'gone' else 'live'}.example/{person}/{line}.jpg"


def make_lake(folder: Path) -> Lake:
    """Everything up to the faces of both methods."""
    lake = Lake(folder)
    claims = [(person, line, url_of(person, line)) for person in PEOPLE for line in LINES]
    lines = link_lines(*[(*claim, BOX) for claim in claims])
    write_table(lake, lake.links(SOURCE, "lines.parquet"), lines)
    bad = {"identity": PEOPLE[0], "text": "?", "reason": Reason.MALFORMED_LINE}
    write_table(
        lake,
        lake.links(SOURCE, "rejected.parquet"),
        rows_to_table([{**bad, "line": at} for at in range(MALFORMED)], REJECTED_LINES),
    )
    lake.write_json(lake.links(SOURCE, "origin.json"), {"digest": "0123"})
    write_table(lake, lake.plan(SOURCE), plan(lines, list(PEOPLE)))
    _write_images(lake, claims)
    for method in ("bbox", "mtcnn"):
        _write_faces(lake, method, claims)
    return lake


def ends(method: str) -> Counter[str]:
    """How many lines of the lake end where: by reason, `pending`, or `sample`."""
    column = ("bbox", "mtcnn", "agree").index(method)
    return Counter(_ENDS[what][column] for what in LINES.values() for _ in PEOPLE)


def _write_images(lake: Lake, claims: list[tuple[str, int, str]]) -> None:
    rows = []
    with create_shard(lake, f"{lake.images(SOURCE, STEM)}.tar") as tar:
        for number, (_, line, url) in enumerate(claims):
            if LINES[line] == "waits":
                continue
            if LINES[line] == "gone":
                rows.append(attempt(url, Reason.GONE))
                continue
            data = _picture(number, line)
            offset, length = tar.add(f"{number}.jpeg", data)
            place: dict[str, Any] = {"shard": STEM, "offset": offset, "length": length, "width": 64, "height": 64}
            rows.append(attempt(url, digest=bytes_digest(data), dhash=bytes_digest(data)[:16], **place))
    write_table(lake, f"{lake.images(SOURCE, STEM)}.parquet", attempts(*rows))


def _picture(number: int, line: int) -> bytes:
    return jpeg(number - (LINES[line] == "copy of 3"))


def _write_faces(lake: Lake, method: str, claims: list[tuple[str, int, str]]) -> None:
    path, rows = lake.faces(method, SOURCE, STEM), []
    with create_shard(lake, f"{path}.tar") as tar:
        for number, (person, line, url) in enumerate(claims):
            if LINES[line] in {"gone", "waits"}:
                continue
            if LINES[line] == "no face" and method == "mtcnn":
                rows.append(face(person, line, url, Reason.NO_FACE))
                continue
            data = jpeg(number + (1000 if method == "mtcnn" else 2000))
            offset, length = tar.add(f"{number}.jpg", data)
            digests = {"image_digest": bytes_digest(_picture(number, line)), "crop_digest": bytes_digest(data)}
            row = face(person, line, url) | {"offset": offset, "length": length, **digests}
            row |= {"image_width": 400, "image_height": 300}
            rows.append(row | _looks(LINES[line], method))
    write_table(lake, f"{path}.parquet", faces(*rows), stamp=method)


def _looks(what: str, method: str) -> dict[str, Any]:
    if what == "small":
        return {"face_px": 50.0}
    if what == "other face" and method == "mtcnn":
        return {"source_box_xyxy": OTHER_BOX}
    if what == "no box fits" and method == "bbox":
        return {"fit": None, "agreement": 0.1}
    return {}

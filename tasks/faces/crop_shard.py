"""Crop the faces of a shard: one row per link line and method, and a crop for each accepted row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
from PIL import Image

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import FACES, Box, Detection, Face, Outcome, Reason, bytes_digest
from storage.stamps.stamped_fields import counted, differing
from storage.tables.digests import table_digest
from storage.tables.parquet import read_metadata, read_stamp, rows_to_table, settings_in, stamp, stamp_in, write_table
from storage.tables.shards import create_shard
from storage.tables.whole_shard import WholeShard, whole_shard
from tasks.faces.boxes import share_inside
from tasks.faces.detect_shard import ShardSummary, StoredImage, accepted_images, map_chunks, read_detections
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import METHODS, CropSettings, Picture, Subject
from tasks.faces.methods.cut import cut, square_around
from tasks.faces.methods.quality import roll_deg, sharpness, yaw_deg
from tasks.faces.methods.subject import shorter_side, sure_faces
from tasks.images.decode import UndecodableImage

# Increased when the same picture, lines and settings give other faces than before: crops are then recomputed.
_RULES = 2
_LISTED_SIZE = ("listed_width", "listed_height")


class Listed(NamedTuple):
    """The identity and the box of a link line, and whether its picture has the listed digest (None: not known)."""

    identity: str
    line: int
    box_xyxy: Box | None
    same_bytes: bool | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One picture with all lines that refer to it: it is decoded once."""

    image: StoredImage
    detection: Detection
    lines: list[Listed]


class Cropped(NamedTuple):
    """The result of one method for one line; `jpeg` is empty if the face was rejected."""

    method: str
    face: Face
    jpeg: bytes


def sample_name(source: str, identity: str, line: int, method: str) -> str:
    """The id of one line's face by one method, 16 hex digits; the same in every shard and dataset version."""
    text = "\0".join((source, identity, str(line), method))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def crop_shard(
    lake: Lake,
    source: str,
    stem: str,
    lines: LinesByKey,
    methods: list[str],
    *,
    settings: CropSettings,
    pool: Executor | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, ShardSummary]:
    """Crop the faces of one shard of images by each method and write `records.FACES`, by identity and line.

    Args:
        lines: of the whole source; those whose picture is not in this shard are ignored.
        pool: processes to share the work; None works here.
        on_progress: called with the number of link lines just finished.

    Returns:
        Counts of link lines by method: lines in, faces out, and rejected lines by reason.

    Raises:
        LakeError: the detections of the shard, or of one of its pictures, are missing.
        UsageError: a method is unknown.
    """
    methods = _checked(methods)
    images = accepted_images(lake, source, stem)
    joined, detections = _join(lines, images), lake.detections(source, stem)
    # Before the rows: if these are replaced meanwhile, the stamp is that of the old ones.
    metadata = read_metadata(lake, detections)
    jobs = _jobs(joined, images, read_detections(lake, source, stem), detections)
    tars = {method: f"{lake.faces(method, source, stem)}.tar" for method in methods}
    for method in methods:
        # After a kill between the new tar and its index, the old index must not remain: with the old settings it
        # would count as up to date.
        lake.remove_file(f"{lake.faces(method, source, stem)}.parquet")
    detected_with = settings_in(metadata, f"{lake.url}/{detections}")
    stages = {"detect": detected_with, "crop": differing(settings)}
    made_with = {stage: one for stage, one in stages.items() if one}
    with whole_shard(lake, f"{lake.images(source, stem)}.tar") as images_tar:
        chunks = map_chunks(partial(_crop_chunk, images_tar, methods, settings), jobs, pool)
        faces = _write_tars(lake, tars, source, chunks, on_progress)
    for method in methods:
        rows = [asdict(face) for face in sorted(faces[method], key=lambda face: (face.identity, face.line))]
        path = f"{lake.faces(method, source, stem)}.parquet"
        made_from = _stamp(stamp_in(metadata), joined, method, settings)
        write_table(lake, path, rows_to_table(rows, FACES), stamp=made_from, settings=made_with)
    return {method: ShardSummary.of_reasons(face.reason for face in faces[method]) for method in methods}


def uncropped(
    lake: Lake, source: str, stem: str, lines: LinesByKey, methods: list[str], *, settings: CropSettings
) -> list[str]:
    """The methods whose faces are missing or outdated: lines, settings or detections have changed."""
    found = {method: read_stamp(lake, f"{lake.faces(method, source, stem)}.parquet") for method in methods}
    if not any(found.values()):
        return methods
    joined = _join(lines, accepted_images(lake, source, stem))
    detected = read_stamp(lake, lake.detections(source, stem))
    return [one for one in methods if found[one] != _stamp(detected, joined, one, settings)]


def crop_picture(job: Job, read: Callable[[], bytes], methods: list[str], settings: CropSettings) -> list[Cropped]:
    """Crop every line of one picture by every method. The picture is decoded once, if a method needs its pixels."""
    proven = frozenset(one.box_xyxy for one in job.lines if one.same_bytes and one.box_xyxy)
    picture = Picture(job.detection, read, proven)
    return [Cropped(method, *_face(picture, listed, method, settings)) for listed in job.lines for method in methods]


def choose_subject(box: Box | None, picture: Picture, method: str, settings: CropSettings) -> Subject | Reason:
    """The subject to crop by one method, or the reason for none: the picture failed, or the face is too small."""
    if picture.detection.reason is not None:
        return picture.detection.reason
    try:
        verdict = METHODS[method](box, picture, settings)
    except UndecodableImage as error:
        return error.reason
    if isinstance(verdict, Subject) and shorter_side(verdict.box_xyxy) < settings.min_face_px:
        return Reason.FACE_TOO_SMALL
    return verdict


def _face(picture: Picture, listed: Listed, method: str, settings: CropSettings) -> tuple[Face, bytes]:
    detection, verdict = picture.detection, choose_subject(listed.box_xyxy, picture, method, settings)
    face = Face(
        identity=listed.identity,
        line=listed.line,
        key=detection.key,
        image_digest=detection.digest,
        outcome=Outcome.REJECTED,
        reason=verdict if isinstance(verdict, Reason) else Reason.BROKEN_IMAGE,
        num_faces=len(sure_faces(detection, settings)),
        image_width=detection.width or None,
        image_height=detection.height or None,
        same_bytes=listed.same_bytes,
    )
    if isinstance(verdict, Subject):
        try:
            return _accepted(face, verdict, picture.image, settings)
        except UndecodableImage as error:
            return replace(face, reason=error.reason), b""
    return face, b""


def _accepted(face: Face, subject: Subject, image: Image.Image, settings: CropSettings) -> tuple[Face, bytes]:
    square = square_around(subject.box_xyxy, image.size, settings)
    jpeg = cut(image, square, settings)
    found = subject.found
    accepted = replace(
        face,
        outcome=Outcome.ACCEPTED,
        reason=None,
        agreement=subject.agreement,
        fit=subject.fit,
        score=found.score if found else None,
        face_px=shorter_side(subject.box_xyxy),
        border=1 - share_inside(subject.box_xyxy, *image.size),
        sharpness=sharpness(image, subject.box_xyxy),
        yaw_deg=yaw_deg(found.landmarks) if found else None,
        roll_deg=roll_deg(found.landmarks) if found else None,
        source_box_xyxy=subject.box_xyxy,
        face_box_xyxy=square.box(subject.box_xyxy),
        landmarks=square.points(found.landmarks) if found else None,
        crop_digest=bytes_digest(jpeg),
        width=square.out_px,
        height=square.out_px,
    )
    return accepted, jpeg


def _checked(methods: list[str]) -> list[str]:
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        asked = ", ".join(unknown) or "none"
        raise UsageError(f"unknown crop methods: {asked}; choose from {', '.join(METHODS)}")
    return list(dict.fromkeys(methods))


def _join(lines: LinesByKey, images: list[StoredImage]) -> pa.Table:
    """Identity, line, key and box of the lines whose picture is among `images`, by identity and line.

    The columns of the listed picture size, and `same_bytes`, are present only if the list has sizes and digests.
    """
    found = lines.of([image.key for image in images])
    sizes = [name for name in _LISTED_SIZE if lines.has(name)]
    wanted = found.select(["identity", "line", "key", "box_xyxy", *sizes])
    if lines.has("listed_digest"):
        wanted = wanted.append_column("same_bytes", _same_bytes(found, images))
    wanted = wanted.set_column(0, "identity", wanted["identity"].cast(pa.string()))
    return wanted.sort_by([("identity", "ascending"), ("line", "ascending")])


def _same_bytes(lines: pa.Table, images: list[StoredImage]) -> pa.Array:
    """Whether the picture of each line has the listed digest; null if none is listed, or not one of that algorithm
    was computed when the picture was fetched.
    """
    digests = {image.key: {len(one): one for one in (image.digest, image.other_digest) if one} for image in images}
    rows = zip(lines["key"].to_pylist(), lines["listed_digest"].to_pylist(), strict=True)
    known = [(listed, digests[key].get(len(listed)) if listed else None) for key, listed in rows]
    return pa.array([listed == ours if ours else None for listed, ours in known], pa.bool_())


def _jobs(joined: pa.Table, images: list[StoredImage], detections: dict[bytes, Detection], path: str) -> list[Job]:
    """One job per picture with lines, ordered by the first line: crops of one person are adjacent."""
    stored = {image.key: image for image in images}
    jobs: dict[bytes, Job] = {}
    for row in joined.to_pylist():
        key = row["key"]
        if key not in detections:
            raise LakeError(
                f"{path} has no row for picture {key.hex()} of its shard: delete it and run `facemill crop` again"
            )
        job = jobs.setdefault(key, Job(stored[key], detections[key], []))
        box = _listed_box(row, detections[key])
        job.lines.append(Listed(row["identity"], row["line"], box, row.get("same_bytes")))
    return list(jobs.values())


def _listed_box(row: dict[str, Any], detection: Detection) -> Box | None:
    """The listed box in pixels of the served picture: scaled if the list has the size of the original picture."""
    if row["box_xyxy"] is None:
        return None
    left, top, right, bottom = row["box_xyxy"]
    listed_width, listed_height = (row.get(name) for name in _LISTED_SIZE)
    if listed_width is None or listed_height is None or not detection.width:
        return left, top, right, bottom
    x, y = detection.width / listed_width, detection.height / listed_height
    return left * x, top * y, right * x, bottom * y


def _crop_chunk(tar: WholeShard, methods: list[str], settings: CropSettings, jobs: list[Job]) -> list[Cropped]:
    done: list[Cropped] = []
    for job in jobs:
        read = partial(tar.member, job.image.offset, job.image.length)
        done += crop_picture(job, read, methods, settings)
    return done


def _write_tars(
    lake: Lake,
    paths: dict[str, str],
    source: str,
    chunks: Iterable[list[Cropped]],
    on_progress: Callable[[int], None] | None,
) -> dict[str, list[Face]]:
    """Write the crops as they are made, one tar per method; returns each method's rows with offset and length."""
    faces: dict[str, list[Face]] = {method: [] for method in paths}
    with ExitStack() as stack:
        tars = {method: stack.enter_context(create_shard(lake, path)) for method, path in paths.items()}
        for chunk in chunks:
            for method, face, jpeg in chunk:
                name = f"{sample_name(source, face.identity, face.line, method)}.jpg"
                offset, length = tars[method].add(name, jpeg) if jpeg else (None, None)
                faces[method].append(replace(face, offset=offset, length=length))
            if on_progress:
                on_progress(len(chunk) // len(paths))
    return faces


def _stamp(detected: str | None, joined: pa.Table, method: str, settings: CropSettings) -> str:
    """The stamp of faces; `detected` is that of the detections."""
    return stamp("crop", _RULES, method, counted("crop", settings), detected, table_digest(joined))

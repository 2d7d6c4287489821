"""Detect the faces in each picture, once: the costliest step, 35 CPU-ms a picture (`bench.detect --min-face 40`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.records import ATTEMPTS, DETECTIONS, Detection, FoundFace, Outcome, Reason
from storage.stamps.stamped_fields import counted, differing
from storage.tables.parquet import read_as, read_stamp, rows_to_table, stamp, write_table
from storage.tables.whole_shard import WholeShard, whole_shard
from storage.versions.takedowns import read_forgotten
from tasks.faces.detectors import Detector, DetectorSettings, load_detector
from tasks.images.decode import UndecodableImage, decode

In = TypeVar("In")
Out = TypeVar("Out")

# Pictures per chunk of a worker: under a second of work, so that no core idles long at the end.
CHUNK = 16


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """Counts of one shard: `num_in` equals `num_out` plus the rejected."""

    num_in: int
    num_out: int
    rejected: dict[str, int]

    @classmethod
    def of_reasons(cls, reasons: Iterable[str | None]) -> ShardSummary:
        """Count rows by their reason; None for accepted rows."""
        counts = Counter(reasons)
        num_out = counts.pop(None, 0)
        rejected = {str(reason): num for reason, num in sorted(counts.items(), key=str)}
        return cls(num_out + sum(rejected.values()), num_out, rejected)


class StoredImage(NamedTuple):
    """The offset and length of an accepted picture in its shard's tar, and its digests (`records.Attempt`)."""

    key: bytes
    digest: bytes
    offset: int
    length: int
    other_digest: bytes | None = None


def detect_shard(
    lake: Lake,
    source: str,
    stem: str,
    settings: DetectorSettings,
    *,
    pool: Executor | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ShardSummary:
    """Detect the faces in every accepted picture of one shard and write `records.DETECTIONS`, ordered by key.

    Args:
        pool: processes to share the work; None works here.
        on_progress: called with the number of pictures just finished.

    Returns:
        Counts of pictures. A picture that cannot be decoded has a row with the reason.
    """
    images = accepted_images(lake, source, stem)
    found: list[Detection] = []
    with whole_shard(lake, f"{lake.images(source, stem)}.tar") as tar:
        for detections in map_chunks(partial(_detect_chunk, tar, settings), images, pool):
            found += detections
            if on_progress:
                on_progress(len(detections))
    rows = [_row(one) for one in sorted(found, key=lambda one: one.key)]
    path = lake.detections(source, stem)
    write_table(lake, path, rows_to_table(rows, DETECTIONS), stamp=_stamp(settings), settings=differing(settings))
    return ShardSummary.of_reasons(one.reason for one in found)


def is_detected(lake: Lake, source: str, stem: str, settings: DetectorSettings) -> bool:
    """Whether the shard's detections exist and were made with these settings."""
    return read_stamp(lake, lake.detections(source, stem)) == _stamp(settings)


def read_detections(lake: Lake, source: str, stem: str) -> dict[bytes, Detection]:
    """The detections of one shard by key.

    Raises:
        LakeError: they do not exist yet.
    """
    rows = read_as(lake, lake.detections(source, stem), DETECTIONS).to_pylist()
    return {row["key"]: _detection(row) for row in rows}


def accepted_images(lake: Lake, source: str, stem: str) -> list[StoredImage]:
    """The accepted pictures of one shard in the order of its tar, without those taken down.

    Raises:
        LakeError: the shard does not exist.
    """
    columns = ["outcome", *StoredImage._fields]
    path = f"{lake.images(source, stem)}.parquet"
    table = read_as(lake, path, ATTEMPTS, columns)
    accepted = table.filter(pc.equal(table["outcome"].cast(pa.string()), pa.scalar(Outcome.ACCEPTED.value)))
    if any(accepted[name].null_count for name in StoredImage._fields if name != "other_digest"):
        raise LakeError(
            f"{lake.url}/{path} has accepted pictures without offset or length: run `facemill check --repair`"
        )
    accepted = accepted.filter(pc.invert(read_forgotten(lake, source).rows(accepted)))
    rows = accepted.select(list(StoredImage._fields)).to_pylist()
    return sorted((StoredImage(**row) for row in rows), key=lambda image: image.offset)


def map_chunks(work: Callable[[list[In]], Out], items: list[In], pool: Executor | None) -> Iterator[Out]:
    """Apply `work` to chunks of the items, here or in the pool; results are in the order of the items."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    return pool.map(work, chunks) if pool else map(work, chunks)


def detect(data: bytes, key: bytes, digest: bytes, detector: Detector) -> Detection:
    """Decode one picture and detect its faces; if it cannot be decoded, the detection has a reason."""
    return detect_all([(data, key, digest)], detector)[0]


def detect_all(pictures: Sequence[tuple[bytes, bytes, bytes]], detector: Detector) -> list[Detection]:
    """Detect faces in several pictures together, each given as data, key and digest."""
    decoded = [_decoded(data) for data, _, _ in pictures]
    found = iter(detector.find_all([image for image in decoded if not isinstance(image, Reason)]))
    return [
        Detection(key, digest, 0, 0, (), image)
        if isinstance(image, Reason)
        else Detection(key, digest, *image.size, next(found))
        for (_, key, digest), image in zip(pictures, decoded, strict=True)
    ]


def _decoded(data: bytes) -> Image.Image | Reason:
    try:
        return decode(data)
    except UndecodableImage as error:
        return error.reason


def _detect_chunk(tar: WholeShard, settings: DetectorSettings, images: list[StoredImage]) -> list[Detection]:
    detector = load_detector(settings)
    found: list[Detection] = []
    # At most one batch in memory: a picture may take 400 MB.
    for start in range(0, len(images), detector.batch):
        batch = images[start : start + detector.batch]
        pictures = [(tar.member(one.offset, one.length), one.key, one.digest) for one in batch]
        found += detect_all(pictures, detector)
    return found


def _stamp(settings: DetectorSettings) -> str:
    return stamp("detect", counted("detect", settings))


def _row(detection: Detection) -> dict[str, Any]:
    return {
        "key": detection.key,
        "digest": detection.digest,
        "width": detection.width,
        "height": detection.height,
        "boxes": [face.box_xyxy for face in detection.faces],
        "scores": [face.score for face in detection.faces],
        "landmarks": [face.landmarks for face in detection.faces],
        "reason": detection.reason,
    }


def _detection(row: dict[str, Any]) -> Detection:
    columns = zip(row["boxes"], row["scores"], row["landmarks"], strict=True)
    faces = tuple(FoundFace(tuple(box), score, tuple(marks)) for box, score, marks in columns)
    reason = Reason(row["reason"]) if row["reason"] else None
    return Detection(row["key"], row["digest"], row["width"], row["height"], faces, reason)

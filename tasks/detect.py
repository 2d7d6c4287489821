"""The faces in each picture, found once: the dear step, about 50 CPU-ms a picture.

The only file outside `model` that imports torch, and it does so when the first picture comes, so that the
command line and every other stage start without those two seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from storage.errors import UsageError
from storage.lake import Lake
from storage.records import DETECTIONS, Detection, FoundFace, Outcome, Reason
from storage.shards import read_member
from storage.tables import read_stamp, read_table, rows_to_table, stamp, write_table
from tasks.decode import UndecodableImage, decode

In = TypeVar("In")
Out = TypeVar("Out")

# Pictures a worker gets at a time: under a second of work, so that no core waits long for the last one.
CHUNK = 16
# At this size nearly all that the cascade finds more is false (6 of 6 extra boxes, against 100 px).
_SMALLEST_FACE_PX = 20


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What to look for.

    Faces under `min_face_px` are not found. The networks see no picture over `max_side_px`: a larger one is
    shrunk below it, and the smallest face grows with that (40 px up to 4096 px, 60 px at 6000 px). `thresholds`
    are the scores a box needs to pass the three networks, `factor` is the step of the first's pyramid.

    Raises:
        UsageError: `min_face_px` is below 20.
    """

    engine: str = "facenet-pytorch"
    min_face_px: int = 40
    max_side_px: int = 2048
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    factor: float = 0.709

    def __post_init__(self) -> None:
        if self.min_face_px < _SMALLEST_FACE_PX:
            raise UsageError(
                f"min_face_px is {self.min_face_px}, the least is {_SMALLEST_FACE_PX}: "
                "smaller faces cannot be told from noise; ask for larger ones"
            )


class Detector(Protocol):
    """Finds faces in one picture at a time, so that no result depends on what else was looked at."""

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, best score first. Boxes may leave the picture."""


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What became of one shard: `num_in` is `num_out` and the rejected, always."""

    num_in: int
    num_out: int
    rejected: dict[str, int]

    @classmethod
    def of_reasons(cls, reasons: Iterable[str | None]) -> ShardSummary:
        """Count rows by their reason; None for those that went on."""
        counts = Counter(reasons)
        num_out = counts.pop(None, 0)
        rejected = {str(reason): num for reason, num in sorted(counts.items(), key=str)}
        return cls(num_out + sum(rejected.values()), num_out, rejected)


class StoredImage(NamedTuple):
    """Where an accepted picture lies in its shard's tar."""

    key: bytes
    digest: bytes
    offset: int
    length: int


def detect_shard(
    lake: Lake,
    source: str,
    stem: str,
    settings: DetectorSettings,
    *,
    pool: Executor | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> ShardSummary:
    """Find the faces in every accepted picture of one shard and write `records.DETECTIONS`, ordered by key.

    Args:
        pool: processes to share the work; None works here.
        on_progress: told the number of pictures just finished.

    Returns:
        Counts of pictures: a picture that cannot be decoded keeps its row, with `Reason.BROKEN_IMAGE`.
    """
    images = accepted_images(lake, source, stem)
    work = partial(_detect_chunk, lake, f"{lake.images(source, stem)}.tar", settings)
    found: list[Detection] = []
    for detections in map_chunks(work, images, pool):
        found += detections
        if on_progress:
            on_progress(len(detections))
    rows = [_row(one) for one in sorted(found, key=lambda one: one.key)]
    path = lake.detections(source, stem)
    write_table(lake, path, rows_to_table(rows, DETECTIONS), stamp=_stamp(settings))
    return ShardSummary.of_reasons(one.reason for one in found)


def is_detected(lake: Lake, source: str, stem: str, settings: DetectorSettings) -> bool:
    """Whether the shard's detections are there and were made with these settings."""
    return read_stamp(lake, lake.detections(source, stem)) == _stamp(settings)


def read_detections(lake: Lake, source: str, stem: str) -> dict[bytes, Detection]:
    """The detections of one shard by key.

    Raises:
        LakeError: the shard has none yet.
    """
    rows = read_table(lake, lake.detections(source, stem)).to_pylist()
    return {row["key"]: _detection(row) for row in rows}


def accepted_images(lake: Lake, source: str, stem: str) -> list[StoredImage]:
    """The pictures of one shard, in the order of its tar.

    Raises:
        LakeError: there is no such shard.
    """
    columns = ["outcome", *StoredImage._fields]
    table = read_table(lake, f"{lake.images(source, stem)}.parquet", columns)
    accepted = table.filter(pc.equal(table["outcome"].cast(pa.string()), pa.scalar(Outcome.ACCEPTED.value)))
    rows = accepted.select(list(StoredImage._fields)).to_pylist()
    return sorted((StoredImage(**row) for row in rows), key=lambda image: image.offset)


def map_chunks(work: Callable[[list[In]], Out], items: list[In], pool: Executor | None) -> Iterator[Out]:
    """`work` done on chunks of the items, here or in the pool; results come in the order of the items."""
    chunks = [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
    return pool.map(work, chunks) if pool else map(work, chunks)


def detect(data: bytes, key: bytes, digest: bytes, detector: Detector) -> Detection:
    """Decode one picture and look for faces in it; what cannot be decoded is a detection with a reason."""
    try:
        image = decode(data)
    except UndecodableImage:
        return Detection(key, digest, 0, 0, (), Reason.BROKEN_IMAGE)
    return Detection(key, digest, *image.size, detector.find(image))


class Mtcnn:
    """MTCNN (Zhang et al. 2016, arXiv 1604.02878) as facenet-pytorch ships it, on one thread.

    A picture is first shrunk by the whole number that leaves the smallest wanted face at 20 px. On 150 web
    photographs (median 435x600) at `min_face_px` 40 that costs 51 CPU-ms instead of 73. As many faces of
    score 0.9 are found in 145 of them, and 98.7% of the faces at IoU >= 0.8; moving the picture by 3 px changes
    more (144, 97.4%).
    """

    def __init__(self, settings: DetectorSettings) -> None:
        import torch  # noqa: PLC0415  (two seconds; see the top of this file)
        from facenet_pytorch import MTCNN  # noqa: PLC0415
        from facenet_pytorch.models.utils.detect_face import detect_face  # noqa: PLC0415

        # One process a core: threads inside make the same work dearer (measured).
        torch.set_num_threads(1)
        networks = MTCNN(device="cpu").eval()
        self._settings = settings
        self._cascade = partial(
            torch.no_grad()(detect_face),
            pnet=networks.pnet,
            rnet=networks.rnet,
            onet=networks.onet,
            threshold=settings.thresholds,
            factor=settings.factor,
            device="cpu",
        )

    def find(self, image: Image.Image) -> tuple[FoundFace, ...]:
        """The faces in a picture of mode RGB, best first; none in one no larger than the smallest face."""
        shrink, smallest_px = working_scale(image.size, self._settings)
        small = image.reduce(shrink)
        if min(small.size) <= smallest_px:
            return ()
        try:
            boxes, points = self._cascade(small, smallest_px)
        except (IndexError, RuntimeError):
            # By its code it loses count where a candidate lies outside the picture (never in 4800 noise pictures).
            return ()
        # One picture in, one entry out: [1, n, 5] boxes with scores, [1, n, 5, 2] points of the same faces.
        pairs = zip(boxes[0].tolist(), points[0].tolist(), strict=True)
        faces = [in_picture(box, marks, shrink) for box, marks in pairs]
        return tuple(sorted(faces, key=lambda face: -face.score))


def working_scale(size: tuple[int, int], settings: DetectorSettings) -> tuple[int, float]:
    """The whole number to shrink a picture of this size by, and the smallest face to look for in the rest."""
    shrink = max(settings.min_face_px // _SMALLEST_FACE_PX, -(-max(size) // settings.max_side_px))
    return shrink, max(settings.min_face_px / shrink, _SMALLEST_FACE_PX)


def in_picture(box: list[float], points: list[list[float]], shrink: int) -> FoundFace:
    """A face as the cascade gives it, in our pixels.

    Its boxes count pixels from 1 and include the last, as the Matlab original did: [1, w] is our [0, w). Its
    points already count from 0.
    """
    left, top, right, bottom, score = box
    xyxy = ((left - 1) * shrink, (top - 1) * shrink, right * shrink, bottom * shrink)
    return FoundFace(xyxy, score, tuple(value * shrink for point in points for value in point))


ENGINES: Mapping[str, Callable[[DetectorSettings], Detector]] = {"facenet-pytorch": Mtcnn}


@cache
def load_detector(settings: DetectorSettings) -> Detector:
    """The detector these settings name, made once a process.

    Raises:
        UsageError: there is no such engine.
    """
    if settings.engine not in ENGINES:
        raise UsageError(f"there is no face detector {settings.engine!r}; there are: {', '.join(ENGINES)}")
    return ENGINES[settings.engine](settings)


def _detect_chunk(lake: Lake, tar: str, settings: DetectorSettings, images: list[StoredImage]) -> list[Detection]:
    detector = load_detector(settings)
    return [
        detect(read_member(lake, tar, image.offset, image.length), image.key, image.digest, detector)
        for image in images
    ]


def _stamp(settings: DetectorSettings) -> str:
    return stamp("detect", asdict(settings))


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

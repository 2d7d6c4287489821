"""Accuracy of the check of listed boxes: accepted if and only if they frame a face. Needs a dataset with ground truth.

    python -m bench.boxes                  ../shared/data/replay next to the repository
    python -m bench.boxes WORLD            another dataset

Every line with a picture that a correct pipeline accepts is evaluated with the method `bbox`, before any minimum
size. Two further tables show the cost of corrections: boxes of other pictures, and boxes listed at another size. The
last rows show the quality measures of the faces whose boxes match as listed.

A dataset's `box_ok` refers to the box as listed. So "kept" is a box that matches as listed; a box that matches only
after a correction counts as rejected, because there is no face at the listed position and the crop is made elsewhere.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.road import REPLAY
from storage.records import Box, Fit, Reason
from tasks.faces.crop_shard import choose_subject
from tasks.faces.detect_shard import detect
from tasks.faces.detectors import DetectorSettings, load_detector
from tasks.faces.methods import CropSettings, Picture, Subject
from tasks.faces.methods.quality import roll_deg, sharpness, yaw_deg
from tasks.faces.methods.subject import shorter_side

SETTINGS = CropSettings(min_face_px=0)
# A stricter score for a box as listed, that of the faces by which a box is corrected.
_STRICT_SCORE = 0.9
# The default minimum of `facemill publish`.
_MIN_FACE_PX = 100
_PERCENTILES = (1, 5, 50, 95)


class Case(NamedTuple):
    """One link line: its box, its served picture, and whether the box frames a face in it."""

    box: Box
    picture: Picture
    is_good: bool


def read_cases(world: Path, detector: DetectorSettings = DetectorSettings(), every: int = 1) -> list[Case]:
    """The lines of a dataset with an acceptable picture, or each `every`-th; each distinct body is searched once."""
    responses = {row["url"]: row for row in _rows(world / "responses.csv")}
    boxes = {
        (path.stem, int(fields[0])): _box(map(float, fields[-7:-3]))
        for path in (world / "links").glob("*.txt")
        for fields in map(str.split, path.read_text().splitlines())
    }
    pictures: dict[str, Picture] = {}
    cases = []
    for row in _rows(world / "boxes.csv")[::every]:
        answer = responses[row["url"]]
        if answer["expect"] != "accepted":
            continue
        while answer["kind"] == "redirect":
            answer = responses[answer["location"]]
        name = answer["body"]
        if name not in pictures:
            pictures[name] = _picture(world / "bodies" / name, detector)
        cases.append(Case(boxes[row["identity"], int(row["line"])], pictures[name], row["box_ok"] == "1"))
    return cases


def verdict(box: Box, picture: Picture, settings: CropSettings = SETTINGS) -> str:
    """How the box matches, or why it is rejected."""
    subject = choose_subject(box, picture, "bbox", settings)
    if isinstance(subject, Reason):
        return subject.value
    return subject.fit.value if subject.fit else Reason.BOX_DISAGREES.value


def scores(cases: list[Case]) -> dict[str, tuple[float, float]]:
    """Precision and recall of keeping good boxes as listed, and of rejecting bad ones."""
    counts = Counter((case.is_good, verdict(case.box, case.picture) == Fit.AS_LISTED) for case in cases)
    kept, lost, let_in, refused = (counts[key] for key in ((True, True), (True, False), (False, True), (False, False)))
    return {
        "kept as listed": (kept / (kept + let_in), kept / (kept + lost)),
        "not kept": (refused / (refused + lost), refused / (refused + let_in)),
    }


def other_pictures(cases: list[Case], num: int, seed: int = 0) -> Counter[str]:
    """Decisions on boxes of other pictures, where every match is by chance."""
    rng = random.Random(seed)  # noqa: S311  (no secret)
    pairs = [(rng.choice(cases), rng.choice(cases)) for _ in range(num)]
    return Counter(verdict(one.box, other.picture) for one, other in pairs if one.picture is not other.picture)


def other_size(cases: list[Case], scale: float) -> Counter[str]:
    """Decisions on good boxes listed for a picture `scale` times as large."""
    listed = ((_box(value * scale for value in case.box), case.picture) for case in cases if case.is_good)
    return Counter(verdict(box, picture) for box, picture in listed)


def as_listed(cases: list[Case]) -> list[tuple[Case, Subject]]:
    """The cases whose box matches as listed, with the face that confirms it."""
    chosen = ((case, choose_subject(case.box, case.picture, "bbox", SETTINGS)) for case in cases)
    return [(case, one) for case, one in chosen if isinstance(one, Subject) and one.fit is Fit.AS_LISTED]


def quality(cases: list[Case]) -> dict[str, list[float]]:
    """The quality measures of the faces that `facemill publish` would take by size, each picture's boxes once."""
    found: dict[str, list[float]] = {"sharpness": [], "yaw_deg": [], "roll_deg": []}
    seen = set()
    for case, one in as_listed(cases):
        place = id(case.picture), one.box_xyxy
        if place in seen or shorter_side(one.box_xyxy) < _MIN_FACE_PX or not one.found:
            continue
        seen.add(place)
        found["sharpness"].append(sharpness(case.picture.image, one.box_xyxy) or 0.0)
        found["yaw_deg"].append(yaw_deg(one.found.landmarks))
        found["roll_deg"].append(roll_deg(one.found.landmarks))
    return found


def _box(edges: Iterable[float]) -> Box:
    left, top, right, bottom = edges
    return left, top, right, bottom


def _picture(path: Path, settings: DetectorSettings) -> Picture:
    data = path.read_bytes()
    return Picture(detect(data, b"", b"", load_detector(settings)), lambda: data)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _shares(counts: Counter[str]) -> str:
    return ", ".join(f"{word} {num / counts.total():.3f}" for word, num in counts.most_common())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, nargs="?", default=REPLAY)
    cases = read_cases(parser.parse_args().world)
    print(f"{len(cases)} boxes, {sum(case.is_good for case in cases)} of them frame a face")
    for word, wanted in (("good", True), ("bad", False)):
        words = Counter(verdict(case.box, case.picture) for case in cases if case.is_good is wanted)
        print(f"{word:<24}", ", ".join(f"{one} {num}" for one, num in words.most_common()))
    for name, (precision, recall) in scores(cases).items():
        print(f"{name:<24} precision {precision:.4f}  recall {recall:.4f}")
    print(f"{'of another picture':<24}", _shares(other_pictures(cases, 4000)))
    for scale in (0.5, 0.75, 1.5, 2.0, 4.0):
        print(f"{f'listed {scale} times as large':<24}", _shares(other_size(cases, scale)))
    unsure = sum(one.found is not None and one.found.score < _STRICT_SCORE for _, one in as_listed(cases))
    print(f"{'as listed, unsure':<24} {unsure} by a face with a score below {_STRICT_SCORE}")
    for name, values in quality(cases).items():
        shown = ", ".join(f"{round(value)}" for value in np.percentile(values, _PERCENTILES))
        print(f"{name:<24} {_PERCENTILES}% of {len(values)} faces of {_MIN_FACE_PX} px: {shown}")


if __name__ == "__main__":
    main()

"""Recall of mislabelled faces and loss of correct faces by `clean`, per score threshold.

    python -m bench.clean --lake LAKE --fit-on faces112       histogram features, fitted to the corpus
    python -m bench.clean --lake LAKE --model embedder        a model of the lake
    python -m bench.clean --lake LAKE --fit-on faces112 --caution 1    with another rule than `CleanRules` has

LAKE contains the model, its training dataset (made by `bench/corpus.py`), and the cropped faces of the replay
dataset's link lines. A new lake gets the corpus and the faces, which takes three minutes. Two test sets:

planted   the people of the dataset's val and test splits, unseen by the model. A quarter of them is set aside; some
          of the other people's faces are replaced at random by faces of another person of the set or of those set
          aside, in equal parts. Faces that were cropped at the edge of their picture and padded with black are left
          out, because a lake has none. `CleanRules` were chosen on these.
replay    the faces of the replay dataset; their results were shown next to the planted ones while the rules were
          chosen. A face is correct if its line has the name of the person in the picture, by the ground truth, and
          mislabelled otherwise. Listed boxes without a face, and MTCNN faces at another position than a correct box,
          are not counted.

A group photo has a single name in the ground truth, so the second person's line counts as mislabelled. In this
dataset that is correct: those lines were made by listing a bystander's box under the name of another person of the
set. All 19 were inspected, and none shows the person of its line; some show no face at all.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bench.corpus import publish_corpus
from bench.road import REPLAY, SOURCE, Road, played
from model.devices.device import resolve_device
from model.embedding.data import load_faces
from model.versions.embedders import Embedder, embed_crops, histogram_embedder, model_embedder
from storage.files.lake import Lake
from storage.records import Split
from storage.versions.datasets import DatasetVersion, open_dataset
from storage.versions.models import open_model
from tasks.dataset.find_duplicates import verdicts_now
from tasks.dataset.source_tables import planned_lines, read_faces
from tasks.label_noise.estimate import CleanRules, FaceSet, estimate_noise, expected_limit
from tasks.label_noise.score_table import EXPECTED_LOSS, Cleaned, faces_to_score, score_faces

LIMITS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SHARES = (0.02, 0.04, 0.08)


def prepare(lake: Lake, world: Path) -> None:
    """Publish the corpus, and fetch and crop the pictures of a dataset, unless the lake has a plan of it."""
    publish_corpus(lake)
    if lake.exists(lake.plan(SOURCE)):
        return
    with tempfile.TemporaryDirectory(prefix="facemill-bench-") as folder, played(world) as web:
        road = Road(Path(folder), lake)
        for command in (("ingest", *web), ("retry", "--now", *web), ("crop",), ("publish",)):
            road.go(*command)


@dataclass(frozen=True)
class Graded:
    """Scores, the default threshold of `publish`, and whether each face is mislabelled."""

    scores: NDArray[np.floating]
    limit: float
    wrong: NDArray[np.bool_]
    right: NDArray[np.bool_]

    def found(self, limit: float) -> float:
        return float((self.scores[self.wrong] >= limit).mean())

    def lost(self, limit: float) -> float:
        return float((self.scores[self.right] >= limit).mean())

    def precision(self, limit: float) -> float:
        hits = (self.scores[self.wrong] >= limit).sum()
        return float(hits / max(hits + (self.scores[self.right] >= limit).sum(), 1))

    def best(self, lost: float = EXPECTED_LOSS) -> tuple[float, float]:
        """The lowest threshold that loses at most this share of correct faces, and the recall of mislabelled ones."""
        allowed = int(lost * self.right.sum())
        limit = float(np.nextafter(np.sort(self.scores[self.right])[::-1][allowed], 2))
        return limit, self.found(limit)


def held_out(dataset: DatasetVersion, embedder: Embedder) -> tuple[NDArray[np.floating], NDArray[np.str_]]:
    """Embeddings and names of the people not used to train the embedder."""
    rows, names = [], []
    for split in (Split.VAL, Split.TEST):
        faces = load_faces(dataset, split, embedder.image_px)
        is_whole = (faces.images.max(3) < 3).mean((1, 2)) < 0.05
        rows.append(embedder.embed(faces.images[is_whole], resolve_device("auto")))
        names.append(np.array(faces.identities)[faces.labels[is_whole]])
    return np.concatenate(rows), np.concatenate(names)


def planted(rows: NDArray[np.floating], names: NDArray[np.str_], share: float, seed: int, rules: CleanRules) -> Graded:
    """Scores of a set in which `share` of the faces are mislabelled."""
    rng = np.random.default_rng(seed)
    everybody = rng.permutation(np.unique(names))
    outsiders = np.flatnonzero(np.isin(names, everybody[: len(everybody) // 4]))
    inside = np.setdiff1d(np.arange(len(names)), outsiders)
    _, people = np.unique(names[inside], return_inverse=True)
    shown = inside.copy()
    wrong = rng.random(len(inside)) < share
    for face in np.flatnonzero(wrong):
        strangers = outsiders if rng.random() < 0.5 else inside[people != people[face]]
        shown[face] = rng.choice(strangers)
    num = len(inside)
    faces = FaceSet(rows[shown], people, np.arange(num), np.zeros(num, np.int64), np.ones(num, bool))
    scores = estimate_noise(faces, rules).wrong
    return Graded(scores, expected_limit(scores, EXPECTED_LOSS), wrong, ~wrong)


def replayed(lake: Lake, embedder: Embedder, method: str, world: Path, rules: CleanRules) -> Graded:
    """Scores of the replay dataset's faces by one method."""
    lines = planned_lines(lake, SOURCE)
    faces = faces_to_score(read_faces(lake, SOURCE, method), verdicts_now(lake, SOURCE))
    embeddings = embed_crops(lake, faces, embedder, resolve_device("auto"), lake.work_folder)
    return grade(score_faces(faces, embeddings, rules), faces, lines, method, world)


def grade(cleaned: Cleaned, faces: pa.Table, lines: pa.Table, method: str, world: Path) -> Graded:
    url = {(row["identity"], row["line"]): row["url"] for row in lines.select(["identity", "line", "url"]).to_pylist()}
    truth = {row["url"]: row["truth_identity"] for row in read_csv(world / "responses.csv")}
    frames = {(row["identity"], int(row["line"])): row["box_ok"] == "1" for row in read_csv(world / "boxes.csv")}
    wrong, right = np.zeros(len(faces), bool), np.zeros(len(faces), bool)
    for number, face in enumerate(faces.select(["identity", "line", "agreement"]).to_pylist()):
        line = face["identity"], face["line"]
        who = truth[url[line]]
        wrong[number] = who not in ("", face["identity"])
        elsewhere = frames[line] and (face["agreement"] or 0) < 0.4
        counts = frames[line] if method == "bbox" else not elsewhere
        right[number] = who == face["identity"] and counts
    return Graded(cleaned.faces["wrong_person_score"].to_numpy(), cleaned.limit(), wrong, right)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def table(title: str, graded: list[Graded]) -> None:
    """Print one row per threshold, means over several draws, and the recall at a loss of 2% of correct faces."""
    wrong, right = (sum(int(getattr(one, name).sum()) for one in graded) for name in ("wrong", "right"))
    print(f"\n{title}: {wrong} wrong and {right} right faces" + (f" in {len(graded)} draws" * (len(graded) > 1)))
    print("  limit   found    lost   precision")
    for limit in LIMITS:
        figures = [np.mean([getattr(one, name)(limit) for one in graded]) for name in ("found", "lost", "precision")]
        print("  {:5.2f} {:7.3f} {:7.3f} {:11.3f}".format(limit, *figures))
    defaults = [(one.limit, one.found(one.limit), one.lost(one.limit), one.precision(one.limit)) for one in graded]
    print("  {:5.3f} {:6.3f} {:7.3f} {:11.3f}   publish's default".format(*np.mean(defaults, 0)))
    limit, found = (float(np.mean(values)) for values in zip(*(one.best() for one in graded), strict=True))
    print(f"  at most {EXPECTED_LOSS:.0%} lost: {found:.3f} found, limit {limit:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Lake, required=True)
    scorer = parser.add_mutually_exclusive_group(required=True)
    scorer.add_argument("--model", metavar="NAME[@VERSION]")
    scorer.add_argument("--fit-on", metavar="NAME[@VERSION]")
    parser.add_argument("--world", type=Path, default=REPLAY)
    parser.add_argument("--caution", type=float, default=CleanRules().caution)
    args = parser.parse_args()
    rules = CleanRules(caution=args.caution)
    prepare(args.lake, args.world)
    if args.model:
        model = open_model(args.lake, args.model)
        dataset, embedder = open_dataset(args.lake, model.manifest["dataset"]), model_embedder(model)
        unseeing = embedder
    else:
        dataset = open_dataset(args.lake, args.fit_on)
        embedder = histogram_embedder(dataset, args.lake.work_folder)
        unseeing = histogram_embedder(dataset, args.lake.work_folder, [Split.TRAIN])
    rows, names = held_out(dataset, unseeing)
    print(f"planted: scored by {unseeing}, {len(names)} faces of {len(np.unique(names))} people of {dataset}")
    print(f"replay: scored by {embedder}")
    for share in SHARES:
        table(f"planted, {share:.0%} wrong", [planted(rows, names, share, seed, rules) for seed in range(5)])
    for method in ("bbox", "mtcnn"):
        table(f"replay, {method}", [replayed(args.lake, embedder, method, args.world, rules)])


if __name__ == "__main__":
    main()

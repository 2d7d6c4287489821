from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.records import Reason, Split, bytes_digest
from storage.tables.stored_rows import StoredRows
from tasks.dataset.cross_split import cross_split_rows
from tasks.dataset.face_rows import face_rows
from tasks.dataset.leaks import count_leaks
from tasks.dataset.publish_request import Request
from tasks.dataset.samples import collect_samples
from tasks.dataset.select import SelectRules, stop_samples
from tasks.links.line_ids import Ints
from tests.tasks.builders import attempt, attempts, face, faces, selected, verdicts
from tests.tasks.image_shards import link_lines

SPLITS = {"Ada": Split.TRAIN, "Bo": Split.TEST, "Cy": Split.VAL, "Di": Split.TRAIN}


class Lines:
    """Link lines of (identity, cluster, crop), all of them samples but for what is refused."""

    def __init__(self, *rows: tuple[str, str, str]) -> None:
        urls = [f"http://a.example/{number}" for number in range(len(rows))]
        named = [(name, number, url) for number, ((name, _, _), url) in enumerate(zip(rows, urls, strict=True))]
        self.lines = link_lines(*[(*one, None) for one in named])
        judged = verdicts(self.lines, [None] * len(rows))
        clusters = pa.array([bytes_digest(cluster.encode()) for _, cluster, _ in rows], pa.binary(32))
        self.verdicts = judged.set_column(judged.schema.get_field_index("cluster"), "cluster", clusters)
        crops = [bytes_digest(crop.encode()) for _, _, crop in rows]
        self.faces = faces(*[face(*one, crop_digest=crop) for one, crop in zip(named, crops, strict=True)])
        self.attempts = attempts(*[attempt(url) for url in urls])

    def outcomes(self) -> pa.Table:
        tables = (self.lines, self.attempts, self.verdicts, self.faces)
        return selected(*tables, method="mtcnn", rules=SelectRules(min_faces=1))

    def cross_split(self) -> Ints:
        return cross_split_rows(
            self.lines, self.verdicts, face_rows(StoredRows.of(self.faces)), self.outcomes(), SPLITS
        )

    def refused(self) -> list[tuple[str, int]]:
        rows = self.lines.take(pa.array(self.cross_split())).to_pylist()
        return [(row["identity"], row["line"]) for row in rows]

    def leaks(self) -> int:
        found = self.faces.append_column("method", pa.array(["mtcnn"] * len(self.faces)))
        found = found.append_column("shard", pa.array([""] * len(self.faces)))
        outcomes = stop_samples(self.outcomes(), self.cross_split(), Reason.CROSS_SPLIT)
        stored = StoredRows.of(self.lines), self.verdicts, StoredRows.of(found)
        samples = collect_samples(Request("faces", "made", "mtcnn"), self.lines, *stored, outcomes, SPLITS)
        return sum(count_leaks(samples).values())


def test_pictures_of_one_side_stay():
    assert Lines(("Ada", "c1", "f1"), ("Di", "c1", "f2"), ("Bo", "c2", "f3"), ("Cy", "c3", "f4")).refused() == []
    assert Lines().refused() == []


@pytest.mark.parametrize("shared", ["cluster", "crop"])
def test_a_picture_stays_where_most_of_its_samples_are(shared):
    rows = [("Bo", "c", "f1"), ("Ada", "c", "f2"), ("Bo", "c", "f3"), ("Cy", "d", "f4")]
    rows = rows if shared == "cluster" else [(name, crop, cluster) for name, cluster, crop in rows]

    assert Lines(*rows).refused() == [("Ada", 1)]


def test_where_it_is_as_many_those_who_train_keep_it():
    assert Lines(("Bo", "c", "f1"), ("Cy", "c", "f2"), ("Ada", "c", "f3")).refused() == [("Bo", 0), ("Cy", 1)]
    assert Lines(("Bo", "c", "f1"), ("Cy", "c", "f2")).refused() == [("Bo", 0)]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(SPLITS)), st.sampled_from("pqrst"), st.sampled_from("uvwxyz")), max_size=20
    )
)
def test_what_is_left_stands_on_one_side(rows):
    lines = Lines(*dict.fromkeys(rows))

    assert lines.leaks() == 0

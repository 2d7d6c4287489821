from __future__ import annotations

from storage.records import bytes_digest
from tasks.samples import chosen_claims
from tasks.select import SelectRules, select
from tests.tasks.builders import attempt, attempts, face, faces, verdicts
from tests.tasks.image_shards import link_lines

A, B, C = (f"http://{name}.example/1" for name in "abc")


def test_a_person_claims_the_cluster_and_the_crop_of_each_sample():
    lines = link_lines(("Ada", 1, A, None), ("Bo", 1, B, None), ("Bo", 2, C, None))
    crop, judged = bytes_digest(b"one crop of two pictures"), verdicts(lines, [None] * 3)
    cropped = [face("Ada", 1, A, crop_digest=crop), face("Bo", 1, B, crop_digest=crop), face("Bo", 2, C, face_px=9.0)]
    known, found, rules = attempts(attempt(A), attempt(B), attempt(C)), faces(*cropped), SelectRules(min_faces=1)
    fates = select(lines, known, judged, found, method="mtcnn", rules=rules)
    clusters = judged["cluster"].to_pylist()

    assert sorted(chosen_claims(lines, judged, found, fates)) == sorted(
        [("Ada", clusters[0]), ("Bo", clusters[1]), ("Ada", crop), ("Bo", crop)]
    )

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest

from storage.records import ATTEMPTS, LINK_LINES, VERDICTS, Box, Reason, bytes_digest
from tasks.dataset.dedupe import DedupeRules, dedupe
from tests.tasks.builders import BOX, OTHER_BOX, attempt, attempts, pick, shuffled
from tests.tasks.image_shards import link_lines

A, B, C, D = (f"http://{name}.example/1" for name in "abcd")


def half(box: Box) -> Box:
    left, top, right, bottom = (side / 2 for side in box)
    return left, top, right, bottom


HALF_BOX = half(BOX)


def flipped(picture: str, bits: int) -> bytes:
    """The hash of `picture` with so many of its bits, spread over all bytes, the other way round."""
    hashed = bytearray(bytes_digest(picture.encode())[:16])
    for bit in range(bits):
        hashed[bit * 5 % 16] ^= 1 << bit % 8
    return bytes(hashed)


def near(url: str, picture: str, bits: int, **changes) -> dict:
    """The row of a URL with another copy of `picture`, whose hash differs in so many bits."""
    return attempt(url, dhash=flipped(picture, bits), **changes)


def outcomes(lines: pa.Table, *images: dict, rules: DedupeRules = DedupeRules()) -> list[Reason | None]:
    """The reason of every line; rows in are rows out, in their order."""
    verdicts = dedupe(lines, attempts(*images), rules)
    assert verdicts.schema == VERDICTS
    assert verdicts.select(["identity", "line", "key"]).equals(lines.select(["identity", "line", "key"]))
    rows = verdicts.to_pylist()
    assert all((row["outcome"] == "accepted") == (row["reason"] is None) for row in rows)
    return [row["reason"] and Reason(row["reason"]) for row in rows]


def test_where_nobody_is_named_copies_are_found_across_all_groups_and_nothing_is_contested():
    lines = link_lines(("g1", 1, A, BOX), ("g2", 2, B, BOX), ("g3", 3, C, BOX), ("g4", 4, D, OTHER_BOX))
    images = attempts(attempt(A), attempt(B, picture=A), near(C, A, 3, width=200, height=150), attempt(D))
    found = dedupe(lines, images, names_people=False)
    reasons = found["reason"].cast(pa.string()).to_pylist()
    assert {None, "exact_duplicate"} == set(reasons[:2])
    assert reasons[2:] == ["near_duplicate", None]
    assert found["identity"].cast(pa.string()).to_pylist() == ["g1", "g2", "g3", "g4"]


def test_where_nobody_is_named_two_faces_of_one_picture_both_stay():
    lines = link_lines(("g1", 1, A, BOX), ("g2", 2, A, OTHER_BOX), ("g3", 3, A, BOX))
    found = dedupe(lines, attempts(attempt(A)), names_people=False)
    assert found["reason"].cast(pa.string()).to_pylist() == [None, None, "exact_duplicate"]


def test_pictures_that_differ_all_stay():
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX), ("Bo", 1, C, BOX))

    assert outcomes(lines, attempt(A), attempt(B), attempt(C)) == [None, None, None]


def test_of_exact_copies_of_a_person_one_stays():
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX), ("Ada", 3, C, BOX))
    found = outcomes(lines, *[attempt(url, picture="p") for url in (A, B, C)])

    assert sorted(found, key=str) == [None, Reason.EXACT_DUPLICATE, Reason.EXACT_DUPLICATE]


def test_of_near_copies_of_a_person_the_largest_stays():
    lines = link_lines(("Ada", 1, A, HALF_BOX), ("Ada", 2, B, BOX), ("Ada", 3, C, HALF_BOX))
    small = {"width": 200, "height": 150}

    assert outcomes(lines, near(A, "p", 3, **small), near(B, "p", 0), near(C, "p", 6, **small)) == [
        Reason.NEAR_DUPLICATE,
        None,
        Reason.NEAR_DUPLICATE,
    ]


def test_copies_of_copies_are_copies():
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX), ("Ada", 3, C, BOX))
    found = outcomes(lines, near(A, "p", 0), near(B, "p", 5), near(C, "p", 10, width=800, height=600))

    assert found == [Reason.NEAR_DUPLICATE, Reason.NEAR_DUPLICATE, None]


@pytest.mark.parametrize(("bits", "is_near"), [(0, True), (6, True), (7, False)])
def test_pictures_are_near_up_to_six_bits(bits, is_near):
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX))

    assert (Reason.NEAR_DUPLICATE in outcomes(lines, near(A, "p", 0), near(B, "p", bits))) == is_near


def test_pictures_of_one_colour_are_no_copies_of_each_other():
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX))

    assert outcomes(lines, attempt(A, dhash=bytes(16)), attempt(B, dhash=bytes(16))) == [None, None]


@pytest.mark.parametrize(("num_bits", "is_near"), [(22, False), (24, True)])
def test_pictures_nearly_of_one_colour_are_no_near_copies_but_may_be_exact_ones(num_bits, is_near):
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX), ("Bo", 1, C, BOX), ("Bo", 2, D, BOX))
    flat = np.packbits(np.arange(128) < num_bits).tobytes()
    pictures = ("p", "q", "r", "r")
    images = [attempt(url, picture=name, dhash=flat) for url, name in zip((A, B, C, D), pictures, strict=True)]
    found = outcomes(lines, *images, rules=DedupeRules(same_box_iou=2.0))

    assert (Reason.NEAR_DUPLICATE in found) == is_near
    assert Reason.EXACT_DUPLICATE in found


def test_a_second_line_on_the_same_picture_needs_another_box():
    nearly = (102.0, 60.0, 202.0, 180.0)
    lines = link_lines(("Ada", 1, A, BOX), ("Ada", 2, A, nearly), ("Ada", 3, A, OTHER_BOX))

    assert outcomes(lines, attempt(A)) == [None, Reason.EXACT_DUPLICATE, None]


def test_two_people_who_claim_one_face_are_both_out():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, A, BOX), ("Bo", 2, B, BOX))

    assert outcomes(lines, attempt(A), attempt(B)) == [Reason.CONFLICT, Reason.CONFLICT, None]


def test_a_group_photo_serves_all_who_stand_in_it():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, A, OTHER_BOX))

    assert outcomes(lines, attempt(A)) == [None, None]


def test_a_conflict_is_seen_through_copies_of_another_size():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, B, HALF_BOX), ("Cy", 1, B, half(OTHER_BOX)))

    assert outcomes(lines, near(A, "p", 0), near(B, "p", 4, width=200, height=150)) == [
        Reason.CONFLICT,
        Reason.CONFLICT,
        None,
    ]


def test_one_face_of_a_group_photo_in_conflict_leaves_the_others():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, A, BOX), ("Cy", 1, A, OTHER_BOX))

    assert outcomes(lines, attempt(A)) == [Reason.CONFLICT, Reason.CONFLICT, None]


def test_without_boxes_a_picture_belongs_to_one_person_once():
    lines = link_lines(("Ada", 1, A, None), ("Ada", 2, B, None), ("Ada", 3, C, None), ("Bo", 1, C, None))
    found = outcomes(lines, attempt(A, picture="p"), attempt(B, picture="p"), attempt(C))

    assert sorted(found[:2], key=str) == [None, Reason.EXACT_DUPLICATE]
    assert found[2:] == [Reason.CONFLICT, Reason.CONFLICT]


def everywhere(num_people: int, num_hosts: int) -> tuple[pa.Table, list[dict]]:
    """One picture on so many hosts, listed for so many people, each with a box elsewhere."""
    urls = [f"http://h{number}.example/none.gif" for number in range(num_hosts)]
    boxes = [(30.0 * number, 0.0, 30.0 * number + 20, 20.0) for number in range(num_people)]
    rows = [(f"Person_{number}", 1, urls[min(number, num_hosts - 1)], boxes[number]) for number in range(num_people)]
    return link_lines(*rows), [attempt(url, picture="gone") for url in urls]


def test_one_picture_on_many_hosts_for_many_people_is_a_placeholder():
    lines, images = everywhere(num_people=4, num_hosts=3)

    assert outcomes(lines, *images) == [Reason.PLACEHOLDER] * 4


@pytest.mark.parametrize(("num_people", "num_hosts"), [(3, 3), (8, 2)])
def test_with_fewer_hosts_or_people_it_is_no_placeholder(num_people, num_hosts):
    lines, images = everywhere(num_people, num_hosts)

    assert outcomes(lines, *images) == [None] * num_people


def test_many_urls_of_one_host_make_no_placeholder():
    urls = [f"http://a.example/{number}" for number in range(4)]
    boxes = [(30.0 * number, 0.0, 30.0 * number + 20, 20.0) for number in range(4)]
    lines = link_lines(*[(f"Person_{at}", 1, url, boxes[at]) for at, url in enumerate(urls)])

    assert outcomes(lines, *[attempt(url, picture="gone") for url in urls]) == [None] * 4


def test_the_rules_can_be_drawn_elsewhere():
    lines, images = everywhere(num_people=4, num_hosts=3)
    two = link_lines(("Ada", 1, A, BOX), ("Ada", 2, B, BOX))

    assert outcomes(lines, *images, rules=DedupeRules(placeholder_hosts=4)) == [None] * 4
    assert outcomes(lines, *images, rules=DedupeRules(placeholder_identities=5)) == [None] * 4
    assert outcomes(two, near(A, "p", 0), near(B, "p", 2), rules=DedupeRules(near_distance=1)) == [None, None]


def test_a_cluster_is_named_by_the_smallest_digest_of_all_copies():
    lines = link_lines(("Ada", 1, A, BOX), ("Bo", 1, B, OTHER_BOX), ("Cy", 1, C, BOX))
    images = [near(A, "p", 0), near(B, "p", 5), attempt(C)]
    clusters = dedupe(lines, attempts(*images))["cluster"].to_pylist()

    assert clusters == [min(images[0]["digest"], images[1]["digest"])] * 2 + [images[2]["digest"]]


def test_no_lines_give_no_verdicts():
    assert dedupe(LINK_LINES.empty_table(), ATTEMPTS.empty_table()).equals(VERDICTS.empty_table())


def a_small_mess(seed: int) -> tuple[list[tuple], list[dict]]:
    """Lines of five people on twelve URLs with copies, near copies, group photos and repeated lines."""
    rng = np.random.default_rng(seed)
    urls = [f"http://h{rng.integers(5)}.example/{number}" for number in range(12)]
    images = [near(url, "pqr"[at % 3], pick(rng, 0, 2, 5, 40), width=400 + at % 4, height=300) for at, url in
              enumerate(urls)]  # fmt: skip
    images += [attempt(f"http://g{at}.example/", picture="same") for at in range(4)]
    urls += [image["url"] for image in images[12:]]
    lines = [(f"Person_{rng.integers(5)}", at, pick(rng, *urls), pick(rng, BOX, OTHER_BOX)) for at in range(40)]
    return lines, images


@pytest.mark.parametrize("seed", range(10))
def test_verdicts_do_not_hang_on_the_order_of_rows(seed):
    lines, images = a_small_mess(seed)

    def verdict_by_line(order: int) -> dict[tuple[str, int], tuple]:
        mixed = link_lines(*shuffled(lines, order)), attempts(*shuffled(images, order))
        rows = dedupe(*mixed).to_pylist()
        return {(row["identity"], row["line"]): (row["reason"], row["cluster"]) for row in rows}

    first = verdict_by_line(order=0)
    assert all(verdict_by_line(order) == first for order in range(1, 6))


@pytest.mark.parametrize("seed", range(10))
def test_what_stays_holds_no_copy_and_no_conflict(seed):
    lines, images = a_small_mess(seed)
    rows = dedupe(link_lines(*lines), attempts(*images)).to_pylist()
    boxes = {(identity, line): box for identity, line, _, box in lines}
    stay = [row for row in rows if row["reason"] is None]

    for one, other in combinations(stay, 2):
        if one["cluster"] == other["cluster"]:
            assert boxes[one["identity"], one["line"]] != boxes[other["identity"], other["line"]]
            assert one["identity"] != other["identity"] or one["key"] == other["key"]
    lost = {(row["identity"], row["cluster"]) for row in rows if row["reason"] in {"exact_duplicate", "near_duplicate"}}
    kept = {(row["identity"], row["cluster"]) for row in rows if row["reason"] in {None, "conflict"}}
    assert lost <= kept

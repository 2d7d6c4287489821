"""Each picture against all others of its source: copies, placeholders, and one face claimed by two people.

The verdict is given per link line, since one picture may rightly serve several people. In this order:

- *placeholder*: one picture, byte for byte, on many hosts for many people ("image not available");
- per person and cluster of copies, the largest picture stays; lines on the others are exact or near duplicates, and
  so is a second line on the same picture with the same box;
- *conflict*: two people claim the same box of the same picture. Both are out. With different boxes it is a group photo.

Nothing depends on the order of the rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from yarl import URL

from storage.records import VERDICTS, Box, Outcome, Reason
from tasks.boxes import iou

# The bands below are 16 bits wide, so that up to seven differing bits leave one of the eight bands untouched.
MAX_DISTANCE = 7
_BANDS = 8


@dataclass(frozen=True, slots=True)
class DedupeRules:
    """Where the lines are drawn."""

    # In bits of the 128 of `validate.difference_hash`. On 974 real photos with 77 re-encoded halves: 77 of them found
    # at 6, 61 at 2; pairs found beside them: 8 at 2, 10 at 6 and 7, 13 at 10, 35 at 16.
    near_distance: int = 6
    placeholder_hosts: int = 3
    placeholder_identities: int = 4
    same_box_iou: float = 0.5


@dataclass(frozen=True, slots=True)
class _Claim:
    """One line's claim to one picture; the box relative to the picture's size, so that resized copies compare."""

    row: int
    identity: str
    line: int
    key: bytes
    digest: bytes
    num_pixels: int
    box: Box | None


def dedupe(lines: pa.Table, images: pa.Table, rules: DedupeRules = DedupeRules()) -> pa.Table:
    """A verdict for every line.

    Args:
        lines: `records.LINK_LINES` whose picture was accepted.
        images: the accepted `records.ATTEMPTS` with key, url, digest, dhash, width, height; one row a key.

    Returns:
        `records.VERDICTS`, one row a line in the order of `lines`.
    """
    at = pc.index_in(lines["key"], value_set=images["key"].combine_chunks()).to_numpy()
    clusters, digests = _cluster_images(images, rules.near_distance)
    reasons: dict[int, Reason] = {}
    _mark_placeholders(lines, images, digests[at], rules, reasons)
    claims = _contested_claims(lines, images, at, clusters[at], reasons)
    for group in claims.values():
        reasons.update(_judge_cluster(group, rules.same_box_iou))
    names = _cluster_names(images, clusters)
    return _verdicts(lines, reasons, names.take(pa.array(clusters[at])))


def near_pairs(hashes: npt.NDArray[np.uint8], distance: int) -> npt.NDArray[np.int64]:
    """All pairs of rows whose hashes differ in at most `distance` bits, [m, 2], none missed, some twice.

    If two hashes of eight bands differ in at most seven bits, they agree in one band at least: only rows that share
    a band are compared (the pigeonhole scheme of Norouzi et al., "Fast Search in Hamming Space", 2012).

    Args:
        hashes: [n, 16] bytes.

    Raises:
        ValueError: `distance` is over 7.
    """
    if distance > MAX_DISTANCE:
        raise ValueError(f"distance {distance} is over {MAX_DISTANCE}: pairs without a common band would be missed")
    bands = np.ascontiguousarray(hashes).view(">u2")
    words = np.ascontiguousarray(hashes).view(np.uint64)
    found = [_pairs_in_band(bands[:, band], words, distance) for band in range(_BANDS)]
    return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)


def _pairs_in_band(band: npt.NDArray[np.uint16], words: npt.NDArray[np.uint64], distance: int) -> npt.NDArray[np.int64]:
    """Pairs with equal band and few differing bits: each row is held against the next one, the next but one, ..."""
    order = np.argsort(band, kind="stable")
    value = band[order]
    alive = np.arange(len(order))
    found: list[npt.NDArray[np.int64]] = []
    step = 1
    while True:
        alive = alive[alive + step < len(order)]
        alive = alive[value[alive] == value[alive + step]]
        if not len(alive):
            return np.concatenate(found) if found else np.empty((0, 2), dtype=np.int64)
        one, other = order[alive], order[alive + step]
        bits = np.bitwise_count(words[one] ^ words[other]).sum(axis=1)
        close = bits <= distance
        found.append(np.stack([one[close], other[close]], axis=1))
        step += 1


def connected(num: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The smallest member of each one's connected component, [num]."""
    parent = np.arange(num)
    while True:
        low = np.minimum(parent[pairs[:, 0]], parent[pairs[:, 1]])
        before = parent.copy()
        for side in (0, 1):
            np.minimum.at(parent, pairs[:, side], low)
            np.minimum.at(parent, before[pairs[:, side]], low)
        parent = parent[parent]
        if np.array_equal(parent, before):
            return parent


def _cluster_images(images: pa.Table, distance: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Per image the number of its cluster of copies, and the number of its digest; both [n]."""
    digests = images["digest"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    first = np.unique(digests, return_index=True)[1]
    hashes = _bytes_column(images["dhash"])[first]
    # A picture of one colour has a hash of zeros, whatever the colour: it says nothing of likeness.
    telling = np.flatnonzero(hashes.any(axis=1))
    pairs = telling[near_pairs(hashes[telling], distance)]
    return connected(len(first), pairs)[digests], digests


def _bytes_column(column: pa.ChunkedArray) -> npt.NDArray[np.uint8]:
    array = column.combine_chunks()
    width = array.type.byte_width
    flat = np.frombuffer(array.buffers()[1], dtype=np.uint8).reshape(-1, width)
    return flat[array.offset : array.offset + len(array)]


def _mark_placeholders(
    lines: pa.Table,
    images: pa.Table,
    digests: npt.NDArray[np.int64],
    rules: DedupeRules,
    reasons: dict[int, Reason],
) -> None:
    table = pa.table({"digest": digests, "identity": lines["identity"].cast(pa.string()), "key": lines["key"]})
    counts = table.group_by("digest").aggregate([("identity", "count_distinct"), ("key", "count_distinct")])
    many = pc.and_(
        pc.greater_equal(counts["identity_count_distinct"], rules.placeholder_identities),
        pc.greater_equal(counts["key_count_distinct"], rules.placeholder_hosts),
    )
    url_of = (
        dict(zip(images["key"].to_pylist(), images["url"].to_pylist(), strict=True)) if pc.any(many).as_py() else {}
    )
    for digest in counts["digest"].filter(many).to_pylist():
        rows = np.flatnonzero(digests == digest)
        hosts = {URL(url_of[key], encoded=True).host for key in lines["key"].take(pa.array(rows)).to_pylist()}
        if len(hosts) >= rules.placeholder_hosts:
            reasons.update(dict.fromkeys(rows.tolist(), Reason.PLACEHOLDER))


def _contested_claims(
    lines: pa.Table,
    images: pa.Table,
    at: npt.NDArray[np.int64],
    clusters: npt.NDArray[np.int64],
    reasons: dict[int, Reason],
) -> dict[int, list[_Claim]]:
    """The claims by cluster, of those clusters that more than one line lays claim to."""
    _, inverse, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    rows = [row for row in np.flatnonzero(counts[inverse] > 1).tolist() if row not in reasons]
    some = pa.array(rows, pa.int64())
    claimed = lines.take(some).to_pylist()
    pictures = images.select(["digest", "width", "height"]).take(pa.array(at[rows])).to_pylist()
    claims: dict[int, list[_Claim]] = defaultdict(list)
    for row, line, picture in zip(rows, claimed, pictures, strict=True):
        width, height = picture["width"], picture["height"]
        box = line["box_xyxy"]
        claims[int(clusters[row])].append(
            _Claim(
                row=row,
                identity=line["identity"],
                line=line["line"],
                key=line["key"],
                digest=picture["digest"],
                num_pixels=width * height,
                box=box and (box[0] / width, box[1] / height, box[2] / width, box[3] / height),
            )
        )
    return claims


def _judge_cluster(claims: list[_Claim], same_box_iou: float) -> dict[int, Reason]:
    """The rows of one cluster of copies that stop, with their reasons."""
    reasons: dict[int, Reason] = {}
    kept: list[_Claim] = []
    by_identity: dict[str, list[_Claim]] = defaultdict(list)
    for claim in sorted(claims, key=lambda claim: (-claim.num_pixels, claim.key, claim.line)):
        by_identity[claim.identity].append(claim)
    for mine in by_identity.values():
        best = mine[0]
        stay: list[_Claim] = []
        for claim in mine:
            if claim.key != best.key:
                copy = claim.digest == best.digest
                reasons[claim.row] = Reason.EXACT_DUPLICATE if copy else Reason.NEAR_DUPLICATE
            elif any(_same_box(claim.box, other.box, same_box_iou) for other in stay):
                reasons[claim.row] = Reason.EXACT_DUPLICATE
            else:
                stay.append(claim)
        kept += stay
    for one, other in combinations(kept, 2):
        if one.identity != other.identity and _same_box(one.box, other.box, same_box_iou):
            reasons[one.row] = reasons[other.row] = Reason.CONFLICT
    return reasons


def _same_box(one: Box | None, other: Box | None, least: float) -> bool:
    """Whether two boxes mean the same face; without boxes the whole picture is meant."""
    return one is None or other is None or iou(one, other) >= least


def _cluster_names(images: pa.Table, clusters: npt.NDArray[np.int64]) -> pa.Array:
    """The smallest digest of each cluster, by cluster number: a name that no order of rows changes."""
    table = pa.table({"cluster": clusters, "digest": pc.cast(images["digest"], pa.binary())})
    smallest = table.group_by("cluster").aggregate([("digest", "min")]).sort_by("cluster")
    names: list[bytes | None] = [None] * (int(clusters.max(initial=-1)) + 1)
    for number, digest in zip(smallest["cluster"].to_pylist(), smallest["digest_min"].to_pylist(), strict=True):
        names[number] = digest
    return pa.array(names, VERDICTS.field("cluster").type)


def _verdicts(lines: pa.Table, reasons: dict[int, Reason], clusters: pa.Array) -> pa.Table:
    words = [reasons.get(row) for row in range(len(lines))]
    outcomes = [Outcome.REJECTED if word else Outcome.ACCEPTED for word in words]
    return pa.table(
        {
            "identity": lines["identity"].cast(VERDICTS.field("identity").type),
            "line": lines["line"],
            "key": lines["key"],
            "outcome": pa.array(outcomes, VERDICTS.field("outcome").type),
            "reason": pa.array(words, VERDICTS.field("reason").type),
            "cluster": clusters,
        },
        schema=VERDICTS,
    )

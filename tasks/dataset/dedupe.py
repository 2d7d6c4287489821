"""Deduplicate the pictures of a source: copies, placeholders, and faces claimed by two people.

Each link line gets a verdict, since one picture may be valid for several people. The rules, in this order:

- *placeholder*: one picture, byte for byte, on many hosts for many people ("image not available");
- *exact and near duplicates*: per person and cluster of copies, the largest picture is kept. Lines on the other
  pictures are duplicates, and so is a second line on the same picture with the same box;
- *conflict*: two people claim the same box of the same picture. Both lines are rejected. With different boxes the
  picture is a group photo.

In a source without names all lines count as those of one person: copies are found across all of them, and there are
no placeholders and no conflicts.

The verdicts do not depend on the order of the rows. 2.6 million lines are processed as columns; only lines that share
a picture with another line are processed one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import VERDICTS, Outcome, Reason
from storage.stamps.setting_field import setting
from storage.tables.byte_order import by_bytes, byte_rows
from storage.tables.stored_rows import StoredRows
from tasks.dataset.hamming import near_clusters
from tasks.faces.boxes import ious
from tasks.fetch.ledger import host_of
from tasks.links.line_ids import by_person, find_rows

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

# The verdicts by number; 0 is for lines that are kept.
_REASONS = (None, Reason.PLACEHOLDER, Reason.EXACT_DUPLICATE, Reason.NEAR_DUPLICATE, Reason.CONFLICT)
_KEPT, _PLACEHOLDER, _EXACT, _NEAR, _CONFLICT = range(len(_REASONS))
_BOXES_AT_A_TIME = 1000
# The columns of `records.LINK_LINES` that it needs of all lines.
OF_LINES = ["identity", "line", "key", "box_xyxy"]


@dataclass(frozen=True, slots=True)
class DedupeRules:
    """The thresholds of deduplication."""

    # Of `validate.difference_hash`; docs/dedupe.md has what each distance finds and confuses.
    near_distance: int = setting(6, "greatest distance of the hashes of two copies, in bits of 128", ge=0, le=128)
    # A hash with fewer bits set is of a picture that is nearly all of one colour, and is not discriminative: of a
    # million made hashes, none a copy, 7915 fall into clusters if all count, and 49 from here on (`bench.dedupe`).
    least_bits: int = setting(24, "least number of bits set in a hash that is compared", ge=0, le=128)
    placeholder_hosts: int = setting(3, "a picture is a placeholder from this number of hosts on", ge=1)
    placeholder_identities: int = setting(4, "a picture is a placeholder from this number of people on", ge=1)
    same_box_iou: float = setting(0.5, "two boxes of one picture are one face from this IoU on", ge=0, le=1)


@dataclass(frozen=True, slots=True)
class _Claims:
    """The lines of clusters that several lines link to, as columns. They are sorted by cluster, then by person, then by
    size of the picture, largest first. Boxes are relative to the size of their picture, so that the boxes of resized
    copies can be compared; they are NaN where a line has no box.
    """

    row: Ints
    cluster: Ints
    person: Ints
    picture: Ints
    digest: Ints
    box: Floats

    def some(self, which: npt.NDArray[np.bool_] | Ints) -> _Claims:
        """The rows of a mask, or of an array of indices."""
        return _Claims(*(column[which] for column in (getattr(self, name) for name in self.__slots__)))


def dedupe(
    lines: pa.Table,
    images: pa.Table,
    rules: DedupeRules = DedupeRules(),
    *,
    names_people: bool = True,
    listed: StoredRows | None = None,
) -> pa.Table:
    """A verdict for every line.

    Args:
        lines: `records.LINK_LINES` whose picture was accepted; of several sources with the columns `source` and
            `person`, which then says whose line it is.
        images: the accepted `records.ATTEMPTS` with key, digest, dhash, width, height; one row a key.
        names_people: whether `identity` is the name of a person; else it is a group by hash.
        listed: the same lines, of which some URLs are needed; None: `lines` have them.

    Returns:
        `records.VERDICTS`, one row a line in the order of `lines`.
    """
    order, starts = by_bytes(images["digest"])
    clusters = _clusters(byte_rows(images["dhash"])[order[starts]], rules)
    names, numbers = images["digest"].take(pa.array(order[starts])), _numbered(order, starts)
    picture = find_rows(lines["key"], images["key"])
    digest = numbers[picture]
    claimed = by_person(lines) if names_people else of_one_person(lines)
    placeholders = _are_placeholders(claimed, listed or StoredRows.of(lines), digest, rules)
    codes = np.where(placeholders, _PLACEHOLDER, _KEPT)
    claims = _shared_claims(claimed, images, picture, digest, clusters[digest], codes)
    claims = _stop_copies(claims, codes)
    claims = _stop_repeated(claims, codes, rules.same_box_iou)
    _stop_conflicts(claims, codes, rules.same_box_iou)
    return _verdicts(lines, codes, names.take(pa.array(clusters[digest])))


def of_one_person(rows: pa.Table) -> pa.Table:
    """The rows with an empty identity."""
    at = rows.schema.get_field_index("identity")
    nobody = pa.repeat("", len(rows)).dictionary_encode().cast(rows.schema.field(at).type)
    return rows.set_column(at, rows.schema.field(at), nobody)


def _numbered(order: Ints, starts: Ints) -> Ints:
    """The rank of each row among the distinct values of rows in this order (`by_bytes`)."""
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.repeat(np.arange(len(starts)), np.diff(np.r_[starts, len(order)]))
    return numbers


def _clusters(hashes: npt.NDArray[np.uint8], rules: DedupeRules) -> Ints:
    """For the rank of each digest, the smallest rank among all copies of its picture.

    Args:
        hashes: of the picture of each digest, [n, 16].
    """
    telling = np.flatnonzero(np.bitwise_count(hashes).sum(axis=1) >= rules.least_bits)
    clusters = np.arange(len(hashes))
    clusters[telling] = telling[near_clusters(hashes[telling], rules.near_distance)]
    return clusters


def _are_placeholders(lines: pa.Table, listed: StoredRows, digest: Ints, rules: DedupeRules) -> npt.NDArray[np.bool_]:
    """Whether each line links to a picture found on too many hosts for too many people."""
    rows = np.flatnonzero(np.bincount(digest)[digest] >= rules.placeholder_identities) if len(digest) else digest
    table = pa.table(
        {
            "digest": digest[rows],
            "identity": lines["identity"].take(pa.array(rows)).cast(pa.string()),
            "host": host_of(listed.take(rows, ["url"])["url"]),
        }
    )
    counts = table.group_by("digest").aggregate([("identity", "count_distinct"), ("host", "count_distinct")])
    many = pc.and_(
        pc.greater_equal(counts["identity_count_distinct"], rules.placeholder_identities),
        pc.greater_equal(counts["host_count_distinct"], rules.placeholder_hosts),
    )
    placeholders: npt.NDArray[np.bool_] = np.isin(digest, counts["digest"].filter(many).to_numpy())
    return placeholders


def _shared_claims(
    lines: pa.Table, images: pa.Table, picture: Ints, digest: Ints, cluster: Ints, codes: Ints
) -> _Claims:
    """The lines of clusters with more than one line, without placeholders."""
    row = np.flatnonzero((np.bincount(cluster)[cluster] > 1) & (codes == _KEPT)) if len(cluster) else cluster
    columns = ["identity", "line", "key", "box_xyxy"]
    some, theirs = lines.select(columns).take(pa.array(row)), images.take(pa.array(picture[row]))
    width, height = (theirs[name].to_numpy().astype(np.float64) for name in ("width", "height"))
    person = some["identity"].cast(pa.string()).combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    high, low = byte_rows(some["key"]).copy().view(">u8").T
    order = np.lexsort((some["line"].to_numpy(), low, high, -width * height, person, cluster[row]))
    box = _boxes(some["box_xyxy"]) / np.stack([width, height, width, height], axis=1)
    claims = _Claims(row, cluster[row], person, picture[row], digest[row], box)
    return claims.some(order)


def _boxes(column: pa.ChunkedArray) -> Floats:
    """The boxes of a column, [n, 4], NaN where there is none."""
    boxes = np.full((len(column), 4), np.nan)
    known = column.is_valid().to_numpy()
    boxes[known] = column.combine_chunks().flatten().to_numpy().reshape(-1, 4)
    return boxes


def _stop_copies(claims: _Claims, codes: Ints) -> _Claims:
    """Reject each person's lines on a cluster except those on its first picture; returns the others."""
    is_first = _starts(claims.cluster) | _starts(claims.person)
    first = np.maximum.accumulate(np.where(is_first, np.arange(len(is_first)), 0))
    is_copy = claims.picture != claims.picture[first]
    is_exact = claims.digest == claims.digest[first]
    codes[claims.row[is_copy]] = np.where(is_exact, _EXACT, _NEAR)[is_copy]
    return claims.some(~is_copy)


def _stop_repeated(claims: _Claims, codes: Ints, same_box_iou: float) -> _Claims:
    """Reject each person's lines on one picture except the first with each box; returns the others."""
    stays = np.ones(len(claims.row), dtype=bool)
    for start, end in _runs(_starts(claims.cluster) | _starts(claims.person)):
        same = _same_boxes(claims.box[start:end], claims.box[start:end], same_box_iou)
        for one in range(1, end - start):
            stays[start + one] = not (same[one, :one] & stays[start : start + one]).any()
    codes[claims.row[~stays]] = _EXACT
    return claims.some(stays)


def _stop_conflicts(claims: _Claims, codes: Ints, same_box_iou: float) -> None:
    """Reject the lines of two people on one box of a cluster."""
    for start, end in _runs(_starts(claims.cluster)):
        box, person = claims.box[start:end], claims.person[start:end]
        for at in range(0, end - start, _BOXES_AT_A_TIME):
            block = slice(at, at + _BOXES_AT_A_TIME)
            others = person[block, None] != person[None]
            contested = (_same_boxes(box[block], box, same_box_iou) & others).any(axis=1)
            codes[claims.row[start:end][block][contested]] = _CONFLICT


def _starts(values: Ints) -> npt.NDArray[np.bool_]:
    """Whether each one differs from the one before."""
    starts: npt.NDArray[np.bool_] = np.r_[True, values[1:] != values[:-1]][: len(values)]
    return starts


def _runs(starts: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Start and end of each run of at least two rows."""
    bounds = np.r_[np.flatnonzero(starts), len(starts)]
    long = np.flatnonzero(np.diff(bounds) > 1)
    yield from zip(bounds[long].tolist(), bounds[long + 1].tolist(), strict=True)


def _same_boxes(one: Floats, other: Floats, least: float) -> npt.NDArray[np.bool_]:
    """Whether two boxes mark the same face, [n, m]; a missing box marks the whole picture."""
    overlap = ious(one, other)
    same: npt.NDArray[np.bool_] = np.isnan(overlap) | (overlap >= least)
    return same


def _verdicts(lines: pa.Table, codes: Ints, clusters: pa.Array) -> pa.Table:
    def words(column: str, by_number: list[str | None]) -> pa.Array:
        return (
            pa.array(by_number, pa.string()).take(pa.array(codes)).dictionary_encode().cast(VERDICTS.field(column).type)
        )

    return pa.table(
        {
            "identity": lines["identity"].cast(VERDICTS.field("identity").type),
            "line": lines["line"],
            "key": lines["key"],
            "outcome": words("outcome", [Outcome.REJECTED if word else Outcome.ACCEPTED for word in _REASONS]),
            "reason": words("reason", list(_REASONS)),
            "cluster": clusters,
        },
        schema=VERDICTS,
    )

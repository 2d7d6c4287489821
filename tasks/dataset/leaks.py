"""Count leaks between splits from the finished index, independently of how the split was made.

A version with leaks is not published; the counts are stored in the manifest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

import pyarrow as pa
import pyarrow.compute as pc

from storage.errors import LeakError
from tasks.links.line_ids import words_and_codes

# What must lie in one split, by the name its count goes by.
_WHOLE = {
    "identities": "identity",
    "clusters": "cluster",
    "image_digests": "image_digest",
    "crop_digests": "crop_digest",
}


def count_leaks(index: pa.Table, ties: Iterable[tuple[str, str]] = ()) -> dict[str, int]:
    """How many people, clusters of near copies, pictures and crops, byte for byte, stand in more than one split.

    Args:
        index: `records.SAMPLES`, or those columns of it that are counted and `split`.
        ties: pairs of names that are one person; counted as `ties`.
    """
    splits = index["split"].cast(pa.string())
    leaks = {}
    for name, column in _WHOLE.items():
        table = pa.table({"of": index[column].cast(_plain(index[column].type)), "split": splits})
        sides = table.group_by("of").aggregate([("split", "count_distinct")])["split_count_distinct"]
        leaks[name] = pc.sum(pc.greater(sides, 1)).as_py() or 0
    ties = list(ties)
    split_of = _splits_of({name for tie in ties for name in tie}, index["identity"], splits) if ties else {}
    known = [(split_of[one], split_of[other]) for one, other in ties if one in split_of and other in split_of]
    return {**leaks, "ties": sum(one != other for one, other in known)}


def _splits_of(names: Collection[str], identity: pa.ChunkedArray, splits: pa.ChunkedArray) -> dict[str, str]:
    """The split of each of these people who have a sample."""
    words, codes = words_and_codes(identity)
    rows = pa.array(pc.is_in(words, value_set=pa.array(names, pa.string())).to_numpy(False)[codes])
    chosen = identity.filter(rows).cast(pa.string()).to_pylist()
    return dict(zip(chosen, splits.filter(rows).to_pylist(), strict=True))


def refuse_leaks(leaks: dict[str, int], dataset: str) -> None:
    """Refuse to publish a version with leaks.

    Raises:
        LeakError: some count is not zero.
    """
    found = ", ".join(f"{num} {name}" for name, num in leaks.items() if num)
    if found:
        raise LeakError(
            f"{dataset} was not published: {found} are in more than one split; "
            "this is a bug in the split, please report it"
        )


def _plain(kind: pa.DataType) -> pa.DataType:
    """A type that Arrow can group by."""
    return pa.string() if pa.types.is_dictionary(kind) else kind

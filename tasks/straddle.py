"""Samples that would show one picture on two sides of a split: left out on all sides but one.

Copies of a picture under several people, group photos mostly, stand on as many sides as those people do. The side that
holds most of such a picture's samples keeps them, train before val before test where it is as many.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Reason, Split
from tasks.select import Stage

_SIDES = list(Split)


def straddling_lines(
    lines: pa.Table, verdicts: pa.Table, faces: pa.Table, fates: pa.Table, splits: Mapping[str, Split]
) -> pa.Table:
    """The lines whose sample must go, with the reason, as `select.select` takes lines that were refused.

    Args:
        fates: of all `lines`, as `select.select` gives them.
        splits: of every person with a sample.
    """
    rows = pc.equal(fates["stage"], Stage.SAMPLE.value)
    samples = lines.select(["identity", "line"]).filter(rows)
    sides = np.array([_SIDES.index(splits[name]) for name in samples["identity"].to_pylist()], np.int64)
    clusters = verdicts["cluster"].take(fates["verdict"].filter(rows))
    crops = faces["crop_digest"].take(fates["face"].filter(rows))
    refused = samples.filter(pa.array(_is_beside(clusters, sides) | _is_beside(crops, sides)))
    return refused.append_column("reason", pa.array([Reason.STRADDLES.value] * len(refused), pa.string()))


def _is_beside(groups: pa.ChunkedArray, sides: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each one stands on another side than most of its group."""
    group = groups.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    num = np.bincount(group * len(_SIDES) + sides, minlength=(group.max(initial=-1) + 1) * len(_SIDES))
    beside: npt.NDArray[np.bool_] = num.reshape(-1, len(_SIDES)).argmax(axis=1)[group] != sides
    return beside

"""Cross-split duplicates: samples of one picture in several splits are dropped from all but one split.

Copies of a picture under several people, group photos mostly, appear in the splits of all those people. The
split with most samples of the picture keeps them; on a tie, train before val before test.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.records import Split
from tasks.dataset.face_rows import FaceRows
from tasks.dataset.select import sample_rows
from tasks.links.line_ids import Ints, by_person, words_and_codes

_SIDES = list(Split)


def cross_split_rows(
    lines: pa.Table, verdicts: pa.Table, faces: FaceRows, outcomes: pa.Table, splits: Mapping[str, Split]
) -> Ints:
    """The rows of `lines` whose sample must go.

    Their claims to faces stay: a line that lost a face to one of them shows the same picture in the same split.

    Args:
        outcomes: of all `lines`, as `select.select` gives them.
        splits: of every person with a sample.
    """
    rows = sample_rows(outcomes)
    samples = pa.array(rows)
    names, people = words_and_codes(by_person(lines)["identity"].take(samples))
    # A name of the dictionary may be of a person without samples.
    sides = np.array([_SIDES.index(splits.get(name, Split.TRAIN)) for name in names.to_pylist()], np.int64)[people]
    clusters = verdicts["cluster"].take(outcomes["verdict"].take(samples))
    of_samples = outcomes["face"].take(samples).to_numpy().astype(np.int64)
    crops = faces.accepted["crop_digest"].take(pa.array(faces.accepted_at(of_samples)))
    stray: Ints = rows[_is_beside(clusters, sides) | _is_beside(crops, sides)]
    return stray


def _is_beside(groups: pa.ChunkedArray, sides: Ints) -> npt.NDArray[np.bool_]:
    """Whether each one is in another split than most of its group."""
    group = groups.combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    num = np.bincount(group * len(_SIDES) + sides, minlength=(group.max(initial=-1) + 1) * len(_SIDES))
    beside: npt.NDArray[np.bool_] = num.reshape(-1, len(_SIDES)).argmax(axis=1)[group] != sides
    return beside

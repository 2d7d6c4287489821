"""The faces of a source by one method, as a version needs them: few columns of all, more of the accepted ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from storage.records import Outcome
from storage.tables.stored_rows import StoredRows
from tasks.links.line_ids import OF_SEVERAL, Ints

# The columns of `records.FACES` that say which line a face is of, and whether it was accepted.
_OF_ALL = ("identity", "line", "outcome", "reason")
# Those that decide which accepted faces become samples, and of which split.
OF_ACCEPTED = (
    "identity", "line", "image_digest", "crop_digest", "agreement", "fit", "source_box_xyxy", "face_px", "score",
    "border", "sharpness", "yaw_deg", "roll_deg", "same_bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FaceRows:
    """The faces of a source by one method.

    Attributes:
        all: line and outcome of every face; of several sources with `source` and `person`.
        accepted: `OF_ACCEPTED` of the accepted ones, in the same order.
        accepted_in: the row in `all` of each, ascending.
        stored: all columns of all faces.
    """

    all: pa.Table
    accepted: pa.Table
    accepted_in: Ints
    stored: StoredRows

    def accepted_at(self, rows: Ints) -> Ints:
        """The rows in `accepted` of rows of `all`, all of them accepted."""
        at: Ints = np.searchsorted(self.accepted_in, rows)
        return at


def face_rows(stored: StoredRows) -> FaceRows:
    """Read what decides on the faces, once.

    Args:
        stored: as `source_tables.stored_faces` gives them; of several sources with `person` (`People.added_to`).
    """
    every, accepted, accepted_in, start = [], [], [np.empty(0, np.int64)], 0
    for block in stored.blocks(list(dict.fromkeys((*_OF_ALL, *OF_ACCEPTED)))):
        more = [name for name in OF_SEVERAL if name in block.column_names]
        is_accepted = pc.equal(block["outcome"].cast(pa.string()), Outcome.ACCEPTED.value)
        every.append(block.select([*_OF_ALL, *more]))
        accepted.append(block.select([*OF_ACCEPTED, *more]).filter(is_accepted))
        accepted_in.append(start + np.flatnonzero(is_accepted.to_numpy()))
        start += len(block)
    whole, chosen = (pa.concat_tables(found).unify_dictionaries() for found in (every, accepted))
    return FaceRows(whole, chosen, np.concatenate(accepted_in), stored)

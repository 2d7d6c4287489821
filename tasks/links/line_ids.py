"""Ids of link lines, and row lookup by id across tables."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]


def line_ids(table: pa.Table) -> pa.Array:
    """The id of each link line in every table: `<identity>/<line>`."""
    lines = table["line"].cast(pa.string())
    return pc.binary_join_element_wise(table["identity"].cast(pa.string()), lines, "/").combine_chunks()


def find_rows(wanted: pa.ChunkedArray | pa.Array, among: pa.ChunkedArray | pa.Array) -> Ints:
    """The row in `among` of each of `wanted`; -1 if there is none."""
    found = pc.index_in(wanted, value_set=among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among)
    rows: Ints = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return rows

"""Ids of link lines, and row lookup by id across tables.

Tables that hold the lines of several sources have two columns more: `source`, and `person`, the name that the dataset
gives to whoever the list calls `identity`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]


def id_columns(table: pa.Table) -> list[str]:
    """The columns that make the id of a link line; `source` only where tables hold the lines of several sources."""
    return [name for name in ("source", "identity", "line") if name in table.column_names]


def line_ids(table: pa.Table) -> pa.Array:
    """The id of each link line in every table: `<identity>/<line>`, or `<source>/<identity>/<line>`."""
    parts = [table[name].cast(pa.string()) for name in id_columns(table)]
    return pc.binary_join_element_wise(*parts, "/").combine_chunks()


def by_person(table: pa.Table) -> pa.Table:
    """The table with the person as its `identity`."""
    if "person" not in table.column_names:
        return table
    at = table.schema.get_field_index("identity")
    return table.set_column(at, table.schema.field(at), table["person"].cast(table.schema.field(at).type))


def find_rows(wanted: pa.ChunkedArray | pa.Array, among: pa.ChunkedArray | pa.Array) -> Ints:
    """The row in `among` of each of `wanted`; -1 if there is none."""
    found = pc.index_in(wanted, value_set=among.combine_chunks() if isinstance(among, pa.ChunkedArray) else among)
    rows: Ints = pc.fill_null(found, -1).to_numpy().astype(np.int64)
    return rows

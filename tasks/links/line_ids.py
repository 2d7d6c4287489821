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
# The columns that tables of several sources have in addition.
OF_SEVERAL = ("source", "person")


def id_columns(table: pa.Table) -> list[str]:
    """The columns that make the id of a link line; `source` only where tables hold the lines of several sources."""
    return [name for name in ("source", "identity", "line") if name in table.column_names]


def line_ids(table: pa.Table) -> pa.Array:
    """The id of each link line in every table: `<identity>/<line>`, or `<source>/<identity>/<line>`."""
    parts = [table[name].cast(pa.string()) for name in id_columns(table)]
    return pc.binary_join_element_wise(*parts, "/").combine_chunks()


def find_lines(wanted: pa.Table, among: pa.Table) -> Ints:
    """The row in `among` of each link line of `wanted`, as `find_rows` of `line_ids` gives it; -1 if there is none.

    The ids are compared as numbers of 8 bytes, so that millions of lines need no strings.
    """
    named = [name for name in id_columns(wanted) if name != "line"]
    ids = [np.zeros(len(table), np.int64) for table in (wanted, among)]
    for name in named:
        pairs = [words_and_codes(table[name]) for table in (wanted, among)]
        every = pc.unique(pa.concat_arrays([words for words, _ in pairs]))
        for at, (words, codes) in enumerate(pairs):
            ids[at] = ids[at] * len(every) + pc.index_in(words, value_set=every).to_numpy().astype(np.int64)[codes]
    ours, theirs = (
        pa.array(of << 32 | table["line"].to_numpy().astype(np.int64))
        for of, table in zip(ids, (wanted, among), strict=True)
    )
    return find_rows(ours, theirs)


def words_and_codes(column: pa.ChunkedArray) -> tuple[pa.Array, Ints]:
    """The words of a column without nulls, and for each row the position of its word."""
    coded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    return coded.dictionary.cast(pa.string()), coded.indices.to_numpy().astype(np.int64)


def distinct_words(column: pa.ChunkedArray) -> tuple[pa.Array, npt.NDArray[np.int32]]:
    """The words of a column without nulls, in the order in which they first come, and each row's position in them."""
    words, codes = words_and_codes(column)
    seen = pa.array(codes).unique()
    place = np.zeros(len(words), np.int32)
    place[seen.to_numpy()] = np.arange(len(seen))
    return words.take(seen), place[codes]


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

"""Rows whose columns are read when they are needed, a block of rows at a time.

Of fifty million link lines a column of URLs takes 5 GB. What decides on lines needs few columns of all rows, and what
is written in the end all columns of some rows, or of a block after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.tables.take import joined_columns, take, take_values

# Reads some columns of all rows, as one block or several, in order; others may come with them.
Blocks = Callable[[list[str]], Iterator[pa.Table]]


class StoredRows:
    """The rows of one or several tables, in a fixed order.

    Args:
        blocks: reads them.
    """

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    @classmethod
    def of(cls, table: pa.Table) -> StoredRows:
        """The rows of a table in memory."""
        return cls(lambda columns: iter([table]))

    def changed(self, change: Callable[[pa.Table], pa.Table]) -> StoredRows:
        """The same rows, each block changed as it is read."""
        return StoredRows(lambda columns: map(change, self.blocks(columns)))

    def filtered(self, chosen: pa.ChunkedArray) -> StoredRows:
        """The rows that a mask chooses; [n]."""
        if pc.all(chosen).as_py():
            return self

        def blocks(columns: list[str]) -> Iterator[pa.Table]:
            start = 0
            for block in self.blocks(columns):
                yield block.filter(chosen.slice(start, len(block)))
                start += len(block)

        return StoredRows(blocks)

    def table(self, columns: list[str]) -> pa.Table:
        """Some columns of all rows, and what comes with them."""
        return pa.concat_tables(self.blocks(columns)).unify_dictionaries()

    def take(self, rows: npt.NDArray[np.int64], columns: Sequence[str]) -> pa.Table:
        """Some columns of these rows, in this order."""
        in_order = np.argsort(rows, kind="stable")
        wanted, start = rows[in_order], 0
        found: dict[str, list[pa.ChunkedArray]] = {name: [] for name in columns}
        for block in self.blocks(list(columns)):
            first, end = np.searchsorted(wanted, [start, start + len(block)])
            some = take(block.select(columns), wanted[first:end] - start)
            for name, parts in found.items():
                parts.append(some[name])
            start += len(block)
        place = np.empty(len(rows), np.int64)
        place[in_order] = np.arange(len(rows))
        # A column after the other, so that only one is there twice.
        return pa.table({name: take_values(joined_columns(found.pop(name)), place) for name in columns})

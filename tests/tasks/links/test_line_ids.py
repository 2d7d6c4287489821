from __future__ import annotations

import pyarrow as pa
import pytest

from tasks.links.line_ids import find_lines, find_rows, line_ids


def lines(*ids: tuple[str, str, int]) -> pa.Table:
    sources, identities, numbers = zip(*ids, strict=True) if ids else ((), (), ())
    columns = {
        "source": pa.array(sources, pa.string()).dictionary_encode(),
        "identity": pa.array(identities, pa.string()),
    }
    return pa.table(columns | {"line": pa.array(numbers, pa.int32())})


LAST = 2**31 - 1
WANTED = lines(("a", "Ada", 1), ("b", "Ada", 1), ("a", "Ada", LAST), ("a", "Bo", 0), ("a", "Cy", 7), ("a", "Ada", 1))
AMONG = lines(("a", "Bo", 0), ("b", "Ada", 1), ("a", "Dee", 7), ("a", "Ada", LAST), ("b", "Ada", 1), ("a", "Ada", 1))


@pytest.mark.parametrize("columns", [["source", "identity", "line"], ["identity", "line"]])
def test_lines_are_found_as_by_their_written_ids(columns):
    for wanted, among in ((WANTED, AMONG), (AMONG, WANTED), (WANTED, lines()), (lines(), AMONG)):
        ours, theirs = wanted.select(columns), among.select(columns)

        assert find_lines(ours, theirs).tolist() == find_rows(line_ids(ours), line_ids(theirs)).tolist()


def test_lines_in_many_chunks_with_dictionaries_of_their_own_are_found():
    parts = [AMONG.slice(at, 1) for at in range(len(AMONG))]
    encoded = [part.set_column(1, "identity", part["identity"].dictionary_encode()) for part in parts]

    assert find_lines(WANTED, pa.concat_tables(encoded)).tolist() == find_lines(WANTED, AMONG).tolist()

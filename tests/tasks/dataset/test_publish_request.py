from __future__ import annotations

import pyarrow as pa
import pytest

from storage.tables.parquet import stamp
from tasks.dataset.publish_request import Request, version_id

REQUEST = Request("faces", "made", "mtcnn")
NAMES = ["Ada_Aal", 'Bo "Bit"', "Cy\\Dot", "Élodie", "李", "line\nbreak"]


def samples(num: int) -> pa.Table:
    return pa.table(
        {
            "sample": [f"{n:016x}" for n in range(num)],
            "identity": [NAMES[n % len(NAMES)] for n in range(num)],
            "split": [["test", "train"][n % 2] for n in range(num)],
            "crop_digest": pa.array([bytes([n % 256]) * 32 for n in range(num)], pa.binary(32)),
        }
    )


@pytest.mark.parametrize("rows_at_a_time", [1, 3, 100])
@pytest.mark.parametrize("num", [0, 1, 7])
def test_the_id_of_a_version_is_the_stamp_of_its_settings_and_of_all_its_rows(monkeypatch, num, rows_at_a_time):
    monkeypatch.setattr("tasks.dataset.publish_request._ROWS_AT_A_TIME", rows_at_a_time)
    table = samples(num)
    rows = [list(row.values()) for row in table.to_pylist()]

    assert version_id(REQUEST, table) == stamp("dataset", REQUEST.settings(), rows)


def test_the_id_does_not_depend_on_the_memory_layout_of_the_samples():
    table = samples(7)
    encoded = table.set_column(1, "identity", table["identity"].dictionary_encode())
    chunked = pa.concat_tables([encoded.slice(0, 2), encoded.slice(2)])

    assert version_id(REQUEST, chunked) == version_id(REQUEST, table)

"""The report that a flow writes last: once a version, and never at the price of the run."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.runs.report_step import dataset_report
from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion
from tests.model.conftest import write_dataset


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    return write_dataset(Lake(tmp_path / "lake"), "drawn", {"train": 2}, faces_each=2)


@pytest.mark.parametrize("is_recorded", [True, False], ids=["on a server", "without one"])
def test_a_report_that_fails_is_a_warning_and_no_error(
    version: DatasetVersion, caplog: pytest.LogCaptureFixture, is_recorded: bool
) -> None:
    logging.getLogger("facemill").propagate = True
    (Path(version.lake.root) / version.folder / "outcomes.parquet").write_bytes(b"no table")
    with temporary_settings(restore_defaults=set() if is_recorded else {PREFECT_API_URL}):
        assert dataset_report(version) == {}
    assert f"no report on {version} was written" in caplog.text


def test_an_existing_report_is_left_as_it_is(version: DatasetVersion) -> None:
    page = version.lake.report_file(version.name, version.version)
    page.parent.mkdir(parents=True)
    page.write_text("as it was")
    assert dataset_report(version) == {"report": str(page)}
    assert page.read_text() == "as it was"

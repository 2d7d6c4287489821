"""The results of stages: in the log of a recorded run as on the terminal."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.sorting import LogSort
from prefect.logging.handlers import APILogHandler
from prefect.runtime import flow_run

from flows.runs.engine import flow
from flows.telemetry.stage_summaries import stage_ended
from tests.flows.telemetry.test_run_summary import published

INGESTED = {"lines": 1200, "rejected_lines": 3, "candidates": 1200, "asked": 1200, "accepted": 750}
CROPPED = {"detected": 750, "cropped": 300, "faces": {"mtcnn": 300}}


@pytest.fixture
def messages_are_sent() -> Iterator[None]:
    """Tests keep Prefect's log quiet; here it is sent to the server."""
    log = logging.getLogger("prefect.flow_runs")
    level = log.level
    log.setLevel(logging.INFO)
    yield
    log.setLevel(level)


@flow(name="stages", flow_run_name="stages")
def stages(rejected: dict[str, int]) -> str:
    stage_ended("ingest", {**INGESTED, "rejected": rejected})
    stage_ended("retry", {"asked": 0, "accepted": 0, "rejected": {}})
    stage_ended("crop", {"sources": {"first": CROPPED, "second": CROPPED}})
    stage_ended("publish", [published("mtcnn", {"several_people": 39})])
    stage_ended("train", {"flow_run": "train on faces", "cleans": False})
    return str(flow_run.id)


def logged(run: str) -> list[str]:
    """What the server has in the log of a run, without Prefect's own lines."""
    APILogHandler().flush()
    ours = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[UUID(run)]))
    with get_client(sync_client=True) as client:
        messages = [log.message for log in client.read_logs(ours, sort=LogSort.TIMESTAMP_ASC)]
    return [one for one in messages if not one.startswith(("Beginning flow run", "View at", "Finished in state"))]


@pytest.mark.usefixtures("messages_are_sent")
def test_a_recorded_run_logs_each_stage_as_it_ends() -> None:
    assert logged(stages({"gone": 214, "dns": 84})) == [
        "links    1,200 lines, 3 rejected; 1,200 distinct URLs selected",
        "fetch    1,200 requested, 750 accepted; gone 214, dns 84",
        "source   first",
        "crop     750 pictures searched, 300 faces cropped; total 300 by mtcnn",
        "source   second",
        "crop     750 pictures searched, 300 faces cropped; total 300 by mtcnn",
        "after    mtcnn  top reasons",
        "links    1,200",
        "fetch      750  not found 214, unknown host 84, not a picture 54, forbidden 48, server error 36, cut short 14",
        "dedupe     239  same picture twice 511",
        "crop       200  several people 39",
        "select     200",
        "dataset  faces-mtcnn@ffffffffffffffff: 200 faces of 40 people",
        "train    scheduled on the server as train on faces, after which no face is scored yet",
    ]


@pytest.mark.usefixtures("messages_are_sent")
def test_a_log_has_the_most_frequent_reasons_of_a_long_list_and_no_control_characters() -> None:
    many: dict[str, Any] = {f"reason\x1b{num}": num for num in range(40, 0, -1)}
    (fetch,) = [line for line in logged(stages(many)) if line.startswith("fetch    1,200")]
    assert fetch.endswith(", ...")
    assert len(fetch) < 180
    assert fetch.isprintable()

"""Names of runs before their start: as the start gives them."""

from __future__ import annotations

from typing import Any

import pytest
from prefect.flows import Flow, load_flow_from_entrypoint

from flows.runs.run_names import RUN_NAMES, run_name


@pytest.mark.parametrize("name", RUN_NAMES)
def test_every_flow_is_named_as_at_its_start(name: str) -> None:
    flow: Flow[..., Any] = load_flow_from_entrypoint(f"flows.{name}.{name}")
    assert flow.flow_run_name == RUN_NAMES[name]


def test_a_run_without_a_parameter_of_its_name_and_a_flow_of_others_have_none() -> None:
    assert run_name("train", {"dataset": "faces@1", "margin": 2.0}) == "train on faces@1 margin 2.0"
    assert run_name("train", {"dataset": "faces@1"}) is None
    assert run_name("mine", {}) is None

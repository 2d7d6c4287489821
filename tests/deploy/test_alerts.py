"""The alert rules and the dashboard: metrics that exist, expressions that parse, alerts at the right moment."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from flows.service.schedule import deployments
from flows.service.service_watch import ServiceWatch
from flows.service.trends import Thresholds
from flows.telemetry import counters
from storage.files.lake import Lake
from tests.flows.service.test_gpu import told
from tests.flows.service.test_service_watch import FOUND

ROOT = Path(__file__).parents[2]
RULES, UNIT_TESTS = ROOT / "deploy" / "alerts.yaml", ROOT / "tests" / "deploy" / "alerts_test.yaml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "dashboard.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian's package prometheus)"
)
SUFFIXES = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in rules())
    yield from (target["expr"] for panel in PANELS for target in panel["targets"])


@pytest.fixture
def exposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all metrics that a service can have."""
    watch = ServiceWatch(Lake(tmp_path), Thresholds(), ask=lambda: FOUND, emit=lambda *_: None)
    watch.look(None)
    names = {sample.name for metric in watch.collect() for sample in metric.samples}
    names |= {line.partition("{")[0] for line in told(tmp_path, monkeypatch, "echo '0, 97, 2048, 81559'")}
    for one in vars(counters).values():
        for kind, suffixes in SUFFIXES.items():
            if isinstance(one, kind):
                names |= {f"{metric.name}{suffix}" for metric in one.describe() for suffix in suffixes}
    return names


def test_every_metric_of_a_rule_and_of_the_dashboard_is_one_that_the_service_has(exposed: set[str]) -> None:
    used = {name for expr in expressions() for name in re.findall(r"\bfacemill_\w+", expr)}
    assert used - exposed == set()
    # What nobody looks at need not be collected.
    assert {re.sub("_(sum|count)$", "_bucket", name) for name in exposed} - used == set()


def test_every_deployment_of_a_rule_exists_and_every_scheduled_one_has_a_limit() -> None:
    scheduled = {one["name"] for one in deployments()["deployments"] if one.get("schedules")}
    (rule,) = [rule for rule in rules() if rule["alert"] == "FacemillNoGoodRun"]
    named = {name for text in re.findall(r'deployment=~?"([a-z|]+)"', rule["expr"]) for name in text.split("|")}
    assert named == scheduled


def test_a_rule_says_how_severe_it_is_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}


def test_the_panels_have_ids_of_their_own_a_place_of_their_own_and_the_source_that_is_chosen() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    source = {"type": "prometheus", "uid": "${datasource}"}
    assert all(part["datasource"] == source for panel in PANELS for part in (panel, *panel["targets"]))
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "job"}
    for panel in PANELS:
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations([panel["gridPos"] for panel in PANELS], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


@needs_promtool
def test_the_rules_are_valid_and_alert_when_they_should() -> None:
    for words in (["check", "rules", str(RULES)], ["test", "rules", str(UNIT_TESTS)]):
        done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_every_expression_of_the_dashboard_is_one_that_prometheus_reads(tmp_path: Path) -> None:
    filled = [expr.replace("$__rate_interval", "5m").replace("$job", ".*") for expr in expressions()]
    rows = [{"record": f"facemill:panel:{number}", "expr": expr} for number, expr in enumerate(filled)]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rows}]}))
    words = ["promtool", "check", "rules", str(tmp_path / "rules.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

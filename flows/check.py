"""Check: verify the integrity of a lake, and repair it."""

from __future__ import annotations

from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from flows.configuration.settings import load_settings
from flows.runs.engine import emit, flow, run_logger
from flows.telemetry import artifacts
from flows.telemetry.counters import FINDINGS
from flows.telemetry.progress import track
from storage.errors import FacemillError
from storage.files.lake import Lake
from storage.leases.leases import SOLE, held
from storage.leases.sole_use import sole_use
from tasks.fetch.ledger import read_ledger, rejected_by_older_rules
from tasks.maintenance.fsck.findings import Finding, advice, remedy
from tasks.maintenance.fsck.inspect_lake import inspect, jobs
from tasks.maintenance.fsck.repair import repair as repair_lake


@flow(name="check", flow_run_name="check {lake}")
def check(lake: str, quick: bool = False, repair: bool = False) -> dict[str, Any]:
    """Verify every row, byte and manifest of a lake. A repair is refused while other runs use it; new ones wait.

    Args:
        lake: folder or URL of the lake.
        quick: skip the pictures' bytes; check tables, file sizes and manifests only.
        repair: move broken files aside, and make the lost links due for retry.

    Returns:
        The number of parts checked; the findings; notes on references to pruned versions; per source and reason, how
        many links an older version of the rules finally rejected; the units leased by active runs, whose unfinished
        writes can cause findings; with `repair`, the repairs made.

    Raises:
        LakeInUse: with `repair`, other runs use the lake.
    """
    store = Lake(lake)
    with sole_use(store, "repair", good_for_s=load_settings().lease_s) if repair else nullcontext():
        return _check(store, quick=quick, repair=repair)


def _check(store: Lake, *, quick: bool, repair: bool) -> dict[str, Any]:
    lake = store.url
    work = jobs(store, quick=quick)
    with track("check", len(work)) as progress:
        found = inspect(work, progress.reach)
    findings = [one for one in found if not one.is_note]
    artifacts.table("check-findings", _rows(findings), f"Findings in {lake}")
    run_logger().info("check %s: %d findings in %d parts", lake, len(findings), len(work))
    FINDINGS.labels(store.url).set(len(findings))
    at_work = [one for one in held(store) if not one.is_dead and one.stage != SOLE]
    if findings:
        _announce(store, findings, len(at_work))
    done = repair_lake(store, findings, datetime.now(UTC)) if repair and findings else None
    return {
        "parts": len(work),
        "findings": [_finding_json(one) for one in findings],
        "notes": [f"{one.path}: {one.detail}" for one in found if one.is_note],
        "rejected_by_older_rules": links_of_older_rules(store),
        "at_work": [f"{one.stage} {one.of} {one.unit} on {one.host}" for one in at_work],
        "repaired": asdict(done) if done else None,
    }


def links_of_older_rules(lake: Lake) -> dict[str, dict[str, int]]:
    """The number of links that an older version of the rules finally rejected: source -> reason -> count."""
    counts = {}
    for source in lake.names("images"):
        with suppress(FacemillError):  # a broken index is reported as a finding
            ledger = read_ledger(lake, source, ["reason", "next_try", "rules"])
            counts[source] = dict(rejected_by_older_rules(ledger).most_common())
    return {source: some for source, some in counts.items() if some}


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "kind": finding.kind.value,
        "path": finding.path,
        "detail": finding.detail,
        "remedy": remedy(finding).value,
        "then": advice(finding),
    }


def _rows(findings: list[Finding]) -> list[dict[str, Any]]:
    """One row per kind, with an example."""
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        kinds[finding.kind.value].append(finding)
    rows = [
        {"kind": kind, "number": len(some), "example": f"{some[0].path}: {some[0].detail}"}
        for kind, some in kinds.items()
    ]
    return rows or [{"kind": "nothing", "number": 0, "example": ""}]


def _announce(lake: Lake, findings: list[Finding], at_work: int) -> None:
    """Emit a Prefect event, which an automation may act on."""
    resource = {"prefect.resource.id": "facemill.lake", "prefect.resource.name": lake.url}
    emit("lake.broken", resource, payload={"lake": lake.url, "findings": len(findings), "at_work": at_work})

"""Prune: remove old versions, files that can be made again, and old runs, by a policy."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from flows.configuration.settings import load_settings, user_name
from flows.runs.engine import flow, is_recorded, run_logger
from flows.runs.old_runs import old_runs, remove_runs
from flows.tasks import prune_task
from flows.telemetry import artifacts
from flows.telemetry.progress import track
from storage.files.lake import Lake
from storage.text.sizes import size_words
from tasks.maintenance.prune.decide import Plan
from tasks.maintenance.prune.plan_prune import plan_prune


@flow(name="prune", flow_run_name="prune {lake}")
def prune(
    lake: str,
    keep_last: Annotated[int, Field(ge=1)] | None = None,
    keep_within: str | None = None,
    even_lineage: bool = False,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Remove old versions, files that can be made again, and old runs. What a limit keeps stays; without any, all.

    Args:
        lake: folder or URL of the lake.
        keep_last: the newest versions of each dataset and model to keep; None for FACEMILL_KEEP_LAST.
        keep_within: the age up to which everything is kept, such as 30d; None for FACEMILL_KEEP_WITHIN.
        even_lineage: remove dataset versions that a kept model was trained on; this is recorded.
        dry_run: remove nothing.

    Returns:
        The policy; what goes and what stays, each with its bytes and the reason; the bytes that come back; `runs`, the
        number of old runs on the server, None without `keep_within` or a server; and what was removed, None for a
        dry run or without a policy.
    """
    store, settings, now = Lake(lake), load_settings(), datetime.now(UTC)
    policy = settings.policy(keep_last, keep_within, even_lineage=even_lineage)
    if not policy.is_set:
        run_logger().info("prune %s: no policy is set (FACEMILL_KEEP_LAST, FACEMILL_KEEP_WITHIN)", store.url)
        return {"lake": store.url, "policy": asdict(policy), **Plan().to_json(), "runs": None, "pruned": None}
    plan = plan_prune(store, policy, now, watches=not dry_run)
    old = old_runs(store, now - policy.age) if policy.age and is_recorded() else None
    num_old = None if old is None else sum(map(len, old))
    result = {"lake": store.url, "policy": asdict(policy), **plan.to_json(), "runs": num_old}
    rows = result["goes"] or [{"kind": "nothing", "what": "", "bytes": 0, "why": ""}]
    artifacts.table("pruned", rows, f"What goes from {lake}: {size_words(plan.num_bytes)}")
    run_logger().info(
        "prune %s: %d go, %s; %d old runs", lake, len(plan.goes), size_words(plan.num_bytes), num_old or 0
    )
    if dry_run:
        return {**result, "pruned": None}
    with track("prune", len(plan.goes) + len(plan.unfinished)) as progress:
        done = prune_task(store, plan, user_name(), now, progress)
    for what, why in done.kept.items():
        run_logger().info("%s stays after all: %s", what, why)
    removed = None if old is None else remove_runs(old)
    return {**result, "pruned": {**asdict(done), "runs": removed}}

"""Counts of what a lake holds, read from its tables only."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flows.runs.version_status import dataset_status, models_status
from storage.errors import UsageError
from storage.files.lake import Lake
from storage.leases.leases import held
from storage.records import CANDIDATES, LINK_LINES, REJECTED_LINES, Reason
from storage.tables.counts import total, totals
from storage.tables.parquet import read_as, read_if_there
from tasks.dataset.face_counts import face_counts
from tasks.dataset.source_tables import read_plan, require_plan
from tasks.fetch.ledger import Choice, accepted, chosen, due, host_of, nothing_pending, pending_again, read_ledger
from tasks.fetch.link_counts import link_counts


def lake_status(lake: Lake) -> dict[str, Any]:
    """Counts by source, the dataset and model versions, and the active leases."""
    with lake.listing_once():
        return {
            "lake": lake.url,
            "sources": {source: source_status(lake, source) for source in _listed(lake)},
            "datasets": dataset_status(lake),
            "models": models_status(lake),
            "leases": [one._asdict() for one in held(lake)],
        }


def _listed(lake: Lake) -> list[str]:
    """The sources whose lines are there: those of a first ingest are written for minutes."""
    return [source for source in lake.names("links") if lake.exists(lake.links(source, "lines.parquet"))]


def source_status(lake: Lake, source: str) -> dict[str, Any]:
    """The counts of one source: links, candidates, accepted, rejected by reason, due for retry, faces by method."""
    links = link_counts(lake, source).now()
    methods = [method for method in lake.names("faces") if source in lake.names(f"faces/{method}")]
    return {
        "links": len(read_as(lake, lake.links(source, "lines.parquet"), LINK_LINES, ["line"])),
        "rejected_lines": _num_rows(lake, lake.links(source, "rejected.parquet"), REJECTED_LINES, "line"),
        "candidates": _num_rows(lake, lake.plan(source), CANDIDATES, "unit"),
        "accepted": total(accepted(links)),
        "rejected": totals(links, "reason"),
        "due": total(due(links, datetime.now(UTC))),
        "faces": {method: total(accepted(face_counts(lake, source, method).now())) for method in methods},
    }


def _num_rows(lake: Lake, path: str, schema: pa.Schema, column: str) -> int:
    """The rows of a table; 0 if it is not written yet."""
    table = read_if_there(lake, path, schema, [column])
    return 0 if table is None else len(table)


def retry_choice(
    reasons: list[str] | None,
    hosts: list[str] | None,
    *,
    now: bool = False,
    also_final: bool = False,
    archive: bool = False,
) -> Choice:
    """Build the choice of a retry from command options.

    Raises:
        UsageError: a reason is unknown.
    """
    known = {reason.value: reason for reason in Reason}
    unknown = [word for word in reasons or [] if word not in known]
    if unknown:
        raise UsageError(
            f"--reason {unknown[0]!r} is unknown; `facemill status` lists the lake's reasons, such as timeout"
        )
    return Choice(
        reasons=tuple(known[word] for word in reasons or []),
        hosts=tuple(host.lower() for host in hosts or []),
        ignore_gaps=now,
        also_final=also_final,
        archive=archive,
    )


def due_for(lake: Lake, source: str, choice: Choice) -> tuple[pa.Table, dict[str, int]]:
    """The links a retry would fetch now (`ledger.pending_again`), and their counts by the reason of the last failure.

    Raises:
        UsageError: the source has no plan yet.
    """
    require_plan(lake, source)
    links = link_counts(lake, source).kept()
    # Hosts are not counted; without any there are at least as many links.
    if links is not None and not len(chosen(links, replace(choice, hosts=()), datetime.now(UTC))):
        return nothing_pending(), {}
    candidates = read_plan(lake, source)
    rows = chosen(read_ledger(lake, source, list(Choice.columns)), choice, datetime.now(UTC))
    rows = rows.filter(pc.is_in(rows["key"], value_set=candidates["key"].combine_chunks()))
    return pending_again(candidates, rows), _counts(rows["reason"])


_HOST_COLUMNS = ["key", "url", "outcome", "reason", "first_byte_s", "received_bytes", "via"]
_PERCENTILES = (50, 90, 99)


def hosts_status(lake: Lake, source: str, num_hosts: int = 20) -> dict[str, Any]:
    """Fetch statistics of a source's hosts: totals, and the hosts with the most failures.

    Latency is the time to the last response's headers, in seconds; None without a response.
    """
    ledger = read_ledger(lake, source, _HOST_COLUMNS)
    # An archive's response says nothing about the link's own host, and taken-down rows have no host.
    is_told = pc.not_equal(ledger["reason"].cast(pa.string()).fill_null(""), Reason.TAKEN_DOWN.value)
    ledger = ledger.filter(pc.and_(pc.is_null(ledger["via"]), is_told))
    failed = pc.is_valid(ledger["reason"]).cast(pa.int64())
    ledger = ledger.append_column("host", host_of(ledger["url"])).append_column("failed", failed)
    totals = ledger.group_by("host").aggregate([("failed", "sum"), ("failed", "count")])
    worst = totals.filter(pc.greater(totals["failed_sum"], 0)).sort_by(
        [("failed_sum", "descending"), ("failed_count", "ascending"), ("host", "ascending")]
    )
    names = worst["host"].slice(0, num_hosts).to_pylist()
    of_worst = ledger.filter(pc.is_in(ledger["host"], value_set=pa.array(names, pa.string())))
    return {
        "hosts": len(totals),
        "hosts_with_failures": len(worst),
        **_figures(ledger),
        "worst": [{"host": name, **_figures(of_worst.filter(pc.equal(of_worst["host"], name)))} for name in names],
    }


def _figures(rows: pa.Table) -> dict[str, Any]:
    latency_s = rows["first_byte_s"].drop_null().to_numpy()
    found = np.percentile(latency_s, _PERCENTILES).tolist() if len(latency_s) else [None] * len(_PERCENTILES)
    rejected = _counts(rows["reason"])
    return {
        "links": len(rows),
        "failures": sum(rejected.values()),
        "rejected": rejected,
        "received_bytes": pc.sum(rows["received_bytes"]).as_py() or 0,
        "first_byte_s": dict(zip([f"p{percent}" for percent in _PERCENTILES], found, strict=True)),
    }


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    items = pc.value_counts(column.cast(pa.string()).drop_null()).to_pylist()
    return {item["values"]: item["counts"] for item in sorted(items, key=lambda item: -item["counts"])}

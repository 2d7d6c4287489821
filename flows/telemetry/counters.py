"""Prometheus counters of a run; `facemill serve` exposes the sum over all runs.

Runs are short-lived processes, so each keeps its counts in files in PROMETHEUS_MULTIPROC_DIR, which the service sets
and reads (`flows.service.metrics_endpoint`). Without it the counts stay in memory, at almost no cost.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from storage.records import Attempt, Outcome

ATTEMPTS = Counter("facemill_attempts", "Links requested, by outcome: accepted, or the reason", ["outcome"])
RECEIVED = Counter("facemill_received_bytes", "Bytes received over the wire")
FIRST_BYTE = Histogram(
    "facemill_first_byte_seconds",
    "Time to the headers of a response",
    buckets=(0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15),
)
DONE = Counter("facemill_work_done", "Steps done, by work: links, pictures, samples, batches", ["work"])
LEFT = Gauge("facemill_work_left", "Steps left of the work in progress", ["work"], multiprocess_mode="livesum")

# Of these the newest value counts, whichever run has told it.
DUE = Gauge(
    "facemill_links_due",
    "Links due for retry when the newest run of retry began",
    ["source"],
    multiprocess_mode="mostrecent",
)
FINDINGS = Gauge(
    "facemill_check_findings", "Findings of the newest check of the lake", ["lake"], multiprocess_mode="mostrecent"
)


def count_attempt(attempt: Attempt) -> None:
    """Count the outcome of one link."""
    ATTEMPTS.labels(str(attempt.reason or Outcome.ACCEPTED)).inc()
    RECEIVED.inc(attempt.received_bytes or 0)
    if attempt.first_byte_s is not None:
        FIRST_BYTE.observe(attempt.first_byte_s)

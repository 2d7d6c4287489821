"""The log of runs without a server, on the error stream: warnings, and with --verbose all messages."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from storage.text.names import visible

NAME = "facemill"


def show_log(*, verbose: bool, as_json: bool) -> None:
    """Write the messages of this process's runs as lines, or as JSON lines like the progress."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if as_json else _Lines())
    log = logging.getLogger(NAME)
    log.setLevel(logging.INFO if verbose else logging.WARNING)
    # Prefect configures the root logger, for its own messages.
    log.propagate = False
    log.handlers = [handler]


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return f"facemill: {visible(record.getMessage())}"


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        now = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        return json.dumps({"time": now, "event": record.levelname.lower(), "message": record.getMessage()})

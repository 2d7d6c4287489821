"""Where `facemill serve` shows the HTML reports of its lake."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

# The folder of reports on the server.
REPORTS = "/facemill/reports/"


def report_link(report: Path | str) -> str:
    """A Markdown link to a report. It names no host: a browser takes that of the page with the link."""
    name = Path(report).name
    return f"[{name}]({REPORTS}{quote(name)})"

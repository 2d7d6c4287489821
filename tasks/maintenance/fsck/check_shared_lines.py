"""Verify the link lines that versions of a dataset share."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow.compute as pc

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.text.names import DIGEST
from storage.versions.shared_lines import read_lines
from storage.versions.takedowns import Forgotten, covered_lines
from tasks.maintenance.fsck.findings import Finding, Kind


def check_lines(lake: Lake, dataset: str, covered: Callable[[str], Forgotten]) -> list[Finding]:
    """Check that each table of lines can be read, and has no URL under takedown.

    Args:
        covered: returns the takedowns that apply to a source.
    """
    found = []
    for name in lake.names(lake.shared_lines(dataset)):
        digest, path = name.removesuffix(".parquet"), lake.shared_lines(dataset, name)
        if not name.endswith(".parquet") or not DIGEST.fits(digest):
            found.append(Finding(Kind.STRANGE_FILE, path, "nothing writes such a file"))
            continue
        try:
            lines = read_lines(lake, dataset, digest)
        except LakeError as error:
            found.append(Finding(Kind.UNREADABLE, path, str(error)))
            continue
        if num := pc.sum(covered_lines(lines, covered)).as_py():
            found.append(Finding(Kind.TAKEN_DOWN, path, f"{num} URLs are taken down but not purged"))
    return found

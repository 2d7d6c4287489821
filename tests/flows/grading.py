"""Hold a lake against the truth of the world it was fetched from."""

from __future__ import annotations

import csv
from pathlib import Path

from storage.files.lake import Lake
from storage.versions.datasets import all_versions
from tasks.fetch.ledger import accepted, read_ledger


def read_truth(world: Path) -> dict[str, dict[str, str]]:
    """The rows of `responses.csv` by URL."""
    with (world / "responses.csv").open(encoding="utf-8", newline="") as file:
        return {row["url"]: row for row in csv.DictReader(file)}


def linked_urls(world: Path) -> set[str]:
    """Every URL of the link files."""
    return {line.split()[1] for path in (world / "links").glob("*.txt") for line in path.read_text().splitlines()}


def expected(world: Path, *verdicts: str) -> set[str]:
    """The linked URLs whose `expect` is one of the verdicts."""
    truth = read_truth(world)
    return {url for url in linked_urls(world) if truth[url]["expect"] in verdicts}


def accepted_urls(lake: Lake, source: str = "vggface1") -> set[str]:
    """The URLs whose picture the lake holds."""
    return set(accepted(read_ledger(lake, source, ["key", "url", "outcome"]))["url"].to_pylist())


def dataset_urls(lake: Lake) -> dict[str, list[str]]:
    """The URL of every sample, by dataset."""
    return {str(one): one.index(["url"])["url"].to_pylist() for one in all_versions(lake)}


def version_ids(lake: Lake) -> set[str]:
    """The dataset versions that are not cleaned; the scores by which others are vary in their last digits."""
    return {str(one) for one in all_versions(lake) if "cleaning" not in one.manifest}

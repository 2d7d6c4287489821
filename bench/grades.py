"""Comparison of a lake with the ground truth of its dataset."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from storage.datasets import DatasetVersion
from storage.lake import Lake
from storage.records import Fit, Split
from storage.tables import with_plain_words
from synthetic.response_table import BoxRow, Response, read_boxes, read_responses
from tasks.dataset.leaks import count_leaks
from tasks.fetch.ledger import accepted, read_ledger

Line = tuple[str, int]


@dataclass(frozen=True)
class Truth:
    """What is known of a world.

    Attributes:
        responses: by URL.
        lines: the link lines, and whether the box of each frames a face.
        is_made: by `facemill world make`; else it was recorded.
    """

    responses: dict[str, Response]
    lines: dict[Line, BoxRow]
    is_made: bool

    @classmethod
    def of(cls, world: Path) -> Truth:
        """Read that of a world."""
        responses = {one.url: one for one in read_responses(world)}
        lines = {(row.identity, row.line): row for row in read_boxes(world)}
        return cls(responses, lines, (world / "world.json").exists())

    def picture(self, url: str) -> str:
        """What names the picture at a URL, copied or not: equal bodies are one, too."""
        while self.responses[url].same_as:
            url = self.responses[url].same_as
        return self.responses[url].body or url

    def shows(self, line: Line) -> bool:
        """Whether the picture of a line shows the person that it is listed under.

        A group photo has one name in the truth. In a made world the other line of its URL is right too, and frames
        the companion; in the replay such a line was made by listing a bystander, and is wrong.
        """
        row = self.lines[line]
        who = self.responses[row.url].truth_identity
        return who == row.identity or (self.is_made and (who, row.url) in self._listed)

    def to_be_had(self) -> set[tuple[str, str]]:
        """Person and picture of all lines that a right pipeline may take."""
        rows = (row for line, row in self.lines.items() if self.shows(line))
        return {(row.identity, self.picture(row.url)) for row in rows if self.responses[row.url].expect == "accepted"}

    @cached_property
    def _listed(self) -> set[tuple[str, str]]:
        return {(row.identity, row.url) for row in self.lines.values()}


def grade_fetch(lake: Lake, source: str, truth: Truth) -> dict[str, Any]:
    """Who was asked for, and let in."""
    got = set(accepted(read_ledger(lake, source, ["key", "url", "outcome"]))["url"].to_pylist())
    expects = {url: truth.responses[url].expect for url in {row.url for row in truth.lines.values()}}
    wanted = {url for url, expect in expects.items() if expect == "accepted"}
    return {
        "urls": len(expects),
        "to be had": len(wanted),
        "missing": len(wanted - got),
        "let in though opted out or not public": sum(expects[url] == "policy" for url in got),
    }


def grade_version(version: DatasetVersion, truth: Truth) -> dict[str, Any]:
    """What stands in a dataset version that should not, and what does not that should; every line has a fate."""
    index = with_plain_words(version.index())
    rows = index.select(["identity", "line", "url", "split"]).to_pylist()
    lines = [(row["identity"], row["line"]) for row in rows]
    pictures = [truth.picture(row["url"]) for row in rows]
    claims = Counter(zip((row["identity"] for row in rows), pictures, strict=True))
    sides = {(picture, row["split"]) for picture, row in zip(pictures, rows, strict=True)}
    wanted = truth.to_be_had()
    return {
        "samples": len(rows),
        "people": {str(split): len({row["identity"] for row in rows if row["split"] == split}) for split in Split},
        "bad let in": sum(truth.responses[row["url"]].expect != "accepted" for row in rows),
        "of the wrong person": sum(not truth.shows(line) for line in lines),
        "box as listed frames no face": _num_boxes_off(version, lines, truth),
        "a person twice from one picture": sum(num > 1 for num in claims.values()),
        "pictures on two sides, by the truth": len(sides) - len(set(pictures)),
        "leaks, as counted": sum(count_leaks(index).values()),
        "right pictures in it": round(len(wanted & claims.keys()) / len(wanted), 4),
        **grade_fates(version, truth),
    }


def _num_boxes_off(version: DatasetVersion, lines: list[Line], truth: Truth) -> int | None:
    """Of listed boxes that were cut out as they are, not rescaled or turned; None where a detector's boxes are."""
    if version.manifest["method"] != "bbox":
        return None
    fits = with_plain_words(version.index(["fit"]))["fit"].to_pylist()
    return sum(fit == Fit.AS_LISTED and not truth.lines[line].box_ok for line, fit in zip(lines, fits, strict=True))


def grade_fates(version: DatasetVersion, truth: Truth) -> dict[str, Any]:
    """Whether each link line has one fate, and the stages of the funnel lose none."""
    fates = with_plain_words(version.fates(["identity", "line", "stage", "reason"])).to_pylist()
    stages = version.manifest["funnel"]["stages"]
    told = Counter((row["identity"], row["line"]) for row in fates)
    added = [one["num_in"] - one["num_out"] - sum(one["rejected"].values()) for one in stages]
    return {
        "lines without a fate, or with two": len(told.keys() ^ truth.lines.keys()) + sum(told.values()) - len(told),
        "lines that wait": sum(row["stage"] != "sample" and row["reason"] is None for row in fates),
        "lines that a stage of the funnel loses": sum(map(abs, added)),
    }


def grade_cleaning(before: DatasetVersion, after: DatasetVersion, truth: Truth) -> dict[str, Any]:
    """Of the samples of the wrong person and of the right one, how many a cleaned version is without."""
    kept = {(row["identity"], row["line"]) for row in after.index(["identity", "line"]).to_pylist()}
    lines = [(row["identity"], row["line"]) for row in before.index(["identity", "line"]).to_pylist()]
    right = [line for line in lines if truth.shows(line)]
    wrong = [line for line in lines if not truth.shows(line)]
    found, lost = (sum(line not in kept for line in some) for some in (wrong, right))
    return {
        "wrong": len(wrong),
        "found": round(found / max(len(wrong), 1), 4),
        "right": len(right),
        "lost": round(lost / max(len(right), 1), 4),
    }

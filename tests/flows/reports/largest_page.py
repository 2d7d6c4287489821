"""The report on a dataset with everything that it may hold: every reason, every table and every sheet at its limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from flows.reports import page
from flows.reports.charts import histogram
from flows.reports.counterparts import RELATIONS
from flows.reports.dataset_report import ALIKE, CHANGED, DOUBTS, FACES, FACES_ALIKE, FIGURES, PEOPLE, ROWS
from flows.reports.doubtful_people import Giver, LooseFit, Offender
from flows.reports.kept_doubts import DOUBTS as MEASURES
from flows.reports.reason_glossary import explained
from storage.reason_meanings import reason_meanings
from storage.records import Reason, Split
from tasks.dataset.diff import Change, Setting
from tasks.dataset.funnel import FunnelStage
from tests.tasks.builders import jpeg

_NAME, _HOST = "Maximiliane von und zu Hohenstein-Langenbruck", "images.archive.photographers-of-the-world.example"
_LATE = ("dedupe", "crop", "select")
_LATE_REASONS = [word for word in Reason if any(stage in reason_meanings()[word].stages for stage in _LATE)]
_FETCH_REASONS = [word for word in Reason if "fetch" in reason_meanings()[word].stages]
_LINES, _FACES = 2_000_000, 300_000


def write_largest_page(path: Path) -> Path:
    """Write the page. Names, hosts and URLs are long ones."""
    return page.write(path, "dataset.html", **_facts(), **_charts(), **_tables(), **_sheets())


def _facts() -> dict[str, Any]:
    manifest = {
        "source": "a+b",
        "method": "mtcnn",
        "published_at": "2026-11-28T09:00:00",
        "num_samples": _FACES,
        "num_identities": 3000,
        "splits": {split: {"samples": 100_000, "identities": 1000} for split in Split},
        "leaks": {"images": 0},
        "cleaning": {"model": "embedder@0123456789abcdef"},
    }
    return {
        "title": "faces-mtcnn@0123456789abcdef",
        "manifest": manifest,
        "splits": list(Split),
        "num_lines": _LINES,
        "num_fetched": _LINES,
        "num_faces": _FACES,
        "most_faces": FACES,
        "reasons": explained(Reason),
        "origins": {f"select.setting_{at}": 1.0 for at in range(50)},
    }


def _charts() -> dict[str, Any]:
    chart = histogram(np.linspace(0, 1, 100).tolist(), "IoU of the listed box with the face that overlaps it most")
    agreement = dict.fromkeys(("same face", "different face", "only bbox", "only mtcnn", "neither"), 1000)
    return {
        "people": {"num": 3000, "median_faces": 100.0, "faces_per_person": chart},
        "quality": [chart] * 6,
        "digests": dict.fromkeys(("bytes as listed", "other bytes", "no digest listed, or not known"), 1000),
        "methods": {"num_lines": _LINES, "counts": agreement, "overlap": chart},
    }


def _tables() -> dict[str, Any]:
    offenders = [Offender(_NAME, 10_000, 1000, 1000, dict.fromkeys(list(Reason)[:4], 1000))] * ROWS
    urls = [f"http://{_HOST}/a/b/{_NAME}.jpg"] * 2
    by_stage = {"fetch": _FETCH_REASONS, **dict.fromkeys(_LATE, _LATE_REASONS)}
    stages = [FunnelStage(name, _LINES, _FACES, dict.fromkeys(words, 1000)) for name, words in by_stage.items()]
    return {
        "stages": stages,
        "sources": [
            {"source": one, "links": _LINES, "fetch": _LINES, "crop": _LINES, "select": _LINES} for one in "ab"
        ],
        "hosts": [Giver(_HOST, 10_000, 1000)] * ROWS,
        "losing_hosts": offenders,
        "losing_people": offenders,
        "loose_fits": [LooseFit(_NAME, 100, 0.4)] * ROWS,
        "unfetched": [{"reason": word, "num": 1000, "urls": urls} for word in _FETCH_REASONS],
    }


def _sheets() -> dict[str, Any]:
    figures, lines = [_figure(f"{_NAME} 100: 101 px")], [_figure("line 100")] * FACES
    person = {"line_count": 100, "split": "train", "figures": lines}
    alike = [_figure(_NAME, FACES_ALIKE)] * 2
    change = {
        "before": "faces-mtcnn@0123456789abcdef",
        "num_kept": 100,
        "settings": [Setting(f"select.setting_{at}", 1.0, 2.0) for at in range(12)],
        "counts": {change: {f"select: {word}": 100 for word in _LATE_REASONS} for change in Change},
        "came": figures * CHANGED,
        "went": figures * CHANGED,
    }
    return {
        "portraits": [{"identity": f"{_NAME} {at}", **person} for at in range(PEOPLE)],
        "doubts": [{"title": one.title, "figures": figures * DOUBTS} for one in MEASURES],
        "rejected": [{"reason": word, "num": 1000, "figures": _stopped(word)} for word in _LATE_REASONS],
        "alike": [{"names": [_NAME] * 2, "score": 0.5, "figures": alike}] * ALIKE,
        "change": change,
    }


def _stopped(reason: str) -> list[page.Figure]:
    return [_figure(f"{_NAME} 100", 1 + (reason in RELATIONS))] * FIGURES


def _figure(caption: str, num: int = 1) -> page.Figure:
    return page.figure([jpeg(7)] * num, caption)

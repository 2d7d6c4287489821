"""One set of nasty names through everything that prints or draws them: terminal, Markdown, HTML."""

from __future__ import annotations

import ast
import io
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from flows.cli import cost_screen as costs
from flows.cli import dataset_commands as datasets
from flows.cli import doctor_commands as doctor
from flows.cli import experiment_commands as experiment
from flows.cli import face_commands as faces
from flows.cli import lake_commands as lake
from flows.cli import model_commands as models
from flows.cli import stage_screens as stages
from flows.cli import synthetic_commands as world
from flows.cli import takedown_commands as custody
from flows.cli import terminal
from flows.cli.app import app
from flows.reports import page
from flows.reports.charts import Chart, histogram, nice_axis
from flows.telemetry import artifacts
from storage.text.names import is_text
from tasks.dataset.funnel import FunnelStage

NASTY = [
    "Bob_[/b]",
    "[bold]A[/]",
    "[link=http://x.example]B",
    "\x9b2JC",
    "D\u202egpj",
    "E\u2028F",
    "\x1b]0;G\x07",
    "H\\",
]
AUC = {"first": 0.8, "second": 0.9, "difference": 0.1, "interval": [0.05, 0.15]}
FIGURES = {
    "auc": 0.9,
    "auc_interval": [0.8, 0.95],
    "eer": 0.1,
    "accuracy": 0.8,
    "rank_1": 0.7,
    "num_identities": 4,
    "num_genuine": 9,
    "num_impostor": 9,
    "num_people_seen": 0,
    "tar_at_far": {"0.01": 0.5},
    "operating_points": [
        {"chosen_for": "x", "threshold": 0.5, "far": 0.1, "far_interval": [0, 1], "tar": 0.5, "tar_interval": [0, 1]}
    ],
}
STAGE = {"stage": "x", "num_in": 3, "num_out": 2, "rejected": {"x": 1}}
FUNNEL = {"method": "x", "stages": [STAGE]}
COVERED = {
    "source": "x",
    "num_people": 1,
    "num_lines": 1,
    "num_links": 1,
    "num_pictures": 1,
    "num_elsewhere": 1,
    "num_near": 1,
}
REPAIRED = {"folder": "x", "moved": ["x"], "lost": 1, "aborted": 1, "purged": True, "left": ["x"]}
HOST = {
    "host": "x",
    "links": 1,
    "failures": 1,
    "rejected": {"x": 1},
    "received_bytes": 5,
    "first_byte_s": {"p50": 0.1, "p90": None, "p99": 1.0},
}
CELL = {"method": "x", "margin": 1.0, "seed": 0, "dataset": "x", "model": "x"}
REPORT = {
    "num_identities": 4,
    "auc": 0.9,
    "auc_interval": [0.8, 1.0],
    "accuracy": 0.8,
    "accuracy_interval": [0.7, 0.9],
    "tar_at_far": {"0.01": 0.5, "0.001": None},
    "tar_at_far_interval": {"0.01": [0.4, 0.6], "0.001": None},
    "triplet": {"unit": {"1": 0.5}, "unit_interval": {"1": [0, 1]}, "raw": {"1": 0.5}, "raw_interval": {"1": [0, 1]}},
}
TRAINED = {"model": "x", "version": "x", "is_new": True, "auc": 0.6, "untrained_auc": 0.5, "note": "x"}
CROPPED = {"detected": 1, "cropped": 1, "faces": {"x": 1}, "report": "x"}
FETCHED = {"asked": 2, "accepted": 1, "rejected": {"x": 1}}
PUBLISHED = {
    "dataset": "x",
    "version": "x",
    "is_new": False,
    "samples": 1,
    "identities": 1,
    "note": "x",
    "funnel": FUNNEL,
    "funnels": {"x": FUNNEL},
    "excluded": [{"identity": "x", "listed": "x", "alike": 90.0}],
}
FETCH = {
    "source": "x",
    "people": 1,
    "links": 1,
    "done": 1,
    "due": 1,
    "hosts": 1,
    "busiest": {"host": "x", "requests": 1, "per_s": 20.0, "least_hours": 0.1},
    "num_bytes": 1,
    "hours": {"author": 0.1, "measured": 0.1},
    "measured_by": "x",
    "share_accepted": 0.5,
    "is_outside": True,
    "has_consent": False,
}
CROP = {
    "source": "x",
    "pictures": 1,
    "to_search": 1,
    "to_crop": 1,
    "methods": ["x"],
    "cpu_hours": 0.1,
    "processes": 2,
    "hours": 0.1,
    "num_bytes": 1,
}
TRAIN = {
    "model": "x",
    "dataset": "x",
    "is_new": True,
    "faces": 1,
    "people": 1,
    "preset": "x",
    "device": "x",
    "steps": 1,
    "faces_per_step": 1,
    "hours": 0.1,
    "measured_by": "x",
    "num_trainings": 2,
}
VERSION = {"version": "x", "is_newest": True, "bytes": 1, "folder": "x", "settings": {"x": "x"}}
DATASET = {
    **VERSION,
    "dataset": "x",
    "samples": 1,
    "identities": 1,
    "published_at": "x",
    "tags": ["x"],
    "models": [{"model": "x", "aliases": ["x"]}],
    "pruned": "x",
}
MODEL = {
    **VERSION,
    "model": "x",
    "aliases": ["x"],
    "auc": 0.9,
    "dataset": "x",
    "dataset_is_here": False,
    "trained_at": "x",
}
EVENT = {
    "model": "x",
    "at": "x",
    "alias": "x",
    "action": "x",
    "forced": True,
    "by": "x",
    "why": "x",
    "version": "x",
    "over": "x",
    "figures": {"test": "x", "auc": AUC, "num_people": 30},
}
# What each function prints, "x" for every text that comes from outside.
SHOWN: dict[Callable[..., None], Any] = {
    custody.show_findings: {
        "parts": 1,
        "at_work": ["x"],
        "repaired": REPAIRED,
        "findings": [{"kind": "dangling", "path": "x", "detail": "x", "remedy": "x", "then": "x"}],
    },
    custody.show_notes: ["x"],
    custody.show_older_rules: {"x": {"x": 1}},
    custody.show_forgotten: {
        "recorded": "x",
        "purged": {
            "pictures": 1,
            "shards": 1,
            "removed": [],
            "datasets": {"x": 1},
            "models": {"x": "x"},
            "unknown": {"x": "x"},
        },
    },
    datasets.show_datasets: [DATASET],
    datasets.show_dataset: {
        **DATASET,
        "tags": [EVENT],
        "pruned": {"at": "x", "by": "x", "why": "x"},
        "source": "x",
        "method": "x",
        "code": {"facemill": "x", "revision": "x"},
        "select": {"x": "x"},
        "exclude": "x",
        "num_samples": 1,
        "num_identities": 1,
        "splits": {"x": {"samples": 1, "identities": 1}},
        "funnel": FUNNEL,
        "terms": "x",
    },
    datasets.show_diff: {
        "before": "x",
        "after": "x",
        "settings": [{"name": "x", "before": "x", "after": None}],
        "kept": 1,
        "changes": {"came": {"x": 1}},
        "lines": [{"change": "x", "identity": "x", "line": 1, "url": "x", "why": "x"}],
    },
    datasets.show_report: {"report": "x"},
    datasets.show_exported: {"samples": 1, "identities": 1, "dataset": "x", "to": "x", "path": "x"},
    doctor.show_doctor: {"checks": [{"check": "x", "level": "ok", "text": "x"}], "ok": 1, "warn": 0, "fail": 0},
    experiment.show_experiment: {
        "path": "x",
        "report": "x",
        "common_test": {"num_identities": 4, "num_faces": 8},
        "cells": [{**CELL, "own": REPORT, "common": REPORT}],
        "differences": [{"from": CELL, "to": CELL, "auc": AUC}],
    },
    faces.show_embedded: {
        "model": "x",
        "photos": [{"photo": "x", "reason": None, "box_xyxy": [0, 0, 1, 1], "score": 0.9, "embedding": [1.0]}],
    },
    faces.show_compared: {"is_same": True, "distance": 0.1, "threshold": 0.2, "probability": 0.9, "model": "x"},
    lake.show_status: {
        "sources": {
            "x": {
                "links": 1,
                "rejected_lines": 1,
                "candidates": 1,
                "accepted": 1,
                "rejected": {"x": 1},
                "due": 1,
                "faces": {"x": 1},
            }
        },
        "datasets": [DATASET],
        "models": [MODEL],
        "leases": [{"stage": "x", "of": "x", "unit": "x", "host": "x", "is_dead": True, "since": "x"}],
    },
    lake.show_disk: {
        "lake": "x",
        "bytes": 1,
        "files": 1,
        "kinds": {"x": {"files": 1, "bytes": 1}},
        "versions": {"x": [{"version": "x", "files": 1, "bytes": 1, "shared_bytes": 1, "pruned": True}]},
        "free_bytes": 1,
    },
    lake.show_merged: {"x": 1},
    lake.show_hosts: {"x": {**HOST, "hosts": 1, "hosts_with_failures": 1, "worst": [HOST]}},
    models.show_models: [MODEL],
    models.show_model: {
        "model": "x",
        "folder": "x",
        "bytes": 1,
        "manifest": {"trained_at": "x"},
        "metrics": {"trained": FIGURES, "untrained": FIGURES},
        "aliases": [EVENT],
        "config": {"x": "x"},
        "lineage": {"x": "x", "dataset": "x", "code": {"facemill": "x"}, "libraries": {"x": "x"}},
    },
    models.show_evaluation: {**FIGURES, "model": "x", "test": "x"},
    models.show_report: {"report": "x"},
    models.show_difference: {
        "made_of": {"x": ["x", "x"]},
        "figures": [FIGURES, FIGURES],
        "test": "x",
        "first": "x",
        "second": "x",
        "auc": AUC,
    },
    models.show_alias: EVENT,
    stages.show_ingested: {**FETCHED, "lines": 1, "rejected_lines": 1, "candidates": 1},
    stages.show_retried: FETCHED,
    stages.show_cropped: CROPPED,
    stages.show_published: [PUBLISHED],
    stages.show_summary: [PUBLISHED, PUBLISHED],
    costs.show_cost: {"fetch": [FETCH], "crop": [CROP], "train": TRAIN, "disk": {"needed": 1, "free": 1}},
    stages.show_trained: TRAINED,
    stages.show_trained_again: TRAINED,
    stages.show_doubts: [{"dataset": "x", "samples": 2, "doubtful": {"x": 1}, "model": "x"}],
    stages.show_changes: [
        {
            **PUBLISHED,
            "cleaned_from": {
                "samples": 2,
                "identities": 2,
                "changes": {"went": {"x": 1}, "came": {"x": 1}, "moved": {"x": 1}},
            },
        }
    ],
    stages.show_cleaned: [
        {
            "method": "x",
            "faces": 1,
            "people": 1,
            "wrong_person": 1,
            "model": "x",
            "same_person": [{"other": "x", "identity": "x", "same_person_score": 0.99}],
        }
    ],
    world.show_world: {"x": "x", "faults": {"x": 1}},
}


def poisoned(value: Any, text: str) -> Any:
    """`value` with `text` in place of every "x"."""
    match value:
        case str():
            return text if value == "x" else value
        case dict():
            return {poisoned(name, text): poisoned(one, text) for name, one in value.items()}
        case list() | tuple():
            return [poisoned(one, text) for one in value]
    return value


def printed(show: Callable[..., None], *given: Any) -> str:
    file = io.StringIO()
    show(Console(file=file, width=400, force_terminal=False), *given)
    return file.getvalue()


@pytest.mark.attack(15)
@pytest.mark.parametrize("text", NASTY, ids=ascii)
@pytest.mark.parametrize("show", SHOWN, ids=lambda show: show.__name__)
def test_a_nasty_name_is_printed_as_it_stands_or_escaped(show: Callable[..., None], text: str) -> None:
    shown = printed(show, poisoned(SHOWN[show], text))
    assert all(is_text(line) for line in shown.split("\n"))
    assert ascii(text)[1:-1].replace("\\\\", "\\") in shown.replace("\\\\", "\\")


@pytest.mark.attack(15)
def test_every_function_that_prints_is_tried() -> None:
    places = (costs, custody, datasets, doctor, experiment, faces, lake, models, stages, world)
    there = {value for place in places for name, value in vars(place).items() if name.startswith("show_")}
    inner = {stages.show_stage}
    assert there - inner - {custody.show_coverage} == set(SHOWN)


@pytest.mark.attack(15)
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_what_a_takedown_covers_is_printed_likewise(text: str) -> None:
    result = poisoned({"covers": [COVERED], "samples": {"x": 1}, "unknown": ["x"]}, text)
    assert all(is_text(line) for line in printed(custody.show_coverage, result).split("\n"))


@pytest.mark.attack(15)
def test_no_command_prints_past_the_terminal() -> None:
    """`Console.print` reads markup; it is given tables and texts alone."""
    folder = Path(terminal.__file__).parent
    for file in sorted(folder.glob("*.py")):
        calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        for call in calls:
            if isinstance(call.func, ast.Attribute) and call.func.attr == "print":
                assert not isinstance(call.args[0], ast.JoinedStr | ast.Constant), f"{file.name}:{call.lineno}"


@pytest.mark.attack(15)
@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_an_error_is_one_line_whatever_it_names(text: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["datasets", "show", f"{text}@v1", "--lake", str(tmp_path / f"no{text}".replace("/", ""))]
    )
    assert result.exit_code == 2
    assert all(is_text(line) for line in result.output.split("\n"))


@pytest.mark.attack(15)
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("`rm`", r"\`rm\`"),
        ("[a](http://x)", r"\[a\](http\://x)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("__a__", r"\_\_a\_\_"),
        ("![p](x)", r"!\[p\](x)"),
        ("a\nb", "a\\\\nb"),
        ("\x9b", "\\\\x9b"),
        ("José", "José"),
    ],
)
def test_text_from_outside_is_no_markdown(text: str, shown: str) -> None:
    assert artifacts.plain(text) == shown or artifacts.plain(text) == shown.replace("\\\\", "\\")


@pytest.mark.attack(15)
def test_a_page_that_came_with_a_model_loads_and_links_nothing() -> None:
    page_text = artifacts.foreign_page(
        "# A\n\n<script>x</script>\n![p](http://x)\n[a]: http://x\n| a | b |\n\x9b\u202e"
    )
    assert "# A" in page_text
    assert "| a | b |" in page_text
    for sign in ("<", "](", "]:", "\x9b", "\u202e"):
        assert sign not in page_text


@pytest.mark.attack(15)
@pytest.mark.parametrize("text", [*NASTY, "<script>", "' onload='x", '"><img>'], ids=ascii)
def test_a_page_shows_text_and_nothing_else(text: str) -> None:
    parts, svg = page.macros("parts.html"), page.macros("chart.html")
    marked = Chart(text, nice_axis(text, [1]), nice_axis(text, [1]))
    marked.mark(0, text)
    shown = [
        parts.contents([text]),
        parts.heading(text, text),
        parts.tiles([(text, text)]),
        parts.funnel([FunnelStage(text, 2, 1, {text: 1})], [text]),
        parts.table([text], [[text], [[text, text]]]),
        parts.counted([(text, 1)]),
        parts.shares({text: 1}),
        parts.sheet(text, text, [page.figure([b"no picture"], text)], text),
        histogram([0.5, 0.6], text).html(),
        svg.dot(0, 0, "blue", text),
        marked.html(),
    ]
    for html in shown:
        assert ascii(text)[1:-1].replace("\\\\", "\\") in unescape(html)
    html = "".join(shown)
    assert all(is_text(line) for line in html.split("\n"))
    assert "<script" not in html
    assert "<img" not in html
    assert "onload='" not in html

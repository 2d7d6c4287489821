"""What follows each command, by its result alone."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from flows.cli.app import all_commands
from flows.cli.next_step import ENDS, FOLLOWS, Place, Step, lines, next_steps

HERE = Place()
ELSEWHERE = Place("s3://bucket/my lake", is_default=False, source="mine")
PUBLISHED = [
    {"dataset": "faces-bbox", "version": "aaaa", "funnel": {}, "samples": 1},
    {"dataset": "faces-mtcnn", "version": "bbbb", "funnel": {}, "samples": 1},
]
TRAINED = {"model": "embedder", "version": "cccc"}
CLEANED = {"method": "mtcnn", "model": "embedder@cccc", "wrong_person": 3, "same_person": []}
NOTHING = {**CLEANED, "wrong_person": 0}
DOUBTED = [{"method": "bbox", "model": "embedder@cccc", "doubtful": {"wrong_person": 3}}, {**CLEANED, "doubtful": {}}]
FETCHED = {"asked": 4, "accepted": 3, "rejected": {"gone": 1}}


def texts(command: str, result: Any, place: Place = HERE) -> list[str]:
    return [f"{step.head} {step.text}" for step in next_steps(command, result, place)]


def test_every_command_says_what_follows_or_why_nothing_does() -> None:
    typed = {name.removeprefix("facemill ") for name, _, _ in all_commands()}
    assert typed == FOLLOWS.keys() | ENDS.keys()
    assert not FOLLOWS.keys() & ENDS.keys()


@pytest.mark.parametrize(
    ("command", "result", "told"),
    [
        (
            "pipeline",
            {"publish": PUBLISHED, "train": TRAINED},
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill clean --model embedder@cccc",
            ],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED, "train": {"flow_run": "a", "cleans": True}},
            ["folder lake/datasets/faces-mtcnn/bbbb", "page facemill report faces-mtcnn@bbbb"],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED, "train": {"flow_run": "a", "cleans": False}},
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill clean --fit-on faces-mtcnn@bbbb",
            ],
        ),
        (
            "publish",
            [{**PUBLISHED[0], "report": "lake/work/reports/faces-bbox-aaaa.html"}],
            [
                "folder lake/datasets/faces-bbox/aaaa",
                "page lake/work/reports/faces-bbox-aaaa.html",
                "next facemill train --dataset faces-bbox@aaaa",
            ],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED, "train": TRAINED, "clean": DOUBTED},
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill publish --cleaned-by embedder@cccc",
            ],
        ),
        (
            "pipeline",
            {"publish": [{**PUBLISHED[0], "dataset": "lab-bbox"}], "train": TRAINED, "clean": DOUBTED[:1]},
            [
                "folder lake/datasets/lab-bbox/aaaa",
                "page facemill report lab-bbox@aaaa",
                "next facemill publish --cleaned-by embedder@cccc --dataset lab --method bbox",
            ],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED, "train": TRAINED, "clean": DOUBTED[1:]},
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill models report embedder@cccc",
            ],
        ),
        (
            "pipeline",
            {
                "publish": PUBLISHED,
                "train": TRAINED,
                "clean": DOUBTED,
                "publish_cleaned": [{**PUBLISHED[1], "version": "dddd"}],
                "train_cleaned": {**TRAINED, "version": "eeee"},
            },
            [
                "folder lake/datasets/faces-mtcnn/dddd",
                "page facemill report faces-mtcnn@dddd",
                "next facemill models report embedder@eeee",
            ],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED, "train": {"model": "embedder", "left_out": "little changed"}},
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill clean --model embedder",
            ],
        ),
        (
            "pipeline",
            {"publish": PUBLISHED[:1], "train": {"left_out": "it names nobody"}},
            ["folder lake/datasets/faces-bbox/aaaa", "page facemill report faces-bbox@aaaa"],
        ),
        ("pipeline", {}, ["next facemill status"]),
        ("ingest", FETCHED, ["next facemill crop"]),
        ("ingest", {**FETCHED, "asked": 0, "accepted": 0}, ["next facemill crop"]),
        ("retry", {**FETCHED, "accepted": 0}, ["next facemill status --hosts"]),
        ("retry", {"sources": {"a": {**FETCHED, "accepted": 0}, "b": FETCHED}}, ["next facemill crop"]),
        ("crop", {"faces": {}}, ["next facemill publish"]),
        ("clean", [{**CLEANED, "method": "bbox"}, CLEANED], ["next facemill publish --cleaned-by embedder@cccc"]),
        ("clean", [CLEANED], ["next facemill publish --cleaned-by embedder@cccc --method mtcnn"]),
        ("clean", [NOTHING], ["next facemill status"]),
        (
            "clean",
            [{**CLEANED, "report": "a.html"}, {**CLEANED, "report": "b.html"}],
            ["page a.html", "page b.html", "next facemill publish --cleaned-by embedder@cccc"],
        ),
        (
            "publish",
            PUBLISHED,
            [
                "folder lake/datasets/faces-mtcnn/bbbb",
                "page facemill report faces-mtcnn@bbbb",
                "next facemill train --dataset faces-mtcnn@bbbb",
            ],
        ),
        (
            "train",
            TRAINED,
            [
                "folder lake/models/embedder/cccc",
                "page facemill models report embedder@cccc",
                "next facemill clean --model embedder@cccc",
            ],
        ),
        (
            "links",
            {"source": "mine", "links": "a b.csv", "recipe": None},
            ["next facemill ingest --source mine --links 'a b.csv'"],
        ),
        ("status", {"sources": {"a": {"due": 0}}, "datasets": []}, ["next facemill pipeline"]),
        ("status", {"sources": {"a": {"due": 2}}, "datasets": []}, ["next facemill retry"]),
        ("status", {"sources": {"a": {"due": 0}, "b": {"due": 2}}, "datasets": []}, ["next facemill retry --source b"]),
        ("datasets list", [], ["next facemill pipeline"]),
        ("models list", [TRAINED], ["next facemill models show embedder@cccc"]),
        ("datasets show", {"dataset": "faces-mtcnn@bbbb"}, ["page facemill report faces-mtcnn@bbbb"]),
        ("models promote", TRAINED, ["page facemill models report embedder@cccc"]),
        ("datasets tag", {"dataset": "faces-mtcnn", "version": "bbbb"}, ["page facemill report faces-mtcnn@bbbb"]),
        ("prune", {"pruned": None}, []),
        ("prune", {"pruned": {"removed": []}}, ["next facemill status --disk"]),
        ("embed", {"photos": [{"photo": "a.jpg", "reason": "no_face"}]}, []),
        (
            "serve",
            {"page": "http://127.0.0.1:4200/d", "scheduled": {"retry": "at 1", "pipeline": "at 2"}},
            ["now http://127.0.0.1:4200/d starts a run", "next retry at 1, pipeline at 2"],
        ),
        ("synthetic make", {"folder": "w"}, ["next facemill synthetic serve w"]),
    ],
)  # fmt: skip
def test_the_next_step_follows_from_the_result(command: str, result: Any, told: list[str]) -> None:
    assert texts(command, result) == told


def test_commands_name_the_lake_and_its_source_where_they_must() -> None:
    assert texts("clean", [CLEANED], ELSEWHERE) == [
        "next facemill publish --cleaned-by embedder@cccc --method mtcnn --source mine --lake 's3://bucket/my lake'"
    ]
    assert texts("train", TRAINED, ELSEWHERE)[0] == "folder s3://bucket/my lake/models/embedder/cccc"
    assert texts("train", TRAINED, Place("./lake/", is_default=True))[0] == "folder lake/models/embedder/cccc"


@pytest.mark.parametrize("command", ["pipeline", "clean", "publish", "train", "crop", "status"])
def test_a_command_that_is_named_exists_with_its_options(command: str) -> None:
    results = {
        "pipeline": {"publish": PUBLISHED, "train": TRAINED},
        "clean": [CLEANED],
        "publish": PUBLISHED,
        "train": TRAINED,
        "crop": {"faces": {}},
        "status": {"sources": {"a": {"due": 2}}, "datasets": []},
    }
    known = {name: {option for one in parser.params for option in one.opts} for name, _, parser in all_commands()}
    for step in next_steps(command, results[command], ELSEWHERE):
        if step.text.startswith("facemill "):
            words = shlex.split(step.text)
            typed = next(name for name in sorted(known, key=len, reverse=True) if step.text.startswith(name))
            assert {word for word in words if word.startswith("--")} <= known[typed]


def test_lines_are_short_and_their_texts_stand_below_each_other() -> None:
    shown = lines([Step("folder", "a"), Step("next", "b")])
    assert shown == ["[bold]folder[/]   a", "[bold]next[/]     b"]
    for step in next_steps("pipeline", {"publish": [{**PUBLISHED[1], "version": "f" * 16}], "train": TRAINED}, HERE):
        assert len(step.text) <= 80 - 9

"""The lists of dataset and model versions: what tells the versions apart, on 80 columns."""

from __future__ import annotations

from typing import Any

import pytest
from rich.cells import cell_len

from flows.cli.version_lists import dataset_lines, model_lines, newest_lines, setting_texts


def plain(lines: list[str]) -> list[str]:
    return [line.replace("[bold]", "").replace("[/]", "") for line in lines]


def dataset(version: str, samples: int | None = 2_959, **changes: Any) -> dict[str, Any]:
    return {
        "dataset": "faces-mtcnn",
        "version": version * 16,
        "published_at": f"2026-11-2{version}T14:02:33.123+00:00",
        "samples": samples,
        "identities": None if samples is None else 40,
        "tags": [],
        "bytes": 9_800_000,
        "folder": f"lake/datasets/faces-mtcnn/{version * 16}",
        "settings": {},
        "models": [],
        **changes,
    }


def model(version: str, **changes: Any) -> dict[str, Any]:
    return {
        "model": "embedder",
        "version": version * 16,
        "trained_at": f"2026-11-2{version}T14:10:00+00:00",
        "dataset": "faces-mtcnn@" + "1" * 16,
        "dataset_is_here": True,
        "auc": 0.9493,
        "auc_untrained": 0.7,
        "aliases": [],
        "is_newest": False,
        "bytes": 2_500_000,
        "folder": f"lake/models/embedder/{version * 16}",
        "settings": {},
        **changes,
    }


TWO = [
    dataset("1", settings={"select.min_face_px": 40}, models=[{"model": "embedder@0123", "aliases": ["champion"]}]),
    dataset("2", 324, settings={"select.min_face_px": 150}, tags=["latest", "golden"]),
]


def test_versions_are_told_apart_by_settings_bytes_and_models_and_the_newest_is_marked() -> None:
    assert plain(dataset_lines(TWO, 80)) == [
        "dataset faces-mtcnn: 2 versions, 19.6 MB",
        "  1111111111111111  2026-11-21 14:02  2,959 faces of 40 people  9.8 MB",
        "      select.min_face_px=40, trained on it: embedder@0123 (champion)",
        "  2222222222222222  2026-11-22 14:02  324 faces of 40 people    9.8 MB",
        "      latest, golden, select.min_face_px=150",
    ]


def test_a_model_version_names_its_dataset_its_aliases_and_what_was_set() -> None:
    rows = [
        model("1", aliases=["champion"], settings={"margin": 1.0}),
        model("2", is_newest=True, settings={"margin": 2.0}, dataset_is_here=False, auc=None),
    ]
    assert plain(model_lines(rows, 80)) == [
        "model embedder: 2 versions, 5.0 MB",
        "  1111111111111111  2026-11-21 14:10  AUC 0.949    2.5 MB",
        "      champion, margin=1.0, trained on faces-mtcnn@1111111111111111",
        "  2222222222222222  2026-11-22 14:10  AUC unknown  2.5 MB",
        "      newest, margin=2.0,",
        "      trained on faces-mtcnn@1111111111111111, which is not in this lake",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_no_line_is_wider_than_the_terminal_and_no_item_is_broken(width: int) -> None:
    settings: dict[str, Any] = {f"select.field_{number}": number for number in range(12)}
    models = [{"model": f"embedder@{number:016d}", "aliases": ["candidate"]} for number in range(5)]
    lines = plain(dataset_lines([dataset("3", 122_000, settings=settings, models=models, identities=2_622)], width))
    assert all(cell_len(line) <= width for line in lines)
    for item in (*setting_texts(settings), *(f"{one['model']} (candidate)" for one in models)):
        assert sum(item in line for line in lines) == 1, item


def test_what_an_old_manifest_lacks_is_unknown() -> None:
    assert "an unknown number of faces  9.8 MB" in plain(dataset_lines([dataset("1", None)], 80))[1]
    assert "at an unknown time" in plain(model_lines([model("1", trained_at=None)], 80))[1]


def test_the_status_names_the_folder_of_the_newest_version_only() -> None:
    assert newest_lines(TWO, "dataset", 80) == [
        "dataset  faces-mtcnn@2222222222222222, 2026-11-22 14:02, 324 faces of 40 people,",
        "         9.8 MB, golden, newest of 2 versions, 19.6 MB together",
        "         lake/datasets/faces-mtcnn/2222222222222222",
    ]


def test_a_setting_is_written_as_set_takes_it_and_a_long_value_is_cut() -> None:
    assert setting_texts({"a.b": True, "c": None, "d": [1, 2], "e": "x"}) == ["a.b=true", "c=null", "d=[1, 2]", "e=x"]
    assert setting_texts({"exclude": "f" * 64}) == [f"exclude={'f' * 40}..."]


def test_a_pruned_version_says_when() -> None:
    lines = plain(dataset_lines([dataset("1", pruned="2026-11-27T05:00:00+00:00"), dataset("2", pruned=None)], 80))
    assert lines[2] == "      pruned 2026-11-27 05:00"
    assert not any("pruned" in line for line in lines[3:])

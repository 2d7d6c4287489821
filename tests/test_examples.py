"""The notebooks of `examples/` run from top to bottom, the second in the folder of the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str) -> dict[str, Any]:
    """The variables of a notebook after its last cell."""
    cells = json.loads((EXAMPLES / name).read_text())["cells"]
    variables: dict[str, Any] = {"__name__": name}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name} {cell['id']}", "exec"), variables)
    return variables


def test_a_list_becomes_a_dataset_and_its_faces_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    first = run("list_to_dataset.ipynb")
    second = run("search_faces.ipynb")

    assert first["sheet"].getextrema() != ((255, 255),) * 3
    assert second["embeddings"].shape == (len(second["faces"]), 128) and len(second["faces"]) > 10
    assert 0 <= second["comparison"].probability <= 1


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_no_output_is_kept_in_a_notebook(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    assert [cell["id"] for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []

"""The code in the documents that reads datasets is run as it stands there, on a version that was just published."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from storage.records import Reason
from storage.tables.parquet import write_table
from storage.versions.datasets import versions
from tasks.dataset.split import SplitRules
from tests.tasks.builders import attempt, attempts
from tests.tasks.dataset.test_publish_version import ROWS, Made, make

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def snippets(language: str) -> list[str]:
    """The blocks of one language that read a version or a lake."""
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    return [one for one in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL) if re.search("VERSION|lake/", one)]


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The newer of two versions in `lake/` below the folder that the snippets run in."""
    made = make(tmp_path / "lake")
    request = replace(made.request, name="faces-mtcnn")
    Made(made.lake, replace(request, split=SplitRules(test_share=0.5)), made.content).publish()
    made = Made(made.lake, request, made.content)
    failed = attempts(attempt("http://a.example/1"), attempt("http://a.example/2", Reason.DNS))
    write_table(made.lake, f"{made.lake.images('vggface1', '0000-0')}.parquet", failed)
    monkeypatch.chdir(tmp_path)
    folder = Path(made.lake.full(made.publish().dataset.folder))
    assert len(versions(made.lake, "faces-mtcnn")) == 2
    return folder


def test_the_documents_show_every_reader_that_is_promised() -> None:
    code = "\n".join(snippets("python"))
    for reader in ("pandas", "pyarrow.dataset", "webdataset", "torch"):
        assert re.search(rf"^(import|from) {reader}\b", code, re.MULTILINE), reader
    assert len(snippets("sql")) == 3


@pytest.mark.parametrize("code", snippets("python"))
def test_python_in_the_documents_reads_a_version(version: Path, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(code.replace("VERSION", str(version)), {"__name__": "snippet"})

    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("query", snippets("sql"))
def test_sql_in_the_documents_counts_one_version_of_two(version: Path, query: str) -> None:
    import duckdb

    with duckdb.connect() as database:
        rows = database.execute(query.replace("VERSION", str(version))).fetchall()

    assert sum(row[-1] for row in rows) == (2 if "images" in query else len(ROWS))

"""The measured figures of the documents: each has a command that prints it, and all documents state the same value."""

from __future__ import annotations

import importlib
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_docs import CURRENT, ROOT, code_of

BENCHMARKS = ROOT / "docs" / "benchmarks.md"
_COMMAND = r"python -m bench\.(\w+)[^`]*"
_OPTION = r"--[a-z][a-z-]*"


def cells_of(text: str) -> Iterator[list[str]]:
    """The cells of every table row that names a benchmark."""
    for line in text.splitlines():
        if line.startswith("|") and "python -m bench." in line:
            yield [cell.strip() for cell in line.strip("|").split("|")]


def numbers(text: str) -> set[str]:
    """The numbers in a text: `1,103`, `4.14`, and `1.47.0` as one. Code and link targets have none."""
    plain = re.sub(r"\]\([^)]*\)|`[^`]*`", "", text)
    return set(re.findall(r"(?<![\w.])\d+(?:[.,]\d+)*", plain))


def pages_of(cell: str) -> Iterator[Path]:
    """The pages that a cell links."""
    for target in re.findall(r"\]\(([^)#]+)", cell):
        yield BENCHMARKS.parent / target


ROWS = list(cells_of(BENCHMARKS.read_text()))
# The options with which documents call each benchmark.
CALLED: dict[str, set[str]] = defaultdict(set)
# What the table of benchmarks and the pages linked there say of each benchmark.
SAID: dict[str, set[str]] = defaultdict(set)
for document in CURRENT:
    for code in code_of(document.read_text()):
        for call in re.finditer(_COMMAND, code):
            CALLED[call[1]] |= set(re.findall(_OPTION, call[0]))
for figure, value, command, *explained in ROWS:
    name = re.findall(_COMMAND, command)[0]
    SAID[name] |= numbers(f"{figure} {value}")
    for page in pages_of(" ".join(explained)):
        SAID[name] |= numbers(page.read_text())


@pytest.mark.parametrize("name", sorted(CALLED))
def test_a_benchmark_of_a_document_explains_itself_and_the_options_it_is_called_with(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"bench/{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"bench.{name}").main()
    assert not ended.value.code
    assert CALLED[name] - set(re.findall(_OPTION, capsys.readouterr().out)) == set()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_value_of_the_table_of_figures_stands_in_the_page_that_explains_it(row: list[str]) -> None:
    _, value, _, explained = row
    for page in pages_of(explained):
        assert numbers(value) - numbers(page.read_text()) == set()


def test_a_figure_of_the_readme_stands_in_the_table_of_figures() -> None:
    for measured, printed_by in cells_of((ROOT / "README.md").read_text()):
        name = re.findall(_COMMAND, printed_by)[0]
        assert numbers(measured) - SAID[name] == set(), measured


@pytest.mark.parametrize("decision", sorted((ROOT / "docs" / "adr").glob("*.md")), ids=lambda path: path.stem)
def test_a_figure_that_a_decision_has_from_a_benchmark_stands_in_the_page_that_explains_it(decision: Path) -> None:
    for point in re.split(r"\n- |\n\n", decision.read_text()):
        called = re.findall(_COMMAND, point)
        said = set().union(*(SAID[name] for name in called))
        assert not called or numbers(point) - said == set(), point

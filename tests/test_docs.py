"""The documents against the code: what a user may meet is named in them, with the meaning it has."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pytest
import typer
from pydantic import SecretStr

from flows.cli.app import app
from flows.settings import Settings
from storage import records
from storage.lake import FORMAT
from storage.records import Reason
from tasks.maintenance.fsck.findings import Kind

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LAKE = (ROOT / "docs" / "lake.md").read_text()
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
SECTIONS = {
    "LINK_LINES": "links",
    "REJECTED_LINES": "links",
    "CANDIDATES": "plan",
    "ATTEMPTS": "images",
    "VERDICTS": "unique",
    "DETECTIONS": "detections",
    "FACES": "faces",
    "TAKEDOWNS": "takedowns",
    "SAMPLES": "datasets",
    "FATES": "datasets",
    "SCORES": "evaluations",
    "FACE_VERDICTS": "cleaned",
    "SAME_PEOPLE": "cleaned",
}


def table_rows(text: str) -> list[list[str]]:
    """The cells of every table row."""
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def section(title: str) -> str:
    """The text below the heading `## <title>`, with or without a colon and more words."""
    return re.split(rf"^## {title}\b.*$", LAKE, flags=re.MULTILINE)[1].split("\n## ")[0]


def command_names(group: typer.Typer, before: str = "facemill") -> list[str]:
    """`facemill <name>` for every command, also those of groups."""
    own = [f"{before} {info.name or info.callback.__name__}" for info in group.registered_commands if info.callback]
    groups = [(one.typer_instance, f"{before} {one.name}") for one in group.registered_groups]
    return own + [name for inner, path in groups if inner for name in command_names(inner, path)]


def test_every_schema_has_a_section() -> None:
    schemas = {name for name, value in vars(records).items() if isinstance(value, pa.Schema)}
    assert schemas == set(SECTIONS)


@pytest.mark.parametrize("schema", SECTIONS)
def test_every_column_stands_in_the_section_of_its_table(schema: str) -> None:
    described = {name for row in table_rows(section(SECTIONS[schema])) for name in re.findall(r"`(\w+)`", row[0])}
    assert set(getattr(records, schema).names) <= described


def test_every_reason_is_listed_with_its_retry_verdict_and_no_other() -> None:
    listed = {row[0].strip("`"): row[-1] for row in table_rows(section("Reasons"))}
    assert listed == {reason.value: reason.retry.value for reason in Reason}


def test_every_kind_of_finding_is_listed_and_no_other() -> None:
    assert {row[0].strip("`") for row in table_rows(section("Findings"))} == {kind.value for kind in Kind}


def test_the_lake_document_describes_the_format_that_is_written() -> None:
    assert f"describes format {FORMAT}," in LAKE


@pytest.mark.parametrize("command", command_names(app))
def test_every_command_stands_in_the_readme(command: str) -> None:
    assert f"`{command}`" in README


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_environment_variable_stands_in_the_readme_with_its_default(name: str) -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table_rows(README)}
    default = Settings.model_fields[name].get_default()
    default = default.get_secret_value() if isinstance(default, SecretStr) else default
    told = rows[f"FACEMILL_{name.upper()}"]
    assert (told if isinstance(default, str) else json.loads(told)) == default


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_link_between_documents_is_broken(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        name, _, heading = target.partition("#")
        linked = (document.parent / name) if name else document
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in {one.lower().replace(" ", "-") for one in headings}, target


def marked_files(marker: str) -> dict[int, set[str]]:
    """The test files that use `@pytest.mark.<marker>(number)`, by number."""
    found: dict[int, set[str]] = defaultdict(set)
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(attr=name), args=numbers) if name == marker:
                    for number in numbers:
                        if isinstance(number, ast.Constant) and isinstance(number.value, int):
                            found[number.value].add(path.relative_to(ROOT).as_posix())
    return dict(found)


@pytest.mark.parametrize(("document", "marker"), [("situations.md", "case"), ("security.md", "attack")])
def test_every_numbered_row_names_the_files_of_its_tests(document: str, marker: str) -> None:
    rows = [line.strip("| ").split("|") for line in (ROOT / "docs" / document).read_text().splitlines()]
    numbered = {
        int(row[0]): set(re.findall(r"`(tests/[\w/]+\.py)`", row[-1])) for row in rows if row[0].strip().isdigit()
    }
    assert numbered == marked_files(marker)


def test_the_reference_is_what_the_code_says() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    assert (ROOT / "docs" / "reference.md").read_text() == script["reference"](), "run: make reference"

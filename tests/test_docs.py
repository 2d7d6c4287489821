"""The documents against the code: what a user may meet is named in them, and what they name exists."""

from __future__ import annotations

import ast
import json
import re
import runpy
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pydantic import SecretStr

import facemill
from flows.cli.app import all_commands
from flows.configuration.settings import Settings
from storage import records
from storage.files.lake import FORMAT
from storage.reason_meanings import reason_meanings
from storage.records import Reason
from tasks.maintenance.fsck.findings import Kind

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
LAKE = (ROOT / "docs" / "lake.md").read_text()
REFERENCE = (ROOT / "docs" / "reference.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = sorted((ROOT / "docs").rglob("*.md"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *PAGES]
# Those that speak of today; the changelog may name what has been renamed since.
CURRENT = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
_FOLDERS = "facemill|flows|tasks|model|storage|synthetic|tests|bench|docs|deploy|examples"
every_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
every_current = pytest.mark.parametrize("document", CURRENT, ids=lambda path: path.relative_to(ROOT).as_posix())
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
    "PLACED_SAMPLES": "datasets",
    "LINE_OUTCOMES": "datasets",
    "STORED_OUTCOMES": "datasets",
    "SHARED_LINES": "datasets",
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


SCRIPT = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
COMMANDS = {path: command for path, _, command in all_commands()}


def code_of(text: str) -> Iterator[str]:
    """Every piece of inline code, and every line of a block; lines that end with a backslash are joined."""
    blocks = r"^```.*?^```"
    for block in re.findall(blocks, text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()[1:-1]
    yield from re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", re.sub(blocks, "", text, flags=re.MULTILINE | re.DOTALL))


def calls_of(text: str) -> Iterator[list[str]]:
    """The words of every `facemill` command line, without variables before it and what a shell does after it."""
    for code in code_of(text):
        found = re.search(r"^(?:[A-Z_]+=(?:'[^']*'|\S*) )*facemill (?P<words>[^#|;)]*)", " ".join(code.split()))
        if found and not code.lstrip().startswith("facemill:"):
            yield found["words"].split()


def test_every_schema_has_a_section() -> None:
    schemas = {name for name, value in vars(records).items() if isinstance(value, pa.Schema)}
    assert schemas == set(SECTIONS)


@pytest.mark.parametrize("schema", SECTIONS)
def test_every_column_stands_in_the_section_of_its_table(schema: str) -> None:
    described = {name for row in table_rows(section(SECTIONS[schema])) for name in re.findall(r"`(\w+)`", row[0])}
    assert set(getattr(records, schema).names) <= described


def test_every_reason_has_a_meaning_and_no_other_has() -> None:
    assert set(reason_meanings()) == {reason.value for reason in Reason}


def test_every_kind_of_finding_is_listed_and_no_other() -> None:
    assert {row[0].strip("`") for row in table_rows(section("Findings"))} == {kind.value for kind in Kind}


def test_the_lake_document_describes_the_format_that_is_written() -> None:
    assert f"describes format {FORMAT}," in LAKE


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_stands_in_the_reference(command: str) -> None:
    assert f"\n### {command}\n" in REFERENCE


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_environment_variable_stands_in_the_reference_with_its_default(name: str) -> None:
    rows = {row[0].strip("`"): row[1].strip("`") for row in table_rows(REFERENCE)}
    default = Settings.model_fields[name].get_default()
    default = default.get_secret_value() if isinstance(default, SecretStr) else default
    told = rows[f"FACEMILL_{name.upper()}"]
    assert (told if isinstance(default, str) else json.loads(told)) == default


def test_the_readme_is_one_screen_and_a_tour() -> None:
    assert 8 * 1024 <= len(README.encode()) <= 10 * 1024


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_every_package_has_a_row_in_the_table_of_folders(page: str) -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "bench"}
    listed = {name for row in table_rows((ROOT / page).read_text()) for name in re.findall(r"`(\w+)/`", row[0])}
    assert packages - listed == set()


def anchor(heading: str) -> str:
    """The id of a heading, on GitHub and in the pages that mkdocs makes."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@every_document
def test_no_link_or_image_is_broken(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", text):
        name, _, heading = target.partition("#")
        linked = (document.parent / name) if name else document
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE) if heading else []
        assert not heading or heading in set(map(anchor, headings)), target


def test_every_page_is_in_the_navigation() -> None:
    def listed(part: Any) -> Iterator[str]:
        match part:
            case str():
                yield part
            case dict():
                yield from (page for value in part.values() for page in listed(value))
            case list():
                yield from (page for value in part for page in listed(value))

    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert sorted(listed(navigation)) == [path.relative_to(ROOT / "docs").as_posix() for path in PAGES]


@every_current
def test_every_command_of_a_document_exists_with_its_options(document: Path) -> None:
    for words in calls_of(document.read_text()):
        if words[:1] in ([], ["--help"], ["--version"], ["COMMAND"]):
            continue
        name = next(
            (name for name in (f"facemill {' '.join(words[:2])}", f"facemill {words[0]}") if name in COMMANDS), ""
        )
        assert name, words
        known = {option for one in COMMANDS[name].params for option in [*one.opts, *one.secondary_opts]} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, words


@every_current
def test_every_file_of_a_document_exists(document: Path) -> None:
    for code in code_of(document.read_text()):
        for path in re.findall(rf"(?<![\w./*-])(?:{_FOLDERS})/[\w./-]*", code):
            assert (ROOT / path.rstrip(".")).exists(), path


@every_current
def test_every_benchmark_and_target_of_a_document_exists(document: Path) -> None:
    benchmarks = (ROOT / "docs" / "benchmarks.md").read_text()
    for code in code_of(document.read_text()):
        for name in re.findall(r"python -m bench\.(\w+)", code):
            assert (ROOT / "bench" / f"{name}.py").exists(), code
            assert f"python -m bench.{name}" in benchmarks, f"docs/benchmarks.md does not list bench.{name}"
        for target in re.findall(r"^(?:\w+=\S+ )*make ([a-z]+)", code):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), code


@every_current
def test_what_a_document_imports_from_facemill_is_public(document: Path) -> None:
    for names in re.findall(r"^from facemill import (.+)$", document.read_text(), re.MULTILINE):
        assert set(names.split(", ")) <= set(facemill.__all__)


@every_current
def test_no_document_names_a_folder_of_one_machine(document: Path) -> None:
    assert not re.search(r"(?<![\w.])/(?:tmp|root|home|Users)/", document.read_text())


def test_the_images_are_those_that_the_script_makes_and_small() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_images.py"))
    images = {path.name: path.stat().st_size for path in (ROOT / "docs" / "img").iterdir()}
    assert set(images) == set(script["IMAGES"])
    assert max(images.values()) <= script["MAX_BYTES"]
    pages = "".join(page.read_text() for page in (ROOT / "docs" / "guides").glob("*.md"))
    assert [name for name in images if f"(docs/img/{name})" not in README and f"(../img/{name})" not in pages] == []


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
    assert SCRIPT["reference"]() == REFERENCE, "run: make reference"

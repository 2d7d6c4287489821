"""The contract of every source."""

import pytest

from storage.errors import SourceError, UsageError
from storage.records import LINK_LINES, REJECTED_LINES
from tasks.links.sources import SOURCES, source_named

LINE = "00000001 http://a.example/x.jpg 10.50 20.25 110.50 120.25 4.00 3.59 1\n"


@pytest.fixture(params=SOURCES.values(), ids=list(SOURCES))
def source(request):
    return request.param


@pytest.fixture
def folder(source, tmp_path):
    """Two people, in the layout of the source."""
    root = tmp_path / source.name
    for name in ["A", "B"]:
        file = root / f"{name}.txt" if source.parse_file else root / name / "1.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(LINE)
    return root


def test_a_source_is_found_by_its_own_name(source):
    assert source_named(source.name) is source
    assert source.terms.endswith(".")


def test_an_unknown_name_is_answered_with_those_there_are():
    with pytest.raises(UsageError, match="vggface1, vggface2, synthetic"):
        source_named("lfw")


def test_a_source_reads_its_layout_into_the_two_tables(source, folder):
    found = source.read(folder, None, "here")
    assert found.lines.schema == LINK_LINES and found.rejected.schema == REJECTED_LINES
    assert found.lines["identity"].to_pylist() == ["A", "B"]
    assert found.num_lines == len(found.lines) + len(found.rejected)
    assert (found.lines["box_xyxy"].null_count == 0) == source.has_boxes


def test_a_source_reads_the_same_twice_and_its_fingerprint_says_so(source, folder):
    assert source.fingerprint(folder) == source.fingerprint(folder) != ""
    assert source.read(folder, None, "here").lines == source.read(folder, None, "here").lines


def test_a_source_names_a_place_that_is_not_there(source, tmp_path):
    assert source.fingerprint(tmp_path / "nowhere") == ""
    with pytest.raises(SourceError, match=r"^nowhere (is|does) not "):
        source.read(tmp_path / "nowhere", None, "nowhere")


def test_only_a_source_of_link_files_is_fetched_over_http(source):
    assert (source.transport == "http") == (source.parse_file is not None)

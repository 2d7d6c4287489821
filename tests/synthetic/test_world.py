import csv
import filecmp
import json
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image

from storage.errors import UsageError
from synthetic.fault_recipes import PRIVATE_TARGETS
from synthetic.response_table import BoxRow, Response, read_boxes, read_responses
from synthetic.world import make_world, world_summary


@pytest.fixture(scope="module")
def responses(world: Path) -> dict[str, Response]:
    return {response.url: response for response in read_responses(world)}


@pytest.fixture(scope="module")
def boxes(world: Path) -> list[BoxRow]:
    return list(read_boxes(world))


def link_lines(world: Path) -> list[tuple[str, list[str]]]:
    files = sorted((world / "links").iterdir())
    return [(path.stem, line.split(" ")) for path in files for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- making --


def test_two_makings_with_the_same_seed_are_the_same_byte_for_byte(tmp_path):
    for name in ("one", "two"):
        make_world(tmp_path / name, num_identities=3, per_identity=8, seed=5)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_makes_another_world(tmp_path):
    for seed in (1, 2):
        make_world(tmp_path / str(seed), num_identities=1, per_identity=3, seed=seed)
    assert not filecmp.cmp(tmp_path / "1" / "responses.csv", tmp_path / "2" / "responses.csv", shallow=False)


def test_a_finished_world_is_left_as_it_is(world):
    before = {path: path.stat().st_mtime_ns for path in world.rglob("*")}
    summary = make_world(world, num_identities=6, per_identity=20, seed=3)
    assert {path: path.stat().st_mtime_ns for path in world.rglob("*")} == before
    assert summary == world_summary(world)


def test_a_making_that_was_interrupted_is_done_again(tmp_path):
    class Interruption(Exception):
        pass

    def interrupt(done: int, total: int) -> None:
        raise Interruption

    arguments: dict[str, Any] = {"num_identities": 2, "per_identity": 3, "seed": 1}
    with pytest.raises(Interruption):
        make_world(tmp_path / "world", **arguments, on_progress=interrupt)
    assert not (tmp_path / "world").exists()
    make_world(tmp_path / "world", **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["world"]


def test_progress_is_told_in_links(tmp_path):
    steps: list[tuple[int, int]] = []
    make_world(
        tmp_path / "world",
        num_identities=2,
        per_identity=2,
        seed=1,
        on_progress=lambda done, total: steps.append((done, total)),
    )
    assert steps == [(2, 4), (4, 4)]


@pytest.mark.parametrize("numbers", [(0, 5, 1), (5, 0, 1), (5, 5, -1), (1_000_000, 5, 1)])
def test_a_number_out_of_range_is_refused(tmp_path, numbers):
    num_identities, per_identity, seed = numbers
    with pytest.raises(UsageError, match="a synthetic dataset has 1 to"):
        make_world(tmp_path / "world", num_identities=num_identities, per_identity=per_identity, seed=seed)


def test_a_folder_that_holds_something_else_is_refused(tmp_path, world):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="no complete dataset"):
        make_world(tmp_path, num_identities=1, per_identity=1, seed=1)
    with pytest.raises(UsageError, match="is a file"):
        make_world(tmp_path / "notes.txt", num_identities=1, per_identity=1, seed=1)
    with pytest.raises(UsageError, match="another dataset"):
        make_world(world, num_identities=1, per_identity=1, seed=1)


def test_a_folder_that_is_no_world_has_no_summary(tmp_path):
    with pytest.raises(UsageError, match=r"no responses\.csv"):
        world_summary(tmp_path)


# -- the link files --


def test_every_line_has_nine_fields_like_vggface1(world):
    line = re.compile(r"\d{8} https?://\S+( -?\d+\.\d\d){4} [1-5]\.00 \d\.\d\d [01]")
    for path in (world / "links").iterdir():
        assert re.fullmatch(r"[A-Za-z_.'-]+\.txt", path.name)
        lines = path.read_bytes().decode("ascii").split("\n")
        assert lines.pop() == ""
        assert all(line.fullmatch(text) for text in lines)
        assert [int(text[:8]) for text in lines] == list(range(1, 21))


def test_every_listed_box_is_a_square(world):
    for _, fields in link_lines(world):
        left, top, right, bottom = map(float, fields[2:6])
        assert right - left == pytest.approx(bottom - top, abs=0.021)


def test_every_linked_url_has_one_answer_and_every_answer_but_targets_a_link(world, responses):
    linked = {fields[1] for _, fields in link_lines(world)}
    rows = list(read_responses(world))
    assert len(rows) == len(responses)
    assert linked == {row.url for row in rows if row.expect != "target"}


def test_only_names_nobody_can_own_are_linked(responses):
    hosts = {urlsplit(url).hostname or "" for url in responses}
    assert all(host.endswith((".example", ".invalid")) for host in hosts)
    for url, response in responses.items():
        assert ((urlsplit(url).hostname or "").endswith(".invalid")) == (response.kind == "nxdomain")


def test_boxes_csv_follows_the_link_files(world, boxes):
    listed = [(name, int(fields[0]), fields[1]) for name, fields in link_lines(world)]
    assert sorted((row.identity, row.line, row.url) for row in boxes) == sorted(listed)


# -- the truth --


def test_44_of_100_links_are_dead(responses):
    assert sum(response.expect == "rejected" for response in responses.values()) / 120 == pytest.approx(0.44, abs=0.03)


def test_every_kind_of_answer_occurs(responses):
    assert {response.kind for response in responses.values()} == {
        *("image", "status", "html", "redirect", "nxdomain", "reset", "hang", "slow", "drip"),
        *("truncated", "endless", "gzipbomb"),
    }
    assert {response.expect for response in responses.values()} == {"accepted", "rejected", "policy", "target"}


def test_a_box_of_a_dead_link_never_fits(responses, boxes):
    assert not any(row.box_ok for row in boxes if responses[row.url].expect != "accepted")


def test_5_to_10_of_100_boxes_of_living_links_do_not_fit(responses, boxes):
    alive = [row for row in boxes if responses[row.url].expect == "accepted"]
    assert 0.05 <= sum(not row.box_ok for row in alive) / len(alive) <= 0.1


def test_bodies_that_must_be_accepted_are_the_pictures_they_are_said_to_be(world, responses):
    for response in responses.values():
        if response.expect in ("accepted", "target") and response.body:
            with Image.open(world / "bodies" / response.body) as image:
                image.load()
                assert f"{image.width}x{image.height}" == response.size
                assert response.truth_identity and int(response.faces) >= 1


def test_a_copy_is_equal_or_smaller_and_names_an_original(world, responses):
    copies = [response for response in responses.values() if response.same_as]
    exact = [copy for copy in copies if copy.body == responses[copy.same_as].body]
    assert exact and len(exact) < len(copies)
    for copy in copies:
        original = responses[copy.same_as]
        assert not original.same_as and copy.truth_identity == original.truth_identity
        assert int(copy.size.split("x")[0]) <= int(original.size.split("x")[0])


def test_redirects_lead_to_targets_to_themselves_or_to_private_addresses(responses):
    redirects = [response for response in responses.values() if response.kind == "redirect"]
    for redirect in redirects:
        if redirect.expect == "accepted":
            target = responses[redirect.location]
            assert (target.expect, target.truth_identity) == ("target", redirect.truth_identity)
        else:
            assert redirect.location in ("SELF", *PRIVATE_TARGETS)
            assert redirect.expect == ("rejected" if redirect.location == "SELF" else "policy")
    assert {redirect.expect for redirect in redirects} == {"accepted", "rejected", "policy"}


def test_the_placeholder_comes_from_many_hosts_for_many_people(world, responses, boxes):
    people, hosts = defaultdict(set), defaultdict(set)
    for row in boxes:
        response = responses[row.url]
        if response.expect == "rejected" and response.kind == "image":
            people[response.body].add(row.identity)
            hosts[response.body].add(urlsplit(row.url).hostname)
    placeholder = max(people, key=lambda body: len(people[body]))
    assert len(people[placeholder]) >= 4 and len(hosts[placeholder]) >= 3


def test_some_links_lead_to_another_person(responses, boxes):
    others = {responses[row.url].truth_identity for row in boxes} - {row.identity for row in boxes}
    assert others - {""}


def test_one_url_stands_under_two_people_and_one_twice_under_one(boxes):
    owners = defaultdict(list)
    for row in boxes:
        owners[row.url].append(row.identity)
    assert any(len(set(names)) == 2 for names in owners.values())
    assert any(len(names) > len(set(names)) for names in owners.values())


def test_headers_are_json_and_tell_of_waiting_or_of_opting_out(responses):
    for response in responses.values():
        headers = json.loads(response.headers or "{}")
        assert set(headers) <= {"Retry-After", "X-Robots-Tag"}
        assert ("X-Robots-Tag" in headers) == (response.expect == "policy" and response.kind == "image")
        assert response.fail_status not in (429, 503) or headers == {"Retry-After": "1"}


def test_the_summary_counts_what_the_files_hold(world):
    summary = world_summary(world)
    with (world / "responses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert (summary.num_identities, summary.num_links) == (6, 120)
    assert summary.kinds == Counter(row["kind"] for row in rows)
    assert summary.expects == Counter(row["expect"] for row in rows)
    assert json.loads((world / "world.json").read_text())["summary"]["num_links"] == 120

"""`facemill links`: what a list holds, read by a recipe that is given or guessed; nobody is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from tasks.links.recipes.guess import guess_recipe
from tasks.links.recipes.recipe import parse_recipe
from tests.flows.cli.test_app import refused

runner = CliRunner()
LISTS = Path(__file__).parents[3].parent / "shared" / "data" / "lists"
URL = "http://a.example/x.jpg"
KEYS = ["recipe", "rows", "good", "rejected", "identities", "with_box", "with_digest", "distinct_urls", "examples"]


class Read(NamedTuple):
    """Rows, good ones, rejected ones by reason; where the pictures and who the people are; whether that is sure."""

    rows: int
    good: int
    rejected: dict[str, int]
    place: str | int
    identity: str | None
    is_sure: bool


# Of every list of the folder what it holds, or the reason for which it is refused as a whole.
EXPECTED: dict[str, Read | str] = {
    "cautious-robot/HCGSD_testNA.csv": Read(10, 8, {"bad_url": 2}, "file_url", None, False),
    "cautious-robot/HCGSD_testNA_wMD5.csv": Read(10, 8, {"bad_url": 2}, "file_url", None, False),
    "cautious-robot/HCGSD_test_MD5_mismatch.csv": Read(
        10, 7, {"bad_url": 2, "malformed_line": 1}, "file_url", None, False
    ),
    "celeba/identity_CelebA.txt": Read(999, 999, {}, "{image}", "identity", True),
    "celeba/list_bbox_celeba.csv": Read(30, 30, {}, "{image_id}", None, True),
    "celeba/list_bbox_celeba.txt": Read(8, 8, {}, "{image_id}", None, True),
    "celeba/list_eval_partition.csv": Read(499, 499, {}, "{image_id}", None, True),
    "celeba/list_landmarks_celeba.txt": Read(2, 2, {}, "{column_1}", None, True),
    "chinese-celebrity-faces/chinese-celebrity-faces.csv": Read(1500, 1500, {}, "AVATAR", "NAME", True),
    "chinese-celebrity-faces/list.csv": Read(299, 299, {}, "page_url", "name", False),
    "facescrub/facescrub_actors.txt": Read(1549, 1549, {}, "url", "name", True),
    "facescrub/facescrub_actresses.txt": Read(1556, 1555, {"malformed_line": 1}, "url", "name", True),
    "facescrub/tabs_became_spaces/subset_actors.txt": "tabs",
    "facial-expressions/500_picts_satz.csv": Read(500, 500, {}, "{path}", "column_3", False),
    "facial-expressions/legend.csv": Read(999, 999, {}, "{image}", None, False),
    "fairface/fairface_label_val.csv": Read(499, 499, {}, "{file}", None, False),
    "fairface/spreadsheet/fairface_label_val.csv": Read(499, 499, {}, "{file}", None, False),
    "hf-imagefolder/metadata.jsonl": Read(3, 3, {}, "{file_name}", None, True),
    "human-faces/faces.csv": Read(3350, 3350, {}, "{image_name}", None, True),
    "imdb-actors/ActorsBio.csv": Read(50, 50, {}, "Image", "Name", True),
    "imdb-face/test.csv": Read(1, 1, {}, "url", "column_1", False),
    "img2dataset/hashes.json": "no column contains",
    "img2dataset/sample_image.parquet": Read(2, 2, {}, "url", None, True),
    "img2dataset/sample_image.txt": Read(1, 1, {}, 1, None, True),
    "img2dataset/test_1000.parquet": Read(1000, 1000, {}, "URL", None, True),
    "img2dataset/test_1000.txt": Read(300, 300, {}, 1, None, True),
    "img2dataset/test_bbox.parquet": Read(1, 1, {}, "url", None, False),
    "insightface/property": "no column contains",
    "insightface/train.lst": "leads out of the folder",
    "lfw-landmarks/lfw_landmark.txt": Read(500, 500, {}, "{path}", "folder", False),
    "megaface/distractor_noise_list.txt": Read(719, 719, {}, "{path}", "folder", False),
    "megaface/facescrub_noise_list.txt": Read(605, 605, {}, "{path}", None, True),
    "meglass/meta.txt": Read(1000, 1000, {}, "{path}", None, False),
    "open-images/train-images-boxable-with-rotation.csv": Read(2, 2, {}, "OriginalURL", None, False),
    "padded-csv/celebs.csv": Read(186, 186, {}, "IMAGE_LINKS", "NAMES", True),
    "pubfig/crlf/eval_urls.txt": Read(298, 298, {}, "url", "person", True),
    "pubfig/dev_people.txt": "no column contains",
    "pubfig/dev_urls.lines_4100-4300.txt": Read(201, 201, {}, "url", "person", True),
    "pubfig/dev_urls.txt": Read(1498, 1498, {}, "url", "person", True),
    "pubfig/eval_people.txt": "no column contains",
    "pubfig/eval_urls.txt": Read(2302, 2301, {"malformed_line": 1}, "url", "person", True),
    "pubfig/no_header_spaces/dev_urls.txt": Read(300, 299, {"malformed_line": 1}, "url", "person", True),
    "url-column/image_urls.csv": Read(999, 999, {}, "Image URLs", None, True),
    "url-per-line/urls_black.txt": Read(400, 395, {"bad_url": 5}, 1, None, True),
    "vggface2/01-Male.txt": Read(500, 500, {}, "{path}", "folder", False),
    "vggface2/identity_meta.csv": "no column contains",
    "vggface2/identity_meta.no_header.csv": "no column contains",
    "vggface2/loose_bb_train.csv": Read(3, 3, {}, "{NAME_ID}.jpg", "folder", True),
    "web-scraper/celebrities.csv": Read(199, 196, {"bad_url": 3}, "Image-src", "Name", True),
    "wider-face/no_face.txt": "no column contains",
    "wider-face/wider_face_train_bbx_gt.txt": "no column contains",
}


def summary(*arguments: str) -> dict[str, object]:
    result = runner.invoke(app, ["links", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


@pytest.mark.data
@pytest.mark.skipif(not LISTS.exists(), reason="the lists are not there")
class TestRealLists:
    def test_every_list_of_the_folder_is_expected(self) -> None:
        found = {path.relative_to(LISTS).as_posix() for path in LISTS.rglob("*") if path.is_file()}
        assert found - {"README.md"} == set(EXPECTED)

    @pytest.mark.parametrize("name", EXPECTED)
    def test_a_list_is_read_with_every_line_accounted_for(self, name: str) -> None:
        expected = EXPECTED[name]
        if isinstance(expected, str):
            assert expected in refused("links", str(LISTS / name))
            return
        found = summary(str(LISTS / name))
        recipe = guess_recipe(LISTS / name, name)
        place = recipe.recipe.url or recipe.recipe.file
        counts = found["rows"], found["good"], found["rejected"]
        assert Read(*counts, place, recipe.recipe.identity, not recipe.doubts) == expected  # type: ignore[arg-type]  # JSON values

    def test_tabs_that_became_blanks_are_refused_under_the_recipe_too(self) -> None:
        path = LISTS / "facescrub" / "tabs_became_spaces" / "subset_actors.txt"
        assert "tabs between its columns were replaced by blanks" in refused(
            "links", str(path), "--recipe", "facescrub"
        )

    def test_boxes_read_in_the_wrong_order_are_told_with_the_right_one(self, tmp_path: Path) -> None:
        wrong = 'file = "{image_id}"\nbox = ["x_1", "y_1", "width", "height"]\n'
        (tmp_path / "r.toml").write_text(wrong)
        path = LISTS / "celeba" / "list_bbox_celeba.csv"
        assert '9 of 30 boxes are empty as "xyxy"' in refused("links", str(path), "--recipe", str(tmp_path / "r.toml"))
        right = 'file = "{image_name}"\nbox = ["x0", "y0", "x1", "y1"]\nbox_of = ["width", "height"]\nbox_is = "xywh"\n'
        (tmp_path / "r.toml").write_text(right)
        path = LISTS / "human-faces" / "faces.csv"
        result = runner.invoke(app, ["links", str(path), "--recipe", str(tmp_path / "r.toml")])
        assert '1,917 of 3,350 boxes extend beyond the picture as "xywh"; none does as "xyxy"' in result.stderr


def test_the_recipe_that_is_printed_reads_the_same_list_the_same(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(f"who,img,x,y,w,h\nAnn B,{URL},1,2,30,40\nBob,{URL}?2,3,4,50,60\n,,,,,\n")
    result = runner.invoke(app, ["links", str(file)])
    assert result.exit_code == 0, result.output
    text = "\n".join(line for line in result.stdout.splitlines() if " = " in line)
    recipe = parse_recipe(text, "printed")
    assert (recipe.identity, recipe.url, recipe.box, recipe.box_is) == ("who", "img", ["x", "y", "w", "h"], "xywh")
    (tmp_path / "mine.toml").write_text(text)
    guessed, given = summary(str(file)), summary(str(file), "--recipe", str(tmp_path / "mine.toml"))
    assert guessed == given
    assert list(given) == KEYS
    assert (given["rows"], given["good"], given["rejected"], given["with_box"]) == (3, 2, {"bad_url": 1}, 2)
    assert given["examples"][0] == {  # type: ignore[index]  # JSON values
        "identity": "Ann_B", "line": 2, "url": URL, "box_xyxy": [1, 2, 31, 42], "box_of": None, "digest": None,
        "kept": None,
    }  # fmt: skip


def test_what_is_not_sure_and_what_is_odd_is_told_on_the_error_stream(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("species,page\nx,http://a.example/1.html\ny,http://a.example/2.html\n")
    result = runner.invoke(app, ["links", str(file), "--json"])
    assert "no column is certain to contain names; candidates: species" in result.stderr
    assert "page seems to contain URLs of pages" in result.stderr
    assert "0 of 2 URLs end in the extension of a picture" in result.stderr
    json.loads(result.stdout)


def test_boxes_that_leave_their_picture_are_told_with_the_order_under_which_none_does(tmp_path: Path) -> None:
    file = tmp_path / "faces.csv"
    rows = "".join(f"{at}.jpg,100,100,{60 + at},{60 + at},{90 + at},{90 + at}\n" for at in range(5))
    file.write_text(f"file,width,height,a,b,c,d\n{rows}")
    recipe = 'file = "{file}"\nbox = ["a", "b", "c", "d"]\nbox_is = "xywh"\nbox_of = ["width", "height"]\n'
    (tmp_path / "r.toml").write_text(recipe)
    result = runner.invoke(app, ["links", str(file), "--recipe", str(tmp_path / "r.toml")])
    assert result.exit_code == 0, result.output
    assert '5 of 5 boxes extend beyond the picture as "xywh"; none does as "xyxy"' in result.stderr


def test_names_from_a_list_move_no_cursor(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(f"name,url\nAnn,{URL}\n\x1b[2Jx,{URL}\n")
    result = runner.invoke(app, ["links", str(tmp_path / "x.csv")])
    assert result.exit_code == 0
    assert "\x1b[2J" not in result.output


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is empty"),
        ("Ann\nBob\n", "no column contains URLs"),
        (f"Ann B    1   {URL}   x\nBob C D  2 {URL} x\n", "tabs between its columns were replaced by blanks"),
    ],
)
def test_a_file_that_is_no_list_of_pictures_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "x.txt").write_text(text)
    assert told in refused("links", str(tmp_path / "x.txt"))


def test_nobody_is_asked(tmp_path: Path) -> None:
    assert "sends no requests" in refused("links", "http://a.example/list.csv")
    assert "no such file" in refused("links", str(tmp_path / "no.csv"))

"""The recipes of docs/guides/own-list.md: each is one, and reads the list that it is for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.links.recipes.recipe import Recipe, open_recipe, parse_recipe, preset_names
from tasks.links.sources.table import read_list

ROOT = Path(__file__).parents[4]
LISTS = ROOT.parent / "shared" / "data" / "lists"
# By heading, the list that its recipe reads.
FILES = {
    "FaceScrub": "facescrub/facescrub_actors.txt",
    "PubFig": "pubfig/dev_urls.txt",
    "IMDb-Face": None,  # the published file is not at hand
    "IMDb-Face with tabs": "imdb-face/test.csv",
    "LAION": "img2dataset/test_bbox.parquet",
    "LAION with digests": "img2dataset/sample_image.parquet",
    "A URL a line": "url-per-line/urls_black.txt",
    "One column with a header": "url-column/image_urls.csv",
    "Scrapes in CSV": "padded-csv/celebs.csv",
    "Scrapes by pandas": "imdb-actors/ActorsBio.csv",
    "Scrapes by webscraper.io": "web-scraper/celebrities.csv",
    "Chinese celebrities": "chinese-celebrity-faces/chinese-celebrity-faces.csv",
    "cautious-robot": "cautious-robot/HCGSD_testNA_wMD5.csv",
    "Open Images": "open-images/train-images-boxable-with-rotation.csv",
    "CelebA, boxes": "celeba/list_bbox_celeba.txt",
    "CelebA, people": "celeba/identity_CelebA.txt",
    "CelebA, landmarks": "celeba/list_landmarks_celeba.txt",
    "VGGFace2, boxes": "vggface2/loose_bb_train.csv",
    "VGGFace2, attributes": "vggface2/01-Male.txt",
    "LFW, landmarks": "lfw-landmarks/lfw_landmark.txt",
    "Human Faces": "human-faces/faces.csv",
    "FairFace": "fairface/fairface_label_val.csv",
    "MeGlass": "meglass/meta.txt",
    "Facial expressions": "facial-expressions/legend.csv",
    "Facial expressions without a header": "facial-expressions/500_picts_satz.csv",
    "MegaFace's noise lists": "megaface/facescrub_noise_list.txt",
    "insightface": None,  # the line at hand has an absolute path, which is refused
    "imagefolder": "hf-imagefolder/metadata.jsonl",
    "img2dataset's tars": None,  # made by the tests of tars
    "Hugging Face's Parquet": None,  # made by the tests of Parquet
}


def documented() -> dict[str, Recipe]:
    """The recipe of each heading."""
    text = (ROOT / "docs" / "guides" / "own-list.md").read_text()
    found = re.findall(r"^### (.+?)$(?:(?!^### ).)*?^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return {heading: parse_recipe(block, heading) for heading, block in found}


def test_every_heading_has_a_recipe_that_can_be_read() -> None:
    assert list(documented()) == list(FILES)


@pytest.mark.data
@pytest.mark.skipif(not LISTS.exists(), reason="the lists are not there")
@pytest.mark.parametrize("heading", [heading for heading, name in FILES.items() if name])
def test_a_documented_recipe_reads_its_list(heading: str) -> None:
    recipe, name = documented()[heading], FILES[heading]
    assert name is not None
    found = read_list(recipe, LISTS / name, None, name)
    # The worst are those of cautious-robot, where two of ten rows have no URL.
    assert len(found.lines.lines) >= 0.8 * found.lines.num_lines
    assert found.boxes.misfit(recipe.box_is) is None


def test_every_recipe_that_comes_along_is_named() -> None:
    text = (ROOT / "docs" / "guides" / "own-list.md").read_text()
    assert [name for name in preset_names() if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("heading", "preset"),
    [("FaceScrub", "facescrub"), ("PubFig", "pubfig"), ("IMDb-Face", "imdb-face"), ("A URL a line", "urls"),
     ("CelebA, boxes", "celeba"), ("VGGFace2, boxes", "vggface2-boxes"), ("insightface", "insightface-lst"),
     ("Hugging Face's Parquet", "huggingface")],
)  # fmt: skip
def test_a_documented_recipe_that_comes_along_is_the_same(heading: str, preset: str) -> None:
    along = open_recipe(preset).as_json()
    assert documented()[heading].as_json().items() <= along.items()

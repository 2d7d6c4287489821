from __future__ import annotations

import multiprocessing
import tarfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.records import DETECTIONS, FACES, Fit, FoundFace, Reason, bytes_digest, url_key
from storage.tables.parquet import read_as, read_settings, read_table, rows_to_table, write_table
from storage.tables.shards import read_member
from tasks.faces.crop_shard import crop_shard, sample_name, uncropped
from tasks.faces.detect_shard import ShardSummary
from tasks.faces.lines_by_key import LinesByKey
from tasks.faces.methods import CropSettings
from tests.buckets import Faults
from tests.tasks.image_shards import SOURCE, STEM, link_lines, png, write_images

SETTINGS = CropSettings()
BOTH = ["bbox", "mtcnn"]
BOX = (100.0, 60.0, 200.0, 180.0)
FACE = FoundFace(BOX, 0.99, (125, 100, 175, 100, 150, 125, 130, 150, 170, 150))
SECOND = FoundFace((300, 60, 380, 160), 0.95, (320, 90, 360, 90, 340, 110, 325, 135, 355, 135))
ONE, TWO, NOBODY, BROKEN, GONE, ELSEWHERE = (f"http://a.example/{n}.png" for n in ("1", "2", "0", "b", "g", "e"))


def scene() -> Image.Image:
    """400x300 blue, with a red mark of 8x8 centred on each of the first face's landmarks."""
    image = Image.new("RGB", (400, 300), (0, 0, 255))
    for x, y in zip(FACE.landmarks[::2], FACE.landmarks[1::2], strict=True):
        image.paste((255, 0, 0), (round(x) - 4, round(y) - 4, round(x) + 4, round(y) + 4))
    return image


def write_detections(lake: Lake, found: dict[str, tuple[FoundFace, ...] | Reason], stamp: str = "first") -> None:
    rows = []
    for url, outcome in found.items():
        failed = isinstance(outcome, Reason)
        faces = () if isinstance(outcome, Reason) else outcome
        rows.append(
            {
                "key": url_key(url),
                "digest": bytes_digest(url.encode()),
                "width": 0 if failed else 400,
                "height": 0 if failed else 300,
                "boxes": [face.box_xyxy for face in faces],
                "scores": [face.score for face in faces],
                "landmarks": [face.landmarks for face in faces],
                "reason": outcome if failed else None,
            }
        )
    write_table(lake, lake.detections(SOURCE, STEM), rows_to_table(rows, DETECTIONS), stamp=stamp)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A shard: a picture of one person, of two, of nobody, a broken one, and one that was gone."""
    lake = Lake(tmp_path)
    make_shard(lake)
    return lake


def make_shard(lake: Lake) -> None:
    data = png(scene())
    write_images(lake, {ONE: data, TWO: data, NOBODY: data, BROKEN: data[:100], GONE: None})
    write_detections(lake, {ONE: (FACE,), TWO: (FACE, SECOND), NOBODY: (), BROKEN: Reason.BROKEN_IMAGE})


LINES = link_lines(
    ("Bo_Berg", 1, ONE, None),
    ("Ada_Aal", 3, TWO, SECOND.box_xyxy),
    ("Ada_Aal", 2, ONE, BOX),
    ("Ada_Aal", 4, TWO, (900, 900, 990, 990)),
    ("Ada_Aal", 1, TWO, BOX),
    ("Ada_Aal", 5, NOBODY, BOX),
    ("Ada_Aal", 6, NOBODY, (10, 10, 28, 28)),
    ("Ada_Aal", 7, BROKEN, BOX),
    ("Ada_Aal", 8, GONE, BOX),
    ("Ada_Aal", 9, ELSEWHERE, BOX),
)


def faces_of(lake: Lake, method: str) -> pa.Table:
    return read_table(lake, f"{lake.faces(method, SOURCE, STEM)}.parquet")


def rows_of(lake: Lake, method: str) -> dict[tuple[str, int], dict[str, Any]]:
    return {(row["identity"], row["line"]): row for row in faces_of(lake, method).to_pylist()}


def crop_of(lake: Lake, method: str, row: dict[str, Any]) -> np.ndarray:
    data = read_member(lake, f"{lake.faces(method, SOURCE, STEM)}.tar", row["offset"], row["length"])
    assert bytes_digest(data) == row["crop_digest"]
    return np.asarray(Image.open(BytesIO(data))).astype(int)


def test_lines_in_are_faces_out_and_rejected(lake: Lake) -> None:
    seen: list[int] = []
    summaries = crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS, on_progress=seen.append)
    assert summaries["bbox"] == ShardSummary(
        8, 4, {"box_out_of_image": 1, "broken_image": 1, "face_too_small": 1, "no_box": 1}
    )
    assert summaries["mtcnn"] == ShardSummary(8, 2, {"broken_image": 1, "no_face": 2, "several_people": 3})
    assert sum(seen) == 8
    for method, summary in summaries.items():
        table = faces_of(lake, method)
        assert table.schema.equals(FACES)
        assert Counter(table["reason"].to_pylist()) == Counter[str | None]({None: summary.num_out} | summary.rejected)
        ids = list(zip(table["identity"].to_pylist(), table["line"].to_pylist(), strict=True))
        assert ids == sorted(ids)


def test_a_line_says_whether_its_picture_has_the_listed_digest_and_then_needs_no_face(lake: Lake) -> None:
    ours = bytes_digest(png(scene()))
    listed = {1: ours, 2: bytes(32), 3: bytes(16), 4: None}
    lines = link_lines(*[("Ada_Aal", line, NOBODY, (20.0 * line, 60.0, 20.0 * line + 90, 150.0)) for line in listed])
    at = lines.schema.get_field_index("listed_digest")
    lines = lines.set_column(at, "listed_digest", pa.array(listed.values(), pa.binary()))
    crop_shard(lake, SOURCE, STEM, LinesByKey(lines), ["bbox"], settings=SETTINGS)
    rows = rows_of(lake, "bbox")
    found = {line: (row["same_bytes"], row["fit"]) for (_, line), row in rows.items()}
    # The list's MD5 is none that was computed when the picture was fetched.
    assert found == {1: (True, Fit.AS_LISTED), 2: (False, None), 3: (None, None), 4: (None, None)}


def test_a_line_gets_the_face_in_its_own_box(lake: Lake) -> None:
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    rows = rows_of(lake, "bbox")
    first, second, off = rows["Ada_Aal", 1], rows["Ada_Aal", 3], rows["Ada_Aal", 5]
    assert (first["agreement"], first["score"], first["num_faces"]) == (1.0, pytest.approx(0.99), 2)
    assert (second["agreement"], second["score"]) == (1.0, pytest.approx(0.95))
    assert (off["agreement"], off["score"], off["landmarks"]) == (0.0, None, None)
    assert (first["face_px"], first["image_width"], first["image_height"]) == (100, 400, 300)
    detected = rows_of(lake, "mtcnn")
    assert detected["Ada_Aal", 2]["agreement"] == 1.0
    assert detected["Bo_Berg", 1]["agreement"] is None
    assert detected["Bo_Berg", 1]["source_box_xyxy"] == list(BOX)


def test_landmarks_and_box_lie_where_they_belong_in_the_crop(lake: Lake) -> None:
    for settings in (SETTINGS, CropSettings(max_side_px=96)):
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["mtcnn"], settings=settings)
        row = rows_of(lake, "mtcnn")["Ada_Aal", 2]
        crop = crop_of(lake, "mtcnn", row)
        assert crop.shape == (row["height"], row["width"], 3) == (min(192, settings.max_side_px),) * 2 + (3,)
        reds = crop[..., 0] > 127
        for x, y in zip(row["landmarks"][::2], row["landmarks"][1::2], strict=True):
            near = np.argwhere(reds[round(y) - 6 : round(y) + 6, round(x) - 6 : round(x) + 6])
            centre = near.mean(0) + 0.5 + (round(y) - 6, round(x) - 6)
            assert np.abs(centre - (y, x)).max() < 0.5
        left, top, right, bottom = row["face_box_xyxy"]
        scale = row["width"] / 192
        assert (right - left, bottom - top) == pytest.approx((100 * scale, 120 * scale))
        assert (left + right) / 2 == pytest.approx(row["width"] / 2, abs=0.5)


@pytest.mark.parametrize(("orientation", "turn"), [(6, Image.Transpose.ROTATE_90), (8, Image.Transpose.ROTATE_270)])
def test_boxes_lie_in_the_picture_as_seen(tmp_path: Path, orientation: int, turn: Image.Transpose) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = BytesIO()
    scene().transpose(turn).save(file, "PNG", exif=exif)
    lake = Lake(tmp_path)
    write_images(lake, {ONE: file.getvalue()})
    write_detections(lake, {ONE: (FACE,)})
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["mtcnn"], settings=SETTINGS)
    row = rows_of(lake, "mtcnn")["Ada_Aal", 2]
    crop = crop_of(lake, "mtcnn", row)
    for x, y in zip(row["landmarks"][::2], row["landmarks"][1::2], strict=True):
        assert crop[round(y), round(x), 0] > 200


def test_members_are_named_and_placed_as_the_index_says(lake: Lake) -> None:
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    for method in BOTH:
        path = f"{lake.faces(method, SOURCE, STEM)}.tar"
        accepted = {
            f"{sample_name(SOURCE, *key, method)}.jpg": row
            for key, row in rows_of(lake, method).items()
            if row["outcome"] == "accepted"
        }
        with tarfile.open(lake.full(path)) as tar:
            members = {member.name: member for member in tar}
            assert set(members) == set(accepted)
            for name, row in accepted.items():
                assert members[name].offset_data == row["offset"]
                assert bytes_digest(tar.extractfile(name).read()) == row["crop_digest"]


def test_sample_names_tell_every_line_and_method_apart() -> None:
    names = {
        sample_name(source, identity, line, method)
        for source in ("a", "b")
        for identity in ("X", "X1")
        for line in (1, 11)
        for method in BOTH
    }
    assert len(names) == 16
    assert all(len(name) == 16 and int(name, 16) >= 0 for name in names)


def test_making_it_twice_gives_the_same_bytes(lake: Lake) -> None:
    paths = [f"{lake.faces(method, SOURCE, STEM)}{ending}" for method in BOTH for ending in (".tar", ".parquet")]
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    first = [lake.read(path) for path in paths]
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES.take(list(range(len(LINES)))[::-1])), BOTH, settings=SETTINGS)
    assert [lake.read(path) for path in paths] == first


def test_crops_are_up_to_date_until_something_they_were_made_from_changes(lake: Lake) -> None:
    def up_to_date(lines: pa.Table = LINES, settings: CropSettings = SETTINGS) -> list[bool]:
        missing = uncropped(lake, SOURCE, STEM, LinesByKey(lines), BOTH, settings=settings)
        return [method not in missing for method in BOTH]

    assert up_to_date() == [False, False]
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox"], settings=SETTINGS)
    assert up_to_date() == [True, False]
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    assert up_to_date() == [True, True]
    more_elsewhere = pa.concat_tables([LINES, link_lines(("Cy_Cox", 1, ELSEWHERE, BOX))])
    assert up_to_date(more_elsewhere) == [True, True]
    more_here = pa.concat_tables([LINES, link_lines(("Cy_Cox", 1, ONE, BOX))])
    assert up_to_date(more_here) == [False, False]
    assert up_to_date(settings=CropSettings(margin=0.2)) == [False, False]
    write_detections(lake, {ONE: (FACE,)}, stamp="second")
    assert up_to_date() == [False, False]


def test_a_table_of_faces_keeps_the_settings_that_differ_from_their_defaults(lake: Lake) -> None:
    def kept(method: str) -> dict[str, Any]:
        return read_settings(lake, f"{lake.faces(method, SOURCE, STEM)}.parquet")

    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    assert kept("bbox") == kept("mtcnn") == {}
    path = lake.detections(SOURCE, STEM)
    write_table(lake, path, read_as(lake, path, DETECTIONS), stamp="other", settings={"exact": True})
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=CropSettings(margin=0.2))
    assert kept("bbox") == kept("mtcnn") == {"detect": {"exact": True}, "crop": {"margin": 0.2}}


def test_a_run_that_breaks_off_leaves_no_index_of_other_crops(lake: Lake) -> None:
    def stop(num: int) -> None:
        raise KeyboardInterrupt

    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox"], settings=CropSettings(margin=0.1), on_progress=stop)
    assert uncropped(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS) == ["bbox"]


def test_bytes_that_no_longer_decode_are_rejected_not_raised(lake: Lake) -> None:
    write_detections(lake, dict.fromkeys((ONE, TWO, NOBODY, BROKEN), (FACE,)))
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["mtcnn"], settings=SETTINGS)
    assert rows_of(lake, "mtcnn")["Ada_Aal", 7]["reason"] == "broken_image"


def test_nothing_to_crop_makes_empty_files(lake: Lake) -> None:
    nothing = LINES.slice(0, 0)
    assert crop_shard(lake, SOURCE, STEM, LinesByKey(nothing), BOTH, settings=SETTINGS)["bbox"] == ShardSummary(
        0, 0, {}
    )
    assert not uncropped(lake, SOURCE, STEM, LinesByKey(nothing), ["bbox"], settings=SETTINGS)


def test_what_cannot_be_done_is_said_in_a_line(lake: Lake) -> None:
    with pytest.raises(UsageError, match="unknown crop methods: magic; choose from bbox, mtcnn, centerface"):
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["magic"], settings=SETTINGS)
    write_detections(lake, {ONE: (FACE,)})
    with pytest.raises(LakeError, match="run `facemill crop` again"):
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    assert not lake.exists(f"{lake.faces('bbox', SOURCE, STEM)}.tar")
    lake.remove(lake.detections(SOURCE, STEM))
    with pytest.raises(LakeError):
        crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)


def test_processes_make_the_very_same_as_one(lake: Lake) -> None:
    path = f"{lake.faces('bbox', SOURCE, STEM)}.tar"
    alone = crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    first = lake.read(path)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS, pool=pool) == alone
    assert lake.read(path) == first


def test_new_rules_make_crops_anew(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox"], settings=SETTINGS)
    monkeypatch.setattr("tasks.faces.crop_shard._RULES", 1)
    assert uncropped(lake, SOURCE, STEM, LinesByKey(LINES), ["bbox"], settings=SETTINGS) == ["bbox"]


def test_quality_and_fit_are_kept_with_the_face(lake: Lake) -> None:
    crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    confirmed, off = (rows_of(lake, "bbox")["Ada_Aal", line] for line in (1, 5))
    assert (confirmed["fit"], confirmed["border"], confirmed["roll_deg"], confirmed["yaw_deg"]) == (
        "as_listed",
        0,
        0,
        0,
    )
    assert confirmed["sharpness"] > 0
    assert (off["fit"], off["roll_deg"], off["yaw_deg"]) == (None, None, None)
    assert rows_of(lake, "mtcnn")["Ada_Aal", 2]["fit"] is None


def test_a_crop_is_made_from_the_corrected_box(lake: Lake) -> None:
    square = (90.0, 55.0, 210.0, 185.0)
    twice = link_lines(("Ada_Aal", 1, ONE, (180.0, 110.0, 420.0, 370.0)))
    crop_shard(lake, SOURCE, STEM, LinesByKey(twice), ["bbox"], settings=SETTINGS)
    row = rows_of(lake, "bbox")["Ada_Aal", 1]
    assert row["fit"] == "rescaled"
    assert row["source_box_xyxy"] == pytest.approx(square, abs=6)
    crop_shard(lake, SOURCE, STEM, LinesByKey(twice), ["bbox"], settings=CropSettings(check_boxes=False))
    assert rows_of(lake, "bbox")["Ada_Aal", 1]["fit"] is None


def odd_pictures() -> dict[str, bytes]:
    """Files that decode, of every mode and of sizes nobody cares for."""
    colours = Image.effect_noise((60, 40), 90)
    wide = Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 27)
    frames = [Image.new("P", (60, 40), shade) for shade in (0, 9)]
    files = {
        "dot.png": (Image.new("RGB", (1, 1)), {}),
        "row.png": (Image.new("L", (3000, 1)), {}),
        "column.bmp": (Image.new("RGB", (1, 3000)), {}),
        "eight.png": (Image.new("1", (8, 8)), {}),
        "deep.png": (wide, {}),
        "clear.png": (Image.new("RGBA", (60, 40), (9, 9, 9, 0)), {}),
        "ink.jpg": (colours.convert("CMYK"), {}),
        "few.gif": (frames[0], {"save_all": True, "append_images": frames[1:]}),
        "grey.webp": (colours.convert("LA"), {}),
        "float.tiff": (colours.convert("F"), {}),
    }
    made = {}
    for name, (image, options) in files.items():
        file = BytesIO()
        image.save(file, name.split(".")[1].replace("jpg", "jpeg"), **options)
        made[f"http://odd.example/{name}"] = file.getvalue()
    return made


def test_nothing_that_decodes_however_odd_raises(tmp_path: Path) -> None:
    pictures, lake = odd_pictures(), Lake(tmp_path)
    write_images(lake, pictures)
    point = FoundFace((5, 5, 45, 45), 0.95, (20, 20) * 5)
    outside = FoundFace((-90, -90, -50, -50), 0.99, (-70, -70) * 5)
    boxes = [(-5, -5, 30, 30), (0, 0, 1, 1), (-1e5, -1e5, 1e5, 1e5), (55, 35, 95, 75), (9e4, 9e4, 1e5, 1e5), None]
    for faces in ((point,), (outside,), (point, outside)):
        write_detections(lake, dict.fromkeys(pictures, faces))
        lines = link_lines(*[("Ada", at, url, box) for url in pictures for at, box in enumerate(boxes)])
        for settings in (
            CropSettings(min_face_px=0),
            CropSettings(check_boxes=False, min_face_px=0, min_share_inside=0),
        ):
            for summary in crop_shard(lake, SOURCE, STEM, LinesByKey(lines), BOTH, settings=settings).values():
                assert summary.num_in == len(pictures) * len(boxes) == summary.num_out + sum(summary.rejected.values())
                assert "broken_image" not in summary.rejected


def test_a_shard_in_a_bucket_is_cropped_with_one_request_for_its_tar(bucket: str, faults: Faults):
    lake = Lake(f"{bucket}/lake")
    make_shard(lake)
    with faults.asking() as asked:
        summaries = crop_shard(lake, SOURCE, STEM, LinesByKey(LINES), BOTH, settings=SETTINGS)
    assert summaries["mtcnn"].num_out > 1
    # Index and tar of the pictures; the takedowns; the detections, and what they were made with.
    of_each_method = {"DELETE": 1, "PUT": 2}
    assert Counter(method for method, _ in asked) == {"GET": 5} | {
        method: 2 * num for method, num in of_each_method.items()
    }
    assert sum(path.endswith(f"/images/{SOURCE}/{STEM}.tar") for _, path in asked) == 1

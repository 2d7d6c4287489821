"""Whom to crop, by every method; no network and no picture needed."""

from __future__ import annotations

import pytest

from storage.records import Box, Detection, FoundFace, Reason
from tasks.crops import METHODS, CropSettings, Subject
from tasks.crops.bbox import by_listed_box, share_inside
from tasks.crops.mtcnn import by_detected_face

SETTINGS = CropSettings()


def face(box: Box, score: float = 0.99) -> FoundFace:
    left, top, right, bottom = box
    return FoundFace(
        box, score, (left, top, right, top, (left + right) / 2, (top + bottom) / 2, left, bottom, right, bottom)
    )


def detection(*faces: FoundFace, size: tuple[int, int] = (400, 300)) -> Detection:
    return Detection(b"k" * 16, b"d" * 32, *size, faces)


LARGE, SMALL = face((100, 100, 200, 220)), face((300, 20, 329, 55))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("box", [None, (0.0, 0.0, 0.0, 0.0), (-9e6, -9e6, 9e6, 9e6), (100.0, 100.0, 200.0, 200.0)])
@pytest.mark.parametrize("faces", [(), (LARGE,), (LARGE, SMALL), (face((-50, -50, 900, 900), 0.2),)])
def test_every_method_answers_with_a_subject_or_a_reason(
    method: str, box: Box | None, faces: tuple[FoundFace, ...]
) -> None:
    assert isinstance(METHODS[method](box, detection(*faces), SETTINGS), Subject | Reason)


class TestListedBox:
    def test_no_box_is_a_reason(self) -> None:
        assert by_listed_box(None, detection(LARGE), SETTINGS) is Reason.NO_BOX

    def test_a_box_half_outside_is_taken_and_one_further_out_is_not(self) -> None:
        assert isinstance(by_listed_box((-50, 0, 50, 100), detection(), SETTINGS), Subject)
        assert by_listed_box((-51, 0, 49, 100), detection(), SETTINGS) is Reason.BOX_OUT_OF_IMAGE
        assert by_listed_box((500, 500, 600, 600), detection(), SETTINGS) is Reason.BOX_OUT_OF_IMAGE

    def test_each_box_of_a_group_gets_the_landmarks_of_its_own_face(self) -> None:
        picture = detection(LARGE, SMALL)
        for expected in (LARGE, SMALL):
            subject = by_listed_box(expected.box_xyxy, picture, SETTINGS)
            assert subject == Subject(expected.box_xyxy, expected, 1.0)

    def test_a_box_off_the_faces_is_kept_without_landmarks(self) -> None:
        subject = by_listed_box((10, 10, 60, 60), detection(LARGE), SETTINGS)
        assert subject == Subject((10, 10, 60, 60), None, 0.0)

    def test_a_weak_overlap_is_told_but_lends_no_landmarks(self) -> None:
        subject = by_listed_box((100, 100, 140, 220), detection(LARGE), CropSettings(same_face_iou=0.41))
        assert isinstance(subject, Subject)
        assert subject.agreement == pytest.approx(0.4)
        assert subject.found is None

    def test_a_face_of_low_score_agrees_with_nothing(self) -> None:
        subject = by_listed_box((100, 100, 200, 220), detection(face((100, 100, 200, 220), 0.89)), SETTINGS)
        assert subject == Subject((100, 100, 200, 220), None, 0.0)

    def test_the_share_inside_of_an_empty_box_is_none(self) -> None:
        assert share_inside((5, 5, 5, 9), 100, 100) == 0.0
        assert share_inside((9, 9, 5, 5), 100, 100) == 0.0


class TestDetectedFace:
    def test_nobody_is_a_reason(self) -> None:
        assert by_detected_face(None, detection(), SETTINGS) is Reason.NO_FACE
        assert by_detected_face(None, detection(face((0, 0, 99, 99), 0.89)), SETTINGS) is Reason.NO_FACE

    def test_the_only_person_is_taken_whatever_box_is_listed(self) -> None:
        subject = by_detected_face((0, 0, 50, 50), detection(LARGE), SETTINGS)
        assert subject == Subject(LARGE.box_xyxy, LARGE, 0.0)

    def test_agreement_is_unknown_without_a_listed_box(self) -> None:
        assert by_detected_face(None, detection(LARGE), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

    def test_a_small_passer_by_is_no_second_person(self) -> None:
        assert by_detected_face(None, detection(SMALL, LARGE), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

    def test_a_face_of_three_tenths_of_the_main_one_is_a_second_person(self) -> None:
        second = face((300, 20, 330, 60))
        assert by_detected_face(None, detection(LARGE, second), SETTINGS) is Reason.SEVERAL_PEOPLE

    def test_a_second_face_of_low_score_is_nobody(self) -> None:
        unsure = face((250, 20, 390, 160), 0.89)
        assert by_detected_face(None, detection(LARGE, unsure), SETTINGS) == Subject(LARGE.box_xyxy, LARGE, None)

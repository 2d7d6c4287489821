import numpy as np
import pytest
from PIL import Image

from model.embedding.align import TEMPLATE_112, warp
from model.verification.lfw import LfwPhoto, evaluate_on_pairs, mean_position, parse_pairs
from storage.errors import SourceError

# Two folds of one pair of each kind; Bo stands in both.
PAIRS = "2\t1\nAda\t1\t2\nBo\t1\tCyd\t3\nBo\t2\t10\nAda\t2\tBo\t1\n"


def test_a_list_of_pairs_becomes_rows_of_photos():
    pairs = parse_pairs(PAIRS)
    assert [photo.path for photo in pairs.photos] == [
        "Ada/Ada_0001.jpg",
        "Ada/Ada_0002.jpg",
        "Bo/Bo_0001.jpg",
        "Bo/Bo_0002.jpg",
        "Bo/Bo_0010.jpg",
        "Cyd/Cyd_0003.jpg",
    ]
    told = [(pairs.photos[left], pairs.photos[right]) for left, right in zip(pairs.left, pairs.right, strict=True)]
    assert told[0] == (LfwPhoto("Ada", 1), LfwPhoto("Ada", 2))
    assert told[3] == (LfwPhoto("Ada", 2), LfwPhoto("Bo", 1))
    assert pairs.fold.tolist() == [0, 0, 1, 1]
    assert pairs.labels.tolist() == [0, 0, 1, 1, 1, 2]


def test_spaces_empty_last_lines_and_foreign_line_ends_do_not_matter():
    given = parse_pairs(PAIRS.replace("\t", " ").replace("\n", "\r\n") + "\r\n\r\n")
    assert given.photos == parse_pairs(PAIRS).photos


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "list:1 must contain two numbers"),
        ("300\nAda\t1\t2\n", "list:1 must contain two numbers.*'300.*View 2"),
        ("ten\t300\n", "list:1 must contain two numbers"),
        ("1\t1\nAda\t1\t2\nBo\t1\tCyd\t3\n", "at least 2 folds"),
        ("2\t1\nAda\t1\t2\n", "so 4 lines of pairs, but has 1"),
        (PAIRS + "Ada\t1\t2\n", "so 4 lines of pairs, but has 5"),
        (PAIRS.replace("Ada\t1\t2", "Ada\t1"), "list:2 must contain a genuine pair.*'Ada"),
        (PAIRS.replace("Bo\t1\tCyd\t3", "Bo\t1\t3"), "list:3 must contain an impostor pair"),
        (PAIRS.replace("Ada\t1\t2", "Ada\tone\t2"), "list:2 must contain a genuine pair"),
        (PAIRS.replace("Ada\t1\t2", "Ada\t1\t-2"), "list:2 must contain a genuine pair"),
        (PAIRS.replace("Ada\t1\t2", "Ada\t1\t1"), "list:2 pairs a person with themselves"),
        (PAIRS.replace("Cyd\t3", "Bo\t3"), "list:3 pairs a person with themselves"),
        (PAIRS.replace("Cyd", "../Cyd"), "list:3 has a name that is not a valid folder name"),
    ],
)
def test_what_is_no_list_of_view_2_is_refused_with_its_line(text, words):
    with pytest.raises(SourceError, match=words) as error:
        parse_pairs(text, "list")
    assert "\n" not in str(error.value)


def made_lfw(folds: int, pairs_each: int, noise: float):
    """Pairs of 2 * folds * pairs_each people with two photos each, and embeddings of their photos."""
    lines = [f"{folds}\t{pairs_each}"]
    for fold in range(folds):
        first = 2 * fold * pairs_each
        lines += [f"P{first + one:04}\t1\t2" for one in range(pairs_each)]
        others = range(first + pairs_each, first + 2 * pairs_each)
        lines += [f"P{one:04}\t1\tP{one - pairs_each:04}\t2" for one in others]
    pairs = parse_pairs("\n".join(lines))
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(2 * folds * pairs_each, 8))
    return pairs, (centres[pairs.labels] + noise * rng.normal(size=(len(pairs.photos), 8))).astype(np.float32)


def test_each_fold_is_judged_by_the_threshold_of_the_others():
    pairs, raw = made_lfw(3, 20, noise=0.7)
    report, scored = evaluate_on_pairs(raw, pairs, None, num_without_face=2)
    accuracies = []
    for number, fold in enumerate(report.folds):
        inside = pairs.fold == number
        tried = np.sort(scored.scores[~inside]).astype(np.float64)
        right = [((scored.scores >= one) == scored.same)[~inside].mean() for one in tried]
        chosen = ((scored.scores >= fold.threshold) == scored.same)[~inside].mean()
        assert chosen == pytest.approx(max(right))
        accuracies.append(((scored.scores >= fold.threshold) == scored.same)[inside].mean())
        assert fold.accuracy == pytest.approx(accuracies[-1])
    assert report.accuracy == pytest.approx(np.mean(accuracies))
    assert report.accuracy_standard_error == pytest.approx(np.std(accuracies, ddof=1) / 3**0.5)
    assert report.accuracy_interval[0] <= report.accuracy <= report.accuracy_interval[1]
    assert (report.num_genuine, report.num_impostor, report.num_without_face) == (60, 60, 2)
    assert report.tar_at_far == {"0.01": None, "0.001": None, "0.0001": None}


def test_embeddings_without_noise_are_told_apart():
    pairs, raw = made_lfw(2, 10, noise=0.0)
    report, _ = evaluate_on_pairs(raw, pairs, None, num_without_face=0)
    assert (report.accuracy, report.auc, report.eer) == (1, 1, 0)
    assert report.accuracy_standard_error == 0


def test_where_no_face_is_found_the_usual_place_is_cut_out_at_any_size():
    """A photo with a white dot between the usual eyes shows it between the template's eyes."""
    for side in (250, 500):
        photo = Image.new("RGB", (side, side))
        x, y = side * 126.35 / 250, side * 113.15 / 250
        photo.paste(
            (255, 255, 255),
            (round(x) - side // 80, round(y) - side // 80, round(x) + side // 80, round(y) + side // 80),
        )
        face = warp(photo, mean_position(photo.size, 112), 112)[..., 0]
        row, column = np.unravel_index(face.argmax(), face.shape)
        eyes = TEMPLATE_112[:2].mean(0)
        assert (column, row) == pytest.approx(tuple(eyes), abs=4)

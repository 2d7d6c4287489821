"""The model card, Markdown: what a version is for and what not, what it was made of, and how good it is."""

from __future__ import annotations

from model.bootstrap import Interval
from model.claims import interval, over_untrained, too_few
from model.config import TrainConfig
from model.evaluation import EvaluationReport
from model.metrics import OperatingPoint
from model.thresholds import Thresholds
from storage.datasets import DatasetVersion

_FIGURES = (
    ("ROC AUC", "auc"),
    ("equal error rate", "eer"),
    ("balanced accuracy", "accuracy"),
    ("rank-1", "rank_1"),
)


def card(
    dataset: DatasetVersion,
    config: TrainConfig,
    untrained: EvaluationReport,
    trained: EvaluationReport,
    thresholds: Thresholds,
    num_parameters: int,
) -> str:
    """The card of what training with `config` on `dataset` came to."""
    parts = (
        _head(config, num_parameters),
        _use(config),
        _data(dataset),
        _training(config),
        _figures(untrained, trained),
        _thresholds(thresholds, trained),
        _LIMITS,
        _BIOMETRIC,
    )
    return "\n\n".join(parts) + "\n"


def _head(config: TrainConfig, num_parameters: int) -> str:
    return f"""# {config.name}

Turns a face of {config.image_px} x {config.image_px} pixels into {config.embedding_dim} numbers of length one: its
embedding. The more two faces look like one person's, the smaller the squared distance of their embeddings, from 0 to
4. {config.backbone}, width {config.width:g}, {num_parameters:,} parameters."""


def _use(config: TrainConfig) -> str:
    px = config.image_px
    return f"""## Use

Meant for research on face verification: whether two photos that people have given for it show one person. Not meant to
find out who somebody unknown is, to watch people, to sort them into groups, or to decide alone about anybody.

`facemill compare A B --model-folder FOLDER` does all of it, and in Python:

```python
from flows.inference.embedder import Embedder

print(Embedder("FOLDER").compare("a.jpg", "b.jpg"))
```

For other programs there is `model.onnx`: input `faces`, uint8 [n, {px}, {px}, 3] in RGB; outputs `embeddings`, float32
[n, {config.embedding_dim}] of length one, and `raw`, the same before that. It scales the pixels itself. A face must be
laid out as in training: the two eyes, the nose and the corners of the mouth on the ArcFace template by a similarity
transform, as `model/align.py` does it."""


def _data(dataset: DatasetVersion) -> str:
    manifest = dataset.manifest
    splits = ", ".join(
        f"{name} {part['samples']:,} of {part['identities']:,} people"
        for name, part in manifest.get("splits", {}).items()
    )
    terms = manifest.get("terms") or "none are stated in the dataset's manifest."
    return f"""## Data

{dataset}{f": {splits}" if splits else ""}. Nobody is in two splits.

Its terms bind the weights as well: {terms}"""


def _training(config: TrainConfig) -> str:
    recipe = {name: value for name, value in config.recipe().items() if name != "name"}
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items())
    return f"""## Training

{settings}. `lineage.json` names the code and the libraries, `history.json` has the course of the loss."""


def _figures(untrained: EvaluationReport, trained: EvaluationReport) -> str:
    rows = [_row(words, untrained, trained, name) for words, name in _FIGURES]
    for far, tar in trained.tar_at_far.items():
        low_high = trained.tar_at_far_interval[far]
        if tar is not None and low_high is not None:
            told = _with_interval(tar, low_high, trained.num_identities)
            rows.append(f"| TAR at FAR {far} | {untrained.tar_at_far[far] or 0:.3f} | {told} |")
    before, after = untrained.triplet, trained.triplet
    rows += [
        f"| triplet loss, margin {margin}: of length one / raw "
        f"| {before.unit[margin]:.3f} / {before.raw[margin]:.3f} | {after.unit[margin]:.3f} / {after.raw[margin]:.3f} |"
        for margin in after.unit
    ]
    table = "\n".join(rows)
    return f"""## Figures

On {trained.num_faces:,} faces of {trained.num_identities:,} people of the test split, none of whom was trained on:
{trained.num_genuine:,} pairs of one person and {trained.num_impostor:,} of two. {_about_intervals(trained, untrained)}

| figure | untrained | trained |
|---|---|---|
{table}

A TAR is told only where at least 30 false accepts are expected."""


def _thresholds(thresholds: Thresholds, trained: EvaluationReport) -> str:
    chosen = f"Chosen on {thresholds.num_genuine:,} pairs of one person and {thresholds.num_impostor:,} of two"
    if thresholds.chosen_on != "val":
        return f"""## Threshold

Squared distance {_distance(thresholds.accuracy)}. {chosen} of the test split, for want of a validation split, so
that no figure here says how it does on others."""
    rows = "\n".join(_operating_row(point, trained.num_identities) for point in trained.operating_points)
    calibration = trained.calibration
    error = (
        ""
        if calibration is None
        else f" (expected calibration error on the test split {calibration.expected_error:.3f})"
    )
    return f"""## Thresholds

{chosen} of the validation split, tried on the test split:

| chosen for | squared distance at most | FAR on test | TAR on test |
|---|---|---|---|
{rows}

`thresholds.json` also turns a distance into the probability of one person, if both cases are equally likely{error}."""


_LIMITS = """## Limits

The figures hold for pictures like those of the dataset; another camera, pose, age or light may do worse. How errors
differ between groups of people was not measured, and with data like these they will differ. Those who look alike, twins
above all, are not told apart. A photograph of a photograph is not noticed."""

_BIOMETRIC = """## Biometric data

An embedding of a face is biometric data: it can be matched with other photos of the person, and a face like it can be
made from it. In the European Union Article 9 of the GDPR applies, and other places have laws of their own; as a rule
the people embedded must have agreed. Keep embeddings as you would keep the photos, and delete them with those."""


def _row(words: str, untrained: EvaluationReport, trained: EvaluationReport, name: str) -> str:
    value, bounds = getattr(trained, name), getattr(trained, f"{name}_interval")
    return f"| {words} | {getattr(untrained, name):.3f} | {_with_interval(value, bounds, trained.num_identities)} |"


def _about_intervals(trained: EvaluationReport, untrained: EvaluationReport) -> str:
    """What the brackets are, or why there are none; and whether the training gained anything."""
    few = too_few(trained.num_identities)
    brackets = "In brackets the 95% interval, by bootstrap over people."
    gained = over_untrained(trained.to_json(), untrained.to_json())
    return " ".join([f"It was {few}." if few else brackets, *([f"It is {gained}."] if gained else [])])


def _with_interval(value: float, bounds: Interval, num_people: int, digits: int = 3) -> str:
    words = interval(bounds, num_people, f".{digits}f")
    return f"{value:.{digits}f} ({words})" if words else f"{value:.{digits}f}"


def _operating_row(point: OperatingPoint, num_people: int) -> str:
    far, tar = (
        _with_interval(value, low_high, num_people, 4)
        for value, low_high in ((point.far, point.far_interval), (point.tar, point.tar_interval))
    )
    return f"| {point.chosen_for} | {_distance(point.threshold)} | {far} | {tar} |"


def _distance(cosine: float) -> str:
    return f"{2 - 2 * cosine:.3f}"

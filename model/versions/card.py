"""The model card in Markdown: intended use, data, training, metrics and limitations."""

from __future__ import annotations

from model.configuration.config import TrainConfig
from model.verification.claims import interval, over_untrained, too_few
from model.verification.evaluation import EvaluationReport
from model.verification.metrics import OperatingPoint
from model.verification.thresholds import Thresholds
from stats.bootstrap import Interval
from storage.versions.datasets import DatasetVersion

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
    """The model card of training with `config` on `dataset`."""
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

Maps a face of {config.image_px} x {config.image_px} pixels to its embedding, a unit vector of {config.embedding_dim}
numbers. The more similar two faces are, the smaller the squared distance of their embeddings, from 0 to 4.
{config.backbone}, width {config.width:g}, {num_parameters:,} parameters."""


def _use(config: TrainConfig) -> str:
    px = config.image_px
    return f"""## Use

Intended for research on face verification: whether two photos, provided with consent, show the same person. Not
intended for identifying unknown people, surveillance, categorizing people, or automated decisions about anybody.

`facemill compare A B --model-folder FOLDER` runs the whole model. In Python:

```python
from flows.inference.embedder import Embedder

print(Embedder("FOLDER").compare("a.jpg", "b.jpg"))
```

For other programs there is `model.onnx`: input `faces`, uint8 [n, {px}, {px}, 3] in RGB; outputs `embeddings`, float32
[n, {config.embedding_dim}] of unit length, and `raw`, the same before normalization. The graph scales the pixels. Faces
must be aligned as in training: a similarity transform maps the two eyes, the nose and the corners of the mouth to the
ArcFace template, as in `model/embedding/align.py`."""


def _data(dataset: DatasetVersion) -> str:
    manifest = dataset.manifest
    splits = ", ".join(
        f"{name} {part['samples']:,} of {part['identities']:,} people"
        for name, part in manifest.get("splits", {}).items()
    )
    terms = manifest.get("terms") or "none are given in the dataset's manifest."
    return f"""## Data

{dataset}{f": {splits}" if splits else ""}. No person is in two splits.

Its terms also apply to the weights: {terms}"""


def _training(config: TrainConfig) -> str:
    recipe = {name: value for name, value in config.recipe().items() if name != "name"}
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items())
    return f"""## Training

{settings}. `lineage.json` records the code and the libraries, `history.json` the loss."""


def _figures(untrained: EvaluationReport, trained: EvaluationReport) -> str:
    rows = [_row(words, untrained, trained, name) for words, name in _FIGURES]
    for far, tar in trained.tar_at_far.items():
        low_high = trained.tar_at_far_interval[far]
        if tar is not None and low_high is not None:
            cell = _with_interval(tar, low_high, trained.num_identities)
            rows.append(f"| TAR at FAR {far} | {untrained.tar_at_far[far] or 0:.3f} | {cell} |")
    before, after = untrained.triplet, trained.triplet
    rows += [
        f"| triplet loss, margin {margin}: normalized / raw "
        f"| {before.unit[margin]:.3f} / {before.raw[margin]:.3f} | {after.unit[margin]:.3f} / {after.raw[margin]:.3f} |"
        for margin in after.unit
    ]
    table = "\n".join(rows)
    return f"""## Metrics

On {trained.num_faces:,} faces of {trained.num_identities:,} people of the test split, none of whom were used for
training: {trained.num_genuine:,} genuine and {trained.num_impostor:,} impostor pairs.
{_about_intervals(trained, untrained)}

| metric | untrained | trained |
|---|---|---|
{table}

A TAR is reported only if at least 30 false accepts are expected."""


def _thresholds(thresholds: Thresholds, trained: EvaluationReport) -> str:
    chosen = f"Chosen on {thresholds.num_genuine:,} genuine and {thresholds.num_impostor:,} impostor pairs"
    if thresholds.chosen_on != "val":
        return f"""## Threshold

Squared distance {_distance(thresholds.accuracy)}. {chosen} of the test split, because the dataset has no
validation split. No metric here estimates its performance on other people."""
    rows = "\n".join(_operating_row(point, trained.num_identities) for point in trained.operating_points)
    calibration = trained.calibration
    error = (
        ""
        if calibration is None
        else f" (expected calibration error on the test split {calibration.expected_error:.3f})"
    )
    return f"""## Thresholds

{chosen} of the validation split, applied to the test split:

| chosen for | squared distance at most | FAR on test | TAR on test |
|---|---|---|---|
{rows}

`thresholds.json` also maps a distance to the probability of the same person, at equal priors{error}."""


_LIMITS = """## Limits

The metrics hold for pictures like those of the dataset; with other cameras, poses, ages or lighting they may be worse.
Error rates per demographic group were not measured; with such data they will differ. Similar-looking people, above all
twins, are not distinguished. Presentation attacks, such as a photograph of a photograph, are not detected."""

_BIOMETRIC = """## Biometric data

A face embedding is biometric data: it can be matched with other photos of the person, and a similar face can be
reconstructed from it. In the European Union Article 9 of the GDPR applies; other places have their own laws. As a rule
the people embedded must have consented. Protect embeddings like the photos, and delete them together."""


def _row(words: str, untrained: EvaluationReport, trained: EvaluationReport, name: str) -> str:
    value, bounds = getattr(trained, name), getattr(trained, f"{name}_interval")
    return f"| {words} | {getattr(untrained, name):.3f} | {_with_interval(value, bounds, trained.num_identities)} |"


def _about_intervals(trained: EvaluationReport, untrained: EvaluationReport) -> str:
    """Explain the intervals or their absence, and warn if training did not improve the model."""
    few = too_few(trained.num_identities)
    brackets = "In parentheses: 95% interval by bootstrap over people."
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

"""The figures of an evaluation in words, for the terminal and for pages."""

from __future__ import annotations

from typing import Any

_WORDS = {
    "accuracy": "accuracy",
    "auc": "ROC AUC",
    "eer": "equal error rate",
    "rank_1": "rank-1",
}


def figure_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(figure, value, 95% interval) of every headline figure that is there; old versions have fewer intervals."""
    rows = [
        (words, f"{figures[name]:.4f}", interval(figures.get(f"{name}_interval")))
        for name, words in _WORDS.items()
        if name in figures
    ]
    intervals = figures.get("tar_at_far_interval", {})
    for far, tar in figures["tar_at_far"].items():
        rows.append(
            (f"TAR at FAR {far}", "too few pairs" if tar is None else f"{tar:.4f}", interval(intervals.get(far)))
        )
    for point in figures.get("operating_points", []):
        rows.append(
            (
                f"at val's threshold for {point['chosen_for']}, {point['threshold']:.3f}",
                f"FAR {point['far']:.2g}, TAR {point['tar']:.3f}",
                f"FAR {point['far_interval'][0]:.2g} to {point['far_interval'][1]:.2g}",
            )
        )
    return rows


def interval(bounds: list[float] | None) -> str:
    """An interval in words; nothing if there is none."""
    return f"{bounds[0]:.4f} to {bounds[1]:.4f}" if bounds else ""


def comparison_words(found: dict[str, Any]) -> str:
    """What a comparison of two versions (`Comparison.to_json`) comes to."""
    difference, (low, high) = found["auc"]["difference"], found["auc"]["interval"]
    verdict = "better" if low > 0 else "worse" if high < 0 else "not told apart"
    return (
        f"AUC on {found['test']}: {found['auc']['second']:.5f} against {found['auc']['first']:.5f}, {difference:+.5f} "
        f"(95%: {low:+.5f} to {high:+.5f}): {verdict}"
    )


def evaluation_notes(facts: dict[str, Any]) -> list[str]:
    """What must be known to believe the figures of a kept evaluation."""
    notes = []
    if "num_without_face" in facts:
        notes.append(
            f"{facts['num_without_face']:,} of {facts['num_photos']:,} photos gave no face and were cut out at LFW's "
            f"usual place; standard error over {len(facts['folds'])} folds {facts['accuracy_standard_error']:.4f}"
        )
    if facts["people_seen"] is None:
        notes.append(
            "the dataset the model was trained on is not in this lake: whether it knew these people is not known"
        )
    elif facts["people_seen"]:
        some = ", ".join(facts["people_seen"][:5])
        notes.append(
            f"by name, the model was trained on, or has its thresholds from, {len(facts['people_seen']):,} of these "
            f"people ({some}): its figures flatter"
        )
    if facts.get("calibration"):
        kept = facts["calibration"]
        notes.append(
            f"probabilities: Brier score {kept['brier']:.4f}, expected calibration error {kept['expected_error']:.4f}"
        )
    return notes

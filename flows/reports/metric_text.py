"""Metrics of an evaluation as text, for the terminal and reports."""

from __future__ import annotations

from typing import Any

from model.verification.claims import interval, too_few, verdict

_WORDS = {
    "accuracy": "accuracy",
    "auc": "ROC AUC",
    "eer": "equal error rate",
    "rank_1": "rank-1",
}


def figure_rows(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(metric, value, 95% interval) of every main metric present; old versions have fewer intervals.

    Without enough people there is no interval (`claims`).
    """
    people = figures.get("num_identities")
    rows = [
        (words, f"{figures[name]:.4f}", interval(figures.get(f"{name}_interval"), people))
        for name, words in _WORDS.items()
        if name in figures
    ]
    intervals = figures.get("tar_at_far_interval", {})
    for far, tar in sorted(figures.get("tar_at_far", {}).items(), key=lambda item: -float(item[0])):
        value = "too few pairs" if tar is None else f"{tar:.4f}"
        rows.append((f"TAR at FAR {far}", value, interval(intervals.get(far), people)))
    return rows + _triplet_rows(figures.get("triplet", {}), people)


POINT_COLUMNS = ("chosen on val for", "cosine", "FAR", "95% interval", "TAR", "95% interval")


def point_rows(figures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Test results at the thresholds chosen on val, in the columns `POINT_COLUMNS`; none for old versions."""
    people = figures.get("num_identities")
    return [
        (
            point["chosen_for"],
            f"{point['threshold']:.4f}",
            f"{point['far']:.5f}",
            interval(point["far_interval"], people, ".5f"),
            f"{point['tar']:.4f}",
            interval(point["tar_interval"], people),
        )
        for point in sorted(figures.get("operating_points", []), key=lambda point: float(point["threshold"]))
    ]


def _triplet_rows(triplet: dict[str, Any], people: int | None) -> list[tuple[str, str, str]]:
    """Losses of the frozen triplets, for normalized and raw embeddings; none for LFW."""
    return [
        (
            f"triplet loss, margin {margin}, {kind}",
            f"{loss:.4f}",
            interval(triplet.get(f"{kind}_interval", {}).get(margin), people),
        )
        for kind in ("unit", "raw")
        for margin, loss in triplet.get(kind, {}).items()
    ]


def comparison_words(found: dict[str, Any]) -> str:
    """One line on a comparison of two versions (`Comparison.to_json`)."""
    auc, people = found["auc"], found.get("num_people")
    words = interval(auc.get("interval"), people, "+.5f")
    between = f" (95%: {words})" if words else ""
    return (
        f"AUC on {found['test']}: {auc['second']:.5f} against {auc['first']:.5f}, {auc['difference']:+.5f}{between}: "
        f"{verdict(auc.get('interval'), people)}"
    )


def evaluation_notes(facts: dict[str, Any]) -> list[str]:
    """Notes on the validity of a stored evaluation."""
    notes = []
    if "num_without_face" in facts:
        notes.append(
            f"{facts['num_without_face']:,} of {facts['num_photos']:,} photos have no detected face and were cropped "
            f"at LFW's usual position; standard error over {len(facts['folds'])} folds "
            f"{facts['accuracy_standard_error']:.4f}"
        )
    if words := too_few(facts.get("num_identities")):
        notes.append(words)
    if words := people_seen_note(facts):
        notes.append(words)
    if facts.get("calibration"):
        kept = facts["calibration"]
        notes.append(
            f"probabilities: Brier score {kept['brier']:.4f}, expected calibration error {kept['expected_error']:.4f}"
        )
    return notes


def people_seen_note(facts: dict[str, Any]) -> str:
    """Whether the people of a test are new to the model; empty if they are."""
    seen = facts.get("num_people_seen")
    if seen is None:
        return "it is unknown whether the model was trained on any of these people: its dataset is not in this lake"
    if not seen:
        return ""
    of_people = f"by name, {seen:,} of these people were used for training or for choosing thresholds"
    return f"{of_people}: the metrics are optimistic"

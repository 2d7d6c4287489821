"""Accuracy on LFW of networks trained on real faces of a few hundred people.

    python -m bench.faces --lake LAKE                                the preset for the device, three seeds
    python -m bench.faces --lake LAKE --preset full --device cuda    the same on a GPU
    python -m bench.faces --lake LAKE --losses triplet,triplet+cosface --margins 0.2,1,2 --seeds 0 --steps 300

Any field of a training configuration is an option. Training uses `../shared/data/faces112.tar.xz` (`bench.corpus`).
The test is LFW's View 2 as in `facemill models evaluate --lfw`, one embedding per photo: no flipping, no multiple
scales. No recipe was chosen on LFW: trials were compared by the AUC on the held-out people of the corpus, which is in
the table as well. Core-minutes are CPU time of training alone, all threads, over all restarts of a killed run. The
models stay in the lake and are reused, so that a table can be made cell by cell.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from bench.corpus import ARCHIVE, publish_corpus
from flows.evaluate import evaluate_on_lfw, read_pairs
from model.configuration.config import TrainConfig
from model.configuration.train_options import add_options, config_from
from model.training.training_loop import Progress, train
from storage.errors import TrainingError
from storage.files.lake import Lake
from storage.versions.models import ModelVersion

_LFW = ARCHIVE.parent / "lfw"


def cells(base: TrainConfig, losses: list[str], margins: list[float]) -> Iterator[TrainConfig]:
    """The configurations of a table, with the first seed."""
    for loss, margin in product(losses, margins):
        yield replace(base, name="real-faces", loss=loss, margin=margin)


def row(lake: Lake, archive: Path, lfw: Path, config: TrainConfig, seeds: list[int]) -> dict[str, Any]:
    """One cell: the metrics of its models, one per seed. A collapsed run ends the row, and is reported."""
    models, stopped = [], ""
    try:
        for seed in seeds:
            models.append(trained(lake, archive, replace(config, seed=seed)))
    except TrainingError as error:
        stopped = str(error)
    pairs = read_pairs(lfw)
    return {
        "loss": config.loss,
        "margin": config.margin,
        "seeds": len(models),
        "stopped": stopped,
        "versions": [str(model) for model in models],
        "lfw_accuracy": [evaluate_on_lfw(model, lfw, pairs).facts["accuracy"] for model in models],
        "held_out_auc": [model.manifest["auc"] for model in models],
        "core_minutes": [cost_core_min(model) for model in models],
    }


def trained(lake: Lake, archive: Path, config: TrainConfig) -> ModelVersion:
    """The model of a configuration, from the lake if it exists."""

    def tell(now: Progress) -> None:
        place = f"{config.loss}, margin {config.margin:g}, seed {config.seed}"
        print(f"{place}: step {now.step} of {now.steps}, loss {now.loss:.3f}", file=sys.stderr, flush=True)

    return train(lake, publish_corpus(lake, archive), config, on_progress=tell, work_folder=lake.work_folder)


def cost_core_min(model: ModelVersion) -> float:
    """CPU time of a model's training, in minutes of one core."""
    return sum(interval["cpu_s"] for interval in model.read_json("history.json")["intervals"]) / 60


def show(rows: list[dict[str, Any]]) -> None:
    print(f"{'loss':18}{'margin':>7}{'seeds':>7}{'LFW accuracy':>18}{'held-out AUC':>18}{'core-minutes':>14}")
    for one in rows:
        figures = [_spread(one[name]) for name in ("lfw_accuracy", "held_out_auc")]
        cost = f"{statistics.mean(one['core_minutes']):.1f}" if one["seeds"] else "-"
        print(f"{one['loss']:18}{one['margin']:7g}{one['seeds']:7}{figures[0]:>18}{figures[1]:>18}{cost:>14}")
        if one["stopped"]:
            print(f"    stopped: {one['stopped']}")


def _spread(values: list[float]) -> str:
    """Mean and, for several seeds, standard deviation."""
    if not values:
        return "-"
    deviation = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation}"


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[float]:
    return [float(word) for word in text.split(",")]


def _whole_numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lake", type=Lake, required=True)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    parser.add_argument("--lfw", type=Path, default=_LFW)
    parser.add_argument("--losses", type=_words, metavar="A,B", help="losses, instead of the configured one")
    parser.add_argument("--margins", type=_numbers, metavar="A,B", help="likewise")
    parser.add_argument("--seeds", type=_whole_numbers, default=[0, 1, 2], metavar="A,B")
    parser.add_argument("--json", action="store_true")
    add_options(parser)
    args = parser.parse_args()
    base = config_from(args)
    table = cells(base, args.losses or [base.loss], args.margins or [base.margin])
    rows = [row(args.lake, args.archive, args.lfw, config, args.seeds) for config in table]
    if args.json:
        print(json.dumps({"config": base.recipe(), "rows": rows}))
    else:
        show(rows)


if __name__ == "__main__":
    main()

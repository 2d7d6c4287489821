"""Training without Prefect, and on several GPUs.

    python -m model --lake LAKE --dataset faces-mtcnn --preset full --learning-rate 1e-3
    torchrun --nproc-per-node 4 -m model --lake LAKE --dataset faces-mtcnn --preset full --identities-per-batch 256

Every field of `TrainConfig` is an option that overrides the preset. The processes of `torchrun` train one model on one
machine and share the lake's work folder. A killed run resumes when restarted with the same number of processes.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence

from model.configuration.train_options import add_options, config_from
from model.devices.distributed import is_rank_0, process_group
from model.training.training_loop import Progress, train
from storage.errors import FacemillError, UsageError
from storage.files.lake import Lake
from storage.versions.datasets import open_dataset
from storage.versions.readers import reading

# Without renewal for so long, a run counts as ended; its thread renews the lease three times in that time.
_LEASE_S = 60.0
_log = logging.getLogger("facemill.train")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train as given on the command line. Returns the exit code: 0, 1 on failure, 2 on wrong usage."""
    parser = argparse.ArgumentParser("model", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--lake", required=True)
    parser.add_argument("--dataset", required=True, help="name@version; default version: the newest")
    add_options(parser)
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with process_group():
            lake = Lake(args.lake)
            dataset = open_dataset(lake, args.dataset)
            with reading(lake, datasets=[dataset], good_for_s=_LEASE_S):
                model = train(lake, dataset, config_from(args), on_progress=_say, work_folder=lake.work_folder)
            if is_rank_0():
                _log.info("%s: AUC %.3f on unseen people", model, model.manifest["auc"])
    except FacemillError as error:
        _log.error("%s", error)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _say(now: Progress) -> None:
    _log.info("step %d of %d, loss %.3f, %.0f faces/s", now.step, now.steps, now.loss, now.images_per_s)


if __name__ == "__main__":
    sys.exit(main())

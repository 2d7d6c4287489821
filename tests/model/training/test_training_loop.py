import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch

from model.configuration.config import model_version_id
from model.embedding.data import load_faces
from model.training.train_set import put_on
from model.training.training_loop import Progress, check_health, initial_state, learning_rate, run_interval, train
from model.verification.evaluation import evaluate
from model.versions.version import load_backbone
from storage.errors import TrainingError, UsageError
from storage.records import Takedown, TakedownKind, identity_key
from storage.versions.models import model_versions
from storage.versions.takedowns import record
from tests.model.conftest import write_dataset

CPU = torch.device("cpu")


class Killed(Exception):
    pass


def test_a_short_training_tells_drawn_people_apart_it_never_saw(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(steps=60), work_folder=tmp_path / "work")
    metrics = model.read_json("metrics.json")
    assert metrics["trained"]["auc"] > metrics["untrained"]["auc"] + 0.05
    assert metrics["trained"]["auc"] > 0.9
    assert model.manifest["auc"] == metrics["trained"]["auc"]


def test_a_takedown_that_is_recorded_during_a_training_was_not_known_to_it(lake, tiny, tmp_path):
    dataset = write_dataset(lake, "drawn", {"train": 8, "val": 4, "test": 8}, faces_each=4)
    version = model_version_id(dataset, tiny())

    def take_down(progress: Progress) -> None:
        if progress.step == tiny().steps:
            record(lake, [Takedown(TakedownKind.IDENTITY, identity_key("Person_001"), None, datetime.now(UTC), "")])

    model = train(lake, dataset, tiny(), work_folder=tmp_path / "work", on_progress=take_down)
    assert (model.version, model.read_json("lineage.json")["dataset_state"]) == (version, "drawn@v1")
    assert dataset.state == "drawn@v1-less-4"
    assert [one.version for one in model_versions(lake)] == [version] != [model_version_id(dataset, tiny())]


def test_a_killed_run_goes_on_and_ends_with_the_same_weights(drawn, lake, tiny, tmp_path):
    config = tiny(loss="triplet+cosface")
    seen: list[Progress] = []
    whole = train(lake, drawn, config, work_folder=tmp_path / "whole")

    def die(progress: Progress) -> None:
        if progress.step == 11:
            raise Killed

    other = type(lake)(tmp_path / "other")
    with pytest.raises(Killed):
        train(other, drawn, config, work_folder=tmp_path / "killed", on_progress=die)
    resumed = train(other, drawn, config, work_folder=tmp_path / "killed", on_progress=seen.append)
    assert [progress.step for progress in seen] == list(range(12, 21))
    assert resumed.read("weights.safetensors") == whole.read("weights.safetensors")
    assert resumed.read("metrics.json") == whole.read("metrics.json")
    assert len(resumed.read_json("history.json")["intervals"]) == 20


KILLED_PROCESS = """
import os, signal, sys
import torch
from model.configuration.config import TrainConfig
from model.training.training_loop import train
from storage.versions.datasets import open_dataset
from storage.files.lake import Lake
torch.set_num_threads(1)
config = TrainConfig(name="tiny", width=0.25, embedding_dim=32, image_px=32, identities_per_batch=8,
    faces_per_identity=4, steps=20, warmup_steps=2, learning_rate=5e-3, device="cpu")
die = lambda progress: progress.step == 7 and os.kill(os.getpid(), signal.SIGKILL)
train(Lake(sys.argv[2]), open_dataset(Lake(sys.argv[1]), "drawn"), config, on_progress=die, work_folder=__import__(
    "pathlib").Path(sys.argv[3]))
"""


@pytest.mark.slow
def test_a_process_killed_outright_loses_nothing(drawn, lake, tiny, tmp_path):
    whole = train(lake, drawn, tiny(), work_folder=tmp_path / "whole")
    other, work = type(lake)(tmp_path / "other"), tmp_path / "killed"
    command = [sys.executable, "-c", KILLED_PROCESS, drawn.lake.url, other.url, str(work)]
    died = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert died.returncode == -9
    assert model_versions(other) == []
    resumed = train(other, drawn, tiny(), work_folder=work)
    assert resumed.read("weights.safetensors") == whole.read("weights.safetensors")


def test_a_version_that_is_there_is_returned_without_training(drawn, lake, tiny, tmp_path):
    first = train(lake, drawn, tiny(), work_folder=tmp_path / "work")
    again = train(lake, drawn, tiny(), work_folder=tmp_path / "unused", on_progress=lambda _: pytest.fail())
    assert again.version == first.version
    assert again.manifest == first.manifest
    assert not (tmp_path / "unused").exists()


def test_another_margin_is_another_version(drawn, lake, tiny, tmp_path):
    for margin in (1.0, 2.0):
        train(lake, drawn, tiny(margin=margin, steps=2), work_folder=tmp_path / "work")
    assert len(model_versions(lake, "tiny")) == 2


def test_history_tells_loss_rate_and_speed_of_every_interval(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(steps=45), work_folder=tmp_path / "work")
    intervals = model.read_json("history.json")["intervals"]
    assert [one["step"] for one in intervals] == [*range(2, 45, 2), 45]
    assert all(one["loss"] > 0 and one["images_per_s"] > 0 for one in intervals)
    assert all(0 <= one["active_share"] <= 1 and 0 < one["spread"] <= 1 for one in intervals)


def test_only_the_decoded_faces_stay_in_the_work_folder(drawn, lake, tiny, tmp_path):
    train(lake, drawn, tiny(), work_folder=tmp_path / "work")
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["faces"]


def test_the_published_weights_are_those_of_the_metrics(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(), work_folder=tmp_path / "work")
    faces = load_faces(drawn, "test", 32)
    assert load_backbone(model)(torch.zeros(2, 3, 32, 32)).shape == (2, 32)
    report, _ = evaluate(load_backbone(model), faces, load_faces(drawn, "val", 32), device=CPU)
    # Rounding may swap a few of the pairs; the untrained weights give 0.05 less and more.
    assert report.auc == pytest.approx(model.manifest["auc"], abs=1e-3)


def test_the_first_weights_follow_from_the_seed_alone(tiny):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    one, again, other = (initial_state(tiny(seed=seed), 16, CPU).backbone for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(next(one.parameters()), next(again.parameters()))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))


def test_the_learning_rate_rises_in_a_line_and_falls_to_nothing(tiny):
    config = tiny(steps=100, warmup_steps=10, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert rates[10] == max(rates) == 1
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 1e-3


def test_a_dataset_of_too_few_people_is_refused_before_training(lake, tiny, tmp_path):
    lonely = write_dataset(lake, "lonely", {"train": 1, "test": 3}, faces_each=3)
    with pytest.raises(UsageError, match="at least 2 train identities with 2 faces"):
        train(lake, lonely, tiny(), work_folder=tmp_path / "work")
    untestable = write_dataset(lake, "untestable", {"train": 3, "test": 1}, faces_each=3)
    with pytest.raises(UsageError, match="the test split needs at least 2 identities"):
        train(lake, untestable, tiny(), work_folder=tmp_path / "work")


def test_embeddings_in_one_point_stop_the_run(drawn, tiny):
    config = tiny()
    state, train_set = initial_state(config, 16, CPU), put_on(CPU, load_faces(drawn, "train", 32), config)
    with torch.no_grad():
        norm = state.backbone.get_submodule("norm")
        norm.get_parameter("weight").zero_()
        norm.get_parameter("bias").fill_(1.0)
    with pytest.raises(TrainingError, match="the embeddings collapsed"):
        check_health(run_interval(state, train_set, config), config)


def test_a_run_that_collapses_is_stopped_and_says_why(drawn, lake, tiny, tmp_path):
    # Batch-hard from scratch at so high a rate: all faces come to one point within 27 steps.
    with pytest.raises(TrainingError, match=r"collapsed.* stays at the margin 1 .*batch_all \(now batch_hard\)"):
        train(lake, drawn, tiny(mining="batch_hard", learning_rate=0.3, steps=90), work_folder=tmp_path / "work")
    assert model_versions(lake) == []


def test_a_loss_that_is_not_finite_stops_the_run(tiny):
    progress = Progress(3, 20, float("nan"), None, None, 0.9, 1e-3, 100.0, 0.3)
    with pytest.raises(TrainingError, match="loss must be finite, it is nan at step 3; lower learning_rate"):
        check_health(progress, tiny())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_on_cuda_learns_too(drawn, lake, tiny, tmp_path):
    model = train(lake, drawn, tiny(steps=60, device="cuda"), work_folder=tmp_path / "work")
    metrics = model.read_json("metrics.json")
    assert metrics["trained"]["auc"] > metrics["untrained"]["auc"]

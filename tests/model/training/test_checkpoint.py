import pytest
import torch

from model.embedding.data import load_faces
from model.training.checkpoint import restore_checkpoint, save_checkpoint
from model.training.train_set import put_on
from model.training.training_loop import initial_state, run_interval
from storage.errors import TrainingError

CPU = torch.device("cpu")


@pytest.fixture
def train_set(drawn, tiny):
    return put_on(CPU, load_faces(drawn, "train", 32), tiny())


@pytest.mark.parametrize("loss", ["triplet", "triplet+cosface"])
def test_a_restored_run_takes_the_same_next_step(tmp_path, tiny, train_set, loss):
    config = tiny(loss=loss)
    saved, restored = (initial_state(config, 16, CPU) for _ in range(2))
    run_interval(saved, train_set, config)
    save_checkpoint(tmp_path / "deep" / "state.safetensors", saved)
    assert restore_checkpoint(tmp_path / "deep" / "state.safetensors", restored)
    for state in (saved, restored):
        run_interval(state, train_set, config)
    assert saved.step == restored.step
    pairs = zip(saved.backbone.state_dict().values(), restored.backbone.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_without_a_checkpoint_nothing_is_restored(tmp_path, tiny):
    state = initial_state(tiny(), 16, CPU)
    assert not restore_checkpoint(tmp_path / "none.safetensors", state)
    assert state.step == 0


def test_a_checkpoint_that_cannot_be_read_is_named(tmp_path, tiny):
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=r"state\.safetensors cannot be resumed .*delete it"):
        restore_checkpoint(path, initial_state(tiny(), 16, CPU))


def test_a_checkpoint_of_another_network_is_refused(tmp_path, tiny):
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, initial_state(tiny(width=0.5), 16, CPU))
    with pytest.raises(TrainingError, match="cannot be resumed"):
        restore_checkpoint(path, initial_state(tiny(), 16, CPU))


def test_saving_leaves_one_file(tmp_path, tiny):
    for _ in range(2):
        save_checkpoint(tmp_path / "state.safetensors", initial_state(tiny(), 16, CPU))
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]

import dataclasses
import subprocess
import sys

import pytest
import torch

from model.backbones import ACTIVATIONS, BACKBONES
from model.configuration.choices import ACTIVATION_NAMES, BACKBONE_NAMES, LOSS_NAMES, MINING_NAMES
from model.configuration.config import PRESETS, TrainConfig, default_preset
from model.devices.device import resolve_device
from model.losses import LOSSES, MINERS
from storage.errors import UsageError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "quadruplet"}, "loss must be one of triplet, cosface, .*, not 'quadruplet'"),
        ({"backbone": "vgg"}, "backbone must be one of mobilefacenet, mobilenetv3_small, not 'vgg'"),
        ({"mining": "easy"}, "mining must be one of batch_all, semi_hard, batch_hard, not 'easy'"),
        ({"activation": "gelu"}, "activation must be one of paper, relu, hardswish, not 'gelu'"),
        ({"precision": "float16"}, "precision must be one of auto, float32, bfloat16, not 'float16'"),
        ({"compile": "yes"}, "compile must be one of auto, on, off, not 'yes'"),
        ({"ema_decay": 1.0}, "ema_decay must be between 0.0 and 0.9999, not 1.0"),
        ({"device": "tpu"}, "device must be one of auto, cpu, cuda, not 'tpu'"),
        ({"image_px": 100}, "image_px must be a multiple of 16, not 100"),
        ({"margin": 0.0}, "margin must be between 0.001 and 4.0, not 0.0"),
        ({"faces_per_identity": 1}, "faces_per_identity must be between 2 and 1000, not 1"),
        ({"learning_rate": float("nan")}, "learning_rate must be between .* not nan"),
    ],
)
def test_a_wrong_value_is_refused_with_its_limit(changes, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**changes)


def test_every_preset_has_a_triplet_loss_at_margin_one():
    assert all("triplet" in preset.loss and preset.margin == 1.0 for preset in PRESETS.values())


def test_the_configuration_of_an_older_version_still_means_its_network():
    fields = PRESETS["full"].recipe()
    for later in ("activation", "ema_decay", "sync_batch_norm"):
        del fields[later]
    assert TrainConfig(**fields) == PRESETS["full"]


def test_where_a_model_trains_does_not_make_it_another():
    config = PRESETS["smoke"]
    elsewhere = dataclasses.replace(config, device="cpu", precision="bfloat16", compile="on")
    assert config.recipe() == elsewhere.recipe()
    assert config.recipe() != dataclasses.replace(config, margin=2.0).recipe()


def test_a_gpu_computes_in_bfloat16_and_compiled_and_a_cpu_only_if_told():
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 0)
    plain, told = TrainConfig(), TrainConfig(precision="bfloat16", compile="on")
    assert (plain.uses_bfloat16(cuda), plain.compiles(cuda)) == (True, True)
    assert (plain.uses_bfloat16(cpu), plain.compiles(cpu)) == (False, False)
    assert (told.uses_bfloat16(cpu), told.compiles(cpu)) == (True, True)


def test_a_cpu_gets_the_smoke_preset():
    assert default_preset("cpu") == "smoke"
    assert resolve_device("cpu") == torch.device("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_is_refused_where_there_is_none():
    with pytest.raises(UsageError, match="cuda was requested"):
        resolve_device("cuda")


def test_the_words_of_a_configuration_are_those_of_its_modules():
    assert tuple(BACKBONES) == BACKBONE_NAMES
    assert tuple(ACTIVATIONS) == ACTIVATION_NAMES
    assert tuple(LOSSES) == LOSS_NAMES
    assert tuple(MINERS) == MINING_NAMES


def test_a_configuration_and_the_id_of_its_model_need_no_torch():
    program = "import sys, model.configuration.config, flows.pipeline; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0

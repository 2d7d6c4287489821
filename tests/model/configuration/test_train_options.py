import argparse
from dataclasses import fields, replace

import pytest

from model.__main__ import main
from model.configuration.config import PRESETS, TrainConfig
from model.configuration.train_options import add_options, config_from
from storage.errors import UsageError


def parsed(*words: str) -> TrainConfig:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return config_from(parser.parse_args(words))


def test_what_is_given_goes_over_the_preset():
    config = parsed("--preset", "cpu", "--image-px", "64", "--sync-batch-norm")
    assert config == replace(PRESETS["cpu"], image_px=64, sync_batch_norm=True)


@pytest.mark.parametrize("name", PRESETS)
def test_every_field_is_an_option(name):
    preset = PRESETS[name]
    words = [f"--{one.name.replace('_', '-')}={getattr(preset, one.name)}" for one in fields(TrainConfig)]
    # A switch is given by its name alone.
    given = [word.removesuffix("=True") for word in words if not word.endswith("=False")]
    assert parsed("--preset", "smoke", *given) == preset


def test_a_value_out_of_range_is_refused():
    with pytest.raises(UsageError, match=r"margin must be between .* not 9\.0"):
        parsed("--preset", "cpu", "--margin", "9")


def test_without_such_a_dataset_the_exit_code_is_2(lake, caplog):
    assert main(["--lake", lake.url, "--dataset", "nobody", "--device", "cpu"]) == 2
    assert "there is no dataset version nobody" in caplog.text

"""PaddleX's own configuration files are taken as they are."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.paddlex_config import PADDLEX_TRAIN, paddlex_yaml
from training.config import WITHOUT_EFFECT, load_config
from training.detectors import DETECTORS
from training.paths import ROOT

CONFIGS = ROOT / "training" / "configs"


@pytest.mark.fault("B4")
@pytest.mark.parametrize("name", DETECTORS)
def test_a_configuration_of_paddlex(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "config.yaml"
    path.write_text(paddlex_yaml(name))
    config, ours = load_config(path), load_config(CONFIGS / f"{name}.yaml")
    train = config.Train
    learning = (train.learning_rate, train.warmup_steps)
    assert (train.epochs_iters, train.batch_size, learning) == (50, 4, PADDLEX_TRAIN[name])
    assert (train.optimizer, train.milestones, train.image_sizes) == (
        ours.Train.optimizer,
        ours.Train.milestones,
        ours.Train.image_sizes,
    )
    weights = str(ROOT / "weights" / "official" / f"{name}.safetensors")
    assert (train.pretrain_weight_path, config.Export.weight_path) == (weights, weights)
    assert caplog.messages == [
        "settings of PaddleX that have no effect here: CheckDataset.convert, Predict.kernel_option"
    ]


@pytest.mark.fault("B4")
@pytest.mark.parametrize("key", WITHOUT_EFFECT)
def test_settings_of_paddlex_without_effect_are_named_once(key: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert load_config(CONFIGS / "BlazeFace.yaml", [f"{key}=x", f"{key}.inside=true"]) == load_config(
        CONFIGS / "BlazeFace.yaml"
    )
    assert caplog.messages == [f"settings of PaddleX that have no effect here: {key}, {key}.inside"]


@pytest.mark.fault("B4")
@pytest.mark.parametrize("name", DETECTORS)
def test_what_is_left_out_is_the_detectors_own(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "config.yaml").write_text(f"Global: {{model: {name}}}\nTrain:\n")
    assert load_config(tmp_path / "config.yaml") == load_config(CONFIGS / f"{name}.yaml")
    assert not caplog.messages

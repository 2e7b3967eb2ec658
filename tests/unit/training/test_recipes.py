"""What `Train.recipe` stands for, and which settings win over it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests.augment_samples import assert_sound, crowd
from tests.functional.L0_new_detector.tiny import TINY
from training.config import Train, load_config
from training.config_values import ConfigError
from training.detectors import DETECTORS
from training.paths import ROOT
from training.recipes import CROWDS_SETTINGS, RECIPES

CONFIGS = ROOT / "training" / "configs"
BLAZE_FACE = CONFIGS / "BlazeFace.yaml"
CROWDS = "Train.recipe=crowds"
every_detector = pytest.mark.parametrize("name", DETECTORS)


def train_of(*overrides: str, path: Path = BLAZE_FACE) -> Train:
    return load_config(path, overrides).Train


@every_detector
def test_the_reference_changes_nothing(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    detector = DETECTORS[name]
    assert train_of(path=path).recipe == "reference"
    assert train_of("Train.recipe=reference", path=path) == train_of(path=path)
    assert RECIPES["reference"].settings_of(detector) == {}
    assert RECIPES["reference"].loss_of(detector) is detector.build_loss


@every_detector
def test_the_settings_of_crowds(name: str) -> None:
    """All detectors have the same, but for the rate; what the recipe does not name is as in the detector's file."""
    path = CONFIGS / f"{name}.yaml"
    found, before = train_of(CROWDS, path=path).model_dump(), train_of(path=path).model_dump()
    own = {**CROWDS_SETTINGS, "learning_rate": DETECTORS[name].crowds.learning_rate}
    assert found == {**before, **own, "recipe": "crowds"}


def test_the_figures_of_the_cards() -> None:
    """`PP-YOLOE_plus-S_face.md` and the others: rates for batches of 32, the smallest face."""
    figures = {name: (facts.crowds.learning_rate, facts.crowds.smallest_face_px) for name, facts in DETECTORS.items()}
    assert figures == {
        "BlazeFace": (0.0015, 6.0),
        "BlazeFace-FPN-SSH": (0.0015, 6.0),
        "PicoDet_LCNet_x2_5_face": (0.0014, 6.0),
        "PP-YOLOE_plus-S_face": (0.0008, 5.0),
    }
    train = train_of(CROWDS)
    assert (train.optimizer, train.batch_size, train.weight_decay) == ("adamw", 32, 0.03)
    assert (train.schedule, train.ema_decay, train.max_faces, train.image_size) == ("cosine", 0.9985, 160, 640)


def test_settings_of_ones_own_win(tmp_path: Path) -> None:
    assert train_of(CROWDS, "Train.batch_size=3").batch_size == 3
    assert train_of("Train.batch_size=3", CROWDS).batch_size == 3
    own = tmp_path / "own.yaml"
    own.write_text("Global: {model: BlazeFace}\nTrain: {recipe: crowds, weight_decay: 0.0005}\n")
    train = train_of(path=own)
    assert (train.recipe, train.weight_decay, train.optimizer) == ("crowds", 0.0005, "adamw")
    assert train_of("Train.weight_decay=0.01", path=own).weight_decay == 0.01
    assert train_of("Train.recipe=reference", path=own).optimizer == "rmsprop"


def test_the_settings_that_a_training_writes_are_read_as_they_are(tmp_path: Path) -> None:
    config = load_config(BLAZE_FACE, [CROWDS, "Train.learning_rate=0.001", "Train.optimizer=rmsprop"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump()))
    assert load_config(tmp_path / "config.yaml") == config


def test_a_recipe_with_a_section_that_is_none(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("Global: {model: BlazeFace}\nTrain: 3\n")
    with pytest.raises(ConfigError, match="Train is 3; it should be a section with the keys num_classes, recipe"):
        load_config(own)
    own.write_text("Global: {model: BlazeFace}\nTrain:\n")
    assert train_of(CROWDS, path=own).optimizer == "adamw"


def test_one_way_to_assign_anchors_is_one_in_every_recipe() -> None:
    with pytest.raises(ConfigError, match="PicoDet_LCNet_x2_5_face has one way to assign"):
        train_of(CROWDS, "Train.static_assigner_epochs=3", path=CONFIGS / "PicoDet_LCNet_x2_5_face.yaml")
    own = train_of(CROWDS, "Train.static_assigner_epochs=3", path=CONFIGS / "PP-YOLOE_plus-S_face.yaml")
    assert own.static_assigner_epochs == 3


def test_a_new_detector_needs_nothing_for_it() -> None:
    """The example of CONTRIBUTING.md says nothing of recipes."""
    train, recipe = train_of(CROWDS), RECIPES["crowds"]
    assert recipe.settings_of(TINY)["learning_rate"] == 0.0015
    assert recipe.loss_of(TINY) is TINY.build_loss
    sample = recipe.compose_of(TINY, train)(
        crowd(), lambda rng: crowd(), np.random.default_rng(0), size_px=96, interpolation=cv2.INTER_CUBIC
    )
    assert_sound(sample)
    assert sample.size_wh == (96, 96)

from __future__ import annotations

import math
from pathlib import Path

import pytest

from training.config import Train, load_config
from training.engine.lr_schedule import build_schedule

STEPS = 10  # per epoch


def train_of(model: str, **changes: object) -> Train:
    return load_config(Path("training/configs") / f"{model}.yaml").Train.model_copy(update=changes)


def test_no_warm_up() -> None:
    assert build_schedule(train_of("BlazeFace", warmup_steps=0), STEPS)(0) == 0.001


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 0.001 / 3), (250, 0.002 / 3), (500, 0.001), (3329, 0.001), (3330, 0.0001), (8000, 0.00001)]
)
def test_the_steps_of_blazeface(step: int, rate: float) -> None:
    assert build_schedule(train_of("BlazeFace"), STEPS)(step) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.008), (300, 0.08), (1650, 0.04), (3000, 0.0), (2999, 0.04 * (1 + math.cos(math.pi * 2699 / 2700)))],
)
def test_the_cosine_of_picodet(step: int, rate: float) -> None:
    assert build_schedule(train_of("PicoDet_LCNet_x2_5_face"), STEPS)(step) == pytest.approx(rate, abs=1e-12)


def test_a_training_that_is_all_warm_up() -> None:
    schedule = build_schedule(train_of("PP-YOLOE_plus-S_face", epochs_iters=1), STEPS)
    assert [schedule(step) for step in (0, 5, 9)] == pytest.approx([0.0, 0.05e-4, 0.09e-4])

"""Each detector trains at several sizes, and goes on from its checkpoint as if it had never stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.dataset import draw_faces_dataset
from tests.small_training import train
from training.detectors import DETECTORS, get_detector
from training.engine.checkpoint import Checkpoint, epoch_folder, load_checkpoint
from training.recipes import RECIPES

SETTINGS = ("batch_size=2", "image_sizes=[64, 96]", "num_workers=2", "learning_rate=0.001")


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    for kind in ("weights", "moving", "optimiser"):
        arrays, others = (getattr(checkpoint, kind) or {} for checkpoint in (one, other))
        assert arrays.keys() == others.keys(), kind
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, others[name], err_msg=f"{kind} {name}")


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("model", DETECTORS)
def test_going_on_ends_with_the_same_weights(tmp_path: Path, model: str, recipe: str) -> None:
    """The second epoch of PP-YOLOE+ assigns anchors in another way than the first."""
    settings = (*SETTINGS, f"recipe={recipe}")
    faces, whole, again = draw_faces_dataset(tmp_path / "faces", count=4), tmp_path / "whole", tmp_path / "again"
    assigner = ("static_assigner_epochs=1",) if get_detector(model).static_assigner else ()
    with_average = train(faces, whole, 2, *settings, *assigner, model=model).average is not None
    train(faces, again, 2, *settings, *assigner, f"resume_path={epoch_folder(whole, 1)}", model=model)
    first, last, resumed = (
        load_checkpoint(epoch_folder(output, epochs), model) for output, epochs in ((whole, 1), (whole, 2), (again, 2))
    )
    assert_equal(last, resumed)
    assert last.progress.ap == resumed.progress.ap is not None
    with pytest.raises(AssertionError):
        assert_equal(first, last)
    suffixes = (".pdparams", ".pdopt", ".pdstates", *((".pdema",) if with_average else ()))
    assert {path.name for path in (again / "best_model").iterdir()} == {f"best_model{suffix}" for suffix in suffixes}

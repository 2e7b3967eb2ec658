"""What is not published, and leaves everything as it was: wrong names, folders that are no export, bad networks."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.exported import UNUSABLE, divides_by_zero, spoil_a_weight, write_settings
from tests.functional.L0_publish.conftest import everything_in
from tests.shipped import copy_one_detector
from tritonface_server.publish import PublishError, publish, published, undo


@pytest.mark.parametrize("spoil", UNUSABLE)
def test_a_network_that_does_not_run_stays_invisible(mine: Path, folder: Path, spoil: Callable[[Path], None]) -> None:
    before = everything_in(mine.parent)
    spoil(folder / "model.onnx")
    with pytest.raises(PublishError, match=r"cannot be served: .*failed to load 'mine_|model\.onnx is no network"):
        publish(folder, "mine", mine)
    assert everything_in(mine.parent) == before


@pytest.mark.parametrize("name", ["", ".hidden", "../escape", "a/b", "a b", "x" * 65, "640x640_cubic_preprocess"])
def test_names_that_are_no_names(repository: Path, folder: Path, name: str) -> None:
    with pytest.raises(PublishError, match="use letters, digits"):
        publish(folder, name, repository)
    assert not repository.exists()


@pytest.mark.parametrize(
    ("name", "taken"), [("BlazeFace", "BlazeFace_postprocess"), ("BlazeFace_hpi", "BlazeFace_hpi_detector")]
)
def test_a_shipped_model_is_not_replaced(folder: Path, tmp_path: Path, name: str, taken: str) -> None:
    repository = copy_one_detector(tmp_path / "copy")
    with pytest.raises(PublishError, match=f"would need the name '{taken}', and that is a model .* another name"):
        publish(folder, name, repository)


@pytest.mark.fault("B8")
def test_the_name_of_anothers_variant(mine: Path, folder: Path) -> None:
    before = everything_in(mine.parent)
    with pytest.raises(PublishError, match="'mine_hpi_detector', and that is a model of the detector 'mine' in"):
        publish(folder, "mine_hpi", mine)
    assert everything_in(mine.parent) == before and published(mine) == ["mine"]


@pytest.mark.fault("B8")
def test_a_variant_with_the_name_of_another(repository: Path, folder: Path) -> None:
    publish(folder, "mine_hpi", repository)
    before = everything_in(repository.parent)
    with pytest.raises(PublishError, match="'mine_hpi_detector', and that is a model of the detector 'mine_hpi' in"):
        publish(folder, "mine", repository)
    assert everything_in(repository.parent) == before and published(repository) == ["mine_hpi"]


@pytest.mark.fault("B8")
def test_a_move_that_fails_leaves_the_old_models(mine: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything_in(mine)
    rename = Path.rename

    def full(self: Path, target: Path) -> Path:
        if target == mine / "mine_detector" and self.parent.name == "models":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(PublishError, match=r"cannot be moved: .*No space left on device; nothing has changed"):
        publish(folder, "mine", mine)
    monkeypatch.undo()
    assert everything_in(mine) == before
    assert not undo("mine", mine)


@pytest.mark.fault("B15")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(repository: Path, folder: Path, value: float) -> None:
    name = spoil_a_weight(folder / "model.onnx", value)
    message = rf"exported/model\.onnx: 1 of \d+ values of '{re.escape(name)}' are not finite; the training diverged"
    with pytest.raises(PublishError, match=message):
        publish(folder, "mine", repository)
    assert not repository.exists()


@pytest.mark.fault("B15")
def test_boxes_that_are_not_finite(repository: Path, folder: Path) -> None:
    divides_by_zero(folder / "model.onnx")
    with pytest.raises(PublishError, match="the boxes of mine_detector on a photo are not all finite"):
        publish(folder, "mine", repository)
    assert everything_in(repository) == []


def test_settings_that_cannot_be_served(repository: Path, folder: Path) -> None:
    write_settings(folder, label_list="face")
    with pytest.raises(PublishError, match=r"exported/inference\.yml: label_list is 'face'; expected a list of names"):
        publish(folder, "mine", repository)
    assert not repository.exists()


@pytest.mark.parametrize("missing", ["model.onnx", "inference.yml"])
def test_a_folder_that_lacks_a_file(repository: Path, folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(PublishError, match=f"has no {missing}"):
        publish(folder, "mine", repository)

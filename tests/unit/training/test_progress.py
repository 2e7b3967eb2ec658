from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from training.engine.outcome import tell_outcome
from training.progress import CheckpointError, Progress, accuracy_of, read_progress, write_progress

PICTURES = {"validation pictures": "100 (sha256 0123456789ab)"}
PROGRESS = Progress("BlazeFace", "run", 320, epochs=3, ap=0.5, ap50=0.75, settings=PICTURES)
BEFORE = {"epoch": 0, "AP": 0.25, "AP50": 0.5}


def test_weights_that_no_training_speaks_of(tmp_path: Path) -> None:
    assert accuracy_of(tmp_path / "weights.pdparams") is None
    write_progress(tmp_path, replace(PROGRESS, ap=None, ap50=None))
    assert accuracy_of(tmp_path / f"{tmp_path.name}.pdparams") is None


@pytest.mark.parametrize(
    ("before", "better"),
    [(None, None), (BEFORE, True), ({**BEFORE, "AP": 0.5}, False), ({**BEFORE, "AP": 0.75}, False)],
)
def test_before_and_after(
    tmp_path: Path, before: dict[str, Any] | None, better: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    write_progress(tmp_path, replace(PROGRESS, before=before))
    assert accuracy_of(tmp_path / f"{tmp_path.name}.safetensors") == {
        "before": before,
        "after": {"epoch": 3, "AP": 0.5, "AP50": 0.75},
        "better": better,
        "image_size": 320,
        "validation_pictures": "100 (sha256 0123456789ab)",
    }
    with caplog.at_level(logging.INFO, "training"):
        tell_outcome(replace(PROGRESS, before=before), tmp_path)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    if better is None:
        assert told == []
    elif better:
        assert told == [("INFO", "better than the weights it began with: AP 0.2500 before, 0.5000 after epoch 3")]
    else:
        ((level, text),) = told
        assert level == "WARNING" and text.startswith("NO EPOCH IS BETTER than the weights it began with: AP 0.")
        assert "best_model holds that epoch all the same. A lower" in text
        start = tmp_path / "start_model" / "start_model.pdparams"
        start.parent.mkdir()
        start.touch()
        with caplog.at_level(logging.INFO, "training"):  # Paddle quiets the root logger
            tell_outcome(replace(PROGRESS, before=before), tmp_path)
        assert f"all the same; the weights of before are {start}. A lower" in caplog.text


def test_a_training_of_an_earlier_version(tmp_path: Path) -> None:
    state = {key: value for key, value in vars(PROGRESS).items() if key not in ("ap50", "before", "pretrained")}
    file = tmp_path / f"{tmp_path.name}.pdstates"
    file.write_text(json.dumps(state))
    assert read_progress(tmp_path) == replace(PROGRESS, ap50=None)
    del state["epochs"]
    file.write_text(json.dumps(state))
    with pytest.raises(CheckpointError, match="does not say how far the training is: 'epochs' is missing"):
        read_progress(tmp_path)

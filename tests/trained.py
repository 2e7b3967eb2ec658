"""Trained weights of a detector: those of the project, or of a folder `shared/weights` beside the checkout."""

from __future__ import annotations

from pathlib import Path

from training.paths import ROOT

FOLDERS = (ROOT / "weights", ROOT.parent / "shared" / "weights")


def trained_weights(name: str) -> Path | None:
    """The safetensors file; None where there is none."""
    files = (folder / f"{name}.safetensors" for folder in FOLDERS)
    return next((file for file in files if file.is_file()), None)

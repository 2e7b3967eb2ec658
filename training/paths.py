"""Where the project keeps what it ships: weights, and networks in the model repository."""

from __future__ import annotations

from pathlib import Path

from tritonface_server.export_folder import NETWORK, exported_folder

ROOT = Path(__file__).resolve().parents[1]
MODEL_REPOSITORY = ROOT / "model_repository"


def official_weights_file(detector: str) -> Path:
    """Where `make official-weights` puts the weights of a detector."""
    return ROOT / "weights" / "official" / f"{detector}.safetensors"


def shipped_weights(detector: str) -> Path:
    """The project's weights of a detector."""
    return ROOT / "weights" / f"{detector}.safetensors"


def shipped_network(detector: str) -> Path:
    """The exported network of a detector."""
    return exported_folder(MODEL_REPOSITORY, detector) / NETWORK

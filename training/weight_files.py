"""Finds and loads a detector's weights: a `.safetensors` or `.pdparams` file, or the folder of a training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from paddle import nn

from training.detectors.description import DetectorDescription
from training.pdparams import read_pdparams
from training.progress import check_file, image_size_of, labels_of
from training.replace_folder import recover_folder
from training.weights import WeightsError, load_weights, set_weights
from tritonface_server.export_folder import NETWORK, SETTINGS, read_folder

STEMS = ("best_model/best_model", "best_model")
SUFFIXES = (".pdparams", ".safetensors")


def load_weights_of(network: nn.Layer, path: Path) -> Path:
    """Fill a detector and return the file that was read.

    Raises:
        WeightsError: nothing there, another kind of file, damaged, or weights of another network.
    """
    file = find_weights(path)
    if file.suffix == ".safetensors":
        load_weights(network, file)
        return file
    check_file(file)
    arrays = read_pdparams(file)
    try:
        set_weights(network, arrays)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None
    return file


def size_of(file: Path) -> tuple[int, int] | None:
    """Width and height of the network's input for which a file's weights were chosen, if it lies beside what says so.

    That is the `.pdstates` of a training, or the `inference.yml` of an exported folder.

    Raises:
        WeightsError, ExportFolderError: what lies beside the file is damaged.
    """
    if file.suffix in SUFFIXES:
        side_px = image_size_of(file)
        return None if side_px is None else (side_px, side_px)
    exported = file.name == NETWORK and (file.parent / SETTINGS).is_file()
    return read_folder(file.parent).input_size_wh if exported else None


def as_trained(detector: DetectorDescription, file: Path) -> DetectorDescription:
    """The detector with the input size and the labels that a file's weights were trained for, where that is known.

    Raises:
        WeightsError: what lies beside the file is damaged.
    """
    size_wh, labels = size_of(file), labels_of(file)
    return replace(
        detector,
        input_size_wh=detector.input_size_wh if size_wh is None else size_wh,
        labels=detector.labels if labels is None else tuple(labels),
    )


def find_weights(path: Path) -> Path:
    """The weights file that `path` is, or that lies in it.

    Raises:
        WeightsError: there is none.
    """
    recover_folder(path.parent)
    recover_folder(path / "best_model")
    if path.is_dir():
        candidates = [path / f"{stem}{suffix}" for stem in STEMS for suffix in SUFFIXES]
        for file in candidates:
            if file.is_file():
                return file
        raise WeightsError(f"the folder {path} has no {candidates[0].relative_to(path)}, as a training writes it")
    if not path.is_file():
        official = "; `make official-weights` downloads them" if path.parent.name == "official" else ""
        raise WeightsError(f"the weights {path} do not exist{official}")
    if path.suffix not in SUFFIXES:
        raise WeightsError(f"the weights {path} are of another kind; expected {' or '.join(SUFFIXES)}")
    return path

"""Finds and loads a detector's weights: a `.safetensors` or `.pdparams` file, or the folder of a training."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from paddle import nn

from training.detectors.description import DetectorDescription
from training.pdparams import read_pdparams
from training.progress import check_file, image_size_of, labels_of
from training.replace_folder import recover_folder
from training.weights import WeightsError, read_safetensors, set_weights, with_more_classes
from tritonface_server.export_folder import NETWORK, SETTINGS, read_folder

LOG = logging.getLogger(__name__)
STEMS = ("best_model/best_model", "best_model")
SUFFIXES = (".pdparams", ".safetensors")


def load_weights_of(network: nn.Layer, path: Path) -> Path:
    """Fill a detector and return the file that was read.

    Raises:
        WeightsError: nothing there, another kind of file, damaged, or weights of another network.
    """
    file = find_weights(path)
    _fill(network, _read(file), file)
    return file


def _read(file: Path) -> dict[str, np.ndarray]:
    if file.suffix == ".safetensors":
        return read_safetensors(file)
    check_file(file)
    return read_pdparams(file)


def _fill(network: nn.Layer, arrays: dict[str, np.ndarray], file: Path) -> None:
    try:
        set_weights(network, arrays)
    except WeightsError as error:
        raise WeightsError(f"{file}: {error}") from None


def as_trained(detector: DetectorDescription, file: Path) -> DetectorDescription:
    """The detector with the input size and the labels that a file's weights were trained for, where that is known.

    It is if the file lies beside the `.pdstates` of a training, or in an exported folder with its `inference.yml`.

    Raises:
        WeightsError, ExportFolderError: what lies beside the file is damaged.
    """
    if file.name == NETWORK and (file.parent / SETTINGS).is_file():
        exported = read_folder(file.parent)
        return replace(detector, input_size_wh=exported.input_size_wh, labels=exported.labels)
    side_px, labels = (image_size_of(file), labels_of(file)) if file.suffix in SUFFIXES else (None, None)
    return replace(
        detector,
        input_size_wh=detector.input_size_wh if side_px is None else (side_px, side_px),
        labels=detector.labels if labels is None else tuple(labels),
    )


def begin_with(network: nn.Layer, path: Path, detector: DetectorDescription) -> Path:
    """Fill a detector that is to be trained, as `load_weights_of` does; weights of one class begin one of several too.

    Args:
        detector: with the labels to learn.

    Raises:
        WeightsError: as `load_weights_of`, or the weights are of classes that are neither one nor as many.
    """
    file, count = find_weights(path), len(detector.labels)
    known = labels_of(file)
    if known is not None and len(known) not in (1, count):
        raise WeightsError(
            f"{file} tells {len(known)} classes apart ({', '.join(known)}), the data set has {count} "
            f"({', '.join(detector.labels)}); begin with weights of as many classes, or of one"
        )
    if known is not None and len(known) == count > 1 and tuple(known) != detector.labels:
        before, now = ", ".join(known), ", ".join(detector.labels)
        LOG.warning("the weights begin with other classes: they learned %s, now it is %s", before, now)
    arrays = _read(file)
    if count > 1:
        arrays = with_more_classes(arrays, network, detector.build_network(1))
    _fill(network, arrays, file)
    return file


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

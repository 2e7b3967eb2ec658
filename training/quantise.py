"""Exported network to OpenVINO INT8, by NNCF's post-training quantisation; kept only if its AP holds.

python -m training.quantise DETECTOR --images FOLDER [--annotations JSON] [--onnx FILE] [--output FOLDER] [--count N]

Calibration sees real photos through the server's own preprocessing. With annotations, average precision is measured
in float32, bfloat16 (where the CPU has it) and INT8, whose remaining float operations run in the best of the two.
An INT8 network that loses more than `MAX_AP_LOSS` is quantised again with its first and last convolutions in float;
if that loses too much as well, nothing is kept.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

# Both packages report their use over the network unless they take this for a CI machine.
os.environ.update(CI="true", NNCF_CI="1")
import nncf
import openvino

from training.coco_dataset import CocoSplit, for_labels, load_split
from training.dataset_pictures import PICTURE_SUFFIXES, read_picture
from training.detectors import DETECTORS, get_detector
from training.evaluation.coco import evaluate_coco
from training.evaluation.detect import LOW_THRESHOLD
from training.paths import ROOT, shipped_network
from training.weight_files import as_trained
from tritonface_server.detector import Detector
from tritonface_server.export_folder import INPUT_NAME, OUTPUT_NAMES
from tritonface_server.images import ImageError, decode_image, resize
from tritonface_server.in_process import InProcessDetector
from tritonface_server.runtimes import float_precisions

MAX_AP_LOSS = 0.005  # half a point against float32
CALIBRATION_PICTURES = 100
SEED = 20240607
CONVOLUTIONS = {"Convolution", "GroupConvolution", "MatMul"}
LAYOUT = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Convert"}
INTERFACE = {"Constant", "Result", "Parameter"}


class QuantisationError(RuntimeError):
    """There is no INT8 network to keep; the message says why and what to do."""


def quantise(network: openvino.Model, pictures: list[np.ndarray], *, keep_in_float: list[str]) -> openvino.Model:
    """An INT8 copy of the network; equal input gives equal output.

    Activations that are not cut off by ReLU (hard swish, leaky ReLU) get asymmetric ranges (preset MIXED), and the
    biases are corrected on the same pictures.

    Args:
        pictures: uint8 [H, W, 3] BGR each, as the network takes them.
        keep_in_float: friendly names of the operations that stay as they are.
    """
    random.seed(SEED)
    np.random.seed(SEED)
    return nncf.quantize(
        network,
        nncf.Dataset([picture[None] for picture in pictures]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pictures),
        fast_bias_correction=True,
        ignored_scope=nncf.IgnoredScope(names=keep_in_float, validate=False),
    )


def operations_around(network: openvino.Model) -> list[str]:
    """Friendly names of what lies before the first and after the last learnt convolutions.

    That is normalisation, and the decoding of boxes and scores: operations in pixels and probabilities, where 256
    levels are too coarse. A convolution fed by a softmax (expectation over a distribution of distances) decodes too.
    """
    (before, _), (after, _) = _from_input(network), _from_outputs(network)
    names = {node.get_friendly_name() for node in [*before, *after] if node.get_type_name() not in INTERFACE}
    return sorted(names)


def outermost_convolutions(network: openvino.Model) -> list[str]:
    """Friendly names of the learnt convolutions that see normalised pixels or whose results are decoded."""
    (_, first), (_, last) = _from_input(network), _from_outputs(network)
    with_biases = [*first, *last, *(source for node in last if _is_bias(node) for source in _producers(node))]
    return sorted({node.get_friendly_name() for node in with_biases if _is_learnt(node)})


def calibration_pictures(detector: Detector, files: list[Path], count: int) -> list[np.ndarray]:
    """`count` of the photos, or all if there are fewer, as the network sees them: uint8 [height, width, 3] BGR.

    Raises:
        QuantisationError: no file, or one that cannot be decoded.
    """
    if not files:
        raise QuantisationError(
            f"no photos to calibrate on ({', '.join(PICTURE_SUFFIXES)}; those of --annotations do not count); "
            "name a folder with a hundred or more in --images"
        )
    chosen = np.random.default_rng(SEED).permutation(len(files))[:count]
    photos = [_read(files[index]) for index in chosen]
    return [resize(photo, detector.input_size_wh, detector.interpolation) for photo in photos]


def average_precision(
    network: openvino.Model, precision: str, detector: Detector, images: Path, split: CocoSplit
) -> dict[str, float]:
    """COCO's figures of the network with its float operations in `precision`, see `evaluate_coco`."""
    compiled = openvino.Core().compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": precision})

    def run(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        results = compiled({INPUT_NAME: pictures})
        boxes, scores = (results[name] for name in OUTPUT_NAMES)
        return boxes, scores

    in_process, found = InProcessDetector(detector, run), {}
    for image in split.images:
        (found[image.id],) = in_process.detect([_read(images / image.file_name)], LOW_THRESHOLD)
    return evaluate_coco(split, found)


def best_float() -> str:
    """The fastest of OpenVINO's float precisions on this CPU: "bf16" or "f32"."""
    return float_precisions()[0]


def ap_loss(figures: dict[str, dict[str, float]], candidate: str) -> float:
    """How far the candidate's AP lies below float32's; negative if it is higher."""
    return figures["f32"]["AP"] - figures[candidate]["AP"]


def check(figures: dict[str, dict[str, float]], candidate: str) -> None:
    """QuantisationError if the candidate loses more than `MAX_AP_LOSS`."""
    loss = ap_loss(figures, candidate)
    if loss > MAX_AP_LOSS:
        raise QuantisationError(
            f"{candidate} loses {loss:.4f} AP against f32, the limit is {MAX_AP_LOSS}: not kept; "
            "calibrate on photos more like the annotated ones or serve bf16"
        )


def table(figures: dict[str, dict[str, float]]) -> str:
    """Markdown, one line per precision."""
    metrics = list(next(iter(figures.values())))
    lines = ["| | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    lines += [
        f"| {name} | " + " | ".join(f"{row[metric]:.4f}" for metric in metrics) + " |" for name, row in figures.items()
    ]
    return "\n".join(lines)


def _from_input(network: openvino.Model) -> tuple[list[openvino.Node], list[openvino.Node]]:
    return _reach([item.get_node() for item in network.inputs], _consumers, stop=_is_learnt)


def _from_outputs(network: openvino.Model) -> tuple[list[openvino.Node], list[openvino.Node]]:
    return _reach([item.get_node() for item in network.outputs], _producers, stop=_ends_decoding)


def _ends_decoding(node: openvino.Node) -> bool:
    """A learnt convolution with or without its bias, or a shape: priors need the size of a map, not its values."""
    return _is_bias(node) or _is_learnt(node) or node.get_type_name() == "ShapeOf"


def _is_bias(node: openvino.Node) -> bool:
    return node.get_type_name() == "Add" and any(map(_is_learnt, _producers(node)))


def _is_learnt(node: openvino.Node) -> bool:
    if node.get_type_name() not in CONVOLUTIONS:
        return False
    source = node.input_value(0).get_node()
    while source.get_type_name() in LAYOUT:
        source = source.input_value(0).get_node()
    return source.get_type_name() != "Softmax"


def _consumers(node: openvino.Node) -> Iterator[openvino.Node]:
    for output in node.outputs():
        for target in output.get_target_inputs():
            yield target.get_node()


def _producers(node: openvino.Node) -> Iterator[openvino.Node]:
    for value in node.input_values():
        yield value.get_node()


def _reach(
    start: Iterable[openvino.Node],
    neighbours: Callable[[openvino.Node], Iterator[openvino.Node]],
    *,
    stop: Callable[[openvino.Node], bool],
) -> tuple[list[openvino.Node], list[openvino.Node]]:
    """Nodes reachable from `start` without passing one that `stop` accepts, and those it stopped at."""
    inside, boundary, queue = {}, {}, list(start)
    while queue:
        node = queue.pop()
        name = node.get_friendly_name()
        if stop(node):
            boundary[name] = node
        elif name not in inside:
            inside[name] = node
            queue.extend(neighbours(node))
    return list(inside.values()), list(boundary.values())


def _read(path: Path) -> np.ndarray:
    try:
        return decode_image(read_picture(path))
    except (OSError, ImageError) as error:
        raise QuantisationError(f"{path}: {error}") from None


def run(detector: Detector, onnx_file: Path, images: Path, annotations: Path | None, output: Path, count: int) -> Path:
    """Quantise, measure, and write `model.xml` and `model.bin` if the network may be kept.

    Returns:
        the file `model.xml`.

    Raises:
        QuantisationError: nothing to calibrate on, an unreadable photo, or AP falls too far.
        training.dataset_problems.DatasetError: the annotations or their photos are not sound.
    """
    split = for_labels(load_split(annotations, images), detector.labels) if annotations else None
    held_out = {images / image.file_name for image in split.images} if split else set()
    photos = sorted(
        path for path in images.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES and path not in held_out
    )
    network = openvino.convert_model(onnx_file)
    pictures = calibration_pictures(detector, photos, count)

    def precision(model: openvino.Model, name: str) -> dict[str, float]:
        return average_precision(model, name, detector, images, split)

    figures = {name: precision(network, name) for name in dict.fromkeys(("f32", best_float()))} if split else {}
    around = operations_around(network)
    plans = {"INT8": around, "INT8, first and last float": [*around, *outermost_convolutions(network)]}
    for name, keep_in_float in plans.items():
        quantised = quantise(network, pictures, keep_in_float=keep_in_float)
        if split:
            figures[name] = precision(quantised, best_float())
        if not split or ap_loss(figures, name) <= MAX_AP_LOSS:
            break
    if split:
        print(table(figures))
        check(figures, name)
    output.mkdir(parents=True, exist_ok=True)
    openvino.save_model(quantised, output / "model.xml", compress_to_fp16=False)
    return output / "model.xml"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.quantise", description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=DETECTORS)
    parser.add_argument(
        "--images", type=Path, required=True, metavar="FOLDER", help="photos, those of --annotations too"
    )
    parser.add_argument("--annotations", type=Path, metavar="JSON", help="COCO file that decides whether it is kept")
    parser.add_argument("--onnx", type=Path, metavar="FILE", help="default: the model repository's network")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="default: output/int8/DETECTOR")
    parser.add_argument(
        "--count", type=int, default=CALIBRATION_PICTURES, help="photos to calibrate on, default %(default)s"
    )
    arguments = parser.parse_args()
    onnx_file = arguments.onnx or shipped_network(arguments.detector)
    detector = as_trained(get_detector(arguments.detector), onnx_file)
    output = arguments.output or ROOT / "output" / "int8" / detector.name
    nncf.set_log_level(logging.ERROR)
    try:
        print(run(detector, onnx_file, arguments.images, arguments.annotations, output, arguments.count))
    except (QuantisationError, ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

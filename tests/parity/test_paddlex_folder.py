"""The folder for PaddleX, run by plain Paddle, against the served pipeline; `check_paddlex.py` asks PaddleX itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import paddle
import pytest

from tests.parity.conftest import Exported
from tests.parity.golden import rule
from tests.reference import InProcess, nms_one_by_one
from tests.trained import trained_network
from training.detectors import get_detector
from training.detectors.description import DetectorDescription
from training.paddlex_folder import export_paddlex
from training.paths import ROOT


def run(
    graph: paddle.nn.Layer, facts: DetectorDescription, images: np.ndarray, scale_yx: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rows [M, 6] and counts [N], fed as PaddleX feeds its detectors."""
    size_hw = np.tile(np.float32(images.shape[2:]), (len(images), 1))
    inputs = [images, scale_yx, *([size_hw] if facts.paddlex_feeds_size else [])]
    rows, counts = graph(*map(paddle.to_tensor, inputs))
    return rows.numpy(), counts.numpy()


def written_and_loaded(network: paddle.nn.Layer, facts: DetectorDescription, folder: Path) -> paddle.nn.Layer:
    export_paddlex(network, facts, folder)
    return paddle.jit.load(str(folder / "inference"))


@pytest.fixture(scope="session")
def graph(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> paddle.nn.Layer:
    return written_and_loaded(exported.network, exported.facts, tmp_path_factory.mktemp("paddlex"))


def test_the_boxes_of_a_photo_are_those_of_the_served_pipeline(exported: Exported, graph: paddle.nn.Layer) -> None:
    facts, yardstick = exported.facts, InProcess(exported.facts)
    for photo in ("solvay_1927.jpg", "astronaut.jpg"):
        encoded = (ROOT / "demo" / "photos" / photo).read_bytes()
        rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        height, width = rgb.shape[:2]
        picture = cv2.resize(rgb, facts.input_size_wh, interpolation=cv2.INTER_CUBIC)
        image = ((picture - np.float32(facts.mean_rgb)) / np.float32(facts.std_rgb)).transpose(2, 0, 1)[None]
        scale_yx = np.float32([[picture.shape[0] / height, picture.shape[1] / width]])
        rows, counts = run(graph, facts, image, scale_yx)
        assert counts.tolist() == [len(rows)]
        assert not rows[:, 0].any()
        found = rows[rows[:, 1] > 0.5, 1:]
        found[:, 1:] = found[:, 1:].clip(0, [width, height, width, height])
        expected = np.array(yardstick(encoded))
        assert len(expected)
        np.testing.assert_allclose(found[:, 1:], expected[:, 1:], atol=0.01, rtol=0)
        np.testing.assert_allclose(found[:, 0], expected[:, 0], atol=1e-4, rtol=0)


def test_a_batch_is_the_network_scaled_and_suppressed(exported: Exported, graph: paddle.nn.Layer) -> None:
    """On noise; of the network in the form that is exported, so that no rounding turns two scores around."""
    facts, network = exported.facts, exported.network
    images = rule.images(facts.name, 64, 96)
    scale_yx = np.tile(np.float32([[0.5, 2]]), (len(images), 1))  # powers of two: scaling adds no rounding
    rows, counts = run(graph, facts, images, scale_yx)
    served = network.fused() if hasattr(network, "fused") else network
    served.eval()
    with paddle.no_grad():
        boxes, scores = (output.numpy() for output in served(paddle.to_tensor(images)))
    boxes = boxes / np.float32([2, 0.5, 2, 0.5])
    kept = [nms_one_by_one(*pair, facts.nms) for pair in zip(boxes, scores, strict=True)]
    assert all(kept)
    assert counts.tolist() == [len(indices) for indices in kept]
    expected = [np.column_stack([s[indices], b[indices]]) for b, s, indices in zip(boxes, scores, kept, strict=True)]
    np.testing.assert_allclose(rows[:, 1:], np.concatenate(expected), atol=0.01, rtol=1e-5)


def test_no_face_gives_no_row(tmp_path: Path) -> None:
    facts, network = get_detector("BlazeFace"), trained_network("BlazeFace")
    network.blaze_head.scores0.bias.set_value(np.tile(np.float32([-99, 99]), 2))
    network.blaze_head.scores1.bias.set_value(np.tile(np.float32([-99, 99]), 6))
    graph = written_and_loaded(network, facts, tmp_path)
    rows, counts = run(graph, facts, np.zeros((2, 3, 64, 64), np.float32), np.ones((2, 2), np.float32))
    assert rows.shape == (0, 6)
    assert counts.tolist() == [0, 0]

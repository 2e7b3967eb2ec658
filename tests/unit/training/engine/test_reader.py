from __future__ import annotations

import signal
import threading
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.dataset import draw_faces_dataset, file_of, split_of
from training.augment import Sample
from training.augment.sample import IGNORED
from training.coco_format import CocoImage
from training.config import Train, load_config
from training.dataset_problems import DatasetError
from training.detectors import get_detector
from training.engine import stop
from training.engine.reader import EpochBatches, Request, TrainingPictures, read_epoch, results_of
from training.recipes import RECIPES

DETECTOR = get_detector("BlazeFace")
TRAIN = load_config(
    Path("training/configs/BlazeFace.yaml"), ["Train.batch_size=3", "Train.image_size=64", "Train.image_sizes=[64, 96]"]
).Train


def image(image_id: int = 1, ignored: list[bool] | None = None, name: str = "a.png") -> CocoImage:
    ignored = [] if ignored is None else ignored
    boxes = np.tile(np.array([[2, 2, 20, 20]], np.float32), (len(ignored), 1))
    class_ids, areas_px = np.zeros(len(ignored), np.int64), np.full(len(ignored), 324.0)
    return CocoImage(image_id, name, (128, 128), boxes, class_ids, np.array(ignored, bool), areas_px)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_faces_dataset(tmp_path_factory.mktemp("faces") / "set")


def batches_of(dataset: Path, train: Train, epoch: int = 0, rank: int = 0, devices: int = 1) -> list[list[Any]]:
    split = split_of(file_of(dataset, "train"))
    pictures = TrainingPictures(dataset / "images", split.images, DETECTOR, train)
    batches = EpochBatches(len(pictures), DETECTOR, train, rank, devices)
    batches.epoch = epoch
    read = read_epoch(pictures, batches)
    return [[tensor if tensor is None else tensor.numpy() for tensor in batch] for batch in read]


@pytest.mark.parametrize("images", [[], [image(ignored=[])], [image(ignored=[True])]])
def test_no_face_to_learn_from(images: list[CocoImage]) -> None:
    with pytest.raises(DatasetError, match="no picture of images has a face to learn from"):
        TrainingPictures(Path("images"), images, DETECTOR, TRAIN)


def test_only_pictures_with_a_face_are_used() -> None:
    images = [image(1, [False, True]), image(2, [True]), image(3, [])]
    assert [kept.id for kept in TrainingPictures(Path("images"), images, DETECTOR, TRAIN).images] == [1]


def test_crowds_take_all_pictures_and_ignored_boxes(dataset: Path) -> None:
    images = [image(1, [False, True], "faces_1.png"), image(2, [True], "faces_2.png"), image(3, [], "faces_3.png")]
    train = TRAIN.model_copy(update={"recipe": "crowds", "image_sizes": []})
    pictures = TrainingPictures(dataset / "images", images, DETECTOR, train)
    assert [kept.id for kept in pictures.images] == [1, 2, 3]
    read = [pictures.sample(Request(epoch, index, 64, 2)) for epoch in range(8) for index in range(3)]
    assert {sample.size_wh for sample in read} == {(64, 64)}
    assert {label for sample in read for label in sample.labels.tolist()} == {0, IGNORED}
    pixels, boxes, labels, ignored = pictures.collate(read)
    assert (pixels.shape, ignored.shape, ignored.dtype) == ((24, 64, 64, 3), (24, 64, 64), bool)
    assert ignored.any() and not ignored.all()
    assert len(boxes[labels == 0]) == sum(sample.is_face.sum() for sample in read)


@pytest.mark.parametrize("images", [[], [image(ignored=[])], [image(ignored=[True])]])
def test_crowds_need_a_face_too(images: list[CocoImage]) -> None:
    with pytest.raises(DatasetError, match="no picture of images has a face to learn from"):
        TrainingPictures(Path("images"), images, DETECTOR, TRAIN.model_copy(update={"recipe": "crowds"}))


def test_batches(dataset: Path) -> None:
    batches = batches_of(dataset, TRAIN)
    assert len(batches) == 2  # of the 8 pictures, 2 wait
    for pictures, boxes, labels, ignored in batches:
        assert ignored is None
        side_px = pictures.shape[1]
        assert (pictures.dtype, pictures.shape) == (np.uint8, (3, side_px, side_px, 3))
        assert side_px in TRAIN.image_sizes
        assert (boxes.dtype, labels.dtype) == (np.float32, np.int64)
        assert boxes.shape == (*labels.shape, 4)
        real = boxes[labels == 0]
        assert len(real) and (real >= 0).all() and (real <= side_px).all() and (real[:, 2:] > real[:, :2]).all()
        assert (boxes[labels == -1] == 0).all()


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_time_change_nothing(dataset: Path, workers: int, recipe: str) -> None:
    """An epoch is the same whoever reads it, and whether or not another came before it."""
    train = TRAIN.model_copy(update={"recipe": recipe})
    alone = batches_of(dataset, train.model_copy(update={"num_workers": 0}), epoch=5)
    for one, other in zip(
        alone, batches_of(dataset, train.model_copy(update={"num_workers": workers}), epoch=5), strict=True
    ):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_epochs_and_seeds_differ(dataset: Path) -> None:
    one = TRAIN.model_copy(update={"num_workers": 0, "image_sizes": []})
    first = batches_of(dataset, one)[0][0]
    assert not np.array_equal(first, batches_of(dataset, one, epoch=1)[0][0])
    assert not np.array_equal(first, batches_of(dataset, one.model_copy(update={"seed": 1}))[0][0])


@pytest.mark.parametrize(
    ("count", "batch_size", "devices", "steps"),
    [(1, 4, 1, 1), (3, 4, 1, 1), (4, 4, 1, 1), (9, 4, 1, 2), (9, 2, 2, 2), (1, 4, 2, 1)],
)
def test_steps_of_an_epoch(count: int, batch_size: int, devices: int, steps: int) -> None:
    train = TRAIN.model_copy(update={"batch_size": batch_size})
    shares = [list(EpochBatches(count, DETECTOR, train, rank, devices)) for rank in range(devices)]
    assert {len(share) for share in shares} == {steps}
    used = [request.index for share in shares for batch in share for request in batch]
    assert len(set(used)) == len(used) or count < devices
    for batch in zip(*shares):
        assert len({len(requests) for requests in batch}) == 1


def test_an_epoch_may_be_shorter_than_the_data_set() -> None:
    batches = EpochBatches(100, DETECTOR, TRAIN.model_copy(update={"steps_per_epoch": 5}))
    indices = []
    for epoch in range(2):
        batches.epoch = epoch
        indices.append([request.index for batch in batches for request in batch])
    assert [len(epoch) for epoch in indices] == [15, 15]
    assert indices[0] != indices[1]


def test_at_most_max_faces(dataset: Path) -> None:
    split = split_of(file_of(dataset, "train"))
    pictures = TrainingPictures(dataset / "images", split.images, DETECTOR, TRAIN.model_copy(update={"max_faces": 2}))
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    full = Sample(np.zeros((8, 8, 3), np.uint8), boxes, np.zeros(3, np.int64))
    empty = Sample(np.zeros((8, 8, 3), np.uint8), boxes[:0], np.zeros(0, np.int64))
    _, padded, labels, _ = pictures.collate([full, empty])
    np.testing.assert_array_equal(padded, [boxes[:2], np.zeros((2, 4))])
    np.testing.assert_array_equal(labels, [[0, 0], [-1, -1]])
    assert pictures.collate([empty])[1].shape == (1, 1, 4)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("content", "message"),
    [(None, r"cannot read .*faces_1\.png: .*No such file"), (b"no picture", r"cannot read .*faces_1\.png: not a")],
)
def test_a_picture_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str, workers: int) -> None:
    dataset = draw_faces_dataset(tmp_path / "set", count=1)
    (dataset / "images" / "faces_1.png").unlink()
    if content is not None:
        (dataset / "images" / "faces_1.png").write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        batches_of(dataset, TRAIN.model_copy(update={"num_workers": workers}))


def test_a_picture_of_another_size(tmp_path: Path) -> None:
    dataset = draw_faces_dataset(tmp_path / "set", count=1)
    images = [replace(split_of(file_of(dataset, "train")).images[0], size_wh=(64, 64))]
    pictures = TrainingPictures(dataset / "images", images, DETECTOR, TRAIN)
    batches = EpochBatches(1, DETECTOR, TRAIN)
    with pytest.raises(DatasetError, match="has 128x128 px, its annotations say 64x64"):
        list(read_epoch(pictures, batches))


@pytest.mark.fault("B27")
def test_the_first_signal_counts_while_a_batch_is_awaited() -> None:
    """As on a network drive that does not answer."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    stop.listen()
    late: Future[Sample] = Future()
    threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            results_of([late])
    finally:
        stop.forget()
        for number, handler in before.items():
            signal.signal(number, handler)

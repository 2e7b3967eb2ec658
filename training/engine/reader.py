"""Training pictures, read, augmented and put into batches by threads ahead of the training.

Every picture of every epoch is augmented with random numbers of its own, from seed, epoch and picture, so that a
training that goes on from a checkpoint sees what an uninterrupted one sees, whatever the number of threads.

Threads, because decoding, resizing and numpy's arithmetic let other threads run: processes would need shared memory,
of which a container has little, and can be killed or outlive a training that was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from paddle import Tensor, to_tensor

from training.augment.ignore import ignored_pixels
from training.augment.sample import IGNORED, Sample, pad_boxes
from training.coco_dataset import CocoImage
from training.config import Train
from training.dataset_pictures import read_picture
from training.dataset_problems import DatasetError
from training.detectors.description import DetectorDescription
from training.engine import stop
from training.recipes import RECIPES
from tritonface_server.detector import Detector
from tritonface_server.images import INTERPOLATIONS, ImageError, decode_image, limit_threads

MULTI_SCALE_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
SHUFFLE, SCALE, AUGMENT = range(3)  # kinds of random numbers of an epoch
AHEAD = 2  # batches read before they are wanted
POLL_S = 0.2  # how soon a signal is noticed while a batch is awaited

Batch = tuple[np.ndarray, np.ndarray, np.ndarray, "np.ndarray | None"]
"""Pictures uint8 [N, S, S, 3] BGR, boxes float32 [N, G, 4] xyxy in their pixels, labels int64 [N, G], G >= 1, and the
pixels where nothing is to be learnt, bool [N, S, S], or None."""

Tensors = tuple[Tensor, Tensor, Tensor, "Tensor | None"]
"""The arrays of a batch on the device."""


class Request(NamedTuple):
    """One picture wanted: the epoch decides its random numbers, the batch its size."""

    epoch: int
    index: int
    size_px: int
    interpolation: int


class TrainingPictures:
    """The pictures of a data set, as `Train.recipe` makes pictures to learn from of them.

    Args:
        folder: that of the pictures.
        images: as the annotation file has them. The recipe decides whether ignored boxes and pictures without a face
            are left out.

    Raises:
        DatasetError: no picture has a face.
    """

    def __init__(self, folder: Path, images: Sequence[CocoImage], detector: DetectorDescription, train: Train) -> None:
        self.folder, self.train = folder, train
        with_faces = [image for image in images if not image.ignored.all()]
        if not with_faces:
            raise DatasetError(f"no picture of {folder} has a face to learn from")
        recipe = RECIPES[train.recipe]
        self.takes_all, self.compose = recipe.takes_all, recipe.compose_of(detector, train)
        self.images = list(images) if self.takes_all else with_faces

    def __len__(self) -> int:
        return len(self.images)

    def sample(self, request: Request) -> Sample:
        """One picture, augmented and in the size of its batch; DatasetError if it cannot be read.

        Others that the recipe puts beside it are drawn with the same random numbers.
        """
        sample = self._read(self.images[request.index])
        rng = np.random.default_rng([self.train.seed, request.epoch, AUGMENT, request.index])
        return self.compose(sample, self._draw, rng, size_px=request.size_px, interpolation=request.interpolation)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """One batch; boxes are padded with zeros to the fullest picture, labels with -1."""
        faces, kept = [sample.where(sample.is_face) for sample in samples], slice(self.train.max_faces)
        boxes, labels = pad_boxes([each.boxes_xyxy_px[kept] for each in faces], [each.labels[kept] for each in faces])
        return np.stack([sample.picture for sample in samples]), boxes, labels, ignored_pixels(samples)

    def _draw(self, rng: np.random.Generator) -> Sample:
        return self._read(self.images[rng.integers(len(self.images))])

    def _read(self, image: CocoImage) -> Sample:
        path = self.folder / image.file_name
        try:
            picture = decode_image(read_picture(path))
        except (OSError, ImageError) as error:
            raise DatasetError(
                f"cannot read {path}: {error}; check the data set with Global.mode=check_dataset"
            ) from None
        if picture.shape[1::-1] != image.size_wh:
            raise DatasetError(
                f"{path} has {picture.shape[1]}x{picture.shape[0]} px, its annotations say "
                f"{image.size_wh[0]}x{image.size_wh[1]}; check the data set with Global.mode=check_dataset"
            )
        labels = np.where(image.ignored, IGNORED, image.class_ids)
        sample = Sample(picture, image.boxes_xyxy_px, labels)
        return sample if self.takes_all else sample.where(sample.is_face)


class EpochBatches:
    """What each batch of an epoch holds: the share of one device of a shuffled data set.

    All devices get equally many batches, at most `steps_per_epoch`; the pictures that are left over wait for another
    epoch, unless there are too few for one batch.
    """

    def __init__(self, count: int, detector: Detector, train: Train, rank: int = 0, devices: int = 1) -> None:
        self.count, self.train, self.rank, self.devices = count, train, rank, devices
        self.interpolation = INTERPOLATIONS[detector.interpolation]
        self.epoch = 0
        self.share = max(count // devices, 1)
        self.size = min(train.batch_size, self.share)

    def __len__(self) -> int:
        return min(self.share // self.size, self.train.steps_per_epoch or self.share)

    def __iter__(self) -> Iterator[list[Request]]:
        order = np.random.default_rng([self.train.seed, self.epoch, SHUFFLE]).permutation(self.count)
        own = order[self.rank % self.count :: self.devices]
        scales = np.random.default_rng([self.train.seed, self.epoch, SCALE])
        for start in range(0, len(self) * self.size, self.size):
            size_px, interpolation = self._scale(scales)
            yield [Request(self.epoch, int(index), size_px, interpolation) for index in own[start : start + self.size]]

    def _scale(self, rng: np.random.Generator) -> tuple[int, int]:
        if not self.train.image_sizes:
            return self.train.image_size, self.interpolation
        return int(rng.choice(self.train.image_sizes)), int(rng.choice(MULTI_SCALE_INTERPOLATIONS))


def read_epoch(pictures: TrainingPictures, batches: EpochBatches) -> Generator[Tensors, None, None]:
    """The batches of `batches.epoch`, from `num_workers` threads or from this one; close it to end them early.

    OpenCV keeps to one thread from now on, since the readers are the threads.

    Raises:
        DatasetError: a picture cannot be read.
    """
    limit_threads(1)
    read = _read_ahead(pictures, batches) if pictures.train.num_workers else _read_here(pictures, batches)
    for samples in read:
        *arrays, ignored = pictures.collate(samples)
        pixels, boxes, labels = map(to_tensor, arrays)
        yield pixels, boxes, labels, None if ignored is None else to_tensor(ignored)


def _read_here(pictures: TrainingPictures, batches: EpochBatches) -> Iterator[list[Sample]]:
    for requests in batches:
        yield [pictures.sample(request) for request in requests]


def _read_ahead(pictures: TrainingPictures, batches: EpochBatches) -> Iterator[list[Sample]]:
    workers = pictures.train.num_workers
    ahead = AHEAD + workers // batches.size  # small batches keep many workers busy, too
    pending: deque[list[Future[Sample]]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="reader")
    try:
        for requests in batches:
            pending.append([pool.submit(pictures.sample, request) for request in requests])
            if len(pending) > ahead:
                yield results_of(pending.popleft())
        while pending:
            yield results_of(pending.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def results_of(futures: list[Future[Sample]]) -> list[Sample]:
    """What the threads have read, once it is; KeyboardInterrupt or SystemExit if the training is to stop first."""
    while wait(futures, POLL_S).not_done:
        stop.check()
    return [future.result() for future in futures]

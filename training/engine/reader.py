"""Training pictures, read, augmented and put into batches by worker processes.

Every picture of every epoch is augmented with random numbers of its own, from seed, epoch and picture, so that a
training that goes on from a checkpoint sees what an uninterrupted one sees, whatever the number of workers.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from paddle import Tensor, to_tensor
from paddle.io import BatchSampler, DataLoader, Dataset

from training.augment import Sample, build_augmentation, resize_sample
from training.coco_dataset import CocoImage
from training.config import Train
from training.dataset_problems import DatasetError
from training.losses.targets import pad_faces
from tritonface_server.detectors import Detector
from tritonface_server.images import ImageError, decode_image, limit_threads
from tritonface_server.parent import end_with_parent

MULTI_SCALE_INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
INTERPOLATIONS = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
SHUFFLE, SCALE, AUGMENT = range(3)  # kinds of random numbers of an epoch

Batch = tuple[np.ndarray, np.ndarray, np.ndarray, str]
"""Pictures uint8 [N, S, S, 3] BGR, boxes float32 [N, G, 4] xyxy in their pixels, labels int64 [N, G]; G >= 1.

And what went wrong, "" if nothing: Paddle does not bring exceptions from worker processes.
"""


Tensors = tuple[Tensor, Tensor, Tensor]
"""The arrays of a batch on the device."""


class Request(NamedTuple):
    """One picture wanted: the epoch decides its random numbers, the batch its size."""

    epoch: int
    index: int
    size_px: int
    interpolation: int


class TrainingPictures(Dataset):
    """The pictures of a data set that have a face to learn from.

    Args:
        folder: that of the pictures.
        images: as the annotation file has them; ignored boxes are left out.

    Raises:
        DatasetError: no picture has a face.
    """

    def __init__(self, folder: Path, images: Sequence[CocoImage], detector: Detector, train: Train) -> None:
        super().__init__()
        self.folder, self.train = folder, train
        self.images = [image for image in images if not image.ignored.all()]
        if not self.images:
            raise DatasetError(f"no picture of {folder} has a face to learn from")
        self.augment = build_augmentation(detector.name, train.image_size)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, request: Request) -> Sample | DatasetError:
        try:
            sample = self._read(self.images[request.index])
        except DatasetError as error:
            return error
        rng = np.random.default_rng([self.train.seed, request.epoch, AUGMENT, request.index])
        sample = self.augment(sample, rng)
        return resize_sample(sample, request.size_px, request.interpolation)

    def collate(self, read: list[Sample | DatasetError]) -> Batch:
        """One batch; boxes are padded with zeros to the fullest picture, labels with -1."""
        samples = [sample for sample in read if isinstance(sample, Sample)]
        if len(samples) < len(read):
            problem = next(str(error) for error in read if isinstance(error, DatasetError))
            return np.zeros(1, np.uint8), np.zeros(1, np.float32), np.zeros(1, np.int64), problem
        boxes, labels = pad_faces([sample.boxes_xyxy_px[: self.train.max_faces] for sample in samples])
        return np.stack([sample.picture for sample in samples]), boxes, labels, ""

    def _read(self, image: CocoImage) -> Sample:
        path = self.folder / image.file_name
        try:
            picture = decode_image(path.read_bytes())
        except (OSError, ImageError) as error:
            raise DatasetError(
                f"cannot read {path}: {error}; check the data set with Global.mode=check_dataset"
            ) from None
        if picture.shape[1::-1] != image.size_wh:
            raise DatasetError(
                f"{path} has {picture.shape[1]}x{picture.shape[0]} px, its annotations say "
                f"{image.size_wh[0]}x{image.size_wh[1]}; check the data set with Global.mode=check_dataset"
            )
        kept = ~image.ignored
        return Sample(picture, image.boxes_xyxy_px[kept], image.class_ids[kept])


class EpochBatches(BatchSampler):
    """What each batch of an epoch holds: the share of one device of a shuffled data set.

    All devices get equally many batches, at most `steps_per_epoch`; the pictures that are left over wait for another
    epoch, unless there are too few for one batch.
    """

    def __init__(self, count: int, detector: Detector, train: Train, rank: int = 0, devices: int = 1) -> None:
        # Not the base's __init__, which wants a sampler; the loader only asks for the type, the length and the items.
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
    """The batches of `batches.epoch`, from `num_workers` processes or from this one; close it to end them early.

    OpenCV keeps to one thread from now on: the workers are the threads, and a process forked beside OpenCV's own
    would wait for them forever.

    Raises:
        DatasetError: a picture cannot be read.
    """
    limit_threads(1)
    read = iter(_batches(pictures, batches))
    try:
        for pixels, boxes, labels, problem in read:
            if problem:
                raise DatasetError(problem)
            yield pixels, boxes, labels
    finally:
        del read  # ends the workers


def _batches(pictures: TrainingPictures, batches: EpochBatches) -> Iterable[tuple[Tensor, Tensor, Tensor, str]]:
    if pictures.train.num_workers == 0:  # Paddle would do it in a thread that outlives the epoch
        collated = (pictures.collate([pictures[request] for request in requests]) for requests in batches)
        return ((*map(to_tensor, arrays), problem) for *arrays, problem in collated)
    return DataLoader(
        pictures,
        batch_sampler=batches,
        collate_fn=pictures.collate,
        num_workers=pictures.train.num_workers,
        worker_init_fn=_start_worker,
        return_list=True,
    )


def _start_worker(_: int) -> None:
    end_with_parent()  # not to wait forever for a training that was killed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the training ends its workers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # the way out on which shared memory is given back

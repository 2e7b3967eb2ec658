"""A detector without a server: decode, resize, network and NMS in one process, as the served steps do them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from tritonface_server.detections import Detections, check_labels, select_detections
from tritonface_server.detector import Detector
from tritonface_server.export_folder import INPUT_NAME, OUTPUT_NAMES
from tritonface_server.images import check_network_size, decode, decode_stored, fit, open_image, resize, size_wh_of
from tritonface_server.runtimes import onnxruntime_run, openvino_run
from tritonface_server.tiles import check_tile_size, cut, frames_of, merge, places_of

Network = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""uint8 [N, H, W, 3] BGR to boxes float32 [N, A, 4] xyxy in pixels of the input and scores float32 [N, A * C].

Of C classes, as `tritonface_server.export_folder` says."""

VARIANTS = ("normal", "hpi")


def load_network(file: Path, variant: str = "normal", threads: int = 0) -> Network:
    """An exported network as the server's detector step runs it on a CPU.

    Args:
        variant: "normal", ONNX Runtime in float32, or "hpi", OpenVINO in bfloat16 where the CPU has it.
        threads: 0 for as many as the machine has cores.

    Raises:
        NetworkError: the file is no exported network.
    """
    if variant == "hpi":
        run = openvino_run(file, OUTPUT_NAMES, threads=threads, streams=1)
    else:
        run = onnxruntime_run(file, OUTPUT_NAMES, threads=threads, parallel_operators=1)

    def network(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes, scores = run({INPUT_NAME: pictures})
        return boxes, scores

    return network


class InProcessDetector:
    """Finds faces in encoded or decoded images.

    Args:
        facts: of the detector.
        network: an exported one, see `load_network`, or any other of this kind.
        size_wh: (width, height) in pixels to which the network sees every image stretched; the detector's own if None.
        tile_wh: (width, height) in pixels of tiles into which larger images are cut, see `tiles`; None for no tiles.

    Raises:
        SizeError: the detector does not take this size, or nobody tiles of that size.
    """

    def __init__(
        self,
        facts: Detector,
        network: Network,
        size_wh: tuple[int, int] | None = None,
        tile_wh: tuple[int, int] | None = None,
    ) -> None:
        self.facts, self.network = facts, network
        self.size_wh, self.tile_wh = size_wh or facts.input_size_wh, tile_wh
        check_network_size(self.size_wh, facts.size_multiple)
        if tile_wh is not None:
            check_tile_size(tile_wh)

    def __call__(self, encoded: bytes, threshold: float | None = None) -> Detections:
        """The faces in an encoded image.

        Args:
            threshold: scores <= this are dropped; the detector's own if None.

        Raises:
            ImageError: it cannot be decoded, or is beyond the limits.
        """
        opened, (width, height) = open_image(encoded), self.size_wh
        frames = self._frames(opened.header.upright_wh)
        if len(frames) > 1:
            return self._in_frames(decode(opened, bounded=True), frames, threshold)
        stored = decode_stored(opened, self.size_wh if self.facts.scaled_decoding else None)
        picture = np.empty((1, height, width, 3), np.uint8)
        fit(stored, opened.header, self.size_wh, self.facts.interpolation, out=picture[0])
        (found,) = self._found(picture, [opened.header.upright_wh], threshold)
        return found

    def detect(self, images: Sequence[np.ndarray], threshold: float | None = None) -> list[Detections]:
        """The faces in each of some images, uint8 [h, w, 3] BGR of any size.

        In one run of the network, or in one for each image where they are cut into tiles.

        Raises:
            ImageError: an image has too many tiles.
            ValueError: the network tells another number of classes apart than there are labels.
        """
        if self.tile_wh is None:
            return self._found(self.pictures(images), [*map(size_wh_of, images)], threshold) if images else []
        return [self._in_frames(image, self._frames(size_wh_of(image)), threshold) for image in images]

    def _frames(self, size_wh: tuple[int, int]) -> np.ndarray:
        return frames_of(size_wh, self.tile_wh or size_wh)

    def _in_frames(self, image: np.ndarray, frames: np.ndarray, threshold: float | None) -> Detections:
        places_xy, sizes_wh = places_of(frames)
        pictures = self.pictures([cut(image, frame, sizes_wh[0]) for frame in frames])
        found = self._found(pictures, [*map(tuple, sizes_wh.tolist())], threshold)
        return merge(found, places_xy, sizes_wh, self.facts.nms)

    def _found(
        self, pictures: np.ndarray, sizes_wh: Sequence[tuple[int, int]], threshold: float | None
    ) -> list[Detections]:
        boxes, scores = self.network(pictures)
        check_labels(boxes.shape[1], scores.shape[1], self.facts.labels)
        return [
            select_detections(
                boxes[i],
                scores[i],
                network_size_wh=self.size_wh,
                original_size_wh=size_wh,
                threshold=self.facts.score_threshold if threshold is None else threshold,
                settings=self.facts.nms,
            )
            for i, size_wh in enumerate(sizes_wh)
        ]

    def pictures(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Images as the network sees them, uint8 [N, height, width, 3] BGR."""
        width, height = self.size_wh
        pictures = np.empty((len(images), height, width, 3), np.uint8)
        for image, picture in zip(images, pictures):
            resize(image, self.size_wh, self.facts.interpolation, out=picture)
        return pictures

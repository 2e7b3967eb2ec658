"""YuNet, the face detector of OpenCV, on our photos; its network is a file that OpenCV does not bring.

OpenCV's model zoo has it: github.com/opencv/opencv_zoo, models/face_detection_yunet/face_detection_yunet_2023mar.onnx.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from training.dataset_pictures import read_picture
from tritonface_server.detections import Detections
from tritonface_server.images import decode_image, resize

SCORE_FLOOR, NMS_THRESHOLD, TOP_K = 0.02, 0.3, 5000


class YuNetError(RuntimeError):
    """The file is no network that OpenCV takes for YuNet."""


class YuNet:
    """Detects as `training.evaluation.detect.Detect` says.

    Args:
        file: the network, ONNX.
        size_wh: pixels to which every photo is stretched; None for the photo's own size.

    Raises:
        YuNetError: OpenCV cannot load it.
    """

    source, labels = "opencv", ("face",)

    def __init__(self, file: Path, size_wh: tuple[int, int] | None) -> None:
        self.size_wh = size_wh or (0, 0)
        try:
            self._detector = cv2.FaceDetectorYN.create(
                str(file), "", size_wh or (320, 320), SCORE_FLOOR, NMS_THRESHOLD, TOP_K
            )
        except (cv2.error, AttributeError) as error:
            raise YuNetError(f"OpenCV {cv2.__version__} cannot load {file} as YuNet: {error}") from error

    def __call__(self, photo: Path) -> Detections:
        picture = decode_image(read_picture(photo))
        height, width = picture.shape[:2]
        size_wh = self.size_wh if any(self.size_wh) else (width, height)
        self._detector.setInputSize(size_wh)
        _, rows = self._detector.detect(picture if size_wh == (width, height) else resize(picture, size_wh, "cubic"))
        if rows is None:
            return Detections.none()
        rows = rows[np.argsort(-rows[:, 14], kind="stable")]  # x, y, width, height, five landmarks, score
        boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        scale_xyxy = np.array([width / size_wh[0], height / size_wh[1]] * 2, np.float32)
        return Detections(boxes * scale_xyxy, rows[:, 14], np.zeros(len(rows), np.int32))

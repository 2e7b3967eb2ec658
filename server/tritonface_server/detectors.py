"""The one table of detector facts; training, export, Triton configs and documentation all read it."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class NmsSettings:
    """Non-maximum suppression as Paddle's `multiclass_nms3` does it.

    Attributes:
        score_floor: boxes with a score <= this never take part.
        iou_threshold: a box overlapping a better one by more than this is suppressed.
        top_k: at most this many boxes, best first, take part.
        keep_top_k: at most this many boxes are returned.
    """

    score_floor: float
    iou_threshold: float
    top_k: int
    keep_top_k: int


@dataclass(frozen=True)
class Detector:
    """What has to be known about a detector to train, export and serve it.

    Attributes:
        input_size_wh: pixels the picture is stretched to before the network, (width, height).
        size_multiple: width and height of the network's input must be multiples of this.
        interpolation: how it is stretched, a name of `tritonface_server.images.INTERPOLATIONS`.
        mean_rgb, std_rgb: the network sees `(rgb - mean) / std`, rgb in 0..255.
        strides: pixels per cell of each level, in the order of the raw outputs.
        anchors_per_cell: boxes per cell of each level, in the same order.
        score_threshold: detections with a score <= this are dropped unless the caller says otherwise.
        scaled_decoding: whether large JPEGs are decoded at 1/2, 1/4 or 1/8 of their size where that still covers the
            network's input; faster, with slightly other pixels.
    """

    name: str
    input_size_wh: tuple[int, int]
    size_multiple: int
    interpolation: str
    mean_rgb: tuple[float, float, float]
    std_rgb: tuple[float, float, float]
    strides: tuple[int, ...]
    anchors_per_cell: tuple[int, ...]
    nms: NmsSettings
    labels: tuple[str, ...] = ("face",)
    score_threshold: float = 0.5
    scaled_decoding: bool = False


BLAZE_NMS = NmsSettings(score_floor=0.01, iou_threshold=0.3, top_k=5000, keep_top_k=750)

BLAZE_FACE = Detector(
    name="BlazeFace",
    input_size_wh=(640, 640),
    size_multiple=1,
    interpolation="cubic",
    mean_rgb=(123.0, 117.0, 104.0),
    std_rgb=(127.502231, 127.502231, 127.502231),
    strides=(8, 16),
    anchors_per_cell=(2, 6),
    nms=BLAZE_NMS,
)

DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        BLAZE_FACE,
        replace(BLAZE_FACE, name="BlazeFace-FPN-SSH"),
        Detector(
            name="PicoDet_LCNet_x2_5_face",
            input_size_wh=(640, 640),
            size_multiple=32,
            interpolation="cubic",
            mean_rgb=(123.675, 116.28, 103.53),
            std_rgb=(58.395, 57.12, 57.375),
            strides=(8, 16, 32, 64),
            anchors_per_cell=(1, 1, 1, 1),
            nms=NmsSettings(score_floor=0.025, iou_threshold=0.6, top_k=1000, keep_top_k=100),
        ),
        Detector(
            name="PP-YOLOE_plus-S_face",
            input_size_wh=(640, 640),
            size_multiple=32,
            interpolation="cubic",
            mean_rgb=(0.0, 0.0, 0.0),
            std_rgb=(255.0, 255.0, 255.0),
            strides=(32, 16, 8),
            anchors_per_cell=(1, 1, 1),
            nms=NmsSettings(score_floor=0.01, iou_threshold=0.7, top_k=1000, keep_top_k=300),
        ),
    )
}


def get_detector(name: str) -> Detector:
    """The facts of the detector called `name`; ValueError naming the known ones otherwise."""
    try:
        return DETECTORS[name]
    except KeyError:
        raise ValueError(f"unknown detector {name!r}; known are: {', '.join(DETECTORS)}") from None

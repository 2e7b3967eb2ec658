"""The tensors between clients, ensembles and steps: name, data type, shape without the batch."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2 as pb

Tensor = tuple[str, int, list[int]]

IMAGE: Tensor = ("image", pb.TYPE_STRING, [1])
THRESHOLD: Tensor = ("threshold", pb.TYPE_FP32, [1])
IMG_SIZE: Tensor = ("img_size", pb.TYPE_INT32, [2])
STRICT: Tensor = ("strict", pb.TYPE_BOOL, [1])
TILES: Tensor = ("tiles", pb.TYPE_INT32, [2])
PICTURE: Tensor = ("picture", pb.TYPE_UINT8, [-1, -1, 3])
SIZES_WH: Tensor = ("sizes_wh", pb.TYPE_INT32, [2, 2])
ERROR: Tensor = ("error", pb.TYPE_STRING, [1])
WARNING: Tensor = ("warning", pb.TYPE_STRING, [1])
IMAGE_ERROR: Tensor = ("image_error", pb.TYPE_STRING, [1])
IMAGE_WARNING: Tensor = ("image_warning", pb.TYPE_STRING, [1])
IMAGE_THRESHOLD: Tensor = ("image_threshold", pb.TYPE_FP32, [1])
TILE_XY: Tensor = ("tile_xy", pb.TYPE_INT32, [2])
TICKET: Tensor = ("ticket", pb.TYPE_UINT64, [1])
BOXES: Tensor = ("boxes", pb.TYPE_FP32, [-1, 4])
SCORES: Tensor = ("scores", pb.TYPE_FP32, [-1])
DETECTIONS: list[Tensor] = [
    ("num_detections", pb.TYPE_INT32, [1]),
    ("detection_boxes", pb.TYPE_FP32, [-1, 4]),
    ("detection_scores", pb.TYPE_FP32, [-1]),
    ("detection_classes", pb.TYPE_INT32, [-1]),
    ERROR,
    WARNING,
]
PAST_THE_NETWORK: list[Tensor] = [SIZES_WH, IMAGE_ERROR, IMAGE_WARNING, TICKET, TILE_XY]
"""What preprocessing tells postprocessing, TILE_XY of requests with tiles alone. The latter gives all that an ensemble
answers, as Triton makes none of the steps after the last one whose outputs are asked for.

A step may answer with more pictures than it was asked for, but all inputs of a step must have equally many. So the
threshold takes the way through preprocessing too, as IMAGE_THRESHOLD."""

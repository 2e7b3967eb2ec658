"""The networks. Each is a `paddle.nn.Layer` with the reference implementation's state-dict names.

In eval mode a network maps normalised images, float32 [N, 3, H, W], to `(boxes, scores)` before NMS: float32 [N, A, 4]
xyxy in input pixels and float32 [N, A], or [N, A, C] of C > 1 classes. Its `outputs(images)` are what its loss is
computed from.
"""

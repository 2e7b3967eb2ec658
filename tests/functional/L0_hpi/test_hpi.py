"""The high-performance variants answer like the normal ones, within what lower precision may change."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.alike import assert_alike, rows_of
from tests.conftest import PHOTOS
from tests.shipped import SHIPPED, network_file, shipped
from tritonface import create_model
from tritonface_server.images import decode_image, resize
from tritonface_server.in_process import VARIANTS, load_network
from tritonface_server.server import TritonServer

THRESHOLD = 0.3


@pytest.mark.fault("B10")
@pytest.mark.parametrize("img_size", [None, 320, [512, 384]])
@pytest.mark.parametrize("name", SHIPPED)
def test_the_same_faces(server: TritonServer, name: str, img_size: int | list[int] | None) -> None:
    found = []
    for use_hpip in (False, True):
        arguments = {"use_hpip": use_hpip, "img_size": img_size, "threshold": THRESHOLD}
        with create_model(name, url=server.endpoints.grpc, **arguments) as model:
            found.append([rows_of(result["boxes"]) for result in model.predict(PHOTOS, batch_size=2)])
    for photo, normal, hpi in zip(sorted(PHOTOS.glob("*.jpg")), *found, strict=True):
        before = (partial(before_suppression, name, variant, photo, img_size) for variant in VARIANTS)
        assert_alike(normal, hpi, THRESHOLD, seen=tuple(before))


def before_suppression(name: str, variant: str, photo: Path, img_size: int | list[int] | None) -> np.ndarray:
    """All boxes of a network above the threshold, as rows of [score, xmin, ymin, xmax, ymax] in pixels of the photo."""
    facts, image = shipped(name), decode_image(photo.read_bytes())
    size_wh = facts.input_size_wh if img_size is None else tuple(np.broadcast_to(img_size, 2).tolist())
    picture = resize(image, size_wh, facts.interpolation)
    boxes, scores = (raw[0] for raw in load_network(network_file(name), variant, threads=1)(picture[None]))
    scale_xyxy = np.tile(np.divide(image.shape[1::-1], size_wh), 2)
    return np.column_stack([scores, boxes * scale_xyxy])[scores > THRESHOLD].astype(np.float32)

"""The high-performance variants answer like the normal ones, within what lower precision may change."""

from __future__ import annotations

import pytest

from tests.alike import assert_alike, rows_of
from tests.conftest import PHOTOS
from tests.shipped import SHIPPED
from tritonface import create_model
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
    for normal, hpi in zip(*found):
        assert_alike(normal, hpi, THRESHOLD)

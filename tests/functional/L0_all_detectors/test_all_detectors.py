"""Every detector as it is served, against the same work in one process; L0_serving_parity goes through the inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.alike import rows_of
from tests.conftest import PHOTOS
from tests.reference import InProcess
from tests.shipped import SHIPPED, shipped
from tritonface import InvalidArgumentError, create_model
from tritonface_server.server import TritonServer


@pytest.mark.parametrize("img_size", [None, [640, 416]])
@pytest.mark.parametrize("name", SHIPPED)
def test_served_equals_in_process(server: TritonServer, name: str, img_size: list[int] | None) -> None:
    reference = InProcess(shipped(name))
    with create_model(name, url=server.endpoints.grpc, img_size=img_size, threshold=0) as model:
        for result in model.predict(PHOTOS, batch_size=2):
            photo = Path(result["input_path"]).read_bytes()
            expected = np.array(reference(photo, 0, img_size and tuple(img_size)))
            served = rows_of(result["boxes"])
            assert served.shape == expected.shape and len(served) > 10
            np.testing.assert_allclose(served[:, 0], expected[:, 0], atol=1e-5, rtol=0)
            np.testing.assert_allclose(served[:, 1:], expected[:, 1:], atol=0.01, rtol=0)


@pytest.mark.parametrize("name", [name for name in SHIPPED if shipped(name).size_multiple > 1])
def test_sizes_are_multiples(server: TritonServer, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="multiples of 32; got 500"):
        create_model(name, url=server.endpoints.grpc, img_size=500)

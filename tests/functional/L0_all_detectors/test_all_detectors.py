"""Detectors that are not shipped are served all the same: with trained weights where there are some beside the
checkout, else with the golden tests' random ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.alike import assert_alike, rows_of
from tests.conftest import PHOTOS, Serve
from tests.reference import InProcess
from tests.shipped import SHIPPED
from tests.trained import exported_network, trained_weights
from training.detectors import DETECTORS
from tritonface import InvalidArgumentError, create_model
from tritonface_server.detector import Detector
from tritonface_server.repository import build_entry
from tritonface_server.server import TritonServer

THRESHOLD = 0.3
NOT_SHIPPED = [detector for detector in DETECTORS.values() if detector.name not in SHIPPED]


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """ONNX files of the detectors, by name."""
    return {
        facts.name: exported_network(facts.name, trained_weights(facts.name), tmp_path_factory) for facts in NOT_SHIPPED
    }


@pytest.fixture(scope="module")
def full_server(networks: dict[str, Path], serve: Serve, tmp_path_factory: pytest.TempPathFactory) -> TritonServer:
    repository = tmp_path_factory.mktemp("repository")
    for facts in NOT_SHIPPED:
        build_entry(facts, networks[facts.name].parent, repository)
    return serve(repository)


@pytest.mark.parametrize("img_size", [None, 320, [640, 416]])
@pytest.mark.parametrize("facts", NOT_SHIPPED, ids=lambda facts: facts.name)
def test_served_equals_in_process(
    full_server: TritonServer, networks: dict[str, Path], facts: Detector, img_size: int | list[int] | None
) -> None:
    reference = InProcess(facts, networks[facts.name])
    size_wh = (img_size, img_size) if isinstance(img_size, int) else img_size and tuple(img_size)
    with create_model(facts.name, url=full_server.endpoints.grpc, img_size=img_size, threshold=0) as model:
        for result in model.predict(PHOTOS, batch_size=2):
            expected = np.array(reference(Path(result["input_path"]).read_bytes(), 0, size_wh))
            served = rows_of(result["boxes"])
            assert served.shape == expected.shape and len(served) > 10
            np.testing.assert_allclose(served[:, 0], expected[:, 0], atol=1e-5, rtol=0)
            np.testing.assert_allclose(served[:, 1:], expected[:, 1:], atol=0.01, rtol=0)


@pytest.mark.fault("B10")
@pytest.mark.parametrize("facts", NOT_SHIPPED, ids=lambda facts: facts.name)
def test_the_high_performance_variant_finds_the_same(full_server: TritonServer, facts: Detector) -> None:
    if trained_weights(facts.name) is None:
        pytest.skip(f"no trained weights of {facts.name}: what lower precision changes shows on faces, not on noise")
    found = []
    for use_hpip in (False, True):
        arguments = {"use_hpip": use_hpip, "threshold": THRESHOLD}
        with create_model(facts.name, url=full_server.endpoints.grpc, **arguments) as model:
            found.append([rows_of(result["boxes"]) for result in model.predict(PHOTOS)])
    for normal, hpi in zip(*found):
        assert_alike(normal, hpi, THRESHOLD)


@pytest.mark.parametrize("facts", NOT_SHIPPED, ids=lambda facts: facts.name)
def test_sizes_are_multiples(full_server: TritonServer, facts: Detector) -> None:
    with pytest.raises(InvalidArgumentError, match="multiples of 32; got 500"):
        create_model(facts.name, url=full_server.endpoints.grpc, img_size=500)

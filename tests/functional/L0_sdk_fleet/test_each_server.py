"""What each of several servers has for itself: the network that a client sends, and the memory that it shares."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as triton
from PIL import Image

from tests.exported import make_export
from tritonface import Connection, ServerUnavailableError, create_model
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

pytestmark = pytest.mark.long
KEY = "one-for-all"


@pytest.fixture
def two(one_detector: Path, tmp_path: Path) -> Iterator[list[TritonServer]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                TritonServer(one_detector, Endpoints.free(), log=tmp_path / f"{i}.log", cpus=1, access=Access(KEY))
            )
            for i in range(2)
        ]


def connection(two: list[TritonServer], protocol: str, **options: bool) -> Connection:
    return Connection([getattr(each.endpoints, protocol) for each in two], protocol, key=KEY, timeout_s=60, **options)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_network_is_sent_to_each(two: list[TritonServer], tmp_path: Path, solvay: Path, protocol: str) -> None:
    exported = make_export(tmp_path / "exported")
    with create_model("BlazeFace", exported, connection=connection(two, protocol)) as model:
        results = list(model.predict([solvay] * 8, batch_size=8))
        name = model.model_name
    assert all(result["boxes"] == results[0]["boxes"] for result in results)
    for server in two:
        with create_model(name, connection=connection([server], protocol)) as model:
            assert next(model.predict(solvay))["boxes"] == results[0]["boxes"]
    os.kill(two[0].process.pid, signal.SIGKILL)
    exported = make_export(tmp_path / "another")
    with (exported / "model.onnx").open("ab") as network:
        network.write(b"\xfa\x7f\x01x")  # an unknown field of ONNX's
    with create_model("BlazeFace", exported, connection=connection(two, protocol)) as model:  # on the one that is there
        assert next(model.predict(solvay))["boxes"] == results[0]["boxes"]
    with pytest.raises(ServerUnavailableError, match=r"^no Triton .*; the server at .* has no detector 'Nope'"):
        create_model("Nope", connection=connection(two, protocol))


def regions(server: TritonServer) -> int:
    with triton.InferenceServerClient(server.endpoints.grpc) as client:
        status = client.get_system_shared_memory_status(headers=server.access.grpc_headers, as_json=True)
        return len(status.get("regions", {}))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_memory_is_shared_with_each(two: list[TritonServer], solvay: Path, protocol: str) -> None:
    with Image.open(solvay) as image:
        array = np.asarray(image.convert("RGB").resize((1280, 800)))[:, :, ::-1]
    with create_model("BlazeFace", connection=connection(two, protocol)) as model:
        results = list(model.predict([array] * 8, batch_size=8))
        deadline = time.monotonic() + 20
        while not all(regions(server) for server in two) and time.monotonic() < deadline:
            results += model.predict([array] * 8, batch_size=8)
        assert all(regions(server) for server in two)
        os.kill(two[0].process.pid, signal.SIGKILL)
        results += model.predict([array] * 8, batch_size=8)
    assert all(result["boxes"] == results[0]["boxes"] for result in results) and results[0]["boxes"]
    assert not regions(two[1])

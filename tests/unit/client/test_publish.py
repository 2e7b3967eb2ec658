"""An export that is sent again to a server that dies meanwhile; all else of it is in L0_sdk_model_dir."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.exported import make_export
from tritonface import Connection, ServerUnavailableError
from tritonface._client import Client
from tritonface._publish import Publication, read_export
from tritonface._served import Served
from tritonface_server.endpoints import Endpoints

SIZES = {"multiple": 1, "min_px": 32, "max_px": 4096}
NETWORK = {"name": "BlazeFace_detector", "backend": "onnxruntime"}
ENSEMBLE = {"ensemble_scheduling": {"step": [{"model_name": NETWORK["name"]}]}, "parameters": {}}
BASE = Served("BlazeFace", ["face"], SIZES, ("cpu",), ENSEMBLE, (NETWORK,))


class DiesNow(Client):
    """One whose server has just said that it lacks the model."""

    async def is_model_ready(self, model: str, timeout_s: float) -> bool:
        return False


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_dies_meanwhile_is_worth_another_try(tmp_path: Path, protocol: str) -> None:
    export = read_export(make_export(tmp_path / "exported"), "BlazeFace")
    connection = Connection(getattr(Endpoints.free(), protocol), protocol)

    async def load_again() -> None:
        client = DiesNow(connection)
        try:
            await Publication(export, BASE).load_again(client, timeout_s=5)
        finally:
            await client.close()

    with pytest.raises(ServerUnavailableError, match="no Triton server answers"):
        asyncio.run(load_again())

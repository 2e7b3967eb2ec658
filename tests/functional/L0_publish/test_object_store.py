"""Models in an object store, S3's here, that Triton reads by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launched import launched
from tritonface import create_model

moto_server = pytest.importorskip("moto.server", reason="`pip install 'moto[server]'` brings the store of this test")
boto3 = pytest.importorskip("boto3")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def store(one_detector: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """BlazeFace in a bucket, by the address that Triton takes."""
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    running = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    url = "http://{}:{}".format(*running.get_host_and_port())
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket="faces")
    for path in one_detector.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            client.upload_file(str(path), "faces", f"models/{path.relative_to(one_detector)}")
    yield f"s3://{url}/faces/models"
    client.close()
    running.stop()


def test_a_store_is_served_and_looked_after(store: str, tmp_path: Path, solvay: Path) -> None:
    with launched(tmp_path, "--detectors=BlazeFace", repository=store) as launcher:
        assert launcher.status("v2/health/ready") == 200
        for use_hpip in (False, True):
            with create_model("BlazeFace", url=launcher.endpoints.grpc, use_hpip=use_hpip) as model:
                assert next(model.predict(solvay))["boxes"]
        os.kill(launcher.stubs("BlazeFace_detector")[0].pid, signal.SIGKILL)
        launcher.wait_for("BlazeFace_detector is back")
        with create_model("BlazeFace", url=launcher.endpoints.grpc) as model:
            assert next(model.predict(solvay))["boxes"]

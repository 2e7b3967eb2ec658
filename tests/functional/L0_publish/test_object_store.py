"""Models in an object store, S3's here, that Triton reads by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.launched import eventually, launched
from training.paths import ROOT
from tritonface import create_model

MOTO = ROOT / "build" / "store" / "bin" / "moto_server"
fs = pytest.importorskip("pyarrow.fs", reason="`make test-long` installs the extra `batch`")
pytestmark = [pytest.mark.long, pytest.mark.skipif(not MOTO.exists(), reason="`make test-long` installs the store")]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a store without a bucket."""
    log = tmp_path / "store.log"
    with (
        log.open("w") as said,
        subprocess.Popen([MOTO, "-H", "127.0.0.1", "-p", "0"], stdout=said, stderr=said) as moto,
    ):
        try:
            assert eventually(lambda: "Running on" in log.read_text())
            yield re.findall(r"Running on (http://127\.0\.0\.1:\d+)", log.read_text())[0]
        finally:
            moto.kill()


@pytest.fixture
def store(address: str, one_detector: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """BlazeFace in a bucket, by the address that Triton takes."""
    for name, value in {"ACCESS_KEY_ID": "id", "SECRET_ACCESS_KEY": "secret", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    bucket = fs.S3FileSystem(endpoint_override=address, allow_bucket_creation=True)
    bucket.create_dir("faces")
    for path in one_detector.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            with bucket.open_output_stream(f"faces/models/{path.relative_to(one_detector)}") as stream:
                stream.write(path.read_bytes())
    return f"s3://{address}/faces/models"


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

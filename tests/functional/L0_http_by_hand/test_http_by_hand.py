"""The README's commands for those who speak HTTP by hand, as they stand there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from training.paths import ROOT
from tritonface import create_model
from tritonface_server.server import TritonServer

pytestmark = pytest.mark.fault("A19")

SECTION = (ROOT / "client" / "README.md").read_text().split("## Without this package")[1].split("\n## ")[0]
BINARY, METADATA, BASE64 = re.findall(r"^```bash\n(.*?)^```", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, solvay: Path) -> Path:
    shutil.copy(solvay, tmp_path / "photo.jpg")
    return tmp_path


def answer(commands: str, server: TritonServer, folder: Path) -> str:
    commands = commands.replace("127.0.0.1:8000", server.endpoints.http)
    return subprocess.run(["bash", "-euc", commands], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_an_image_by_the_binary_extension(server: TritonServer, folder: Path) -> None:
    reply = json.loads(answer(BINARY, server, folder))
    outputs = {output["name"]: np.reshape(output["data"], output["shape"]) for output in reply["outputs"]}
    with create_model("BlazeFace", threshold=0.7, url=server.endpoints.grpc) as model:
        (result,) = model.predict(folder / "photo.jpg")
    count = len(result)
    assert outputs["num_detections"].tolist() == [[count]] and count > 10
    assert np.array_equal(outputs["detection_boxes"][0, :count].astype(np.float32), result.xyxy)
    assert np.array_equal(outputs["detection_scores"][0, :count].astype(np.float32), result.scores)


def test_keys_are_repeated_as_the_readme_says(server: TritonServer, folder: Path) -> None:
    text = answer(BINARY, server, folder)
    assert text.count('"sequence_id"') > 1


def test_binary_outputs(server: TritonServer, folder: Path) -> None:
    asked = BINARY.replace("\n]}'", """\n], "parameters": {"binary_data_output": true}}'""")
    assert asked != BINARY
    commands = asked.replace("curl --silent", "curl --silent --output reply.bin --dump-header headers")
    assert answer(commands, server, folder) == ""
    header = int(re.search(r"(?i)^inference-header-content-length: (\d+)", (folder / "headers").read_text(), re.M)[1])
    reply = (folder / "reply.bin").read_bytes()
    sizes = [output["parameters"]["binary_data_size"] for output in json.loads(reply[:header])["outputs"]]
    assert sum(sizes) == len(reply) - header


def test_what_the_model_takes(server: TritonServer, folder: Path) -> None:
    inputs = {tensor["name"]: tensor["datatype"] for tensor in json.loads(answer(METADATA, server, folder))["inputs"]}
    assert inputs["image"] == "BYTES" and inputs["threshold"] == "FP32"


def test_base64_is_refused_as_the_readme_says(server: TritonServer, folder: Path) -> None:
    error = json.loads(answer(BASE64, server, folder))["error"]
    told = " ".join(re.search(r'"\.\.\. (image refused: .*?)"}', SECTION, re.DOTALL)[1].split())
    assert error.endswith(told)

"""Repositories that were written before there were tiles are served as they are, and say that they take none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tests.conftest import Serve
from tests.exported import SETTINGS, make_export, write_settings
from tests.shipped import copy_one_detector
from tritonface import InvalidArgumentError, create_model
from tritonface_server.publish import PublishError, publish
from tritonface_server.server import TritonServer

NEW = {"tiles", "tile_xy", "image_threshold"}
SHARED = "640x640_cubic_preprocess"


def write_as_before(repository: Path) -> Path:
    """Rewrite the models of a repository as they were without tiles."""
    for file in repository.glob("*/**/*.pbtxt"):
        config = text_format.Parse(file.read_text(), pb.ModelConfig())
        is_step = config.name.endswith("_preprocess")
        for tensors in (config.input, config.output):
            kept = [each for each in tensors if each.name not in NEW and not (is_step and each.name == "threshold")]
            del tensors[:]
            tensors.extend(kept)
        for step in config.ensemble_scheduling.step:
            for names in (step.input_map, step.output_map):
                for name in NEW & set(names):
                    del names[name]
            if step.model_name == SHARED:
                del step.input_map["threshold"]
            elif "threshold" in step.input_map:
                step.input_map["threshold"] = "threshold"
        file.write_text(text_format.MessageToString(config))
    return repository


def test_an_earlier_repository(serve: Serve, server: TritonServer, tmp_path: Path, solvay: Path) -> None:
    repository = write_as_before(copy_one_detector(tmp_path / "models"))
    found = []
    for running in (serve(repository), server):
        with create_model("BlazeFace", url=running.endpoints.grpc, threshold=0.6) as model:
            found += model.predict(solvay)
            if running is not server:
                with pytest.raises(InvalidArgumentError, match=r"takes no tiles on this server, .*repository`"):
                    model.predict(solvay, tiles=640)
                with pytest.raises(InvalidArgumentError, match="takes no tiles"):
                    create_model("BlazeFace", url=running.endpoints.grpc, tiles=640)
    before, now = found
    assert len(now) and np.array_equal(before.xyxy, now.xyxy) and np.array_equal(before.scores, now.scores)


def test_nothing_is_published_beside_an_earlier_model_that_decodes(tmp_path: Path) -> None:
    repository = write_as_before(copy_one_detector(tmp_path / "models"))
    exported = make_export(tmp_path / "exported")
    write_settings(exported, Preprocess=[{**SETTINGS["Preprocess"][0], "target_size": [640, 640]}])
    with pytest.raises(PublishError, match=rf"{SHARED} in .*/models, which .* earlier version; `.* repository --model"):
        publish(exported, "mine", repository)
    assert not (repository / "mine").exists()

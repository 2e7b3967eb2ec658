"""`create_model(model_dir=...)`: a local export served by a server that allows it, and what others answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.alike import assert_alike, rows_of
from tests.conftest import Serve
from tests.exported import fails_when_it_runs, make_export, no_network, one_output_too_flat, write_settings
from tests.reference import InProcess
from tests.shipped import shipped
from tritonface import InvalidArgumentError, ServerError, create_model
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.server import TritonServer

OTHER_NMS = {"score_threshold": 0.01, "nms_threshold": 0.7, "nms_top_k": 5000, "keep_top_k": 750}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_export(tmp_path / "exported")


@pytest.fixture(scope="module")
def trusting(serve: Serve, one_detector: Path) -> TritonServer:
    """A server whose clients may load models."""
    return serve(one_detector, access=Access(open_apis=("model-repository",)))


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("use_hpip", [False, True])
def test_an_export_is_served(trusting: TritonServer, folder: Path, solvay: Path, protocol: str, use_hpip: bool) -> None:
    with (folder / "model.onnx").open("ab") as network:  # another network for each protocol: an unknown field of ONNX's
        network.write(b"\xfa\x7f" + bytes([len(protocol)]) + protocol.encode())
    address = {"protocol": protocol, "url": getattr(trusting.endpoints, protocol), "use_hpip": use_hpip}
    before = sorted(path.name for path in trusting.repositories.folders[0].iterdir())
    with create_model("BlazeFace", folder, **address) as model:
        assert (model.threshold, model.img_size_wh, model.labels) == (0.7, (640, 320), ["person"])
        (result,) = model.predict(solvay)
        (other,) = model.predict(solvay, threshold=0)
        (doubtful,) = model.predict(solvay, threshold=0.3)
        name = model.model_name
    expected = np.array(InProcess(shipped())(solvay.read_bytes(), 0.3, size_wh=(640, 320)))
    if use_hpip:
        assert_alike(rows_of(doubtful["boxes"]), expected, 0.3)
    else:
        assert rows_of(doubtful["boxes"])[:, 0] == pytest.approx(expected[:, 0], abs=1e-5)
    assert {box["label"] for box in result["boxes"]} == {"person"} and len(other["boxes"]) > len(result["boxes"])
    with create_model(name.removesuffix("_hpi"), **address) as model:  # by its name, for everybody
        assert (model.threshold, model.img_size_wh, model.labels) == (0.7, (640, 320), ["person"])
        assert next(model.predict(solvay))["boxes"] == result["boxes"]
    with create_model("BlazeFace", folder, threshold=0.9, img_size=[320, 640], **address) as model:
        assert (model.threshold, model.img_size_wh, model.model_name) == (0.9, (320, 640), name)
    with create_model("BlazeFace", **address) as model:
        assert next(model.predict(solvay))["boxes"][0]["label"] == "face"
    assert sorted(path.name for path in trusting.repositories.folders[0].iterdir()) == before


@pytest.mark.fault("C7")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_nothing_of_it_stays_when_the_server_ends(
    one_detector: Path, folder: Path, tmp_path: Path, solvay: Path, protocol: str
) -> None:
    """Triton keeps what clients send in folders of its own, and an idle HTTP connection has it end in haste."""
    access = Access(open_apis=("model-repository",))
    with TritonServer(one_detector, Endpoints.free(), log=tmp_path / "log", cpus=1, access=access) as server:
        model = create_model("BlazeFace", folder, url=getattr(server.endpoints, protocol), protocol=protocol)
        assert len(next(model.predict(solvay)))
        sent = [stub.model_folder for stub in server.stubs() if stub.model.startswith(model.model_name)]
        assert sent and all(path.is_dir() for path in sent)
    model.close()
    assert not [path for path in sent if path.exists()]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_does_not_allow_it(serve: Serve, one_detector: Path, folder: Path, protocol: str) -> None:
    url = getattr(serve(one_detector).endpoints, protocol)
    with pytest.raises(
        ServerError, match=r"tritonface-server publish add .*exported NAME.*WATCH=1.*--model-control explicit"
    ):
        create_model("BlazeFace", model_dir=folder, url=url, protocol=protocol)


@pytest.mark.parametrize(
    ("spoil", "use_hpip", "reason"),
    [
        (no_network, False, "cannot be loaded as an ONNX network"),
        (no_network, True, "cannot be loaded as a network: Unable to read the model"),
        (fails_when_it_runs, False, "running Reshape node"),
        (fails_when_it_runs, True, "reshape_shape_inference"),
        (one_output_too_flat, False, "'boxes' of the network has 2 dimensions of float32, .* promises 3"),
        (one_output_too_flat, True, "'boxes' of the network has 2 dimensions of float32, .* promises 3"),
    ],
)
def test_a_network_that_does_not_run(
    trusting: TritonServer, folder: Path, solvay: Path, spoil: Callable[[Path], None], use_hpip: bool, reason: str
) -> None:
    url = trusting.endpoints.grpc
    with create_model("BlazeFace", url=url) as model:
        spoil(folder / "model.onnx")
        with pytest.raises(ServerError, match=rf"model\.onnx cannot be served: .*{reason}") as caught:
            create_model("BlazeFace", folder, url=url, use_hpip=use_hpip)
        assert "\n" not in str(caught.value)
        assert next(model.predict(solvay))["boxes"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Global": {"model_name": "PicoDet_LCNet_x2_5_face"}}, "an export of 'PicoDet_LCNet_x2_5_face', not of"),
        ({"Preprocess": []}, "a list with one step of the type Resize"),
        ({"Preprocess": [{"type": "Resize", "target_size": [16, 640]}]}, r"img_size is .*got \(640, 16\)"),
        ({"label_list": "face"}, r"label_list is 'face'; expected a list of names"),
        ({"draw_threshold": 7}, "draw_threshold is 7; expected a number from 0 to 1"),
        ({"NMS": OTHER_NMS}, r"wants nms .*0\.7.* which it would share, have .*0\.3.*publish add"),
        ({"size_multiple": 32}, "wants size_multiple 32, but the steps of 'BlazeFace'"),
        ({"Preprocess": [{"type": "Resize", "target_size": [320, 640], "interp": 1}]}, "wants interpolation linear"),
    ],
)
def test_settings_of_no_use(trusting: TritonServer, folder: Path, changes: dict[str, object], message: str) -> None:
    write_settings(folder, **changes)
    with pytest.raises(InvalidArgumentError, match=message):
        create_model("BlazeFace", folder, url=trusting.endpoints.grpc)


def test_settings_that_may_be_missing(trusting: TritonServer, folder: Path) -> None:
    write_settings(folder, draw_threshold=None)
    with create_model("BlazeFace", folder, url=trusting.endpoints.grpc) as model:
        assert model.threshold == 0.5


@pytest.mark.parametrize("missing", ["model.onnx", "inference.yml"])
def test_a_folder_that_lacks_a_file(server: TritonServer, folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(InvalidArgumentError, match=f"has no {missing}; make the folder with `python training/main.py"):
        create_model("BlazeFace", folder, url=server.endpoints.grpc)

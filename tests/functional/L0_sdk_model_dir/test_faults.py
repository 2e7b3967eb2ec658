"""A model that a client has sent when its processes, its server or all of them die: it serves on, leaving nothing."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Serve
from tests.exported import make_export
from tests.launched import KEY, Launched, eventually, is_there, launched
from tritonface import Connection, ModelNotFoundError, create_model
from tritonface_server.access import Access
from tritonface_server.endpoints import Endpoints
from tritonface_server.sent_models import FOLDER_PATTERN, RECORD, TEMPORARY
from tritonface_server.server import TritonServer, undrained

OPEN = "--model-control=explicit"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_export(tmp_path / "exported")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the cache of `trusting`."""
    return tmp_path_factory.mktemp("trusting")


@pytest.fixture(scope="module")
def trusting(place: Path, one_detector: Path) -> Iterator[Launched]:
    """One whose clients may load models, with two processes of each."""
    with launched(place, OPEN, "--cpus=2", repository=one_detector) as launcher:
        yield launcher


def sent_folders(tmp_path: Path) -> dict[str, str]:
    """What the launcher has noted of the models that were sent, by their folders; {} before it has noticed them."""
    records = list((tmp_path / "cache" / "tritonface").glob(f"*/{RECORD}"))
    return json.loads(records[0].read_text()) if records else {}


def ensembles(name: str) -> list[Path]:
    """The folders of ensembles that call the network of this model, whoever's they are."""
    configs = TEMPORARY.glob(f"{FOLDER_PATTERN}/config.pbtxt")
    return [config.parent for config in configs if f'model_name: "{name}_detector"' in config.read_text()]


def address(launcher: Launched, protocol: str) -> Connection:
    return Connection(getattr(launcher.endpoints, protocol), protocol, key=KEY, timeout_s=60)


def unlike_others(folder: Path, mark: str) -> None:
    """A network that no other test sends, by an unknown field of ONNX's."""
    with (folder / "model.onnx").open("ab") as network:
        network.write(b"\xfa\x7f" + bytes([len(mark)]) + mark.encode())


@pytest.mark.fault("C3")
@pytest.mark.parametrize(("protocol", "use_hpip"), [("grpc", False), ("http", True)])
def test_it_serves_on(
    trusting: Launched, place: Path, folder: Path, solvay: Path, protocol: str, use_hpip: bool
) -> None:
    unlike_others(folder, f"fault {protocol}")
    connection = address(trusting, protocol)
    with create_model("BlazeFace", folder, use_hpip=use_hpip, connection=connection) as model:
        name, step = model.model_name, f"{model.model_name}_detector"
        expected = next(model.predict(solvay))["boxes"]
        assert expected and eventually(lambda: step in sent_folders(place).values())
        for count in (2, 1):  # all of them, one of them
            before = {stub.pid for stub in trusting.stubs(step)}
            for pid in sorted(before)[:count]:
                os.kill(pid, signal.SIGKILL)
            trusting.wait_for(f"{step} is back")
            assert next(model.predict(solvay))["boxes"] == expected
            assert eventually(lambda: trusting.status(f"v2/models/{name}/ready") == 200)  # it follows its network
            with create_model(name.removesuffix("_hpi"), use_hpip=use_hpip, connection=connection) as other:
                assert next(other.predict(solvay))["boxes"] == expected
            assert eventually(lambda before=before: len({it.pid for it in trusting.stubs(step)} - before) == 2)
        assert trusting.status(f"v2/models/{name}/ready") == trusting.status("v2/health/ready") == 200
        assert eventually(
            lambda: {str(stub.model_folder) for stub in trusting.stubs(step)} <= sent_folders(place).keys()
        )
        known = sent_folders(place)
        os.kill(trusting.server_pid, signal.SIGKILL)
        trusting.wait_for("ready: gRPC")
        assert known and not [each for each in known if Path(each).exists()] and not ensembles(name)
        photos = [solvay] * 12  # as many requests do not find it at once
        assert [result["boxes"] for result in model.predict(photos, batch_size=6)] == [expected] * 12
        assert eventually(lambda: step in sent_folders(place).values())
        assert len(trusting.stubs(step)) == 2 and len(ensembles(name)) == 1


@pytest.mark.fault("C7")
def test_what_it_left_goes_at_the_next_start(tmp_path: Path, one_detector: Path, folder: Path, solvay: Path) -> None:
    unlike_others(folder, "left")
    with launched(tmp_path, OPEN, repository=one_detector) as first:
        with create_model("BlazeFace", folder, connection=address(first, "grpc")) as model:
            assert next(model.predict(solvay))["boxes"]
            assert eventually(lambda: sent_folders(tmp_path))
        left = [*map(Path, sent_folders(tmp_path)), *ensembles(model.model_name)]
        pids = [child.pid for child in psutil.Process(first.process.pid).children(recursive=True)]
        os.kill(first.process.pid, signal.SIGSTOP)  # so that nobody can tidy up
        for pid in (*pids, first.process.pid):
            os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: not any(map(is_there, pids)))
    assert len(left) == 2 and all(path.is_dir() for path in left)
    with launched(tmp_path, repository=one_detector):
        assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_server_that_takes_it_no_more_is_passed_over(
    serve: Serve, one_detector: Path, folder: Path, tmp_path: Path, solvay: Path, protocol: str
) -> None:
    unlike_others(folder, f"twice {protocol}")
    access, ends = Access(open_apis=("model-repository",)), Endpoints.free()
    own, other = getattr(ends, protocol), getattr(serve(one_detector, access=access).endpoints, protocol)
    with undrained(TritonServer(one_detector, ends, log=tmp_path / "log", cpus=1, access=access)) as first:
        alone = create_model("BlazeFace", folder, url=own, protocol=protocol)
        both = create_model("BlazeFace", folder, url=[own, other], protocol=protocol)
        expected = next(alone.predict(solvay))["boxes"]
        left = [stub.model_folder for stub in first.stubs() if stub.model.startswith(alone.model_name)]
    assert left and not [path for path in left if path.exists()]
    with undrained(TritonServer(one_detector, ends, log=tmp_path / "log", cpus=1)), alone, both:
        results = list(both.predict([solvay] * 12, batch_size=6))
        assert [result["boxes"] for result in results] == [expected] * 12 and expected
        with pytest.raises(ModelNotFoundError, match=r"does not let clients load models .*publish add"):
            next(alone.predict(solvay))

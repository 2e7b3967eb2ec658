"""Models and processes: forked, spawned, pickled, patched by gevent. Each test is a program of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tritonface_server.server import TritonServer

START = """
import os, pickle, sys, multiprocessing, concurrent.futures
from tritonface import Connection, InvalidArgumentError, create_async_model, create_model

grpc, http, photo = sys.argv[1:]
ADDRESS = {"grpc": Connection(grpc, "grpc", timeout_s=20), "http": Connection(http, "http", timeout_s=20)}

def faces(protocol):
    with create_model("BlazeFace", connection=ADDRESS[protocol]) as model:
        return len(next(model.predict(photo)))

def faces_of(model):
    return len(next(model.predict(photo)))

def attempt(work, *arguments):
    try:
        return work(*arguments)
    except InvalidArgumentError as error:
        return str(error)

def in_child(work, *arguments):
    "What work says in a forked child; the exit code if the child dies."
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, str(attempt(work, *arguments)).encode())
        os._exit(0)
    os.close(writer)
    said = os.fdopen(reader).read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if code == 0 else code
"""


Run = Callable[..., list[str]]


@pytest.fixture
def run(server: TritonServer, astronaut: Path, tmp_path: Path) -> Run:
    """Runs a program behind START; the lines it prints."""

    def run(program: str, *options: str) -> list[str]:
        file = tmp_path / "program.py"  # a file, for spawned processes import it
        file.write_text(START + program)
        command = [sys.executable, *options, str(file), server.endpoints.grpc, server.endpoints.http, str(astronaut)]
        environment = {**os.environ, "GRPC_VERBOSITY": "ERROR"}
        run = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        assert run.returncode == 0, (run.returncode, run.stdout, run.stderr[-2000:])
        return run.stdout.splitlines()

    return run


@pytest.mark.fault("A13")
def test_a_model_in_a_forked_child_of_a_process_that_uses_grpc(run: Run) -> None:
    lines = run(
        """
model = create_model("BlazeFace", connection=ADDRESS["grpc"])
print(faces_of(model) > 0)
for _ in range(3):
    print(in_child(faces, "grpc"))
print(in_child(faces, "http"), in_child(faces_of, model), in_child(model.close), faces_of(model) > 0, sep="|")
model.close()
print(in_child(faces, "grpc"), faces("grpc") > 0, sep="|")
"""
    )
    refused = "this process was forked from one that had used gRPC, which does not survive that; make the first model"
    assert lines[0] == "True" and all(line.startswith(refused) and "protocol='http'" in line for line in lines[1:4])
    over_http, inherited, closed, parent = lines[4].split("|")
    assert int(over_http) > 0 and "was made before this process was forked" in inherited and closed == "None"
    assert parent == "True" and lines[5].startswith(refused) and lines[5].endswith("|True")


@pytest.mark.fault("A13")
@pytest.mark.parametrize("first", ["", "create_model('BlazeFace', connection=ADDRESS['http'])"])
def test_a_model_in_a_forked_child_of_a_process_that_does_not(run: Run, first: str) -> None:
    lines = run(f"model = {first or None}\nprint(in_child(faces, 'grpc'))\nprint(in_child(faces, 'http'))")
    assert len(lines) == 2 and lines[0] == lines[1] and int(lines[0]) > 0


@pytest.mark.fault("A13")
def test_a_childs_own_model_outlives_the_inherited_one(run: Run) -> None:
    (line,) = run(
        """
model = create_model("BlazeFace", connection=ADDRESS["http"])
def work():
    global model
    with create_model("BlazeFace", connection=ADDRESS["http"]) as own:
        refused = attempt(faces_of, model)  # not sent through the child's connection
        model = None
        return f"{refused}|{faces_of(own) > 0}"
print(in_child(work))
"""
    )
    assert line == "the model was made before this process was forked; make a new one with create_model|True"


@pytest.mark.fault("A13")
def test_pools(run: Run) -> None:
    lines = run(
        """
if __name__ == "__main__":
    with create_model("BlazeFace", connection=ADDRESS["grpc"]) as model:
        faces_of(model)
        with multiprocessing.get_context("fork").Pool(2) as pool:
            print(*set(pool.starmap(attempt, [(faces, "grpc")] * 4)))
            print(*set(pool.map(faces, ["http"] * 4)))
        with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            print(*set(pool.map(attempt, [faces] * 2, ["grpc"] * 2)))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(*set(pool.map(faces, ["grpc", "http"])))
"""
    )
    assert [line[:12] for line in lines[::2]] == ["this process", "this process"]
    assert lines[1] == lines[3] and int(lines[1]) > 0


@pytest.mark.fault("A15")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_model_is_pickled_as_its_settings(run: Run, protocol: str) -> None:
    lines = run(
        f"""
import asyncio
options = dict(threshold=0.9, img_size=[320, 256], batch_size=3, connection=ADDRESS["{protocol}"])

async def of_twin(model):
    async with pickle.loads(pickle.dumps(model)) as twin:
        return [len(result) async for result in twin.predict([photo] * 2)]

if __name__ == "__main__":
    with create_model("BlazeFace", **options) as model:
        with pickle.loads(pickle.dumps(model)) as twin:
            assert twin is not model and type(twin) is type(model)
            for name in ("model_name", "labels", "threshold", "img_size_wh"):
                assert getattr(twin, name) == getattr(model, name), name
            print([dict(result) for result in model(photo)] == [dict(result) for result in twin(photo)])
        here = faces_of(model)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.map(faces_of, [model] * 2) == [here] * 2)
        result = next(model.predict(photo))
        print(pickle.loads(pickle.dumps(result)) == result)

    async def main():
        async with create_async_model("BlazeFace", **options) as model:
            return await of_twin(model) == [here] * 2
    print(asyncio.run(main()))
"""
    )
    assert lines == ["True"] * 4


@pytest.mark.fault("A15")
def test_joblib(run: Run) -> None:
    pytest.importorskip("joblib")
    (line,) = run(
        """
import joblib
if __name__ == "__main__":
    with create_model("BlazeFace", connection=ADDRESS["grpc"]) as model:
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(faces_of)(model) for _ in range(3))
        print(found == [faces_of(model)] * 3)
"""
    )
    assert line == "True"


@pytest.mark.fault("A14")
def test_gevent(run: Run) -> None:
    pytest.importorskip("gevent")
    lines = run(
        """
import gevent, time
for _ in range(2):
    with create_model("BlazeFace", connection=ADDRESS["http"]) as model:
        jobs = [gevent.spawn(faces_of, model) for _ in range(4)]
        gevent.joinall(jobs)
        print(*{job.value for job in jobs})
    started = time.monotonic()
    print(attempt(faces, "grpc"), time.monotonic() - started < 1)

import socket
with socket.create_server(("127.0.0.1", 0)) as silent:
    nobody = Connection("127.0.0.1:%d" % silent.getsockname()[1], "http", timeout_s=0.5)
    try:
        create_model("BlazeFace", connection=nobody)
    except TimeoutError:
        print("late", time.monotonic() - started < 5)

import asyncio
async def main():
    await create_async_model("BlazeFace", connection=ADDRESS["http"])
gevent.sleep(0.5)  # the SDK's own loop has ended
print(attempt(asyncio.run, main()))
""",
        "-c",
        "import sys, runpy; sys.argv.pop(0); from gevent import monkey; monkey.patch_all(); "
        "runpy.run_path(sys.argv[0], run_name='__main__')",
    )
    assert int(lines[0]) > 0 and lines[2] == lines[0]
    refused = "this process is patched by gevent, under which gRPC hangs; pass protocol='http'"
    assert all(line.startswith(refused) and line.endswith("True") for line in (lines[1], lines[3]))
    assert lines[4] == "late True" and "runs an asyncio loop" in lines[5]

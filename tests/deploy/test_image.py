"""The image on Debian, as its users run it: photos through its published ports, what it may write, how it ends."""

from __future__ import annotations

import json
import re
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import write_certificates
from tests.deploy.containers import RUN, Container, command, ended, image_bytes, own_bytes, running, start_time_s
from tests.scrape import wait_until
from tests.shipped import SHIPPED
from tritonface import TLS, Connection, ServerUnavailableError, TritonFaceError, create_model

MAX_OWN_BYTES = 900_000_000
"""What the image adds to its base at most."""


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_the_demo_photos_through_published_ports(
    container: Container, protocol: str, solvay: Path, astronaut: Path
) -> None:
    url = getattr(container.endpoints, protocol)
    for name in SHIPPED:
        with create_model(name, url=url, protocol=protocol) as model:
            crowd, portrait = [len(result) for result in model.predict([str(solvay), str(astronaut)], batch_size=2)]
        assert portrait == 1, name
        assert crowd == 29 if name == "PP-YOLOE_plus-S_face" else crowd >= 15, name


def test_the_high_performance_variants_too(container: Container, astronaut: Path) -> None:
    for name in SHIPPED:
        with create_model(name, url=container.endpoints.grpc, use_hpip=True) as model:
            assert [len(result) for result in model.predict(str(astronaut))] == [1], name


def test_metrics_are_there(container: Container) -> None:
    address = f"http://127.0.0.1:{container.endpoints.metrics_port}/metrics"
    with urllib.request.urlopen(address, timeout=10) as answer:
        assert b"tritonface_requests_under_way" in answer.read()


def test_it_has_no_rights_and_writes_to_nothing_but_its_temporary_folder(container: Container) -> None:
    status = Path("/proc", container.state("Pid"), "status").read_text()
    for line in (r"Uid:\s+1000\s+1000\s", r"Gid:\s+1000\s+1000\s", r"CapEff:\s+0+$", r"NoNewPrivs:\s+1$"):
        assert re.search(f"^{line}", status, re.MULTILINE), f"{line} is not in {status}"
    for folder in ("/", "/opt/tritonface", "/srv/tritonface", "/srv/tritonface/model_repository", "/usr/bin", "/etc"):
        done = container.exec("sh", "-c", f"echo > {folder}/written", check=False)
        assert done.returncode and "Read-only file system" in done.stderr, folder
    container.exec("sh", "-c", "echo > /tmp/written && rm /tmp/written")


def test_nothing_belongs_to_the_user_it_runs_as_but_what_begins_a_volume(image: str) -> None:
    owned = inside(image, "find / -xdev -uid 1000 -not -path '/proc/*' | sort")
    assert owned == "/var/lib/tritonface\n/var/lib/tritonface/published\n"


def test_what_was_needed_to_build_it_is_not_in_it(image: str) -> None:
    programs = "gcc g++ cc c++ clang ld make git pip pip3"
    assert inside(image, f"for it in {programs}; do command -v $it || true; done") == ""
    folders = "/var/lib/apt/lists /var/cache/apt /root/.cache /tmp /build /context"
    assert inside(image, f"for it in {folders}; do if [ -d $it ]; then find $it -type f; fi; done") == ""
    assert (
        inside(image, "find / -xdev '(' -name '*.whl' -o -name '*.deb' -o -name wheelhouse ')' -not -path '/usr/*'")
        == ""
    )
    assert "No module named pip" in inside(image, "/opt/tritonface/bin/python -m pip --version 2>&1 || true")


def test_nothing_of_the_machine_that_built_it(image: str) -> None:
    about = json.loads(command("podman", "image", "inspect", image).stdout)[0]
    names = {variable.partition("=")[0] for variable in about["Config"]["Env"]}
    assert names == {"PATH", "HOME", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    assert about["Config"]["User"] == "1000:1000"
    assert inside(image, "find / -xdev '(' -name 'pip.conf' -o -name 'pip.ini' ')'") == ""


def test_both_commands_are_in_the_path(container: Container) -> None:
    assert "publish" in container.exec("tritonface-server", "--help").stdout
    assert "predict" in container.exec("tritonface", "--help").stdout


def test_the_health_check_wants_a_face(container: Container, image: str) -> None:
    check = json.loads(command("podman", "image", "inspect", image).stdout)[0]["Healthcheck"]["Test"]
    assert "--probe" in check[-1]
    assert container.check_health().returncode == 0
    absent = container.exec("env", "TRITONFACE_HEALTH=--model Nobody", *check[1:], check=False)
    assert absent.returncode and "Nobody" in absent.stdout + absent.stderr


def test_it_wants_to_be_told_who_may_reach_it(image: str) -> None:
    done = ended(image)
    assert done.returncode == 1, done
    assert "--insecure" in done.stderr and "--tls-cert" in done.stderr and "Traceback" not in done.stderr


def test_too_little_shared_memory_is_told_with_what_to_do(image: str) -> None:
    done = ended(image, "--insecure", "--cpus=16", shm_size="64m")
    assert done.returncode == 1 and "--shm-size=" in done.stderr, done


def test_a_temporary_folder_without_programs_is_told_with_what_to_do(image: str) -> None:
    """What `docker run --tmpfs /tmp` gives."""
    done = ended(image, "--insecure", tmpfs=["/tmp:noexec,mode=1777"])
    assert done.returncode == 1 and "--tmpfs /tmp:exec" in done.stderr, done


def test_encrypted(image: str, tmp_path: Path, astronaut: Path) -> None:
    """TLS opens gRPC alone; the health check passes as well."""
    write_certificates(tmp_path, "server")
    for file in tmp_path.iterdir():
        file.chmod(0o644)
    tmp_path.chmod(0o755)
    options = (f"--volume={tmp_path}:/run/tls:ro", "--env=TRITONFACE_HEALTH=--model BlazeFace")
    certificate = ("--tls-cert=/run/tls/server.pem", "--tls-key=/run/tls/server.key")
    with running(image, *certificate, "--detectors=BlazeFace", options=options) as container:
        trusted = Connection(container.endpoints.grpc, tls=TLS(tmp_path / "ca.pem"))
        with create_model("BlazeFace", connection=trusted) as model:
            assert [len(result) for result in model.predict(str(astronaut))] == [1]
        for protocol in ("grpc", "http"):
            with pytest.raises(TritonFaceError):
                create_model("BlazeFace", url=getattr(container.endpoints, protocol), protocol=protocol)
        assert container.check_health().returncode == 0


def test_sigterm_drains(image: str, solvay: Path) -> None:
    """What was accepted is answered, what comes later is told that nobody is there, and the exit code is 0."""
    answered, faces, refused = threading.Event(), [], []
    with running(image, "--insecure", "--detectors=BlazeFace") as container:
        connection = Connection(container.endpoints.grpc, retries=0, timeout_s=60)
        with create_model("BlazeFace", connection=connection) as model:
            [expected] = [len(result) for result in model.predict(str(solvay))]

            def call() -> None:
                while not refused:
                    try:
                        faces.extend(len(result) for result in model.predict(str(solvay)))
                        answered.set()
                    except TritonFaceError as error:
                        refused.append(error)

            callers = [threading.Thread(target=call) for _ in range(4)]
            for caller in callers:
                caller.start()
            assert answered.wait(60)
            assert container.stop() == 0, container.log()
            for caller in callers:
                caller.join(90)
        assert "draining" in container.log()
    assert set(faces) == {expected}
    assert all(isinstance(error, ServerUnavailableError) for error in refused), refused


def test_a_server_that_dies_is_started_anew_and_leaves_no_zombies(image: str, astronaut: Path) -> None:
    """The launcher is the container's first process, which inherits those whose parent has died."""
    with running(image, "--insecure", "--detectors=BlazeFace") as container:
        container.exec("sh", "-c", "kill -9 $(grep -lx tritonserver /proc/[0-9]*/comm | cut -d/ -f3)")
        wait_until(lambda: container.log().count("ready: gRPC") == 2, container.log, 120)
        assert faces_of("BlazeFace", container, astronaut) == 1
        states = container.exec("sh", "-c", "grep -h ^State /proc/[0-9]*/status").stdout
        assert "sleeping" in states and "zombie" not in states


@pytest.fixture
def volume() -> Iterator[str]:
    """The name of an empty volume, which is gone afterwards."""
    name = f"tritonface-test-{uuid.uuid4().hex[:12]}"
    yield name
    command("podman", "volume", "rm", "--force", name, check=False)


def test_a_published_detector_outlives_its_container(image: str, volume: str, astronaut: Path) -> None:
    """What is published into a volume is served, and by the next container too, beside the image's own models."""
    repositories = ("--model-repository=model_repository", "--model-repository=/var/lib/tritonface/published")
    publish = ("tritonface-server", "publish", "add", *repositories, "model_repository/BlazeFace_detector/1", "mine")
    options = (f"--volume={volume}:/var/lib/tritonface",)
    with running(image, "--insecure", "--watch", "--detectors=BlazeFace", *repositories, options=options) as container:
        assert "published: mine" in container.exec(*publish).stdout
        wait_until(lambda: "loaded: mine" in container.log(), container.log, 60)
        assert faces_of("mine", container, astronaut) == 1
        assert container.stop() == 0
    with running(image, "--insecure", "--detectors=mine,BlazeFace", *repositories, options=options) as container:
        assert faces_of("BlazeFace", container, astronaut) == 1
        assert faces_of("mine", container, astronaut) == 1


def test_size_and_start_time_are_told(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    own, whole, seconds = own_bytes(image), image_bytes(image), start_time_s(image)
    with capsys.disabled():
        print(f"\nimage: {whole / 1e6:.0f} MB, without its base {own / 1e6:.0f} MB; ready after {seconds:.1f} s")
    assert own < MAX_OWN_BYTES


def inside(image: str, script: str) -> str:
    """What a script of the shell says in the image, as root, so that nothing is hidden from it."""
    return command(*RUN, "--rm", "--user=0", "--entrypoint=sh", image, "-c", script).stdout


def faces_of(model_name: str, container: Container, photo: Path) -> int:
    with create_model(model_name, url=container.endpoints.grpc) as model:
        [result] = model.predict(str(photo))
        return len(result)

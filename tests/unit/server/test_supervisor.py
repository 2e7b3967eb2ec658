"""Which processes the launcher waits for; what it does when one ends is in tests/functional/L0_faults."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tritonface_server.control import Control, ControlError
from tritonface_server.sent_models import SentModels
from tritonface_server.stubs import EXECUTABLE, INSTANCE_ARGUMENT
from tritonface_server.supervisor import Supervisor


class NoModels(BaseHTTPRequestHandler):
    """A repository without models."""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), NoModels) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the arguments of one, child of this one, which takes the place of tritonserver."""
    model = tmp_path / "1" / "model.py"
    model.parent.mkdir()
    model.write_text("import time; time.sleep(60)")
    arguments = [EXECUTABLE, str(model), *[""] * (INSTANCE_ARGUMENT - 2), "model_0_0"]
    with subprocess.Popen(arguments, executable=sys.executable) as process:
        yield process
        process.kill()


def test_an_end_is_waited_for_once_also_where_the_server_does_not_answer(
    server: ThreadingHTTPServer, stub: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    said: list[str] = []
    control = Control(f"127.0.0.1:{server.server_port}", {})
    supervisor = Supervisor(os.getpid(), control, SentModels(control, tmp_path), set(), (), said.append)
    assert not supervisor.watched
    supervisor.look()
    assert {*supervisor.watched} == {stub.pid}
    server.shutdown()
    server.server_close()
    stub.kill()
    stub.wait()
    with pytest.raises(ControlError):
        supervisor.look()
    assert not supervisor.watched and said == []

"""PaddleX's own `predict`, in an environment of its own under build/paddlex, fed with our exported folder.

python -m perf.peers.paddlex_peer    (makes the environment, some 2 GB, and says where its interpreter is)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import TracebackType

from training.paths import ROOT, shipped_weights

FOLDER = ROOT / "build" / "paddlex"
PYTHON = FOLDER / "bin" / "python"
REQUIREMENT = ROOT / "requirements" / "paddlex.txt"
WORKER = Path(__file__).with_name("paddlex_worker.py")


class PaddleXError(RuntimeError):
    """PaddleX cannot be set up or does not run; the message says why."""


def is_set_up() -> bool:
    """Whether its environment has been made."""
    return (FOLDER / ".done").is_file()


def set_up() -> Path:
    """PaddleX's interpreter; makes its environment the first time, which takes minutes.

    Raises:
        PaddleXError: the packages cannot be installed.
    """
    if not is_set_up():
        venv.create(FOLDER, with_pip=True)
        command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", "--require-hashes"]
        outcome = subprocess.run([*command, "-r", str(REQUIREMENT)], capture_output=True, text=True)
        if outcome.returncode:
            raise PaddleXError(f"pip cannot install {REQUIREMENT.name}: {outcome.stderr.strip()[-500:]}")
        (FOLDER / ".done").touch()
    return PYTHON


def export_folder(name: str, folder: Path) -> Path:
    """The detector's shipped weights as a folder that PaddleX loads; needs Paddle (`make setup-training`)."""
    settings = ["Global.mode=export", f"Global.output={folder}", f"Export.weight_path={shipped_weights(name)}"]
    command = [sys.executable, "training/main.py", "-c", f"training/configs/{name}.yaml"]
    command += [argument for setting in settings for argument in ("-o", setting)]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if outcome.returncode:
        raise PaddleXError(f"{name} cannot be exported for PaddleX: {outcome.stderr.strip()[-500:]}")
    return folder


class PaddleX:
    """A process that runs PaddleX's `predict` when asked; a context manager.

    Args:
        threads: of the network; 0 leaves PaddleX's default.
    """

    def __init__(self, name: str, folder: Path, photo: Path, threads: int, log: Path) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "PYTHON"))}
        environment["PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK"] = "True"  # it works offline
        self._log = log
        self.process = subprocess.Popen(
            [set_up(), WORKER, name, folder, str(threads), photo],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w"),
            cwd=log.parent,
            env=environment,
            text=True,
            bufsize=1,
        )
        self.faces: int = self._read()["faces"]

    def latencies_ms(self, duration_s: float) -> list[float]:
        """Times of the `predict` calls made one after the other in about `duration_s`."""
        self.process.stdin.write(f"{duration_s}\n")
        return self._read()

    def _read(self):
        line = self.process.stdout.readline()
        if not line:
            raise PaddleXError(f"PaddleX gave up: {self._log.read_text(errors='replace').strip()[-500:]}")
        return json.loads(line)

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def __enter__(self) -> PaddleX:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


if __name__ == "__main__":
    try:
        print(set_up())
    except PaddleXError as failure:
        sys.exit(f"error: {failure}")

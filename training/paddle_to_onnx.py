"""Paddle inference files to a slim ONNX file, in a process of its own: paddle2onnx may abort the one it runs in.

python -m training.paddle_to_onnx MODEL.json MODEL.pdiparams OUTPUT.onnx
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

OPSET = 16


class ExportError(RuntimeError):
    """The conversion to ONNX failed; the message holds the converter's last words."""


def convert(model: Path, parameters: Path, output: Path) -> None:
    """Write `output`; the same input gives the same bytes.

    Raises:
        ExportError: the converter gave up.
    """
    command = [sys.executable, "-m", "training.paddle_to_onnx", str(model), str(parameters), str(output)]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}  # onnxslim names tensors in the order of a set
    run = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parent.parent)
    if run.returncode or not output.is_file():
        raise ExportError(f"paddle2onnx failed:\n{(run.stdout + run.stderr)[-2000:]}")


def main() -> None:
    """The command line."""
    import onnx
    import onnxslim
    import paddle2onnx

    model, parameters, output = sys.argv[1:]
    # Its default optimiser would install packages while running.
    paddle2onnx.export(model, parameters, output, opset_version=OPSET, optimize_tool="None")
    onnx.save(onnxslim.slim(onnx.load(output)), output)


if __name__ == "__main__":
    main()

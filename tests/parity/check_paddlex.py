"""Do PaddleX and our pipeline find the same faces? Not a part of `make test`: PaddleX needs an environment of its own.

python3 -m venv build/paddlex
build/paddlex/bin/pip install paddlepaddle==3.2.2 "paddlex[cv]" setuptools
.venv/bin/python -m tests.parity.check_paddlex build/paddlex/bin/python [DETECTOR ...]

Exports each detector's weights as a PaddleX folder, lets `paddlex.create_model(...).predict(...)` of that interpreter
find the faces of the demo photos, and compares them with decode, resize, ONNX Runtime and NMS in this process.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from tests.reference import InProcess
from tests.trained import trained_network
from training.detectors import DETECTORS, get_detector
from training.paddlex_folder import export_paddlex
from training.paths import ROOT

PHOTOS = [ROOT / "demo" / "photos" / name for name in ("solvay_1927.jpg", "astronaut.jpg")]
THRESHOLDS = (0.5, 0.1)
TOLERANCE_PX, TOLERANCE_SCORE = 0.01, 1e-4
TIMEOUT_S = 600
PREDICT = """
import json, sys
from paddlex import create_model
name, folder, threshold, answer, *photos = sys.argv[1:]
model = create_model(name, model_dir=folder, device="cpu", threshold=float(threshold))
results = [result["boxes"] for result in model.predict(photos)]
found = [[[box["score"], *map(float, box["coordinate"])] for box in boxes] for boxes in results]
json.dump(found, open(answer, "w"))
"""


def predict(python: Path, name: str, folder: Path, threshold: float) -> list[list[list[float]]]:
    """PaddleX's rows of [score, xmin, ymin, xmax, ymax] for each photo."""
    answer = folder / "found.json"
    command = [python, "-c", PREDICT, name, folder, str(threshold), answer, *PHOTOS]
    environment = {**os.environ, "PADDLE_PDX_DISABLE_MODEL_SOURCE_CHECK": "True"}  # it works offline
    outcome = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S)
    if outcome.returncode:
        sys.exit(f"error: PaddleX cannot use the folder of {name}:\n{(outcome.stdout + outcome.stderr)[-2000:]}")
    return json.loads(answer.read_text())


def check(python: Path, name: str) -> bool:
    """Print one line per photo and threshold; whether all agree."""
    network, facts, good = trained_network(name), get_detector(name), True
    ours = InProcess(facts)
    with tempfile.TemporaryDirectory() as temporary:
        export_paddlex(network, facts, Path(temporary))
        for threshold in THRESHOLDS:
            for photo, found in zip(PHOTOS, predict(python, name, Path(temporary), threshold), strict=True):
                expected = ours(photo.read_bytes(), threshold)
                head = f"{name} {photo.name} > {threshold}: {len(found)} boxes of PaddleX, {len(expected)} of ours"
                if len(found) != len(expected):
                    print(f"{head}: DIFFERENT")
                    good = False
                    continue
                gaps = np.abs(np.reshape(found, (-1, 5)) - np.reshape(expected, (-1, 5))).max(axis=0, initial=0)
                same = gaps[0] <= TOLERANCE_SCORE and gaps[1:].max() <= TOLERANCE_PX
                print(f"{head}; at most {gaps[1:].max():.1e} px and {gaps[0]:.1e} score apart", "" if same else "FAR")
                good &= bool(same)
    return good


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.parity.check_paddlex", description=__doc__.splitlines()[0])
    parser.add_argument("python", type=lambda text: Path(text).absolute(), help="an interpreter that has paddlex")
    parser.add_argument("detectors", nargs="*", choices=[*DETECTORS, []], help="default: all")
    arguments = parser.parse_args()
    results = [check(arguments.python, name) for name in arguments.detectors or DETECTORS]
    sys.exit(not all(results))


if __name__ == "__main__":
    main()

"""Your own photos, labelled, become a better detector in the running server: check, train, compare, publish.

    make setup-training
    make serve WATCH=1                                                    # in another terminal
    .venv/bin/python examples/fine_tune.py my_faces my-faces --epochs 3
    .venv/bin/tritonface predict photo.jpg --model my-faces

my_faces/ is a COCO data set, see training/README.md; examples/export_coco.py makes one to be corrected. The best epoch
is published, and only if it is better on the validation pictures than the weights it began with (--always: anyway).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
GENTLE = ("Train.learning_rate=0.00003", "Train.warmup_steps=30", "Train.ema_decay=0.98", "Train.batch_size=8")
"""A small part of the rate that the weights were trained with, and averages that follow a short training."""


def run(detector: str, mode: str, dataset: Path, output: Path, *settings: str) -> dict[str, Any]:
    """One mode of the training's command line; returns what its result file says."""
    everything = [f"Global.mode={mode}", f"Global.dataset_dir={dataset}", f"Global.output={output}", *settings]
    options = [text for setting in everything for text in ("-o", setting)]
    config = PROJECT / "training" / "configs" / f"{detector}.yaml"
    subprocess.run([sys.executable, PROJECT / "training" / "main.py", "-c", config, *options], check=True)
    result: dict[str, Any] = json.loads((output / f"{mode}_result.json").read_text())
    return result


def main() -> None:
    """Read the arguments and do all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("name", help="under which it is served")
    parser.add_argument("--detector", default="BlazeFace")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("output/fine_tuned"))
    parser.add_argument("--always", action="store_true", help="publish it, better or not")
    parser.add_argument("--model-repository", type=Path, default=PROJECT / "model_repository")
    parser.add_argument("-o", dest="settings", action="append", default=[], metavar="Section.key=value")
    options = parser.parse_args()

    run(options.detector, "check_dataset", options.dataset, options.output / "checked")
    start = f"Train.pretrain_weight_path={PROJECT / 'weights' / f'{options.detector}.safetensors'}"
    settings = (start, f"Train.epochs_iters={options.epochs}", *GENTLE, *options.settings)
    result = run(options.detector, "train", options.dataset, options.output, *settings)
    print(f"AP before {result['before']['AP']:.4f}, after {result['after']['AP']:.4f}")
    if not result["better"] and not options.always:
        sys.exit("not better, so not published; more pictures help most")

    publish = [sys.executable, "-m", "tritonface_server", "publish", "add"]
    what = [options.output / "best_model" / "inference", options.name]
    subprocess.run([*publish, "--model-repository", options.model_repository, *what], check=True)


if __name__ == "__main__":
    main()

"""Official Paddle weights (`.pdparams`) to a safetensors file, names and shapes checked.

python -m training.convert [--output FILE.safetensors] DETECTOR FILE.pdparams
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from training.detectors import DETECTORS, build_detector
from training.pdparams import read_pdparams
from training.weights import WeightsError, save_weights, set_weights


def convert(name: str, source: Path, output: Path) -> None:
    """Write the weights in `source` to `output`, whole or not at all; its folder is made if need be.

    Raises:
        WeightsError: `source` is no `.pdparams` file of this detector.
    """
    arrays = read_pdparams(source)
    network = build_detector(name)
    try:
        set_weights(network, arrays)
    except WeightsError as error:
        raise WeightsError(f"{source}: {error}") from None
    output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = output.with_name(f".{output.name}.part")
    save_weights(network, unfinished)
    unfinished.replace(output)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.convert", description=__doc__.splitlines()[0])
    parser.add_argument("detector", choices=DETECTORS)
    parser.add_argument("source", type=Path, metavar="FILE.pdparams")
    parser.add_argument("--output", type=Path, help="default: beside the source, with the suffix .safetensors")
    arguments = parser.parse_args()
    output = arguments.output or arguments.source.with_suffix(".safetensors")
    if output.exists():
        sys.exit(f"error: {output} exists already; delete it or choose another --output")
    try:
        convert(arguments.detector, arguments.source, output)
    except (WeightsError, OSError) as error:
        sys.exit(f"error: {error}")
    print(output)


if __name__ == "__main__":
    main()

"""PaddleX's official weights: download, check against the lock file, convert to weights/official/DETECTOR.safetensors.

python -m training.official_weights [DETECTOR ...]

The first download of a file writes its SHA-256 to weights/official.lock.json, which is meant to be committed;
from then on a file with another hash is refused. Nothing that the project ships is overwritten. A file that is in
build/official/ already, put there by hand for instance, is checked in the same way instead of being downloaded.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Annotated

import pooch
from pydantic import Field, TypeAdapter, ValidationError

from training.convert import convert
from training.detectors import DETECTORS, build_detector
from training.download import DownloadError, download
from training.json_files import write_json
from training.paths import ROOT
from training.weights import WeightsError

BASE_URL = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model"
LOCK = TypeAdapter(dict[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]])
"""Detector -> SHA-256 of its file."""


class LockError(RuntimeError):
    """A damaged lock file."""


def official_weights(name: str, root: Path = ROOT, base_url: str = BASE_URL, certificates: Path | None = None) -> Path:
    """The safetensors file of a detector's official weights, under `root`/weights/official.

    Raises:
        DownloadError: see `training.download.download`; also a file that is not the one that was locked.
        LockError: the lock file is damaged.
        WeightsError: the file does not fit the detector.
    """
    lock = root / "weights" / "official.lock.json"
    source = root / "build" / "official" / f"{name}_pretrained.pdparams"
    output = root / "weights" / "official" / f"{name}.safetensors"
    locked = read_lock(lock)
    least, most = plausible_bytes(name)
    try:
        download(
            f"{base_url}/{source.name}",
            source,
            min_bytes=least,
            max_bytes=most,
            sha256=locked.get(name),
            certificates=certificates,
        )
    except DownloadError as error:
        renewed = f"; if it was replaced for good, delete the entry {name!r} of {lock}" if name in locked else ""
        raise DownloadError(f"{error}; or put a copy of the file at {source}{renewed}") from error
    try:
        convert(name, source, output)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete the file to download it again") from None
    write_json(lock, dict(sorted({**locked, name: pooch.file_hash(str(source))}.items())))
    return output


def plausible_bytes(name: str) -> tuple[int, int]:
    """The least and most a file of float32 weights for this detector may have: pickles hold them once to twice."""
    numbers = sum(parameter.size for parameter in build_detector(name).state_dict().values())
    return 4 * numbers, 2 * 4 * numbers + 2**20


def read_lock(path: Path) -> dict[str, str]:
    """The SHA-256 of each detector's file; empty if there is no lock file.

    Raises:
        LockError: it is damaged.
    """
    if not path.exists():
        return {}
    try:
        return LOCK.validate_json(path.read_bytes())
    except ValidationError:
        raise LockError(f"{path} is damaged; restore it from the version control") from None


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.official_weights", description=__doc__.splitlines()[0])
    parser.add_argument("detectors", nargs="*", metavar="DETECTOR", help=f"default: all of {', '.join(DETECTORS)}")
    names = parser.parse_args().detectors or list(DETECTORS)
    try:
        for name in names:
            print(official_weights(name))
    except (DownloadError, LockError, ValueError, OSError) as error:  # ValueError: weights, or an unknown detector
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

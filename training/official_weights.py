"""PaddleX's official weights: download, check against the lock file, convert to weights/official/DETECTOR.safetensors.

python -m training.official_weights [DETECTOR ...]

The first download of a file writes its SHA-256 and size to weights/official.lock.json, which is meant to be committed;
from then on a file with another hash is refused. Nothing that the project ships is overwritten. A file that is in
build/official/ already, put there by hand for instance, is checked in the same way instead of being downloaded.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import ssl
import sys
from pathlib import Path

from training.convert import convert
from training.detectors import DETECTORS, build_detector
from training.download import DownloadError, download
from training.paths import ROOT
from training.weights import WeightsError

BASE_URL = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_pretrained_model"
TIMEOUT_S = 600.0


class LockError(RuntimeError):
    """A file that differs from the one in the lock file, or a damaged lock file."""


def official_weights(
    name: str, root: Path = ROOT, base_url: str = BASE_URL, context: ssl.SSLContext | None = None
) -> Path:
    """The safetensors file of a detector's official weights, under `root`/weights/official.

    Raises:
        DownloadError: see `training.download.download`.
        LockError: the file is not the one that was locked.
        WeightsError: the file does not fit the detector.
    """
    lock = root / "weights" / "official.lock.json"
    source = root / "build" / "official" / f"{name}_pretrained.pdparams"
    output = root / "weights" / "official" / f"{name}.safetensors"
    locked = read_lock(lock)
    if not source.is_file() or fingerprint(source) != locked.get(name, fingerprint(source)):
        least, most = plausible_bytes(name)
        url = f"{base_url}/{source.name}"
        try:
            download(url, source, min_bytes=least, max_bytes=most, timeout_s=TIMEOUT_S, context=context)
        except DownloadError as error:
            raise DownloadError(f"{error}; or put a copy of the file at {source}") from error
    found = fingerprint(source)
    if found != locked.get(name, found):
        raise LockError(
            f"{source} is refused: it has SHA-256 {found['sha256']}, {lock} wants {locked[name]['sha256']}; "
            f"if the publisher has replaced the file for good, delete the entry {name!r} there"
        )
    try:
        convert(name, source, output)
    except WeightsError as error:
        raise WeightsError(f"{error}; delete the file to download it again") from None
    write_lock(lock, {**locked, name: found})
    return output


def plausible_bytes(name: str) -> tuple[int, int]:
    """The least and most a file of float32 weights for this detector may have: pickles hold them once to twice."""
    numbers = sum(parameter.size for parameter in build_detector(name).state_dict().values())
    return 4 * numbers, 2 * 4 * numbers + 2**20


def fingerprint(path: Path) -> dict[str, str | int]:
    """SHA-256 and size of a file, as the lock file keeps them."""
    data = path.read_bytes()
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def read_lock(path: Path) -> dict[str, dict[str, str | int]]:
    """The fingerprint of each detector's file; empty if there is no lock file.

    Raises:
        LockError: it is damaged.
    """
    if not path.exists():
        return {}
    try:
        locked = json.loads(path.read_text())
        if all(set(entry) == {"bytes", "sha256"} for entry in locked.values()):
            return locked
    except (ValueError, AttributeError, TypeError):
        pass
    raise LockError(f"{path} is damaged; restore it from the version control")


def write_lock(path: Path, locked: dict[str, dict[str, str | int]]) -> None:
    """Write the lock file, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.write_text(json.dumps(locked, indent=2, sort_keys=True) + "\n")
    unfinished.replace(path)


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

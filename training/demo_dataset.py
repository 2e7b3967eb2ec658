"""PaddleX's demo data set, 600 pictures of WIDER FACE: download, check and unpack it.

python -m training.demo_dataset [--folder dataset] [--archive FILE] [--sha256 HASH]

FOLDER/widerface_coco_examples appears when it is complete and has passed the check of data sets; one that is there
already is checked and left as it is.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import tempfile
from pathlib import Path

import pooch

from training.coco_dataset import load_dataset
from training.dataset_problems import DatasetError
from training.download import DownloadError, download
from training.safe_tar import ArchiveError, unpack

LOG = logging.getLogger(__name__)
NAME = "widerface_coco_examples"
URL = f"https://paddle-model-ecology.bj.bcebos.com/paddlex/data/{NAME}.tar"
MIN_BYTES, MAX_BYTES = 500_000, 500_000_000  # of the tar file: 600 pictures are neither less nor more


def demo_dataset(
    folder: Path,
    *,
    archive: Path | None = None,
    sha256: str | None = None,
    url: str = URL,
    certificates: Path | None = None,
) -> Path:
    """The data set's folder, `folder`/widerface_coco_examples, made if it is not there.

    Args:
        archive: a tar file to unpack; None: the one at `url` is downloaded, and deleted afterwards.
        sha256: what the hash of the tar file must be, in hexadecimal.
        certificates: see `training.download.download`.

    Raises:
        DownloadError: see `training.download.download`.
        ArchiveError: the tar file is not the wanted one, damaged, or has members that are not allowed.
        DatasetError: what was unpacked, or is there already, is no sound data set.
        OSError: a file cannot be read or written.
    """
    dataset = folder / NAME
    if dataset.exists() or dataset.is_symlink():
        _check_existing(dataset)
        return dataset
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{NAME}.", dir=folder) as temporary:
        if archive is None:
            archive = Path(temporary, "archive.tar")
            _download(url, archive, certificates)
        _check_archive(archive, sha256)
        unpacked = Path(temporary, "unpacked")
        unpacked.mkdir()
        unpack(archive, unpacked)
        if not (unpacked / NAME).is_dir():
            raise ArchiveError(f"the archive has no folder {NAME}/; it is not the demo data set")
        load_dataset(unpacked / NAME)
        (unpacked / NAME).rename(dataset)
    return dataset


def _check_existing(dataset: Path) -> None:
    try:
        load_dataset(dataset)
    except DatasetError as error:
        raise DatasetError(f"{dataset} is there but not sound, delete it to have it made anew: {error}") from None
    LOG.info("%s is there already", dataset)


def _download(url: str, archive: Path, certificates: Path | None) -> None:
    LOG.info("downloading %s", url)
    try:
        download(url, archive, min_bytes=MIN_BYTES, max_bytes=MAX_BYTES, certificates=certificates)
    except DownloadError as error:
        raise DownloadError(f"{error}; or bring that file here another way and add --archive FILE") from error


def _check_archive(archive: Path, sha256: str | None) -> None:
    if not archive.is_file():
        raise ArchiveError(f"{archive} is not a file")
    if archive.stat().st_size > MAX_BYTES:
        raise ArchiveError(f"{archive} has {archive.stat().st_size:,} bytes, the limit is {MAX_BYTES:,}")
    found = pooch.file_hash(str(archive))
    LOG.info("the archive has SHA-256 %s", found)
    if sha256 is not None and found != sha256.lower():
        raise ArchiveError(f"the archive is refused: it has SHA-256 {found}, wanted is {sha256.lower()}")


def _sha256(text: str) -> str:
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no SHA-256, which has 64 hexadecimal digits")
    return text


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.demo_dataset", description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("dataset"), help="default: dataset")
    parser.add_argument("--archive", type=Path, metavar="FILE", help=f"unpack this copy of {NAME}.tar, no download")
    parser.add_argument("--sha256", type=_sha256, metavar="HASH", help="refuse a tar file with another hash")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    try:
        print(demo_dataset(options.folder, archive=options.archive, sha256=options.sha256))
    except (DownloadError, ArchiveError, DatasetError, OSError) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit("error: interrupted")


if __name__ == "__main__":
    main()

"""The demo data set command with a data set as large as the real one, from a local file and from a local server."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.dataset import draw_dataset, file_of
from tests.https_server import Server, body
from training.dataset_problems import DatasetError
from training.demo_dataset import MAX_BYTES, MIN_BYTES, NAME, URL, demo_dataset, main
from training.download import DownloadError
from training.paths import ROOT
from training.safe_tar import ArchiveError

NOWHERE = "https://127.0.0.1:9/demo.tar"
TAR = f"/{NAME}.tar"


def write_tar(path: Path, dataset: Path, name: str = NAME) -> Path:
    with tarfile.open(path, "w:") as tar:
        tar.add(dataset, arcname=name)
    return path


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    return write_tar(folder / "demo.tar", draw_dataset(folder / "drawn", train=500, val=100))


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "small.tar", draw_dataset(tmp_path / "drawn"))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fetch(server: Server, folder: Path, **options: object) -> Path:
    return demo_dataset(folder, url=server.url + TAR, certificates=server.certificates, **options)


def test_the_folder_is_made_where_the_seed_has_it(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "dataset"
    assert demo_dataset(folder, archive=small, sha256=sha256(small).upper()) == folder / "widerface_coco_examples"
    assert [path.name for path in folder.iterdir()] == ["widerface_coco_examples"]
    assert file_of(folder / NAME, "train").read_bytes() == file_of(tmp_path / "drawn", "train").read_bytes()
    assert (folder / NAME).stat().st_mode & 0o777 == (tmp_path / "drawn").stat().st_mode & 0o777
    assert small.is_file()


def test_the_address_is_that_of_the_documentation() -> None:
    assert URL == "https://paddle-model-ecology.bj.bcebos.com/paddlex/data/widerface_coco_examples.tar"


def test_download(https_server: Server, archive: Path, tmp_path: Path) -> None:
    assert MIN_BYTES < archive.stat().st_size < MAX_BYTES
    https_server.answers[TAR] = body(archive.read_bytes())
    dataset = fetch(https_server, tmp_path, sha256=sha256(archive))
    assert len(list((dataset / "images").rglob("*.jpg"))) == 600
    assert list(tmp_path.iterdir()) == [dataset]


def test_a_complete_folder_is_not_downloaded_again(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "dataset"
    dataset = demo_dataset(folder, archive=small)
    picture = next((dataset / "images").rglob("*.jpg"))
    before = picture.stat().st_mtime_ns
    assert demo_dataset(folder, url=NOWHERE) == dataset
    assert picture.stat().st_mtime_ns == before


def test_an_incomplete_folder_is_told_and_kept(small: Path, tmp_path: Path) -> None:
    dataset = demo_dataset(tmp_path / "dataset", archive=small)
    next((dataset / "images").rglob("*.jpg")).unlink()
    with pytest.raises(DatasetError, match=r"is there but not sound, delete it to have it made anew: .*are missing"):
        demo_dataset(tmp_path / "dataset", archive=small)
    assert dataset.is_dir()


def test_a_dangling_link_is_told(small: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).symlink_to(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match=r"is there but not sound"):
        demo_dataset(tmp_path, archive=small)


def refuse(folder: Path, error: type[Exception], words: str, **options: object) -> None:
    with pytest.raises(error, match=words):
        demo_dataset(folder, **options)
    assert list(folder.iterdir()) == []


def test_another_hash_is_refused(small: Path, tmp_path: Path) -> None:
    words = f"it has SHA-256 {sha256(small)}, wanted is 00000"
    refuse(tmp_path / "dataset", ArchiveError, words, archive=small, sha256="0" * 64)


def test_a_data_set_that_is_not_sound_is_refused(tmp_path: Path) -> None:
    drawn = draw_dataset(tmp_path / "drawn")
    file_of(drawn, "val").unlink()
    archive = write_tar(tmp_path / "demo.tar", drawn)
    refuse(tmp_path / "dataset", DatasetError, "instance_val.json does not exist", archive=archive)


def test_another_archive_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "other.tar", draw_dataset(tmp_path / "drawn"), name="other")
    refuse(tmp_path / "dataset", ArchiveError, "has no folder widerface_coco_examples/", archive=archive)


def test_a_link_in_the_archive_is_refused(tmp_path: Path) -> None:
    drawn = draw_dataset(tmp_path / "drawn")
    (drawn / "images" / "secret.jpg").symlink_to("/etc/passwd")
    archive = write_tar(tmp_path / "demo.tar", drawn)
    refuse(tmp_path / "dataset", ArchiveError, "secret.jpg' is neither", archive=archive)


def test_a_missing_or_too_large_archive_is_refused(tmp_path: Path) -> None:
    refuse(tmp_path / "dataset", ArchiveError, "is not a file", archive=tmp_path / "none.tar")
    with (tmp_path / "large.tar").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    words = "has 500,000,001 bytes, the limit is 500,000,000"
    refuse(tmp_path / "dataset", ArchiveError, words, archive=tmp_path / "large.tar")


@pytest.mark.parametrize("length", [MIN_BYTES - 1, MAX_BYTES + 1])
def test_an_implausible_size_is_refused(length: int, https_server: Server, tmp_path: Path) -> None:
    https_server.answers[TAR] = body(b"", length=length)
    with pytest.raises(DownloadError, match=r"bytes, expected were 500,000 to 500,000,000; .* add --archive FILE"):
        fetch(https_server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_breaks_off_leaves_nothing(https_server: Server, archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    https_server.answers[TAR] = body(data[:-5000], length=len(data))
    with pytest.raises(DownloadError, match="bytes read, 5000 more expected"):
        fetch(https_server, tmp_path)
    assert list(tmp_path.iterdir()) == []


def run(*arguments: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.demo_dataset", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True
    )


def test_command(small: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run("--archive", small, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"dataset/{NAME}\n"), done.stderr


def test_command_without_a_network(tmp_path: Path) -> None:
    """A proxy that nobody listens at cuts this process off."""
    done = run("--folder", "here", cwd=tmp_path, https_proxy="http://127.0.0.1:9", no_proxy="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f"downloading {URL}",
        f"error: cannot download {URL}: [Errno 111] Connection refused; "
        "or bring that file here another way and add --archive FILE",
    ]
    assert list((tmp_path / "here").iterdir()) == []


def test_a_hash_must_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--sha256", "abc"])
    assert "'abc' is no SHA-256, which has 64 hexadecimal digits" in capsys.readouterr().err

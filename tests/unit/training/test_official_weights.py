"""The downloader against a real HTTPS server on this machine, with a certificate made for the test."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path

import paddle
import pytest

from tests.https_server import Server, body
from training.detectors import build_detector
from training.download import DownloadError, download
from training.official_weights import LockError, official_weights, plausible_bytes
from training.weights import WeightsError, load_weights

FILE = "BlazeFace_pretrained.pdparams"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("official") / FILE
    paddle.save(build_detector("BlazeFace").state_dict(), str(path))
    return path.read_bytes()


def official_from(https_server: Server, root: Path) -> Path:
    return official_weights("BlazeFace", root, https_server.url, https_server.certificates)


def root_of(tmp_path: Path) -> Path:
    (tmp_path / "weights").mkdir()
    return tmp_path


def test_an_empty_file_is_refused(https_server: Server, tmp_path: Path) -> None:
    https_server.answers["/file"] = body(b"")
    with pytest.raises(DownloadError, match="has 0 bytes, expected were 2 to 100"):
        https_server.fetch(tmp_path / "file")
    assert not list(tmp_path.iterdir())


def test_a_file_comes_whole_also_through_a_redirect(https_server: Server, tmp_path: Path) -> None:
    https_server.answers["/file"] = body(b"", status=302, Location="/there")
    https_server.answers["/there"] = body(b"weights")
    https_server.fetch(tmp_path / "folder" / "file")
    assert (tmp_path / "folder" / "file").read_bytes() == b"weights"


REFUSALS = {
    "not found": (body(b"no", status=404), "404 Client Error"),
    "too long": (body(b"a" * 101), "has 101 bytes, expected were 2 to 100"),
    "no length": (body(b"weights", length="none"), r"does not say how long .* \(Content-Length ''\)"),
    "odd length": (body(b"weights", length="+7"), r"\(Content-Length '\+7'\)"),
    "packed": (body(b"weights", **{"Content-Encoding": "gzip"}), "does not say how long"),
    "broken off": (body(b"weights", length=50), "7 bytes read, 43 more expected"),
    "to HTTP": (body(b"", status=302, Location="http://127.0.0.1/file"), "over HTTPS only"),
    "to a local file": (body(b"", status=302, Location="file:///etc/hostname"), "over HTTPS only"),
    "in a circle": (body(b"", status=302, Location="/file"), "Exceeded 30 redirects"),
    "silent": (lambda request: time.sleep(3), "timed out"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_bad_answer_is_refused_and_leaves_nothing(what: str, https_server: Server, tmp_path: Path) -> None:
    https_server.answers["/file"], words = REFUSALS[what]
    with pytest.raises(DownloadError, match=words) as error:
        https_server.fetch(tmp_path / "file", silence_s=1)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_only_a_file_with_the_wanted_hash_is_kept(https_server: Server, tmp_path: Path) -> None:
    good, https_server.answers["/file"] = hashlib.sha256(b"good").hexdigest(), body(b"bad")
    with pytest.raises(DownloadError, match="does not match the known hash"):
        https_server.fetch(tmp_path / "file", sha256=good)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").write_bytes(b"damaged")
    https_server.answers["/file"] = body(b"good")
    for _ in range(2):
        https_server.fetch(tmp_path / "file", sha256=good)
        assert (tmp_path / "file").read_bytes() == b"good"
    assert https_server.requests == 2  # the third time it was there


def test_only_https_with_a_trusted_certificate(https_server: Server, tmp_path: Path) -> None:
    limits = {"min_bytes": 2, "max_bytes": 100}
    for url in ("http://127.0.0.1/file", "ftp://127.0.0.1/file", "file:///etc/hostname"):
        with pytest.raises(DownloadError, match="over HTTPS only"):
            download(url, tmp_path / "file", **limits)
    https_server.answers["/file"] = body(b"weights")
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        download(f"{https_server.url}/file", tmp_path / "file", **limits)
    assert https_server.requests == 0


def test_the_first_download_locks_the_file_and_the_second_needs_none(
    https_server: Server, official: bytes, tmp_path: Path
) -> None:
    root = root_of(tmp_path)
    https_server.answers[f"/{FILE}"] = body(official)
    output = official_from(https_server, root)
    assert output == root / "weights" / "official" / "BlazeFace.safetensors"
    load_weights(build_detector("BlazeFace"), output)
    lock = json.loads((root / "weights" / "official.lock.json").read_text())
    assert lock == {"BlazeFace": hashlib.sha256(official).hexdigest()}
    assert official_from(https_server, root) == output
    assert https_server.requests == 1


def test_another_file_than_the_locked_one_is_refused(https_server: Server, official: bytes, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    https_server.answers[f"/{FILE}"] = body(official)
    output, before = official_from(https_server, root), (root / "weights" / "official.lock.json").read_text()
    output.unlink()
    damaged = bytearray(official)
    damaged[-100] ^= 1
    (root / "build" / "official" / FILE).write_bytes(damaged)
    https_server.answers[f"/{FILE}"] = body(bytes(damaged))
    with pytest.raises(DownloadError, match=r"does not match the known hash.*delete the entry 'BlazeFace'"):
        official_from(https_server, root)
    assert not output.exists()
    assert (root / "weights" / "official.lock.json").read_text() == before
    https_server.answers[f"/{FILE}"] = body(official)  # and the good one is fetched in its place
    assert official_from(https_server, root) == output


def test_what_does_not_fit_is_not_locked(https_server: Server, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    https_server.answers[f"/{FILE}"] = body(b"<html>" * 100_000)
    with pytest.raises(WeightsError, match=r"damaged or not a .pdparams file .*; delete the file to download it again"):
        official_from(https_server, root)
    assert not list((root / "weights").iterdir())


def test_a_size_that_cannot_be_is_refused(https_server: Server, official: bytes, tmp_path: Path) -> None:
    least, most = plausible_bytes("BlazeFace")
    assert least == 4 * 119_616
    assert least < len(official) < most
    https_server.answers[f"/{FILE}"] = body(b"a" * (least - 1))
    with pytest.raises(DownloadError, match="has 478,463 bytes, expected were 478,464 to"):
        official_from(https_server, root_of(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"BlazeFace": 1}', '{"BlazeFace": "abc"}'])
def test_a_damaged_lock_file_is_refused(text: str, tmp_path: Path) -> None:
    (root_of(tmp_path) / "weights" / "official.lock.json").write_text(text)
    with pytest.raises(LockError, match="is damaged"):
        official_weights("BlazeFace", tmp_path, "https://127.0.0.1:9")


def test_offline_names_the_address_and_the_way_round(tmp_path: Path) -> None:
    with pytest.raises(
        DownloadError, match=rf"cannot download https://127.0.0.1:9/{FILE}: .*; or put a copy"
    ) as caught:
        official_weights("BlazeFace", root_of(tmp_path), "https://127.0.0.1:9")
    assert "\n" not in str(caught.value)


def test_a_copy_put_there_by_hand_needs_no_network(official: bytes, tmp_path: Path) -> None:
    root = root_of(tmp_path)
    (root / "build" / "official").mkdir(parents=True)
    (root / "build" / "official" / FILE).write_bytes(official)
    assert official_weights("BlazeFace", root, "https://127.0.0.1:9").is_file()

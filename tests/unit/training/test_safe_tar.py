"""Hostile tar files; none may write anything outside its folder, or more than the limits."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from training.safe_tar import ArchiveError, Limits, unpack

LIMITS = Limits(members=5, depth=4, file_bytes=100, total_bytes=250)
Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, data: bytes = b"", kind: bytes = tarfile.REGTYPE, **fields: object) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(data)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, data


def folder(name: str) -> Member:
    return member(name, kind=tarfile.DIRTYPE)


def sparse(claimed_bytes: int) -> Member:
    """A file of holes alone, as GNU tar writes it: 1 block on disk, any size when unpacked."""
    return member("s", b"\0" * 512, pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(claimed_bytes)})


def write_tar(path: Path, *members: Member, mode: str = "w:", form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, mode, format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return path


def unpacked(tmp_path: Path, archive: Path) -> dict[str, bytes]:
    target = tmp_path / "target"
    target.mkdir()
    unpack(archive, target, LIMITS)
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def test_an_empty_archive(tmp_path: Path) -> None:
    assert unpacked(tmp_path, write_tar(tmp_path / "a.tar")) == {}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_good_archive(tmp_path: Path, form: int) -> None:
    members = folder("./"), folder("./a"), member("./a/b/1.jpg", b"one"), folder("a/b"), member("a/ü.jpg", b"x" * 100)
    assert unpacked(tmp_path, write_tar(tmp_path / "a.tar", *members, form=form)) == {
        "a/b/1.jpg": b"one",
        "a/ü.jpg": b"x" * 100,
    }


def test_owners_and_special_modes_are_not_taken_over(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", member("x", b"#!", mode=0o6666, uid=1234, gid=1234))
    unpacked(tmp_path, archive)
    status = (tmp_path / "target" / "x").stat()
    assert status.st_mode & 0o7133 == 0
    assert (status.st_uid, status.st_gid) == (os.getuid(), os.getgid())


def test_a_python_that_cannot_unpack_safely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = write_tar(tmp_path / "a.tar", member("x", b"1"))
    monkeypatch.delattr(tarfile, "data_filter", raising=False)
    with pytest.raises(ArchiveError, match="cannot unpack safely; update to"):
        unpacked(tmp_path, archive)


HOSTILE: dict[str, tuple[list[Member], str]] = {
    "up and out": ([member("../outside", b"x")], "outside the destination"),
    "up in the middle": ([member("../a/../o", b"x")], "outside the destination"),
    "up, behind a dot": ([member("./../outside", b"x")], "outside the destination"),
    "folder up and out": ([folder("../outside")], "outside the destination"),
    "zero": ([member("a\0b/../../outside", b"x", pax_headers={"path": "a\0b"})], "damaged"),
    "the folder itself": ([member(".", b"x")], "damaged"),
    "too deep": ([member("a/b/c/d/e", b"x")], "more than 4 folders deep"),
    "symbolic link": ([member("s", kind=tarfile.SYMTYPE, linkname="/etc/passwd")], "neither a file nor a folder"),
    "through a link": (
        [member("s", kind=tarfile.SYMTYPE, linkname=".."), member("s/outside", b"x")],
        "member 's' is neither",
    ),
    "hard link": ([member("x", b"x"), member("h", kind=tarfile.LNKTYPE, linkname="x")], "member 'h' is neither"),
    "hard link outside": ([member("h", kind=tarfile.LNKTYPE, linkname="../outside")], "member 'h' is neither"),
    "character device": ([member("d", kind=tarfile.CHRTYPE, devmajor=1, devminor=5)], "neither a file nor a folder"),
    "block device": ([member("d", kind=tarfile.BLKTYPE)], "neither a file nor a folder"),
    "pipe": ([member("p", kind=tarfile.FIFOTYPE)], "neither a file nor a folder"),
    "contiguous file": ([member("c", b"x", kind=tarfile.CONTTYPE)], "neither a file nor a folder"),
    "unknown kind": ([member("u", b"x", kind=b"Z")], "neither a file nor a folder"),
    "holes": ([sparse(10**12)], "neither a file nor a folder"),
    "many members": ([member(f"m{i}", b"") for i in range(6)], "more than 5 members"),
    "many folders": ([folder("a")] * 6, "more than 5 members"),
    "large file": ([member("l", b"x" * 101)], "has 101 bytes, the limit is 100"),
    "large altogether": ([member(f"l{i}", b"x" * 90) for i in range(3)], "have more than 250 bytes"),
    "file, then in it": ([member("x", b"1"), member("x/y", b"2")], "damaged"),
    "folder, then file": ([folder("x"), member("x", b"1")], "damaged"),
    "implied folder, then file": ([member("x/y", b"1"), member("x", b"1")], "damaged"),
}


INSIDE = {"absolute": "/inside", "absolute, behind a dot": ".//inside", "not for every system": "C:\\in\nside"}


@pytest.mark.parametrize("what", INSIDE)
def test_odd_names_stay_inside(what: str, tmp_path: Path) -> None:
    found = unpacked(tmp_path, write_tar(tmp_path / "a.tar", member(INSIDE[what], b"1")))
    assert list(found.values()) == [b"1"]


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_archives(what: str, tmp_path: Path) -> None:
    members, words = HOSTILE[what]
    inner = tmp_path / "inner"
    inner.mkdir()
    archive = write_tar(tmp_path / "a.tar", *members)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(ArchiveError, match=words) as caught:
        unpacked(inner, archive)
    assert "\n" not in str(caught.value)
    new = set(tmp_path.rglob("*")) - before - {inner / "target"}
    assert all(path.is_relative_to(inner / "target") for path in new)
    assert not any(path.is_symlink() or path.is_fifo() for path in new)
    assert sum(path.stat().st_size for path in new if path.is_file()) <= LIMITS.total_bytes
    assert len(new) <= LIMITS.members


def claim_size(archive: Path, field: bytes) -> None:
    """Overwrite the size in the first header, and its checksum."""
    data = bytearray(archive.read_bytes())
    data[124:136] = field
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    archive.write_bytes(data)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (b"77777777777\0", "has 8,589,934,591 bytes"),
        (b"\x80" + b"\0" * 6 + b"\x7f" * 5, "bytes, the limit is 100"),
        (b"\xff" * 10 + b"\xfe\x00", "has -512 bytes"),  # before the header: reading would go round in circles
    ],
)
def test_sizes_that_are_not_so(tmp_path: Path, field: bytes, words: str) -> None:
    archive = write_tar(tmp_path / "a.tar", member("x", b"1"))
    claim_size(archive, field)
    with pytest.raises(ArchiveError, match=words):
        unpacked(tmp_path, archive)


def test_a_file_cut_off(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", member("x", b"x" * 100))
    archive.write_bytes(archive.read_bytes()[: 512 + 50])
    with pytest.raises(ArchiveError, match="is damaged or not a tar file"):
        unpacked(tmp_path, archive)


def test_headers_before_headers(tmp_path: Path) -> None:
    """Thousands of extended headers in a row, which tarfile follows by recursion."""
    header = write_tar(tmp_path / "h.tar", member("x", b"", pax_headers={"comment": "y"})).read_bytes()[:1024]
    archive = tmp_path / "a.tar"
    archive.write_bytes(header * 5000)
    with pytest.raises(ArchiveError, match="is damaged or not a tar file"):
        unpacked(tmp_path, archive)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_compressed_archives_are_no_tar_files(tmp_path: Path, mode: str) -> None:
    archive = write_tar(tmp_path / "a.tar", member("x", b"1"), mode=mode)
    with pytest.raises(ArchiveError, match="is damaged or not a tar file"):
        unpacked(tmp_path, archive)


@pytest.mark.parametrize("data", [b"", b"<html>", b"\x01" * 10_240])
def test_no_tar_file(tmp_path: Path, data: bytes) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(data)
    with pytest.raises(ArchiveError, match="is damaged or not a tar file"):
        unpacked(tmp_path, archive)


def test_a_link_that_is_there_already_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "x").symlink_to(tmp_path / "outside")
    with pytest.raises(ArchiveError, match="outside the dest"):
        unpack(write_tar(tmp_path / "a.tar", member("x", b"1")), tmp_path / "target")
    assert not (tmp_path / "outside").exists()

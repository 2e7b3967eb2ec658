"""Unpack a tar file of unknown origin: plain files and folders only, none of them outside, and no more than a limit."""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from training.dataset_problems import safe_name

ODD_ARCHIVE = (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError)
"""What tarfile raises on damaged files."""


class ArchiveError(ValueError):
    """An archive that is damaged or not allowed; the message names the member."""


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold.

    Attributes:
        members: files and folders.
        depth: parts of a member's name.
        file_bytes, total_bytes: of a single file, and of all of them.
    """

    members: int = 5_000
    depth: int = 8
    file_bytes: int = 32 * 2**20
    total_bytes: int = 2**30


def unpack(archive: Path, folder: Path, limits: Limits = Limits()) -> None:
    """Write the files of an uncompressed tar into an empty folder, readable and not executable.

    Names, kinds and sizes are checked before a file is written, so no more than the limits reaches the disk. On an
    error the folder holds what came before it.

    Raises:
        ArchiveError: damaged, or with a member that is not allowed.
        OSError: a file cannot be read or written.
    """
    try:
        with tarfile.open(archive, "r:", encoding="utf-8") as tar:
            _unpack_members(tar, folder, limits)
    except ArchiveError:
        raise
    except ODD_ARCHIVE as error:
        raise ArchiveError(f"{archive} is damaged or not a tar file ({error})") from None


def _unpack_members(tar: tarfile.TarFile, folder: Path, limits: Limits) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    total_bytes = 0
    for number, member in enumerate(tar, start=1):
        if number > limits.members:
            raise ArchiveError(f"the archive has more than {limits.members:,} members")
        name = member.name.removeprefix("./")
        if member.isdir() and name in ("", "."):
            continue
        _check_kind(member, limits)
        _check_name(name, member, folder, limits)
        parents = {str(parent) for parent in Path(name).parents}
        if name in files or parents & files or (member.isfile() and name in folders):
            raise ArchiveError(f"member {member.name!r} comes twice, or as a file and as a folder")
        folders |= parents
        total_bytes += member.size
        if total_bytes > limits.total_bytes:
            raise ArchiveError(f"the files of the archive have more than {limits.total_bytes:,} bytes")
        if member.isdir():
            folders.add(name)
            (folder / name).mkdir(parents=True, exist_ok=True)
        else:
            files.add(name)
            _write(tar, member, folder / name)


def _check_kind(member: tarfile.TarInfo, limits: Limits) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not (plain or member.isdir()):
        raise ArchiveError(f"member {member.name!r} is neither a file nor a folder but a link, a device or the like")
    if not 0 <= member.size <= limits.file_bytes:
        raise ArchiveError(f"member {member.name!r} has {member.size:,} bytes, the limit is {limits.file_bytes:,}")


def _check_name(name: str, member: tarfile.TarInfo, folder: Path, limits: Limits) -> None:
    if not safe_name(name):
        raise ArchiveError(f"member {member.name!r} is refused: its name must stay inside the folder it is unpacked to")
    if name.count("/") >= limits.depth:
        raise ArchiveError(f"member {member.name!r} is more than {limits.depth} folders deep")
    second_opinion = getattr(tarfile, "data_filter", None)  # Python 3.12, and the security releases of those before it
    if second_opinion is not None:
        try:
            second_opinion(member, str(folder))
        except tarfile.TarError as error:
            raise ArchiveError(f"member {member.name!r} is refused: {error}") from None


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is None:
        raise ArchiveError(f"member {member.name!r} has no content")
    with source, path.open("xb") as target:  # x: never through a link or into a file that is there already
        shutil.copyfileobj(source, target)
    if path.stat().st_size != member.size:
        raise ArchiveError(f"member {member.name!r} is cut off")

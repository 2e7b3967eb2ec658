"""Unpack a tar file of unknown origin: by tarfile's own filter, only files and folders, and no more than a limit."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

DAMAGED = (tarfile.TarError, EOFError, ValueError, IndexError, OverflowError, RecursionError)
FILE_AND_FOLDER = (FileExistsError, IsADirectoryError, NotADirectoryError)


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
    """Write the files of an uncompressed tar into an empty folder; none of them outside, none of them a link.

    Kinds and sizes are checked before a file is written, so no more than the limits reaches the disk. On an error the
    folder holds what came before it.

    Raises:
        ArchiveError: damaged, or with a member that is not allowed.
        OSError: a file cannot be read or written.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ArchiveError("this Python's tarfile cannot unpack safely; update to 3.10.12, 3.11.4, 3.12 or later")
    total_bytes = 0
    try:
        with tarfile.open(archive, "r:", encoding="utf-8") as tar:
            for number, member in enumerate(tar, start=1):
                if number > limits.members:
                    raise ArchiveError(f"the archive has more than {limits.members:,} members")
                _check(member, limits)
                total_bytes += member.size
                if total_bytes > limits.total_bytes:
                    raise ArchiveError(f"the files of the archive have more than {limits.total_bytes:,} bytes")
                tar.extract(member, folder, filter="data")
    except ArchiveError:
        raise
    except tarfile.FilterError as error:
        raise ArchiveError(f"member {error.tarinfo.name!r} is refused: {error}") from None
    except (*DAMAGED, *FILE_AND_FOLDER) as error:
        raise ArchiveError(f"{archive} is damaged or not a tar file ({' '.join(str(error).split())})") from None


def _check(member: tarfile.TarInfo, limits: Limits) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    if not (plain or member.isdir()):
        raise ArchiveError(f"member {member.name!r} is neither a file nor a folder but a link, a device or the like")
    if not 0 <= member.size <= limits.file_bytes:
        raise ArchiveError(f"member {member.name!r} has {member.size:,} bytes, the limit is {limits.file_bytes:,}")
    if len(Path(member.name).parts) > limits.depth:
        raise ArchiveError(f"member {member.name!r} is more than {limits.depth} folders deep")

"""A complete folder in the place of another, so that at any moment one of the two is there."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from pathlib import Path

AT_FDCWD, RENAME_EXCHANGE = -100, 2  # of Linux, see renameat2(2)
NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)


def replace_folder(new: Path, folder: Path) -> None:
    """Let `new` become `folder`; what was there before is removed.

    Linux exchanges two folders in one step. Where it cannot (NFS, some mounts of virtual machines) it takes two
    renames, and `recover_folder` undoes the first if a kill comes between them.
    """
    old = _old(folder)
    shutil.rmtree(old, ignore_errors=True)
    if not folder.exists():
        new.rename(folder)
    elif _exchange(new, folder):
        old = new
    else:
        folder.rename(old)
        new.rename(folder)
    to_disk(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(folder: Path) -> None:
    """Bring back the folder that an interrupted `replace_folder` had moved away."""
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)


def to_disk(path: Path) -> None:
    """Have a file or the entries of a folder written to the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _exchange(one: Path, other: Path) -> bool:
    """Let two folders change names in one step; False where the file system cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not libc.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE):
        return True
    number = ctypes.get_errno()
    if number in NOT_SUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(other))

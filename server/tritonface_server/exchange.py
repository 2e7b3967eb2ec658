"""Exchanges model folders of a repository, all or none: what fails or is killed half-way is put back.

Everything lies in one folder beside the repository, `.NAME.publish`, so that moving a model is a rename.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

JOURNAL, LOCK, STAGING = "exchange.json", "lock", "staging"


@dataclass(frozen=True)
class Exchange:
    """Models on their way: first some leave the repository, the last of the list first; then others come, in order.

    Attributes:
        leaving, coming: the names of the models.
        source: the folder that those that come lie in.
        target: the folder for those that leave.
    """

    repository: str
    leaving: list[str]
    coming: list[str]
    source: str
    target: str

    def run(self) -> None:
        """Move them all; each is a rename, which nobody sees half done."""
        _move(self.leaving[::-1], self.repository, self.target)
        _move(self.coming, self.source, self.repository)

    def is_done(self) -> bool:
        """Whether all of them have arrived."""
        return _present(self.leaving, self.target) == self.leaving and not _present(self.coming, self.source)

    def undo(self) -> None:
        """Move back what has moved."""
        arrived = [name for name in self.coming if not Path(self.source, name).exists()]
        _move(arrived[::-1], self.repository, self.source)
        _move(_present(self.leaving, self.target), self.target, self.repository)
        with suppress(OSError):
            Path(self.target).rmdir()


@contextmanager
def exclusively(repository: Path) -> Iterator[Path]:
    """Hold the repository's lock, waiting for it; gives an empty folder for what shall be moved in.

    An exchange that was killed is put back first.
    """
    folder = beside(repository)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when this process ends, however it does
        recover(repository)
        staging = folder / STAGING
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def exchange(models: list[str], repository: Path, *, source: Path, target: Path) -> None:
    """Move those of the models that are in the repository to `target`, then those in `source` into the repository.

    Call it inside `exclusively`.

    Raises:
        OSError: a folder cannot be moved; the repository is as it was before, unless `is_unfinished`.
    """
    leaving, coming = _present(models, str(repository)), _present(models, str(source))
    if leaving:
        target.mkdir(parents=True, exist_ok=True)
    paths = (str(path.resolve()) for path in (repository, source, target))
    moving = Exchange(next(paths), leaving, coming, *paths)
    journal = beside(repository) / JOURNAL
    partial = journal.with_suffix(".partial")
    partial.write_text(json.dumps(asdict(moving)))
    partial.replace(journal)
    try:
        moving.run()
    except BaseException:
        moving.undo()  # if this fails too, the journal stays and `recover` tries again
        journal.unlink()
        raise
    journal.unlink()


def recover(repository: Path) -> None:
    """Put back an exchange that was killed half-way."""
    journal = beside(repository) / JOURNAL
    if journal.is_file():
        moving = Exchange(**json.loads(journal.read_text()))
        if not moving.is_done():
            moving.undo()
        journal.unlink()


def is_unfinished(repository: Path) -> bool:
    """Whether models are on their way, or were when their process was killed or could not move them back."""
    return (beside(repository) / JOURNAL).is_file()


def beside(repository: Path) -> Path:
    """The folder of all that belongs to a repository without being served."""
    repository = repository.resolve()
    return repository.parent / f".{repository.name}.publish"


def _present(models: list[str], folder: str) -> list[str]:
    return [name for name in models if Path(folder, name).exists()]


def _move(models: list[str], source: str, target: str) -> None:
    for name in models:
        Path(source, name).rename(Path(target, name))

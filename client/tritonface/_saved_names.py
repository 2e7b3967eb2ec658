"""Under which names results are saved, so that none replaces the file of another in the same folder."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class SavedNames:
    """The names given so far, for the process: two inputs never share one in a folder, the same input keeps its own.

    So x.jpg from two folders becomes x and x_2, and a script that saves the same photo again renews its file. What
    this remembers grows with the files written, by far less than they.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: dict[tuple[Path, str], str] = {}
        self._wanted: dict[tuple[Path, str], int] = {}  # how often each name was

    def name(self, folder: str | os.PathLike[str], stem: str, origin: str) -> str:
        """The stem of the files of a result in a folder.

        Args:
            stem: that of the input, which is kept if nobody has it.
            origin: tells inputs apart.
        """
        place = Path(folder).resolve()
        with self._lock:
            name = self._names.get((place, origin))
            if name is None:
                name = stem
                while (place, name) in self._wanted:
                    self._wanted[place, stem] += 1
                    name = f"{stem}_{self._wanted[place, stem]}"
                self._wanted[place, name] = 1
                self._names[place, origin] = name
            return name


saved_names = SavedNames()

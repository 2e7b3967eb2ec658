"""The model repositories of one server: folders, the last of which takes what is published, and object stores.

Triton itself reads stores, and the launcher does not: what lies there it can neither list nor watch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tritonface_server.machine import LaunchError
from tritonface_server.model_names import VARIANTS, check_known, detector_names
from tritonface_server.room import count_processes
from tritonface_server.served_models import all_models, models_of

STORE = re.compile(r"(s3|gs|as)://")


def place(text: str) -> Path | str:
    """A folder, or the address of an object store as Triton writes it."""
    return text if STORE.match(text) else Path(text)


class Repositories:
    """All of one server."""

    def __init__(self, places: Sequence[Path | str]) -> None:
        self.places = places
        self.folders = [each for each in places if isinstance(each, Path)]
        self.stores = [each for each in places if not isinstance(each, Path)]

    def __str__(self) -> str:
        return ", ".join(map(str, self.places))

    def check(self) -> None:
        """LaunchError unless there is something to serve, and every model but once."""
        for folder in self.folders:
            if not folder.is_dir():
                raise LaunchError(f"there is no model repository at {folder}; name one with --model-repository DIR")
        if not self.stores and not self.all_models():
            raise LaunchError(
                f"the model repository {self} is empty: there is no */config.pbtxt in it; name another one with "
                "--model-repository DIR"
            )
        twice = twofold(self.folders)
        if twice:
            raise LaunchError(
                f"{', '.join(twice)} lie in more than one of {self}, and Triton would serve neither; remove one of "
                "them (`tritonface-server publish` wants the same --model-repository options as the server)"
            )

    def all_models(self) -> list[str]:
        """All models in the folders."""
        return [model for folder in self.folders for model in all_models(folder)]

    def models(self, detectors: Sequence[str] | None) -> list[str]:
        """The models to be loaded at the start: those of these detectors, or all.

        Raises:
            LaunchError: all, and some lie in a store.
        """
        if detectors is None and self.stores:
            raise LaunchError(
                f"name the detectors to be served with --detectors A,B: the launcher cannot list {self.stores[0]}"
            )
        if detectors is None:
            return self.all_models()
        found = [model for folder in self.folders for model in models_of(folder, detectors)]
        far = [name for name in detectors if name not in found] if self.stores else []
        return [*found, *(name + variant for name in far for variant in VARIANTS)]  # Triton finds their steps

    def detectors(self) -> list[str]:
        """The detectors in the folders."""
        return sorted(name for folder in self.folders for name in detector_names(folder))

    def check_detectors(self, names: Sequence[str]) -> None:
        """CommandError unless all of these are there, as far as this can be told."""
        if not self.stores:
            check_known(names, self.detectors(), str(self))

    def processes(self, models: Sequence[str], config_name: str) -> int:
        """How many these models have, without those in stores."""
        return sum(count_processes(folder, models, config_name) for folder in self.folders)


def twofold(folders: Sequence[Path]) -> list[str]:
    """The models that lie in more than one of these folders."""
    counts = Counter(model for folder in folders for model in all_models(folder))
    return sorted(model for model, count in counts.items() if count > 1)

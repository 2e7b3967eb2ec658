"""Models that clients have sent, with `model_dir=` of the SDK: they are in no repository.

Triton keeps the files of each in a folder of its own under /tmp, until it is unloaded or the server ends by itself.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from tritonface_server.control import Control, State
from tritonface_server.stubs import Stub

TEMPORARY = Path("/tmp")
"""Where Triton makes its folders, whatever TMPDIR says."""
FOLDER_PATTERN = "folder??????"
CONFIG = "config.pbtxt"
RECORD = "sent-models.json"
"""File in a server's run folder: the models that were sent to it, by their folders."""


@dataclass(frozen=True)
class Copy:
    """What Triton wants to load a sent model again.

    Attributes:
        config: as in Triton's answers.
        files: their contents, by "1/model.onnx" for example.
    """

    config: dict[str, Any]
    files: dict[str, bytes]


class SentModels:
    """Those of one running server that have processes; ensembles, which have none, follow the models that they call.

    Args:
        run_folder: of the server; keeps the record.
    """

    def __init__(self, control: Control, run_folder: Path) -> None:
        self._control = control
        self._run_folder = run_folder
        self._folders: dict[str, Path] = {}
        self._configs: dict[str, dict[str, Any]] = {}

    def look(self, stubs: Iterable[Stub], states: Mapping[str, State]) -> list[str]:
        """The names of those that are loaded, whether or not their processes live.

        Args:
            stubs: all processes of models that live.
            states: of the models in the repository.
        """
        living = [stub for stub in stubs if stub.model not in states and _was_sent(stub)]
        folders = {**self._folders, **{stub.model: stub.model_folder for stub in living}}
        if folders:
            loaded = self._control.loaded()
            folders = {model: folder for model, folder in folders.items() if model in loaded}
        if folders != self._folders:
            self._configs = {model: self._control.config(model) for model in folders}
            self._folders = folders
            note_sent_models(self._run_folder, living)
        return list(folders)

    def copy(self, model: str) -> Copy | None:
        """One that is loaded, before it is unloaded; None if it was not sent, or its files have gone."""
        if model not in self._folders:
            return None
        folder = self._folders[model]
        try:
            files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*") if path.is_file()}
        except OSError:
            return None
        return Copy(self._configs[model], files)


def note_sent_models(run_folder: Path, stubs: Iterable[Stub]) -> None:
    """Record those that have these processes, beside the earlier ones: Triton keeps folders of what was loaded anew."""
    sent = {str(stub.model_folder): stub.model for stub in stubs if _was_sent(stub)}
    record = run_folder / RECORD
    if sent:
        partial = record.with_suffix(".partial")
        with suppress(OSError):  # a full disk
            partial.write_text(json.dumps(_read(record) | sent))
            partial.replace(record)


def remove_sent_models(run_folder: Path) -> None:
    """Remove the folders of what was sent to a server that has been killed, and those of their ensembles.

    An ensemble's folder tells the names of its models and not its server: it stays where another server has such a one.
    """
    own = _read(run_folder / RECORD)
    others = [_read(record) for record in run_folder.parent.glob(f"*/{RECORD}") if record.parent != run_folder]
    alone = set(own.values()) - {model for other in others for model in other.values()}
    for folder in filter(_is_own, TEMPORARY.glob(FOLDER_PATTERN) if own else []):
        if str(folder) in own or _calls(folder, alone):
            shutil.rmtree(folder, ignore_errors=True)


def _was_sent(stub: Stub) -> bool:
    folder = stub.model_folder
    return folder.parent == TEMPORARY and fnmatch(folder.name, FOLDER_PATTERN)


def _read(record: Path) -> dict[str, str]:
    try:
        return dict(json.loads(record.read_text()))
    except (OSError, ValueError):
        return {}


def _is_own(folder: Path) -> bool:
    with suppress(OSError):
        return folder.lstat().st_uid == os.getuid() and (folder / CONFIG).is_file()
    return False


def _calls(folder: Path, models: Collection[str]) -> bool:
    """Whether this is the folder of an ensemble that runs one of these models."""
    try:
        config = text_format.Parse((folder / CONFIG).read_text(), pb.ModelConfig())
    except (OSError, ValueError, text_format.ParseError):
        return False
    return any(step.model_name in models for step in config.ensemble_scheduling.step)

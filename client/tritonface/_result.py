"""The result of one image: a dict as PaddleX's, which can print, draw and save itself."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Union

import numpy as np
import numpy.typing as npt
from PIL import Image

from tritonface._box import Box
from tritonface._draw import draw_boxes
from tritonface._errors import TritonFaceError
from tritonface._images import is_writable, open_image, open_upright, save_like
from tritonface._saved_names import saved_names

StrPath = Union[str, "os.PathLike[str]"]
Text = str  # in the class, `str` is PaddleX's property
Wrapped = dict[Text, dict[Text, Any]]


class DetectionResult(dict[str, Any]):
    """`{"input_path": str | None, "boxes": [Box, ...]}`, boxes in descending score order.

    It is a dict in all but two things: `len(result)` is the number of faces, and a result is always true, whether it
    has faces or not; `if len(result)` asks for faces.

    Attributes:
        error: why this image has no result (with `on_error="yield"`); None for a good one. Such a result has no
            boxes and a third entry, "error".
        request_id: the id under which the server knows the request; None if none was sent.
        timings_ms: with `timings=True`, milliseconds: "encode" (reading, fetching, encoding), "wait" (sending, the
            server's work, the answer; pauses between retries too) and "total"; None otherwise.
        file_name: the input's, from which the names of saved files are made.
        warning: what is wrong with the image although it has a result: that it is cut off; None for a whole one.
    """

    def __init__(
        self,
        input_path: Text | None,
        boxes: list[Box],
        *,
        file_name: Text,
        origin: Text,
        encoded: bytes,
        error: TritonFaceError | None = None,
        request_id: Text | None = None,
        timings_ms: dict[Text, float] | None = None,
        warning: Text | None = None,
    ) -> None:
        super().__init__(input_path=input_path, boxes=boxes)
        if error is not None:
            self["error"] = error.message  # without the request's id, which differs from run to run
        self.error = error
        self.request_id = request_id
        self.timings_ms = timings_ms
        self.warning = warning
        self._encoded = encoded
        self.file_name = Path(file_name)
        self._origin = origin

    def __len__(self) -> int:
        return len(self["boxes"])

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> Text:
        return f"{dict(self)!r}"  # its own, for `pprint` asks a dict's length, and would print `{}` without faces

    @property
    def xyxy(self) -> npt.NDArray[np.float32]:
        """The boxes as float32 [K, 4]: xmin, ymin, xmax, ymax in pixels of the upright original."""
        return np.array([box["coordinate"] for box in self["boxes"]], dtype=np.float32).reshape(-1, 4)

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """The scores as float32 [K], in descending order."""
        return np.array([box["score"] for box in self["boxes"]], dtype=np.float32)

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """The indices of the labels as int64 [K]."""
        return np.array([box["cls_id"] for box in self["boxes"]], dtype=np.int64)

    @property
    def size_wh(self) -> tuple[int, int]:
        """(width, height) of the upright original in pixels, read from its header; (0, 0) without a result."""
        return (0, 0) if self.error is not None else open_image(self._encoded).header.upright_wh

    @property
    def json(self) -> Wrapped:
        """`{"res": {...}}`, plain Python values."""
        return {"res": dict(self)}

    @property
    def str(self) -> Wrapped:
        """The same as `json`: what `print` prints, as PaddleX names it."""
        return self.json

    @property
    def img(self) -> dict[Text, Image.Image]:
        """`{"res": picture}`, an RGB `PIL.Image` of the upright original with the boxes drawn on it."""
        return {"res": draw_boxes(self.picture(), self["boxes"])}

    def picture(self) -> Image.Image:
        """The upright original, an RGB `PIL.Image` in whose pixels the boxes are; decoded anew by each call.

        Raises:
            ImageError: the image has more pixels than the limit.
            TritonFaceError: this image has no result; it is `error`.
        """
        if self.error is not None:
            raise self.error
        return open_upright(self._encoded)

    def print(
        self, format_json: bool = True, indent: int = 4, ensure_ascii: bool = False, *, json_format: bool | None = None
    ) -> None:
        """Print `.json`.

        Args:
            format_json: as indented JSON; as a Python dict on one line otherwise.
            indent: spaces per level of the JSON.
            ensure_ascii: escape non-ASCII characters in the JSON.
            json_format: the name newer PaddleX versions give to `format_json`.
        """
        if format_json if json_format is None else json_format:
            print(json.dumps(self.json, indent=indent, ensure_ascii=ensure_ascii))
        else:
            print(self.json)

    def save_to_json(self, save_path: StrPath, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Write the result without its "res" shell.

        Args:
            save_path: a file if it ends in .json; a directory otherwise, where `<stem>_res.json` is written. Inputs of
                the same name get different stems in one directory: x, x_2, ...
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path /= f"{self._stem_in(path)}_res.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(dict(self), indent=indent, ensure_ascii=ensure_ascii)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")  # a file name may be no text

    def save_to_img(self, save_path: StrPath) -> None:
        """Write the picture with its boxes.

        Args:
            save_path: a file if it ends in a suffix of a picture format; a directory otherwise, where
                `<stem>_res<suffix>` is written (.png where the input's format cannot be written), with the stem of
                `save_to_json`.
        """
        path, suffix = Path(save_path), self.file_name.suffix
        if not is_writable(path.suffix):
            path /= f"{self._stem_in(path)}_res{suffix if is_writable(suffix) else '.png'}"
        picture = self.img["res"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=95)

    def save_picture(self, picture: Image.Image, save_path: StrPath) -> None:
        """Write a picture that was made of `picture()`, in place of the original.

        It gets the original's transparency and colour profile, where its format has them, and nothing else of that
        file: no EXIF, position or thumbnail.

        Args:
            picture: RGB, of the original's upright size.
            save_path: a file, whose suffix says the format.
        """
        save_like(picture, self._encoded, Path(save_path))

    def save_all(self, save_path: StrPath) -> None:
        """Write picture and JSON into a directory, as `save_to_img` and `save_to_json` do."""
        self.save_to_img(save_path)
        self.save_to_json(save_path)

    def _stem_in(self, folder: Path) -> Text:
        return saved_names.name(folder, self.file_name.stem, self._origin)

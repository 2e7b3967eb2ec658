"""The result of one image: a dict as PaddleX's, which can print, draw and save itself."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from tritonface._box import Box
from tritonface._draw import draw_boxes
from tritonface._errors import TritonFaceError


class DetectionResult(dict[str, Any]):
    """`{"input_path": str | None, "boxes": [Box, ...]}`, boxes in descending score order.

    Attributes:
        error: why this image has no result (with `on_error="yield"`); None for a good one. Such a result has no
            boxes and a third entry, "error".
    """

    def __init__(
        self,
        input_path: str | None,
        boxes: list[Box],
        *,
        index: int,
        encoded: bytes,
        error: TritonFaceError | None = None,
    ) -> None:
        super().__init__(input_path=input_path, boxes=boxes)
        if error is not None:
            self["error"] = str(error)
        self.error = error
        self._encoded = encoded
        self._file_name = Path(input_path).name if input_path else f"image_{index:06d}.png"

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}`, plain Python values."""
        return {"res": dict(self)}

    @property
    def img(self) -> dict[str, Image.Image]:
        """`{"res": picture}`, an RGB `PIL.Image` of the upright original with the boxes drawn on it."""
        if self.error is not None:
            raise self.error
        with Image.open(io.BytesIO(self._encoded)) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
        return {"res": draw_boxes(upright, self["boxes"])}

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

    def save_to_json(self, save_path: str | Path, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Write the result without its "res" shell.

        Args:
            save_path: a file if it ends in .json; a directory otherwise, where `<stem>_res.json` is written.
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path /= f"{Path(self._file_name).stem}_res.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self, indent=indent, ensure_ascii=ensure_ascii), encoding="utf-8")

    def save_to_img(self, save_path: str | Path) -> None:
        """Write the picture with its boxes.

        Args:
            save_path: a file if it ends in a suffix of a picture format; a directory otherwise, where
                `<stem>_res<suffix>` is written (.png where the input's format cannot be written).
        """
        path = Path(save_path)
        if not _is_writable(path.suffix):
            name = Path(self._file_name)
            path /= f"{name.stem}_res{name.suffix if _is_writable(name.suffix) else '.png'}"
        picture = self.img["res"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=95)


def _is_writable(suffix: str) -> bool:
    return Image.registered_extensions().get(suffix.lower()) in Image.SAVE

"""The result of one image: a dict as PaddleX's, which can print, draw and save itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from tritonface._box import Box
from tritonface._draw import draw_boxes
from tritonface._errors import TritonFaceError
from tritonface._images import is_writable, open_upright


class DetectionResult(dict[str, Any]):
    """`{"input_path": str | None, "boxes": [Box, ...]}`, boxes in descending score order.

    Attributes:
        error: why this image has no result (with `on_error="yield"`); None for a good one. Such a result has no
            boxes and a third entry, "error".
        request_id: the id under which the server knows the request; None if none was sent.
        timings_ms: with `timings=True`, milliseconds: "encode" (reading, fetching, encoding), "wait" (sending, the
            server's work, the answer; pauses between retries too) and "total"; None otherwise.
    """

    def __init__(
        self,
        input_path: str | None,
        boxes: list[Box],
        *,
        file_name: str,
        encoded: bytes,
        error: TritonFaceError | None = None,
        request_id: str | None = None,
        timings_ms: dict[str, float] | None = None,
    ) -> None:
        super().__init__(input_path=input_path, boxes=boxes)
        if error is not None:
            self["error"] = str(error)
        self.error = error
        self.request_id = request_id
        self.timings_ms = timings_ms
        self._encoded = encoded
        self._file_name = file_name

    @property
    def json(self) -> dict[str, dict[str, Any]]:
        """`{"res": {...}}`, plain Python values."""
        return {"res": dict(self)}

    @property
    def img(self) -> dict[str, Image.Image]:
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

    def save_to_json(self, save_path: str | Path, indent: int = 4, ensure_ascii: bool = False) -> None:
        """Write the result without its "res" shell.

        Args:
            save_path: a file if it ends in .json; a directory otherwise, where `<stem>_res.json` is written.
        """
        path = Path(save_path)
        if path.suffix.lower() != ".json":
            path /= f"{Path(self._file_name).stem}_res.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self, indent=indent, ensure_ascii=ensure_ascii)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")  # a file name may be no text

    def save_to_img(self, save_path: str | Path) -> None:
        """Write the picture with its boxes.

        Args:
            save_path: a file if it ends in a suffix of a picture format; a directory otherwise, where
                `<stem>_res<suffix>` is written (.png where the input's format cannot be written).
        """
        path = Path(save_path)
        if not is_writable(path.suffix):
            name = Path(self._file_name)
            path /= f"{name.stem}_res{name.suffix if is_writable(name.suffix) else '.png'}"
        picture = self.img["res"]
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, quality=95)

"""Results as text, JSON lines, one JSON array, CSV or COCO annotations, on standard output."""

from __future__ import annotations

import csv
import json
import sys
from typing import Any

from tritonface._errors import InvalidArgumentError
from tritonface._result import DetectionResult
from tritonface._video import VideoFrame

FORMATS = ("text", "jsonl", "json", "csv", "coco")
COLUMNS = ("input_path", "frame", "time_s", "label", "score", "xmin", "ymin", "xmax", "ymax", "error")


class Text:
    """A line for each picture and each video.

    Attributes:
        shows_frames: whether each picture of a video is shown.
    """

    shows_frames = False

    def picture(self, result: DetectionResult) -> None:
        """One result, or a line of standard error."""
        if result.error is not None:
            print(f"error: {result.error}", file=sys.stderr)
            return
        stages = (result.timings_ms or {}).items()
        times = "".join(f", {name} {milliseconds:.1f} ms" for name, milliseconds in stages)
        print(f"{result['input_path']}: {faces(len(result))}{times}", flush=True)

    def frame(self, frame: VideoFrame) -> None:
        """Nothing: a video has a line at its end."""

    def line(self, text: str) -> None:
        """Something to be read."""
        print(text, flush=True)

    def end(self) -> None:
        """After the last result, also when the run is broken off."""


class JsonLines(Text):
    """An object a line."""

    shows_frames = True

    def picture(self, result: DetectionResult) -> None:
        """One result, with what there is beside the boxes."""
        self._write(as_json(result))

    def frame(self, frame: VideoFrame) -> None:
        """One picture of a video."""
        self._write(frame.json)

    def line(self, text: str) -> None:
        """Not here."""

    def _write(self, fields: dict[str, Any]) -> None:
        print(json.dumps(fields, ensure_ascii=False), flush=True)


class JsonArray(JsonLines):
    """The same objects as one array."""

    def __init__(self) -> None:
        self._begun = False

    def _write(self, fields: dict[str, Any]) -> None:
        print(",\n" if self._begun else "[\n", json.dumps(fields, ensure_ascii=False), sep="", end="", flush=True)
        self._begun = True

    def end(self) -> None:
        """Close the array."""
        print("\n]" if self._begun else "[]", flush=True)


class Csv(JsonLines):
    """A row for each face; one with `error` for an image without a result, none for one without faces."""

    def __init__(self) -> None:
        self._writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        self._writer.writeheader()

    def _write(self, fields: dict[str, Any]) -> None:
        where = {name: fields.get(name) for name in ("input_path", "frame", "time_s", "error")}
        if fields.get("error"):
            self._writer.writerow(where)
        for box in fields["boxes"]:
            corners = dict(zip(("xmin", "ymin", "xmax", "ymax"), box["coordinate"]))
            self._writer.writerow({**where, "label": box["label"], "score": box["score"], **corners})
        sys.stdout.flush()


class Coco(Text):
    """One COCO data set of all pictures, as labelling tools read it; boxes are [x, y, width, height] in pixels."""

    def __init__(self, labels: list[str]) -> None:
        categories = [{"id": index + 1, "name": label} for index, label in enumerate(labels)]
        self._data: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": categories}

    def picture(self, result: DetectionResult) -> None:
        """Its image and annotations; one without a result is a line of standard error."""
        if result.error is not None:
            super().picture(result)
            return
        images, annotations = self._data["images"], self._data["annotations"]
        width, height = result.size_wh
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": result["input_path"], "width": width, "height": height})
        for box in result["boxes"]:
            x_min, y_min, x_max, y_max = box["coordinate"]
            sides = x_max - x_min, y_max - y_min
            of_what = {"id": len(annotations) + 1, "image_id": image_id, "category_id": box["cls_id"] + 1}
            where = {"bbox": [x_min, y_min, *sides], "area": sides[0] * sides[1], "iscrowd": 0}
            annotations.append({**of_what, **where, "score": box["score"]})

    def frame(self, frame: VideoFrame) -> None:
        """Refused: COCO's images are files."""
        raise InvalidArgumentError(
            f"--format coco describes pictures, and {frame.result['input_path']!r} is a video; jsonl and csv have its "
            "frames"
        )

    def line(self, text: str) -> None:
        """Not here."""

    def end(self) -> None:
        """All of it at once."""
        print(json.dumps(self._data, ensure_ascii=False), flush=True)


def make_format(name: str, labels: list[str]) -> Text:
    """One of FORMATS."""
    if name == "coco":
        return Coco(labels)
    return {"text": Text, "jsonl": JsonLines, "json": JsonArray, "csv": Csv}[name]()


def as_json(result: DetectionResult) -> dict[str, Any]:
    """The result with what there is beside the boxes."""
    failed_id = result.request_id if result.error else None
    more = {"timings_ms": result.timings_ms, "warning": result.warning, "request_id": failed_id}
    return {**result, **{name: value for name, value in more.items() if value is not None}}


def faces(count: int) -> str:
    """`1 face`, `2 faces`."""
    return f"{count:,} {'face' if count == 1 else 'faces'}"

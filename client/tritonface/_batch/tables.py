"""The three tables: a row for each image, each face and each failure; as bytes of Parquet files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any

from tritonface._result import DetectionResult

TABLES = ("faces", "failures", "images")
"""In the order of writing: a piece counts as done when its images are there."""

WHERE = {"image_id": "int64", "input_path": "string"}
COLUMNS = {
    "images": {**WHERE, "width_px": "int32", "height_px": "int32", "faces": "int32", "warning": "string"},
    "faces": {
        **WHERE,
        "face": "int32",
        "label": "string",
        "cls_id": "int32",
        "score": "float32",
        **dict.fromkeys(("xmin_px", "ymin_px", "xmax_px", "ymax_px"), "float32"),
    },
    "failures": {**WHERE, "error": "string", "request_id": "string"},
}
"""Columns with Arrow's names of their types; corners are pixels of the upright original."""


def tables_of(results: Iterable[tuple[int, DetectionResult]]) -> dict[str, bytes]:
    """The Parquet files of consecutive results.

    Args:
        results: `image_id` and result, good or failed.
    """
    rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
    for image_id, result in results:
        where = image_id, _text(result["input_path"])
        if result.error is not None:
            rows["failures"].append((*where, _text(result.error.message), result.request_id))
            continue
        rows["images"].append((*where, *result.size_wh, len(result), result.warning))
        for index, box in enumerate(result["boxes"]):
            rows["faces"].append((*where, index, box["label"], box["cls_id"], box["score"], *box["coordinate"]))
    return {name: _parquet(name, rows[name]) for name in TABLES}


def _parquet(name: str, rows: list[tuple[Any, ...]]) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(column, pa.type_for_alias(kind)) for column, kind in COLUMNS[name].items()])
    columns = zip(*rows) if rows else [()] * len(schema)
    arrays = [pa.array(values, field.type) for values, field in zip(columns, schema)]
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _text(value: str | None) -> str | None:
    """What Parquet takes: the name of a file may be no text."""
    return None if value is None else value.encode(errors="backslashreplace").decode()

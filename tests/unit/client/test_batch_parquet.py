"""Parquet as an input and as the tables of a run; only where PyArrow is installed (`make test-long` installs it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tritonface import Box, DetectionResult, ImageError, InvalidArgumentError
from tritonface._batch.folder import MANIFEST, Counts, RunFolder, open_folder
from tritonface._batch.listing import Listing, list_inputs
from tritonface._batch.parquet import images_in
from tritonface._batch.tables import COLUMNS, tables_of
from tritonface._batch.worker import piece_of, sources_of, text_of

pa = pytest.importorskip("pyarrow", reason="`pip install 'tritonface[batch]'`")
parquet = pytest.importorskip("pyarrow.parquet")


def table(path: Path, columns: dict[str, Any], rows: int = 100) -> Path:
    parquet.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def listed(path: Path, column: str | None = None, piece_size: int = 4) -> Listing:
    return list_inputs([str(path)], column, piece_size)


def test_a_table_without_rows_gives_no_piece(tmp_path: Path) -> None:
    listing = listed(table(tmp_path / "empty.parquet", {"path": pa.array([], pa.string())}))
    assert (listing.pieces, listing.count) == ([], 0)


def test_paths_are_items_and_a_missing_one_has_its_row(tmp_path: Path) -> None:
    path = table(tmp_path / "paths.parquet", {"id": [1, 2, 3], "path": ["a.jpg", None, "s3://bucket/b.jpg"]})
    [piece] = listed(path).pieces
    assert piece.items == (("", "a.jpg"), ("", ""), ("s3://bucket", "b.jpg"))
    with pytest.raises(ImageError, match="the row has no path"):
        [*sources_of(piece)][1].read()


def test_row_groups_of_pictures_stay_whole(tmp_path: Path) -> None:
    pictures = [b"%d" % number for number in range(11)]
    path = table(tmp_path / "bytes.parquet", {"id": range(11), "image": pictures}, rows=2)
    listing = listed(path, piece_size=5)
    assert [(piece.first_id, piece.count) for piece in listing.pieces] == [(0, 4), (4, 4), (8, 3)]
    pieces = [piece_of(text_of(piece)) for piece in listing.pieces]
    assert pieces == listing.pieces
    read = [row for piece in pieces for row in images_in(piece.groups)]
    assert read == [(f"{path}#{number}", picture) for number, picture in enumerate(pictures)]


def test_a_field_of_a_column_is_named_with_a_dot(tmp_path: Path) -> None:
    values = [{"bytes": b"x", "path": "x.jpg"}, {"bytes": None, "path": "y.jpg"}]
    path = table(tmp_path / "nested.parquet", {"image": values})
    [piece] = listed(path, "image.bytes").pieces
    assert [data for _, data in images_in(piece.groups)] == [b"x", None]
    with pytest.raises(ImageError, match="the row has no image"):
        [*sources_of(piece)][1].read()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("photo", "has no column 'photo'"),
        ("id", "has no column 'id'"),
        (None, r"2 columns .*'image', 'path'.*--column"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_those_that_are(
    tmp_path: Path, column: str | None, message: str
) -> None:
    path = table(tmp_path / "t.parquet", {"id": [1], "image": [b"x"], "path": ["x"]})
    with pytest.raises(InvalidArgumentError, match=message):
        listed(path, column)


def test_what_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"no")
    for name in ("no.parquet", "missing.parquet"):
        with pytest.raises(InvalidArgumentError, match=f"cannot read the Parquet file .*{name}"):
            listed(tmp_path / name)


def result(name: str, faces: int, error: ImageError | None = None) -> DetectionResult:
    boxes = [Box(cls_id=0, label="face", score=0.5, coordinate=[1.5, 2, 3, 4])] * faces
    photo = (Path(__file__).parents[3] / "demo" / "photos" / "astronaut.jpg").read_bytes()
    return DetectionResult(name, boxes, file_name="", origin=name, encoded=photo, error=error)


def read(data: bytes) -> list[dict[str, Any]]:
    return parquet.read_table(pa.BufferReader(data)).to_pylist()


def test_tables_have_their_columns_without_any_row() -> None:
    for name, data in tables_of([]).items():
        schema = parquet.read_schema(pa.BufferReader(data))
        expected = {column: pa.type_for_alias(kind) for column, kind in COLUMNS[name].items()}
        assert {field.name: field.type for field in schema} == expected
        assert read(data) == []


def test_each_image_is_a_row_and_each_face_and_failures_are_apart() -> None:
    tables = tables_of([(7, result("a", 2)), (8, result("\udcff", 0, ImageError("why"))), (9, result("c", 0))])
    images, faces, failures = (read(tables[name]) for name in ("images", "faces", "failures"))
    assert [(row["image_id"], row["faces"], row["width_px"], row["height_px"]) for row in images] == [
        (7, 2, 512, 512),
        (9, 0, 512, 512),
    ]
    assert [(row["image_id"], row["face"], row["score"], row["xmin_px"], row["ymax_px"]) for row in faces] == [
        (7, 0, 0.5, 1.5, 4),
        (7, 1, 0.5, 1.5, 4),
    ]
    assert [(row["image_id"], row["input_path"], row["error"]) for row in failures] == [(8, "\\udcff", "why")]


@pytest.fixture
def inputs(tmp_path: Path) -> Listing:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(b"x")
    return list_inputs([f"{tmp_path}/*.jpg"], None, 2)


def begun(path: Path, inputs: Listing, **settings: Any) -> RunFolder:
    with open_folder(path) as folder:
        folder.check(inputs, {"threshold": 0.5, **settings})
        folder.begin(inputs, {"threshold": 0.5, **settings})
    return folder


def test_a_piece_is_done_when_its_files_are_whole(tmp_path: Path, inputs: Listing) -> None:
    out = tmp_path / "out"
    folder = begun(out, inputs)
    first, second = inputs.pieces
    assert folder.counts(first) is None
    folder.write(first.index, tables_of([(0, result("a", 2)), (1, result("b", 0, ImageError("why")))]))
    assert folder.counts(first) == Counts(images=1, faces=2, failures=1)
    assert folder.counts(second) is None
    images = out / "images" / "000000.parquet"
    images.write_bytes(images.read_bytes()[:-1])
    assert folder.counts(first) is None


def test_what_a_killed_run_left_is_cleared_and_the_run_goes_on(tmp_path: Path, inputs: Listing) -> None:
    folder = begun(tmp_path / "out", inputs)
    left = tmp_path / "out" / "faces" / ".000001.parquet.tmp"
    left.write_bytes(b"half")
    folder = begun(tmp_path / "out", inputs)
    assert not left.exists() and folder.counts(inputs.pieces[0]) is None


def test_another_run_is_refused(tmp_path: Path, inputs: Listing) -> None:
    out = tmp_path / "out"
    begun(out, inputs)
    with pytest.raises(InvalidArgumentError, match=r"threshold is 0.5 there and 0.7 here.*--out"):
        begun(out, inputs, threshold=0.7)
    (tmp_path / "a.jpg").write_bytes(b"larger")
    with pytest.raises(InvalidArgumentError, match="names, sizes or order"):
        begun(out, list_inputs([f"{tmp_path}/*.jpg"], None, 2))
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(InvalidArgumentError, match="has 3 inputs, and here are 2"):
        begun(out, list_inputs([f"{tmp_path}/*.jpg"], None, 2))


def test_a_folder_of_other_files_and_one_in_use_are_refused(tmp_path: Path, inputs: Listing) -> None:
    with pytest.raises(InvalidArgumentError, match="holds other files"):
        begun(tmp_path, inputs)
    with pytest.raises(InvalidArgumentError, match="is no folder"):
        begun(tmp_path / "a.jpg", inputs)
    with open_folder(tmp_path / "out"), pytest.raises(InvalidArgumentError, match="another run is writing"):
        begun(tmp_path / "out", inputs)
    assert not (tmp_path / "out" / MANIFEST).exists()

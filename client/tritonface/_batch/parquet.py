"""Parquet as an input: one column of paths, or of encoded images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tritonface._batch.store import Item, name_of, path_in
from tritonface._errors import InvalidArgumentError

ROWS_READ = 8
"""Images that are held at once, beside those under way."""
BUFFER_BYTES = 2**20


class RowGroup(NamedTuple):
    """A part of a Parquet file that is read as a whole.

    Attributes:
        file: where it is.
        column: name of the column of encoded images; `image.bytes` is a field of one.
        number: which group.
        first_row: its first row in the file.
        rows: how many images.
    """

    file: Item
    column: str
    number: int
    first_row: int
    rows: int


@contextmanager
def open_parquet(item: Item) -> Iterator[Any]:
    """The `pyarrow.parquet.ParquetFile`, read in small steps.

    Raises:
        InvalidArgumentError: it is not there, or no Parquet.
    """
    import pyarrow as pa
    from pyarrow import parquet

    root, path = item
    try:
        if root:
            system, path = path_in(root, path)
            source = system.open(path, "rb")
        else:
            source = path
        file = parquet.ParquetFile(source, buffer_size=BUFFER_BYTES)
    except (OSError, pa.ArrowException) as error:
        raise InvalidArgumentError(f"cannot read the Parquet file {name_of(item)!r}: {error}") from None
    with file:
        yield file


def column_of(file: Any, name: str, asked: str | None) -> tuple[str, bool]:
    """The column to read, and whether it holds paths and not images.

    Args:
        name: of the file, for messages.
        asked: None for the only column of texts or bytes.

    Raises:
        InvalidArgumentError: there is none, there are several, or it holds something else.
    """
    kinds = {column: kind for column, kind in _leaves(file.schema_arrow) if _is_text(kind) or _is_bytes(kind)}
    listed = ", ".join(map(repr, kinds)) or "none"
    if asked is None and len(kinds) != 1:
        raise InvalidArgumentError(
            f"{name!r} has {len(kinds)} columns of paths or bytes ({listed}); choose one with --column"
        )
    column = next(iter(kinds)) if asked is None else asked
    if column not in kinds:
        raise InvalidArgumentError(f"{name!r} has no column {column!r} of paths or bytes; it has {listed}")
    return column, _is_text(kinds[column])


def paths_of(file: Any, column: str) -> Iterator[str | None]:
    """All values of a column of texts."""
    for batch in file.iter_batches(columns=[column]):
        yield from _values(batch, column).to_pylist()


def groups_of(file: Any, item: Item, column: str) -> Iterator[RowGroup]:
    """All row groups, none of them read."""
    first = 0
    for index in range(file.metadata.num_row_groups):
        rows = file.metadata.row_group(index).num_rows
        if rows:
            yield RowGroup(item, column, index, first, rows)
        first += rows


def images_in(groups: tuple[RowGroup, ...]) -> Iterator[tuple[str, bytes | None]]:
    """Name (`file.parquet#row`) and encoded image of each row; few of them are held at once."""
    of_file = groups[0]
    row = of_file.first_row
    with open_parquet(of_file.file) as file:
        indices = [group.number for group in groups]
        for batch in file.iter_batches(ROWS_READ, row_groups=indices, columns=[of_file.column], use_threads=False):
            for value in _values(batch, of_file.column):
                yield f"{name_of(of_file.file)}#{row}", value.as_py()
                row += 1


def _leaves(schema: Any) -> Iterator[tuple[str, Any]]:
    """Names and types of all columns, and of the fields of those that have some."""
    from pyarrow import types

    for field in schema:
        if types.is_struct(field.type):
            inner = [field.type.field(index) for index in range(field.type.num_fields)]
            yield from ((f"{field.name}.{each.name}", each.type) for each in inner)
        else:
            yield field.name, field.type


def _values(batch: Any, column: str) -> Any:
    """The array of one column, or of one field."""
    values = batch.column(0)
    if column not in batch.schema.names:
        from pyarrow import compute

        values = compute.struct_field(values, [column.rpartition(".")[2]])
    return values


def _is_text(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_bytes(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind))

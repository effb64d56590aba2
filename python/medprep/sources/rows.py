"""Rows of CSV, TSV and Parquet tables as text, whoever wrote them."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from medprep.errors import UsageError

TEXT_SUFFIXES = (".csv", ".tsv", ".tab")  # Dataverse gives tables as .tab
PARQUET_SUFFIX = ".parquet"
TABLE_SUFFIXES = (*TEXT_SUFFIXES, PARQUET_SUFFIX)
_MAX_FIELD = 2**16  # characters; a longer one is a stray quote, not a path, label or caption
_BATCH = 65536  # Parquet rows in memory at once


def read_rows(table: Path) -> Iterator[list[str]]:
    """The rows, header first. Raises UsageError when the table cannot be read.

    CSV: UTF-8 with or without byte-order mark; the separator is the one (comma, semicolon, tab)
    that the header uses most. Parquet: numbers as text, whole ones without a point; empty text
    for null, and for columns that are no plain values.
    """
    if table.suffix.lower() == PARQUET_SUFFIX:
        return _read_parquet(table)
    return _read_text(table)


def read_records(table: Path, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(row number, column -> stripped text) of every row that is not empty; the header is row 1.

    Raises UsageError when a needed column is missing or the table cannot be read. Short rows are
    filled up with empty text.
    """
    rows = read_rows(table)
    header = [name.strip() for name in next(rows, [])]
    missing = [name for name in needed if name not in header]
    if missing:
        raise UsageError(
            f"{table}: no column {missing[0]!r}; found {', '.join(header) or 'an empty header'}"
        )
    for number, row in enumerate(rows, start=2):
        if any(field.strip() for field in row):
            padded = chain(row, [""] * (len(header) - len(row)))
            yield number, {name: field.strip() for name, field in zip(header, padded, strict=False)}


def header_of(table: Path) -> list[str]:
    """The column names; empty when the table cannot be read."""
    try:
        return [name.strip() for name in next(iter(read_rows(table)), [])]
    except UsageError:
        return []


def _read_text(table: Path) -> Iterator[list[str]]:
    csv.field_size_limit(_MAX_FIELD)
    try:
        with table.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.readline(_MAX_FIELD)
            stream.seek(0)
            delimiter = max((",", ";", "\t"), key=head.count)
            yield from csv.reader(stream, delimiter=delimiter)
    except OSError as error:
        raise UsageError(f"{table}: cannot read the table: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{table}: not UTF-8 text", hint="save the table as UTF-8") from None
    except csv.Error as error:
        raise UsageError(f"{table}: not a valid CSV: {error}") from None


def _read_parquet(table: Path) -> Iterator[list[str]]:
    parquet = _pyarrow(table)
    try:
        with parquet.ParquetFile(table) as file:
            yield list(file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=_BATCH):
                columns = [_texts(column) for column in batch.columns]
                yield from (list(row) for row in zip(*columns, strict=True))
    except OSError as error:  # pyarrow's own errors are OSError or ValueError
        raise UsageError(f"{table}: cannot read the table: {error}") from None
    except ValueError as error:
        raise UsageError(f"{table}: not a valid Parquet file: {error}") from None


def _pyarrow(table: Path) -> Any:  # noqa: ANN401 (an optional package)
    try:
        return importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError(
            f"{table}: reading Parquet needs pyarrow, which is not installed",
            hint="pip install 'medprep[parquet]', or save the table as CSV",
        ) from None


def _texts(column: Any) -> list[str]:  # noqa: ANN401 (a pyarrow array)
    return [_text(value) for value in column.to_pylist()]


def _text(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return "" if value is None else str(value)
    if isinstance(value, float):
        if value != value:
            return ""
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int | str) else ""

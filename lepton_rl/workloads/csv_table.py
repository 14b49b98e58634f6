"""CSV files as typed columns; what is malformed is named by file, line and field.

A reader says which columns it needs, of which type and range. Columns it does not name are not
looked at, so a file may have more of them, in any order.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.workloads.text_file import read_lines

__all__ = [
    "MOST",
    "Column",
    "CsvTable",
    "moment",
    "number",
    "read_csv",
    "read_header",
    "require_fields",
    "text",
    "whole",
]

MOST = 1e11
"""Largest number in a file; as seconds some 3,000 years: sums of times fit int64 microseconds."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,9})?", re.ASCII)
_DECIMAL = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)
_TO_SECONDS = len("2017-09-04 07:01:55")
_TO_MICROSECONDS = len("2017-09-04 07:01:55.123456")
_LONGEST_TEXT = 1000
_INFINITE = ("inf", "Infinity")


@dataclass(frozen=True, slots=True)
class Column:
    """One column that a reader needs.

    Attributes:
        name: in the header.
        expected: what its values must be, in words.
        accepts: whether one field is such a value.
        convert: fields of all rows to an array, given that each is accepted.
        empty: text to take for an empty field; None refuses it.
    """

    name: str
    expected: str
    accepts: Callable[[str], bool]
    convert: Callable[[Sequence[str]], NDArray[Any]]
    empty: str | None = None


def require_fields(
    path: Path, line: int, fields: Sequence[str], columns: Iterable[tuple[int, Column]]
) -> None:
    """Check the fields of one line of a file without a header.

    Args:
        path: of the file.
        line: its number.
        fields: of the line.
        columns: position of a field, from 0, and what it must be.

    Raises:
        WorkloadError: names file, line and the first bad field.
    """
    for position, column in columns:
        if not column.accepts(fields[position]):
            raise WorkloadError(
                f"{path}, line {line}: field {position + 1} ({column.name}) must be"
                f" {column.expected}, got {shown(fields[position])}"
            )


def text(name: str) -> Column:
    """A column of any text, as strings; all of them take the memory of the longest."""

    def accepts(field: str) -> bool:
        return len(field) <= _LONGEST_TEXT

    def convert(fields: Sequence[str]) -> NDArray[np.str_]:
        return np.array(fields, np.str_)

    return Column(name, f"text of at most {_LONGEST_TEXT} characters", accepts, convert, "")


def whole(name: str, least: int = 0, most: float = MOST, *, empty: int | None = None) -> Column:
    """A column of whole numbers in `least`..`most`, as int64; `empty` stands for empty fields."""

    def accepts(field: str) -> bool:
        return bool(_DECIMAL.fullmatch(field)) and _whole_within(float(field), least, most)

    def convert(fields: Sequence[str]) -> NDArray[np.int64]:
        return np.array(fields, np.str_).astype(np.float64).astype(np.int64)

    expected = f"a whole number from {least:g} to {most:g}"
    return Column(name, expected, accepts, convert, None if empty is None else str(empty))


def _whole_within(value: float, least: float, most: float) -> bool:
    return least <= value <= most and value == int(value)


def number(
    name: str,
    least: float = 0.0,
    most: float = MOST,
    *,
    empty: float | None = None,
    infinite: bool = False,
) -> Column:
    """A column of numbers in `least`..`most`, as float64.

    Args:
        name: in the header.
        least: smallest value.
        most: largest finite value.
        empty: stands for empty fields; it may lie out of range, or be NaN.
        infinite: whether `inf` is a value too.
    """

    def accepts(field: str) -> bool:
        if infinite and field in _INFINITE:
            return True
        return bool(_DECIMAL.fullmatch(field)) and least <= float(field) <= most

    def convert(fields: Sequence[str]) -> NDArray[np.float64]:
        return np.array(fields, np.str_).astype(np.float64)

    expected = f"a number from {least:g} to {most:g}{' or inf' if infinite else ''}"
    return Column(name, expected, accepts, convert, None if empty is None else repr(empty))


def moment(name: str) -> Column:
    """A column of dates with times (`2017-09-04 07:01:55`), as float64 seconds since 1970.

    The clock of the file is taken as it is: no time zone, no summer time.
    """
    return Column(name, "a time such as 2017-09-04 07:01:55", _is_moment, _seconds)


def _is_moment(field: str) -> bool:
    if not _MOMENT.fullmatch(field):
        return False
    try:
        datetime.fromisoformat(field[:_TO_SECONDS])
    except ValueError:  # no such day
        return False
    return True


def _seconds(fields: Sequence[str]) -> NDArray[np.float64]:
    moments = np.array([field[:_TO_MICROSECONDS] for field in fields], "datetime64[us]")
    return to_seconds(moments.astype(np.int64))


@dataclass(frozen=True, eq=False, slots=True)
class CsvTable:
    """Columns of a file.

    Attributes:
        path: of the file.
        columns: name -> values, `(N,)`; only those asked for.
        header: names of all columns in the file.
    """

    path: Path
    columns: Mapping[str, NDArray[Any]]
    header: tuple[str, ...]

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read_csv(
    path: str | Path, columns: Sequence[Column], optional: Sequence[Column] = ()
) -> CsvTable:
    """Read the columns asked for.

    Args:
        path: a CSV file with a header line, plain or gzip.
        columns: the file must have.
        optional: read where the file has them.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: a column is missing, a row has another number of fields than the header, a
            field is not what its column takes (file, line and field are named), or there is no
            row.
    """
    path = Path(path)
    rows = list(_rows(path))
    header = [name.strip() for name in rows[0]] if rows else []
    for column in columns:
        if column.name not in header:
            hint = did_you_mean(column.name, header)
            raise WorkloadError(f"{path}, line 1: expected a column {column.name!r}; {hint}")
    wanted = [*columns, *(column for column in optional if column.name in header)]
    if len(rows) < 2:
        raise WorkloadError(f"{path}: expected rows below the header, got none")
    _require_equal_lengths(path, rows)
    fields = list(zip(*rows[1:], strict=True))
    return CsvTable(
        path,
        {each.name: _values(path, each, fields[header.index(each.name)]) for each in wanted},
        tuple(header),
    )


def read_header(path: Path) -> frozenset[str]:
    """Names of the columns of a CSV file.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is damaged or binary.
    """
    first = read_lines(path, "CSV")[0]
    return frozenset(name.strip() for name in next(csv.reader([first]), []))


def _rows(path: Path) -> list[list[str]]:
    """Fields of the header and of each row; blank lines at the end are no rows."""
    lines = read_lines(path, "CSV")
    while lines and not lines[-1].strip():
        lines.pop()
    try:
        return list(csv.reader(lines, strict=True))
    except csv.Error as error:
        raise WorkloadError(f"{path}: not CSV: {error}") from error


def _require_equal_lengths(path: Path, rows: Sequence[Sequence[str]]) -> None:
    for line, row in enumerate(rows, start=1):
        if len(row) != len(rows[0]):
            raise WorkloadError(
                f"{path}, line {line}: expected {len(rows[0])} fields as in the header, got"
                f" {len(row)}: {shown(','.join(row))}; complete or remove the line (is the file"
                " cut off?)"
            )


def _values(path: Path, column: Column, fields: Sequence[str]) -> NDArray[Any]:
    different = set(fields)  # far fewer than rows in most columns
    if column.empty is not None:
        different.discard("")
    if not all(map(column.accepts, different)):
        raise _bad_field(path, column, fields)
    if column.empty:
        empty = column.empty
        fields = [field or empty for field in fields]
    return column.convert(fields)


def _bad_field(path: Path, column: Column, fields: Sequence[str]) -> WorkloadError:
    for line, field in enumerate(fields, start=2):
        if not (column.accepts(field) or (field == "" and column.empty is not None)):
            return WorkloadError(
                f"{path}, line {line}: field {column.name!r} must be {column.expected}, got"
                f" {shown(field)}; correct or remove the line"
            )
    raise AssertionError("called for a bad field")

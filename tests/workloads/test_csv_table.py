from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import InputFileError, WorkloadError
from lepton_rl.workloads.csv_table import Column, moment, number, read_csv, text, whole
from tests.workloads.files import write


def test_columns_in_any_order_with_others_between(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "end,who,other,n", "2.5,ann,x,3", '1e3,"bob, jr",y,-4', "", "")

    table = read_csv(path, [whole("n", least=-5), number("end"), text("who")], [text("no")])

    assert len(table) == 2
    assert table.header == ("end", "who", "other", "n")
    assert table["n"].tolist() == [3, -4]
    assert table["n"].dtype == np.int64
    assert table["end"].tolist() == [2.5, 1000.0]
    assert table["who"].tolist() == ["ann", "bob, jr"]
    assert "no" not in table.columns


def test_empty_fields_and_infinite_ones(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "n,x,y", ",,inf", "2,1.5,3")

    table = read_csv(
        path, [whole("n", empty=-1), number("x", empty=np.nan), number("y", infinite=True)]
    )

    assert table["n"].tolist() == [-1, 2]
    assert np.isnan(table["x"][0])
    assert table["y"].tolist() == [np.inf, 3.0]


def test_moments_are_seconds_on_the_files_own_clock(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "at", "1970-01-02 00:00:01", "1970-01-01 00:00:00.2500009")
    assert read_csv(path, [moment("at")])["at"].tolist() == [86_401.0, 0.25]


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_text_beyond_ascii(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("who\nJörg\n".encode(encoding))
    assert read_csv(path, [text("who")])["who"].tolist() == ["Jörg"]


def test_gzip_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress("\ufeffn\r\n1\r\n2\r\n".encode()))
    assert read_csv(path, [whole("n")])["n"].tolist() == [1, 2]


BAD_FIELDS = {
    "not a number": (number("x"), "one", "a number from 0 to 1e+11, got 'one'"),
    "nan": (number("x"), "nan", "a number from 0 to 1e+11, got 'nan'"),
    "infinite": (number("x"), "inf", "got 'inf'"),
    "below": (number("x"), "-0.5", "got '-0.5'"),
    "beyond": (number("x"), "1e300", "got '1e300'"),
    "underscore": (whole("x"), "1_000", "a whole number from 0 to 1e+11, got '1_000'"),
    "fraction": (whole("x"), "1.5", "got '1.5'"),
    "empty": (whole("x"), "", "got ''"),
    "other digits": (number("x"), "\u0663", "a number from 0"),
    "long": (text("x"), "x" * 1001, "text of at most 1000 characters"),
    "no time": (moment("x"), "yesterday", "a time such as 2017-09-04 07:01:55, got 'yesterday'"),
    "no such day": (moment("x"), "2017-02-30 00:00:00", "got '2017-02-30 00:00:00'"),
}


@pytest.mark.parametrize("case", BAD_FIELDS)
def test_bad_field_is_named(tmp_path: Path, case: str) -> None:
    column, bad, message = BAD_FIELDS[case]
    good = "2017-01-01 00:00:00" if column.accepts("2017-01-01 00:00:00") else "7"
    path = write(tmp_path, "a.csv", "y,x", f"1,{good}", f"2,{good}", f"3,{bad}")

    with pytest.raises(WorkloadError) as caught:
        read_csv(path, [column])

    assert str(caught.value).startswith(f"{path}, line 4: field 'x' must be ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["naem", "x"], "line 1: expected a column 'name'; did you mean 'naem'"),
        (["name"], "expected rows below the header, got none"),
        ([], "line 1: expected a column 'name'; known: .none."),
        (["name,n", "a,1", "b"], "line 3: expected 2 fields as in the header, got 1: 'b'"),
        (["name,n", "a,1,2"], "line 2: expected 2 fields as in the header, got 3"),
        (['name,n', 'a,"1'], "not CSV"),
    ],
)  # fmt: skip
def test_malformed_files(tmp_path: Path, lines: list[str], message: str) -> None:
    columns: list[Column] = [text("name")]
    with pytest.raises(WorkloadError, match=rf"a\.csv.*{message}"):
        read_csv(write(tmp_path, "a.csv", *lines), columns)


def test_files_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*no\.csv"):
        read_csv(tmp_path / "no.csv", [text("name")])
    (tmp_path / "a.csv").write_bytes(b"name\n\0\n")
    with pytest.raises(WorkloadError, match="expected text in CSV, got binary data"):
        read_csv(tmp_path / "a.csv", [text("name")])

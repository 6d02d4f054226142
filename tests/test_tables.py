"""Tables in CSV files: written row by row, gone back to, and read."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from ladera import table_files
from ladera.errors import DataError
from ladera.table_files import TableWriter, last_row, position_after
from ladera.tables import Column, Number, Table, columns_of, described, with_error


def _write(path: Path, *rows: tuple[int, float | None]) -> int:
    with TableWriter(path, ("step", "energy")) as table:
        for step, energy in rows:
            table.write({"step": step, "energy": energy, "other": 1})
        return table.position()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    _write(path, (0, 0.5), (1, None), (20, 1 / 3))
    assert path.read_text() == "step,energy\n0,0.5\n1,\n20,0.333333333333\n"
    table = table_files.read(path)
    np.testing.assert_array_equal(table["step"], [0, 1, 20])
    np.testing.assert_array_equal(table["energy"], [0.5, np.nan, 0.333333333333])
    assert last_row(path) == ["20", "0.333333333333"]


def test_the_digits_of_a_table_can_be_fewer(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "t.csv", ["loss"], digits=8) as table:
        table.write({"loss": 1 / 3})
    assert (tmp_path / "t.csv").read_text() == "loss\n0.33333333\n"


def test_a_table_goes_on_from_a_position(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    position = _write(path, (0, 0.5), (1, 0.6))
    with path.open("a") as file:
        file.write("2,0.7\n3,0.")  # killed in the middle of a line
    with TableWriter(path, ("step", "energy"), position=position) as table:
        table.write({"step": 2, "energy": 0.75})
    assert path.read_text() == "step,energy\n0,0.5\n1,0.6\n2,0.75\n"


@pytest.mark.parametrize(("n_rows", "kept"), [(0, "a\n"), (1, "a\n1\n"), (2, "a\n1\n2\n")])
def test_a_table_goes_on_after_some_rows(tmp_path: Path, n_rows: int, kept: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n1\n2\n3")
    TableWriter(path, ["a"], position=position_after(path, n_rows)).close()
    assert path.read_text() == kept


def test_a_table_of_an_older_version_keeps_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("step,energy\n0,0.5\n")
    with TableWriter(path, ("step", "time", "energy"), position=18) as table:
        table.write({"step": 1, "time": 0.5, "energy": 0.6})
    assert path.read_text() == "step,energy\n0,0.5\n1,0.6\n"
    with pytest.raises(DataError, match="has the columns step, energy, and step, time would be"):
        TableWriter(path, ("step", "time"), position=18)


def test_a_half_written_row_is_no_row(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n3,4")
    assert position_after(path, 5) == len("a,b\n1,2\n")
    np.testing.assert_array_equal(table_files.read(path)["a"], [1])
    assert last_row(path) == ["1", "2"]


@pytest.mark.parametrize("text", ["", "a,b", "a,b\n", "a,b\n1"])
def test_without_a_row_there_is_no_last_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    assert last_row(tmp_path / "t.csv") == last_row(tmp_path / "none.csv") == []


def test_the_last_row_of_a_long_table(tmp_path: Path) -> None:
    _write(tmp_path / "t.csv", *((step, 0.1) for step in range(2000)))
    assert last_row(tmp_path / "t.csv") == ["1999", "0.1"]


def test_a_column_without_a_number_is_empty(tmp_path: Path) -> None:
    _write(tmp_path / "t.csv", (0, None), (1, None))
    table = table_files.read(tmp_path / "t.csv")
    assert table_files.column(table, "step").tolist() == [0, 1]
    assert table_files.column(table, "energy").size == table_files.column(table, "other").size == 0


def test_text_is_read_where_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with TableWriter(path, ("element", "why")) as table:
        table.write({"element": "H", "why": 'a "word", and more'})
    contents = table_files.read(path, text=("element", "why"))
    assert contents["element"].tolist() == ["H"]
    assert contents["why"].tolist() == ['a "word", and more']
    with pytest.raises(DataError, match=r"line 2: 'H' in column element is not a number"):
        table_files.read(path)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1\n")
    with pytest.raises(DataError, match=r"line 2: 1 fields, expected 2"):
        table_files.read(path)
    assert table_files.read(tmp_path / "none.csv") == {}
    with pytest.raises(DataError, match="shorter than at the restart point"):
        TableWriter(path, ("a", "b"), position=1000)


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full, the file that is always full")
    with pytest.raises(OSError, match="No space left") as error:
        TableWriter("/dev/full", ["a"])
    assert error.value.filename == "/dev/full"


def test_columns_come_from_the_class_of_a_row() -> None:
    @dataclass(frozen=True)
    class Sample:
        step: int = described("time steps")
        energy_ev: float = described("potential energy", "eV")

    assert columns_of(Sample) == (
        Column("step", "", "time steps"),
        Column("energy_ev", "eV", "potential energy"),
    )


@pytest.mark.parametrize(
    ("value", "errors", "shown"),
    [
        (3.7e-5, [6.1e-6], "3.70(61)e-5"),
        (1234.0, [270.0], "1230(270)"),
        (12.345, [1.5], "12.3(1.5)"),
        (46.12, [0.33, 2.1], "46.12(33)(2.10)"),
        (1.2e-6, [3.4e-5], "0.1(3.4)e-5"),
        (9.996, [0.12], "10.00(12)"),
        (-4.2, [0.0996], "-4.20(10)"),
        (1.2345e7, [2e5], "1.234(20)e7"),
        (0.0, [0.1], "0.00(10)"),
        (2.5, [], "2.500"),
        (2.5, [0.0, np.nan, np.inf], "2.500"),
        (12.0, [1e-12], "12.000"),  # rounding is no error
    ],
)
def test_an_error_stands_for_the_last_digits(value, errors, shown):
    assert with_error(value, *errors, pattern=".3f") == shown


def test_what_is_read_back_is_the_number_and_its_error():
    """To within half of the last digit, of the two digits that the error has."""
    generator = np.random.default_rng(0)
    for _ in range(300):
        value = generator.normal() * 10 ** generator.uniform(-8, 8)
        error = abs(value) * 10 ** generator.uniform(-4, 1)
        text, _, power = with_error(value, error).partition("e")
        number, digits = text.rstrip(")").split("(")
        scale = 10.0 ** int(power or 0)
        last = 1.0 if "." in digits else 10.0 ** -len(number.partition(".")[2])
        assert float(digits) * last * scale == pytest.approx(error, rel=0.05)
        assert float(number) * scale == pytest.approx(value, abs=0.051 * error)


def diffusing() -> Table:
    return Table(
        (Column("T", "K", pattern="g"), Column("D", "cm^2/s"), Column("from")),
        (
            (300.0, Number(3.7e-5, 6.1e-6, 2e-6), "run, one"),
            (400.0, Number(np.nan, note="it is too short"), "run two"),
        ),
        shown=(0,),
    )


def test_a_table_is_for_people_and_for_programs():
    table = diffusing()
    assert table.columns == ("T (K)", "D (cm²/s)", "from")
    assert table.rows == (("300", "3.70(61)(20)e-5", "run, one"),)
    assert table.foot == (
        "In parentheses: standard error, then deviation of the members, of the last digits.",
        "1 more rows in table.csv.",
    )
    whole = replace(table, shown=None)
    assert whole.rows[1][1:] == ("not computed", "run two")
    assert whole.foot[1:] == ("400: D: it is too short",)
    lines = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert lines[0] == {
        "T (K)": "300",
        "D (cm^2/s)": "3.7e-05",
        "D error (cm^2/s)": "6.1e-06",
        "D deviation (cm^2/s)": "2e-06",
        "from": "run, one",
        "note": "",
    }
    assert lines[1]["D (cm^2/s)"] == ""
    assert lines[1]["note"] == "D: it is too short"


def test_one_row_is_read_from_top_to_bottom():
    table = Table.of_one((Column("E", "eV"), Number(1.0, 0.1)), (Column("by"), "hand"))
    assert table.columns == ("quantity", "value")
    assert table.rows == (("E (eV)", "1.00(10)"), ("by", "hand"))
    assert table.to_csv() == "E (eV),E error (eV),by\n1,0.1,hand\n"


def test_a_column_of_words_holds_no_numbers():
    with pytest.raises(ValueError, match="D mixes words and numbers"):
        Table((Column("D"),), ((1.0,), ("none",)))

"""Delimited text: any usual encoding, delimiter, line end and quote."""

import codecs

import pytest
from read_tables import FIVE, lines, table, taken
from sample_files import (
    imei,
    imeis,
)

from spreadsheets import UnreadableFileError
from spreadsheets import delimited as spreadsheets_csv
from spreadsheets.reading import read_file


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_yields_imeis(delimiter: str) -> None:
    rows = [delimiter.join(["Model", "IMEI", "Price, or | so"])]
    rows += [delimiter.join(["Phone; black, new", f'"{number}"', "1,50"][:3]) for number in FIVE]
    if delimiter in ",;":
        rows = [delimiter.join(["Model", "IMEI", "Price"])] + [delimiter.join(["Phone", n, "2"]) for n in FIVE]
    intake = read_file(lines(*rows))
    assert intake.chosen.delimiter == delimiter
    assert intake.chosen.column == 1
    assert taken(intake) == FIVE


def test_a_decimal_comma_in_scientific_notation_does_not_pass_for_a_delimiter() -> None:
    notation = [f"{number[0]},{number[1:]}E+14" for number in FIVE]
    intake = read_file(lines("Model;IMEI", *(f"Phone;{text}" for text in notation)))
    assert intake.chosen.delimiter == ";"
    assert taken(intake) == FIVE


def test_a_sep_line_is_obeyed_and_is_no_data() -> None:
    intake = read_file(lines("sep=;", "IMEI;Model", *(f"{number};A,B" for number in FIVE), end="\r\n"))
    assert (intake.chosen.delimiter, intake.chosen.header_row) == (";", 2)
    assert taken(intake) == FIVE
    assert not intake.rejected


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("cp1252", b""),
    ],
)
def test_every_usual_encoding_is_read(encoding: str, mark: bytes) -> None:
    text = "IMEI;Größe\r\n" + "".join(f"{number};64 GB, schön\r\n" for number in FIVE)
    intake = read_file(mark + text.encode(encoding))
    assert taken(intake) == FIVE
    assert [column.header for column in intake.columns] == ["IMEI", "Größe"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\r\r\n"])
def test_any_line_end_will_do(end: str) -> None:
    assert taken(read_file(lines("IMEI", *FIVE, "", end=end))) == FIVE


def test_mixed_line_ends_nul_bytes_ragged_rows_and_quoted_line_ends_are_fine() -> None:
    data = (
        f'Model,IMEI,Note\r\nA,{FIVE[0]}\nB,{FIVE[1]},"two\nlines",more\rC\n\n,{FIVE[2][:7]}\0{FIVE[2][7:]},\r\n'
        f'D,{FIVE[3]},"a ""quoted"" word"\n'
    ).encode()
    intake = read_file(data)
    assert taken(intake) == FIVE[:4]
    assert (intake.rows_read, intake.blank) == (5, 1)


def test_a_quote_that_is_never_closed_hides_no_imei() -> None:
    rows = [f'"6.1 inch,{number},x' if place == 1 else f"Phone,{number},x" for place, number in enumerate(FIVE)]
    intake = read_file(lines("Model,IMEI,Note", *rows))
    assert taken(intake) == FIVE
    assert "never closed" in intake.warnings[0]


def test_a_quote_that_is_never_closed_in_a_long_file_hides_no_imei() -> None:
    intake = read_file(b'"' + lines(*imeis(10_000)))
    assert taken(intake) == imeis(10_000)
    assert "never closed" in intake.warnings[0]


def test_a_row_of_too_many_cells_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_csv, "MOST_CELLS", 1000)
    with pytest.raises(UnreadableFileError, match="Row 2 has more than 1,000 cells"):
        read_file(lines(FIVE[0], "," * 1000))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_quoted_cell_of_many_lines_is_a_list(end: str, delimiter: str) -> None:
    rows = [["Item", "Serial No", "Warehouse"], *(["A", number, "Main"] for number in FIVE)]
    rows += [
        ["B", '"' + end.join(imeis(40, 100)) + '"', "Main"],
        ["C", '"' + end.join(imeis(3, 200)) + end + '"', "Main"],
    ]
    intake = read_file(table(*rows, delimiter=delimiter))
    assert taken(intake) == [*FIVE, *imeis(40, 100), *imeis(3, 200)]
    assert "2 cells with several IMEIs: each of them is taken." in intake.warnings


def test_a_cell_of_many_lines_with_a_comma_after_each_is_a_list() -> None:
    intake = read_file(('IMEI,Note\n"' + ",\n".join(FIVE) + '",x\n' + imei(9) + ",y\n").encode())
    assert taken(intake) == [*FIVE, imei(9)]


def test_a_blank_after_a_quote_does_not_cut_up_a_list() -> None:
    text = f'Model,IMEI\n"a" ,{FIVE[0]}\nx,"{FIVE[1]}\n{FIVE[2]}\n{FIVE[3]}"\n'
    assert taken(read_file(text.encode())) == FIVE[:4]


@pytest.mark.parametrize("mark", ['"6.1 inch', '"', '"Black "64"'])
def test_a_quote_that_is_left_open_still_hides_no_imei(mark: str) -> None:
    rows = [[mark if place in (1, 3) else "Phone", number, "x"] for place, number in enumerate(FIVE)]
    intake = read_file(table(["Model", "IMEI", "Note"], *rows))
    assert sorted(taken(intake)) == FIVE or any("also holds" in warning for warning in intake.warnings)

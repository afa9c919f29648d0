"""The column that holds the IMEIs, and its header row."""

import pytest
from read_tables import FIVE, lines, table, taken
from sample_files import (
    imei,
    workbook,
    wrong,
)

from imei import Kind
from spreadsheets import Choice, UnreadableFileError
from spreadsheets.reading import read_file, read_text


def test_names_only_break_ties_between_columns_of_imeis() -> None:
    rows = [f"{imei(place)},{imei(place + 100)},{wrong(place + 300)}" for place in range(1, 9)]
    for header, column in [("IMEI 2,IMEI 1,X", 1), ("A,IMEI,IMEI2", 1), ("A,B,IMEI", 0), ("IMEI2,Phone,C", 1)]:
        intake = read_file(lines(header, *rows))
        assert (header, intake.chosen.column) == (header, column)
        assert any("also holds 8 IMEIs" in warning for warning in intake.warnings)


def test_a_second_imei_is_never_chosen_while_another_column_has_any() -> None:
    rows = [f"{imei(place) if place % 3 == 0 else ''},{imei(place + 100)}" for place in range(1, 10)]
    assert read_file(lines("IMEI,IMEI 2", *rows)).chosen.column == 0
    assert read_file(lines("Price,IMEI 2", *(f"5,{number}" for number in FIVE))).chosen.column == 1


def test_a_column_of_other_long_numbers_loses_against_imeis() -> None:
    rows = [f"{wrong(place)},2026112322{place:04d},{imei(place + 50)}" for place in range(1, 9)]
    intake = read_file(lines("Order,Time,Number", *rows))
    assert intake.chosen.column == 2


@pytest.mark.parametrize(
    "name", ["IMEI", "imei no.", "IMEI NUMBER", "IMEI #", "IMEI1", "IMEI/MEID", "ESN", "Device ID"]
)
def test_a_known_header_name_is_found_under_title_rows(name: str) -> None:
    rows = ["November stock,,", ",,", "Shop 12,,", f"Model,Colour,{name}", *(f"A,B,{number}" for number in FIVE)]
    intake = read_file(lines(*rows))
    assert (intake.chosen.header_row, intake.chosen.column) == (4, 2)
    assert intake.columns[2].header == name
    assert taken(intake) == FIVE


def test_without_a_header_the_first_row_is_data() -> None:
    intake = read_file(lines(*FIVE))
    assert intake.chosen.header_row == 0
    assert taken(intake) == FIVE


def test_bad_cells_above_the_first_imei_are_reported_not_taken_for_a_header() -> None:
    intake = read_file(lines("IMEI", "n/a", "3.5337E+14", *FIVE))
    assert intake.chosen.header_row == 1
    assert [(bad.row, bad.text, bad.kind) for bad in intake.rejected] == [
        (2, "n/a", Kind.NOT_AN_IMEI),
        (3, "3.5337E+14", Kind.DAMAGED),
    ]


IMSIS = [f"31026039825{number:04d}" for number in range(1000, 1040)]


@pytest.mark.parametrize("name", ["IMSI", "Phone Number", "Order No", "Tracking", "SIM", "Serial", "ICCID", "x"])
@pytest.mark.parametrize("title", ["IMEI", "Device IMEI", "imei no."])
def test_a_long_column_of_other_numbers_does_not_beat_a_short_one_of_imeis(name: str, title: str) -> None:
    rows = [[imsi, FIVE[place] if place < 5 else ""] for place, imsi in enumerate(IMSIS)]
    intake = read_file(table([name, title], *rows))
    assert (intake.chosen.column, taken(intake)) == (1, FIVE)
    assert any(warning.startswith(f"Column A ({name}) also holds") for warning in intake.warnings)


@pytest.mark.parametrize("name", ["Serial No", "Serial Number", "Phone", "Order", "S/N"])
def test_a_header_of_another_number_does_not_hide_the_only_imeis(name: str) -> None:
    rows = [[number, "swapped with " + imei(50) if number == FIVE[0] else ""] for number in FIVE]
    intake = read_file(table([name, "Remarks"], *rows))
    assert (intake.chosen.column, taken(intake)) == (0, FIVE)
    assert any("Column B (Remarks) also holds 1 IMEI" in warning for warning in intake.warnings)


@pytest.mark.parametrize("name", ["Order", "IMSI", "Tracking Number", "Serial", "EID", "Phone no."])
def test_even_valid_numbers_under_another_header_lose_against_a_column_titled_imei(name: str) -> None:
    rows = [[imei(place), imei(place + 50) if place < 3 else ""] for place in range(1, 20)]
    intake = read_file(table([name, "IMEI"], *rows))
    assert (intake.chosen.column, taken(intake)) == (1, [imei(51), imei(52)])


@pytest.mark.parametrize("name", ["IMSI", "ICCID", "Order", "SIM No."])
def test_a_file_of_other_numbers_only_is_refused_with_their_count(name: str) -> None:
    with pytest.raises(UnreadableFileError, match=r"but 40 numbers of 14 to 17 digits"):
        read_file(table([name], *([imsi] for imsi in IMSIS)))


def test_the_second_imei_column_is_not_taken_even_where_the_first_is_damaged() -> None:
    rows = [["3.5337E+14", number] for number in FIVE]
    intake = read_file(table(["IMEI", "IMEI 2"], *rows))
    assert (intake.chosen.column, taken(intake), len(intake.rejected)) == (0, [], 5)
    assert any("Column B (IMEI 2) also holds 5 IMEIs" in warning for warning in intake.warnings)


def test_of_two_sheets_the_one_with_the_surer_imeis_is_chosen() -> None:
    sheets = {"SIM cards": [["IMSI"], *([imsi] for imsi in IMSIS)], "Stock": [["IMEI"], [FIVE[0]], [FIVE[1]]]}
    intake = read_file(workbook(sheets))
    assert (intake.chosen.sheet, taken(intake)) == ("Stock", FIVE[:2])
    assert any("The sheet 'SIM cards' also holds" in warning for warning in intake.warnings)


@pytest.mark.parametrize(
    "first",
    [
        "352O99111122228",
        "35209911112222X",
        "35 2O99 1111 22228",
        "352099111122",
        "IMEI 352O99111122228",
        "N0 3520991111",
    ],
)
def test_a_first_line_with_ten_digits_is_a_value_and_no_header(first: str) -> None:
    intake = read_text("\n".join([first, *FIVE]))
    assert (intake.chosen.header_row, intake.rows_read) == (0, 6)
    assert [(bad.row, bad.text) for bad in intake.rejected] == [(1, first)]
    assert taken(intake) == FIVE


@pytest.mark.parametrize("title", ["Stock list", "IMEI list of November", "Exported 2026-11-28 12:36:00", "My phones"])
@pytest.mark.parametrize("header", ["IMEI", "IMEI No.", "Device IMEI"])
def test_a_title_above_the_header_is_no_header(title: str, header: str) -> None:
    intake = read_file(table([title, ""], ["", ""], [header, "Model"], *([number, "A"] for number in FIVE)))
    assert (intake.chosen.header_row, taken(intake), len(intake.rejected)) == (3, FIVE, 0)


def test_of_plain_titles_the_fullest_row_is_the_header() -> None:
    intake = read_file(table(["Stock", ""], ["Handset", "Model"], *([number, "A"] for number in FIVE)))
    assert (intake.chosen.header_row, len(intake.rejected)) == (2, 0)


def test_a_mistyped_number_above_the_header_is_reported_and_a_good_one_announced() -> None:
    intake = read_file(table(["352O99111122228"], ["IMEI"], *([number] for number in FIVE)))
    assert [bad.row for bad in intake.rejected] == [1]
    below = read_file(table(["IMEI"], *([number] for number in FIVE)), Choice(header_row=3))
    assert taken(below) == FIVE[2:]
    assert any("above the data hold 2 IMEIs" in warning for warning in below.warnings)


def test_a_column_of_wrong_check_digits_is_still_read() -> None:
    intake = read_file(table(["IMEI"], *([wrong(place)] for place in range(1, 6))))
    assert (taken(intake), len(intake.luhn_failed)) == ([], 5)


def test_a_row_of_a_list_that_holds_imeis_is_no_header() -> None:
    intake = read_text(f"INSERT INTO t (imei, imei_b) VALUES ({', '.join(FIVE)});")
    assert taken(intake) == FIVE
    assert intake.chosen.header_row == 0

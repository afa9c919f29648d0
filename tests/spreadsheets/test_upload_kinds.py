"""Kinds of uploads that once went wrong, each in several forms: which IMEIs are taken, and what is said of the rest."""

import pytest
from old_workbooks import ods
from sample_files import imei, imeis, raw_workbook, workbook, wrong

from imei import Kind
from spreadsheets.cells import BESIDE, NO_VALUE
from spreadsheets.intake import ALL_COLUMNS, Intake
from spreadsheets.reading import Choice, UnreadableFileError, read_file, read_text

FIVE = imeis(5)
IMSIS = [f"31026039825{number:04d}" for number in range(1000, 1040)]


def taken(intake: Intake) -> list[str]:
    return list(intake.ready.imeis())


def table(*rows: list[str], delimiter: str = ",") -> bytes:
    return "\r\n".join(delimiter.join(row) for row in rows).encode()


# --- which column -----------------------------------------------------------------------------------------------


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


# --- headers ----------------------------------------------------------------------------------------------------


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


# --- lists in cells, and quotes ---------------------------------------------------------------------------------


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


def test_a_workbook_cell_of_many_lines_is_a_list() -> None:
    intake = read_file(workbook({"Stock": [["IMEI"], ["\n".join(FIVE)], [f"{imei(8)}\n{imei(9)}"]]}))
    assert taken(intake) == [*FIVE, imei(8), imei(9)]


# --- two IMEIs of one phone -------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}/{}", "{} / {}", "IMEI1:{}IMEI2:{}", "IMEI1: {} IMEI2: {}", "{} {}"])
def test_the_second_imei_of_a_cell_is_announced_and_taken_on_request(form: str) -> None:
    text = "\n".join(form.format(imei(place), imei(place + 50)) for place in range(1, 6))
    intake = read_text(text)
    assert taken(intake) == FIVE
    assert [(second.imei, second.row) for second in intake.seconds] == [
        (imei(place + 50), place) for place in range(1, 6)
    ]
    assert intake.more_phones == 5
    assert any("5 second IMEIs of phones" in warning for warning in intake.warnings)
    both = read_text(text, Choice(second_imeis=True))
    assert sorted(taken(both)) == sorted(FIVE + imeis(5, 51))
    assert (len(both.seconds), both.more_phones) == (0, 0)


def test_the_column_of_second_imeis_is_announced_and_taken_on_request() -> None:
    data = table(["IMEI", "IMEI 2"], *([imei(place), imei(place + 50)] for place in range(1, 6)))
    intake = read_file(data)
    assert (taken(intake), intake.more_phones) == (FIVE, 5)
    both = read_file(data, Choice(second_imeis=True))
    assert sorted(taken(both)) == sorted(FIVE + imeis(5, 51))
    assert both.warnings == ()


def test_a_second_imei_that_is_a_first_elsewhere_is_not_counted_as_more() -> None:
    intake = read_text(f"{imei(1)}/{imei(2)}\n{imei(2)}\n{imei(3)}/{imei(3)}")
    assert (taken(intake), intake.more_phones) == ([imei(1), imei(2), imei(3)], 0)
    assert [again.row for again in intake.repeated] == [3]


# --- what is beside an IMEI -------------------------------------------------------------------------------------


def test_fourteen_digits_are_no_body_where_the_row_has_an_imei() -> None:
    rows = [["Scan", "IMEI 2"], *([FIVE[place][:14] if place else imei(30), imei(place + 60)] for place in range(5))]
    intake = read_file(table(*rows), Choice(column=0))
    assert taken(intake) == [imei(30)]
    assert {(bad.kind, bad.reason) for bad in intake.rejected} == {(Kind.NOT_AN_IMEI, BESIDE)}


@pytest.mark.parametrize("delimiter", [" ", "\t", ",", ";", " | "])
@pytest.mark.parametrize("code", ["20261128123600", "10194252707067", "06934177712349", "20261128123600123"])
def test_a_scanner_log_gives_its_imeis_only(delimiter: str, code: str) -> None:
    assert taken(read_text("\n".join(f"{number}{delimiter}{code}" for number in FIVE))) == FIVE
    assert taken(read_text("\n".join(f"{code}{delimiter}{number}" for number in FIVE))) == FIVE
    assert taken(read_text("\n".join(f"{code}\n{number}" for number in FIVE))) == FIVE


# --- numbers in every notation ----------------------------------------------------------------------------------


def grouped(number: str, sign: str) -> str:
    return sign.join(number[place : place + 3] for place in range(0, 15, 3))


#: Encodings and the thousands signs that they have.
SIGNS = {"utf-8": [",", ".", "'", "’", "\u00a0", "\u202f", " "], "cp1252": [",", ".", "'", "’", "\u00a0", " "]}
NOTATIONS = [
    (encoding, fraction, sign)
    for encoding, signs in SIGNS.items()
    for fraction in ("", ".00", ",00")
    for sign in signs
    if not fraction.startswith(sign)
]


@pytest.mark.parametrize(("encoding", "fraction", "sign"), NOTATIONS)
def test_signs_between_thousands_are_read_in_a_file(encoding: str, fraction: str, sign: str) -> None:
    rows = [f'"{grouped(number, sign)}{fraction}";iPhone' for number in FIVE]
    assert taken(read_file("\n".join(["IMEI;Model", *rows]).encode(encoding))) == FIVE
    bare = [f"{grouped(number, sign)}{fraction}" for number in FIVE]
    assert taken(read_file("\n".join(["IMEI", *bare]).encode(encoding))) == FIVE


@pytest.mark.parametrize("fashion", ["{}", "x,{}", "{},iPhone 12,black", "7,x,{},1.50"])
def test_commas_between_thousands_are_read_without_quotes_too(fashion: str) -> None:
    intake = read_file("\n".join(["Stock", *(fashion.format(grouped(number, ",")) for number in FIVE)]).encode())
    assert taken(intake) == FIVE


@pytest.mark.parametrize("exponent", ["E+14", "E+014", "e+14", "E14", "E+0014"])
@pytest.mark.parametrize(("point", "delimiter"), [(".", ","), (",", ";"), (".", "\t"), (",", "\t")])
def test_exact_scientific_notation_is_read_in_a_file(exponent: str, point: str, delimiter: str) -> None:
    rows = [[f"{number[0]}{point}{number[1:]}{exponent}", "iPhone"] for number in FIVE]
    assert taken(read_file(table(["IMEI", "Model"], *rows, delimiter=delimiter))) == FIVE


# --- workbooks --------------------------------------------------------------------------------------------------


def test_a_row_element_for_each_cell_is_one_row() -> None:
    rows = "".join(
        f'<row r="{n}"><c r="A{n}"><v>7</v></c></row><row r="{n}"><c r="B{n}"><v>{number}</v></c></row>'
        f'<row r="{n}"><c r="D{n}" t="str"><v>x</v></c></row>'
        for n, number in enumerate(FIVE, 3)
    )
    intake = read_file(raw_workbook(rows))
    assert [(ready.imei, ready.row) for ready in intake.ready] == list(zip(FIVE, range(3, 8), strict=True))
    assert (intake.rows_read, intake.blank) == (5, 0)
    assert [column.filled for column in intake.columns] == [5, 5, 5]


def test_cells_of_a_row_without_references_or_with_the_same_one_are_all_kept() -> None:
    bare = "".join(f'<row r="1"><c><v>{number}</v></c></row>' for number in FIVE)
    same = "".join(f'<row r="2"><c r="A2"><v>{number}</v></c></row>' for number in imeis(3, 10))
    intake = read_file(raw_workbook(bare + same), Choice(column=ALL_COLUMNS))
    assert taken(intake) == [*FIVE, *imeis(3, 10)]


@pytest.mark.parametrize("stored", ["", "<v/>", "<v></v>", "<v>0</v>"])
def test_a_formula_without_a_value_is_reported_by_row(stored: str) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{number}</v></c></row>' for n, number in enumerate(FIVE, 1))
    intake = read_file(raw_workbook(f'{rows}<row r="6"><c r="A6"><f>B6</f>{stored}</c></row>'))
    assert taken(intake) == FIVE
    assert [(bad.row, bad.text, bad.reason) for bad in intake.rejected] == [(6, "=B6", NO_VALUE)]


@pytest.mark.parametrize("stored", ["", "<v>0</v>"])
def test_a_sheet_of_nothing_but_formulas_says_what_to_do(stored: str) -> None:
    rows = "".join(f'<row r="{n}"><c r="A{n}"><f>B{n}</f>{stored}</c></row>' for n in range(1, 9))
    with pytest.raises(UnreadableFileError, match=r"8 formulas\. .* open the file in Excel, save it"):
        read_file(raw_workbook(rows))
    cell = '<table:table-row><table:table-cell table:formula="of:=[.B1]"/></table:table-row>'
    with pytest.raises(UnreadableFileError, match=r"3 formulas\. .* open the file in Excel, save it"):
        read_file(ods([["IMEI"]], cell * 3))


def test_labelled_pairs_side_by_side_are_one_phone_a_row() -> None:
    text = "\n".join(f"IMEI1:{imei(place)};IMEI2:{imei(place + 50)}" for place in range(1, 4))
    intake = read_text(text)
    assert taken(intake) == imeis(3)
    assert len(intake.seconds) == 3 or intake.chosen.column != ALL_COLUMNS


def test_a_column_of_wrong_check_digits_is_still_read() -> None:
    intake = read_file(table(["IMEI"], *([wrong(place)] for place in range(1, 6))))
    assert (taken(intake), len(intake.luhn_failed)) == ([], 5)

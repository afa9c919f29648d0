"""Lists of TACs are read whatever their titles are called, and what is not understood is named with its row."""

import io

import pytest
import xlsxwriter

from spreadsheets import UnreadableFileError, read_tacs


def table(*rows: str) -> bytes:
    return "\r\n".join(rows).encode()


@pytest.mark.parametrize(
    "titles",
    ["TAC,Brand,Model", "Type Allocation Code;Manufacturer;Marketing Name", "tac\tMake\tDevice", "TAC,name,name2"],
)
def test_titles_are_found_in_several_spellings(titles: str) -> None:
    sign = next(sign for sign in ",;\t" if sign in titles)
    found = list(read_tacs(table("A list of TACs", titles, sign.join(("35337008", "Apple", "iPhone 14")))))
    assert [line[1:] for line in found] == [("35337008", "Apple", "iPhone 14", "")]


def test_the_marketing_name_is_preferred_and_a_brand_alone_is_enough() -> None:
    rows = table("Model,TAC,Marketing name,Manufacturer", "A2882,35337008,iPhone 14,Apple", ",35123456,,Samsung")
    assert [line[1:4] for line in read_tacs(rows)] == [("35337008", "Apple", "iPhone 14"), ("35123456", "Samsung", "")]


def test_bad_rows_have_a_reason_and_lost_zeros_are_put_back() -> None:
    rows = table("TAC,Model", "1326300,iPhone 5", "353370,X", ",X", "35337008,", "", "3533700812,X", "35337008,iPhone")
    found = list(read_tacs(rows))
    assert [(line.number, line.failure) for line in found if line.failure] == [
        (3, "A TAC has 8 digits."),
        (4, "It has no TAC."),
        (5, "It names neither brand nor model."),
        (7, "A TAC has 8 digits."),
    ]
    assert [line.tac for line in found if line.tac] == ["01326300", "35337008"]


def test_numbers_of_a_workbook_are_tacs() -> None:
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for place, row in enumerate((["TAC", "Model"], [35337008, "iPhone 14"], [1326300.0, "iPhone 5"])):
            sheet.write_row(place, 0, row)
    assert [line.tac for line in read_tacs(file.getvalue())] == ["35337008", "01326300"]


def test_another_file_is_refused() -> None:
    with pytest.raises(UnreadableFileError, match="no row has the titles TAC and Model"):
        read_tacs(table("IMEI,Model", "353370080000011,iPhone"))

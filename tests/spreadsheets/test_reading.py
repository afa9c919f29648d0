"""Files and pasted text in: what is chosen, that every cell is accounted for, and what bad files get."""

import codecs
import csv
import io
import tracemalloc
import zipfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_files import (
    OLE,
    STRICT_NS,
    archive,
    imei,
    imeis,
    raw_workbook,
    repacked,
    text_workbook,
    workbook,
    wrong,
)

from imei import Kind
from spreadsheets import delimited as spreadsheets_csv
from spreadsheets import reading as spreadsheets
from spreadsheets.cells import classify
from spreadsheets.reading import ALL_COLUMNS, Choice, Intake, UnreadableFileError, read_file, read_text
from workbooks import parts as spreadsheets_parts
from workbooks import xlsx as spreadsheets_xlsx
from workbooks.kinds import Deadline, Row, Worksheet
from workbooks.xlsx import read_xlsx

FIVE = imeis(5)


def taken(intake: Intake) -> list[str]:
    return [ready.imei for ready in intake.ready]


def lines(*rows: str, end: str = "\n") -> bytes:
    return end.join(rows).encode()


def in_this_process(data: bytes) -> list[Worksheet | Row]:
    """What the reader of XLSX finds, without the child process around it."""
    return list(read_xlsx(data, Deadline(30)))


def accounted(intake: Intake) -> list[int]:
    """The row of every value, in all buckets together."""
    buckets = (intake.ready, intake.luhn_failed, intake.repeated, intake.seconds)
    rows = [one.row for bucket in buckets for one in bucket]
    return sorted(rows + [rejected.row for rejected in intake.rejected])


# --- delimited text -------------------------------------------------------------------------------------------


def test_a_list_of_one_column_is_taken_in_order() -> None:
    intake = read_file(lines("IMEI", *FIVE))
    assert taken(intake) == FIVE
    assert [ready.row for ready in intake.ready] == [2, 3, 4, 5, 6]
    assert intake.chosen == Choice(sheet="", column=0, header_row=1, delimiter=",", encoding="utf-8")
    assert (intake.rows_read, intake.blank, intake.warnings) == (5, 0, ())


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


def test_each_value_goes_into_its_bucket_with_its_row() -> None:
    rows = [FIVE[0], FIVE[1][:14], "", wrong(9), FIVE[0], "F4GKVV0HT54H", f"{FIVE[2]}/{FIVE[3]}", wrong(9), "x"]
    intake = read_file(lines("IMEI", *rows))
    assert [(ready.imei, ready.row) for ready in intake.ready] == list(zip(FIVE[:3], [2, 3, 8], strict=True))
    assert [bool(ready.note) for ready in intake.ready] == [False, True, True]
    assert [(second.imei, second.row) for second in intake.seconds] == [(FIVE[3], 8)]
    assert intake.ready[1].text == FIVE[1][:14]
    assert [(failed.imei, failed.row) for failed in intake.luhn_failed] == [(wrong(9), 5)]
    assert [(again.row, again.imei, again.first_row) for again in intake.repeated] == [
        (6, FIVE[0], 2),
        (9, wrong(9), 5),
    ]
    assert [(bad.row, bad.kind) for bad in intake.rejected] == [(7, Kind.SERIAL), (10, Kind.NOT_AN_IMEI)]
    assert "1 second IMEI of phones" in intake.warnings[0]


def test_what_was_chosen_can_be_changed() -> None:
    data = lines("IMEI;Second", *(f"{imei(place)};{imei(place + 10)}" for place in range(1, 6)))
    found = read_file(data)
    assert read_file(data, found.chosen) == found
    assert taken(read_file(data, Choice(column=1))) == imeis(5, 11)
    assert taken(read_file(data, Choice(header_row=3))) == imeis(3, 3)
    assert taken(read_file(data, Choice(column=ALL_COLUMNS)))[:2] == [imei(1), imei(11)]
    assert read_file(data, Choice(header_row=0)).rejected[0].text == "IMEI"
    in_one_cell = read_file(data, Choice(delimiter=",", encoding="cp1252"))
    assert (taken(in_one_cell)[0], in_one_cell.seconds[0].imei) == (imei(1), imei(11))


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(column=9), "no column 10"),
        (Choice(encoding="klingon"), "not a text encoding"),
        (Choice(encoding="base64"), "not a text encoding"),
        (Choice(delimiter=";;"), "one sign"),
        (Choice(delimiter="\n"), "one sign"),
    ],
)
def test_a_choice_that_does_not_fit_gets_a_sentence(choice: Choice, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        read_file(lines("IMEI", *FIVE), choice)


# --- pasted text ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("between", ["\n", ", ", ";", " ", "\t", " | ", "\r\n\r\n", ",\n"])
def test_a_pasted_list_may_stand_in_any_shape(between: str) -> None:
    intake = read_text(between.join(FIVE))
    assert (intake.kind, taken(intake)) == ("text", FIVE)


def test_a_pasted_list_of_uneven_lines_is_taken_whole() -> None:
    text = f"{FIVE[0]}, {FIVE[1]}\n{FIVE[2]}\n{FIVE[3]},{FIVE[4]},"
    assert taken(read_text(text)) == FIVE


def test_a_pasted_table_has_columns() -> None:
    text = "Model\tIMEI\tIMEI2\n" + "\n".join(f"A\t{imei(n)}\t{imei(n + 10)}" for n in range(1, 6))
    intake = read_text(text)
    assert (intake.chosen.column, taken(intake)) == (1, FIVE)


def test_a_file_with_one_long_line_of_imeis_is_a_list() -> None:
    intake = read_file(",".join(imeis(3000)).encode())
    assert intake.chosen.column == ALL_COLUMNS
    assert taken(intake) == imeis(3000)


@pytest.mark.parametrize("text", ["", " \n\t "])
def test_pasting_nothing_says_so(text: str) -> None:
    with pytest.raises(UnreadableFileError, match="Nothing was pasted"):
        read_text(text)


# --- workbooks ------------------------------------------------------------------------------------------------


def test_a_workbook_with_text_and_number_cells_is_taken_exactly() -> None:
    rows = [["Stock list", None], [None, None], ["Model", "IMEI"]]
    rows += [["A", number if place % 2 else int(number)] for place, number in enumerate(FIVE)]
    intake = read_file(workbook({"Stock": rows}))
    assert taken(intake) == FIVE
    assert [ready.row for ready in intake.ready] == [4, 5, 6, 7, 8]
    assert intake.chosen == Choice(sheet="Stock", column=1, header_row=3, delimiter="", encoding="")


def test_inline_strings_and_a_wrong_dimension_lose_no_row() -> None:
    data = text_workbook([["IMEI"], *([number] for number in FIVE)], inline=True)
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        sheet = file.read("xl/worksheets/sheet1.xml")
    lying = sheet.replace(b'<dimension ref="A1:A6"/>', b'<dimension ref="A1"/>')
    assert lying != sheet
    assert taken(read_file(repacked(data, {"xl/worksheets/sheet1.xml": lying}))) == FIVE


def test_the_visible_sheet_with_most_imeis_is_chosen_and_the_others_are_named() -> None:
    sheets = {
        "Cover": [["Hello"]],
        "Few": [["IMEI"], [imei(50)]],
        "Hidden": [["IMEI"], *([number] for number in imeis(40, 100))],
        "Many": [["IMEI"], *([number] for number in FIVE)],
    }
    intake = read_file(workbook(sheets, hidden_sheets=["Hidden"]))
    assert (intake.chosen.sheet, taken(intake)) == ("Many", FIVE)
    assert intake.warnings == (
        "The sheet 'Few' also holds 1 IMEI, which are not taken.",
        "The hidden sheet 'Hidden' also holds 40 IMEIs, which are not taken.",
    )
    assert [(sheet.name, sheet.hidden, sheet.imeis) for sheet in intake.sheets] == [
        ("Cover", False, 0), ("Few", False, 1), ("Hidden", True, 40), ("Many", False, 5)
    ]  # fmt: skip
    assert taken(read_file(workbook(sheets), Choice(sheet="Few"))) == [imei(50)]
    with pytest.raises(UnreadableFileError, match="no sheet 'Gone'"):
        read_file(workbook(sheets), Choice(sheet="Gone"))


def test_hidden_rows_are_taken_and_said_or_left_out_by_choice() -> None:
    data = workbook({"Stock": [["IMEI"], *([number] for number in FIVE)]}, hidden_rows=[3, 4])
    intake = read_file(data)
    assert taken(intake) == FIVE
    assert intake.warnings == ("Hidden or filtered rows also hold 2 IMEIs, which are taken too.",)
    visible = read_file(data, Choice(hidden_rows=False))
    assert taken(visible) == [FIVE[0], *FIVE[3:]]
    assert [(bad.row, bad.kind) for bad in visible.rejected] == [(3, Kind.HIDDEN), (4, Kind.HIDDEN)]


def test_formulas_errors_truths_and_dates_are_reported_by_row() -> None:
    rows = [["IMEI"], [FIVE[0]], ["=A1&B1"], [True], [date(2026, 11, 23)], ["#N/A"], [FIVE[1]]]
    intake = read_file(workbook({"Stock": rows}))
    assert taken(intake) == FIVE[:2]
    assert [(bad.row, bad.text) for bad in intake.rejected] == [
        (3, "=A1&B1"), (4, "TRUE"), (5, "2026-11-23"), (6, "#N/A")
    ]  # fmt: skip
    assert "open the file in Excel" in intake.rejected[0].reason


def test_a_number_padded_by_its_format_has_its_zero() -> None:
    styles = (
        b'<styleSheet xmlns="x"><numFmts><numFmt numFmtId="170" formatCode="000000000000000"/></numFmts>'
        b'<cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="170"/>'
        b'<xf numFmtId="14"/></cellXfs></styleSheet>'
    )
    links = (
        b'<Relationships xmlns="x"><Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/>'
        b'<Relationship Id="rId2" Type="http://x/styles" Target="styles.xml"/></Relationships>'
    )
    data = raw_workbook(
        '<row r="1"><c r="A1" s="1"><v>13370080089453</v></c></row>'
        f'<row r="2"><c r="A2" s="2"><v>{FIVE[0]}</v></c></row><row r="3"><c r="A3" s="2"><v>46349</v></c></row>',
        extra={"xl/styles.xml": styles, "xl/_rels/workbook.xml.rels": links},
    )
    intake = read_file(data)
    assert taken(intake) == ["013370080089453", FIVE[0]]
    assert intake.rejected[0].text == "2026-11-23"


def test_strict_and_prefixed_workbooks_with_cells_without_references_are_read() -> None:
    cells = "".join(f"<x:row><x:c><x:v>{number}</x:v></x:c></x:row>" for number in FIVE)
    assert taken(read_file(raw_workbook(cells, prefix="x", namespace=STRICT_NS))) == FIVE


def test_rich_text_phonetics_and_escapes_in_a_cell() -> None:
    first, second = FIVE[0], FIVE[1]
    data = raw_workbook(
        f'<row r="1"><c r="A1" t="inlineStr"><is><r><t>{first[:5]}</t></r><r><t>{first[5:]}</t></r>'
        "<rPh><t>1234</t></rPh></is></c></row>"
        f'<row r="5"><c r="A5" t="str"><f>B5</f><v>{second}_x000D_</v></c></row>'
        '<row r="6"><c r="A6" t="str"><f>B6</f><v></v></c></row>'
    )
    intake = read_file(data)
    assert [(ready.imei, ready.row) for ready in intake.ready] == [(first, 1), (second, 5)]
    assert not intake.rejected


def test_broken_styles_do_not_matter() -> None:
    data = repacked(workbook({"S": [["IMEI"], *([n] for n in FIVE)]}), {"xl/theme/theme1.xml": b"<broken"})
    assert taken(read_file(data)) == FIVE


# --- every cell is accounted for --------------------------------------------------------------------------------

CELLS = st.one_of(
    st.integers(1, 40).map(imei),
    st.integers(1, 9).map(wrong),
    st.integers(1, 9).map(lambda number: imei(number)[:14]),
    st.integers(1, 9).map(lambda number: f"{imei(number)}/{imei(number + 1)}"),
    st.sampled_from(["", " ", "\u200b", "n/a", "3.5337E+14", "F4GKVV0HT54H", "=A1", "#N/A", "0", "A0000012345678"]),
    st.text("0123456789 -/AbE+", max_size=20),
)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=30), st.booleans())
@settings(deadline=None)
def test_every_cell_of_the_chosen_column_ends_in_exactly_one_bucket(
    cells: list[tuple[str, str]], as_workbook: bool
) -> None:
    rows = [("Note", "IMEI"), *cells]
    if as_workbook:
        data = text_workbook(rows)
    else:
        out = io.StringIO(newline="")
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
        data = out.getvalue().encode()
    choice = Choice(column=1, header_row=1, delimiter=None if as_workbook else ",")
    intake = read_file(data, choice)
    expected = [row for row, (_, cell) in enumerate(cells, 2) for _ in classify(cell)]
    assert accounted(intake) == expected
    assert intake.blank == sum(1 for note, cell in cells if not classify(cell) and classify(note))
    assert len({ready.imei for ready in (*intake.ready, *intake.luhn_failed)}) == (
        len(intake.ready) + len(intake.luhn_failed)
    )


@given(st.binary(max_size=300))
@settings(deadline=None)
def test_any_bytes_give_an_intake_or_a_sentence(data: bytes) -> None:
    try:
        read_file(data, limit=100)
    except UnreadableFileError as error:
        assert str(error).endswith(".")


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=40))
@settings(deadline=None, max_examples=60)
def test_a_workbook_with_some_bytes_changed_gives_an_intake_or_a_sentence(place: int, change: bytes) -> None:
    good = bytearray(SMALL_WORKBOOK)
    start = place % len(good)
    good[start : start + len(change)] = change
    try:
        read_file(bytes(good))
    except UnreadableFileError as error:
        assert str(error).endswith(".")


SMALL_WORKBOOK = workbook({"Stock": [["IMEI"], *([number] for number in FIVE)]})


# --- what cannot be taken ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\r\n \r\n", "empty"),
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a picture"),
        (b"\x1f\x8b\x08" + bytes(50), "gzip"),
        (OLE + "EncryptedPackage".encode("utf-16-le"), "password"),
        (OLE + "Workbook".encode("utf-16-le"), "damaged"),
        (OLE, "old Office"),
        (b"\x09\x08\x10\x00\x00\x06\x05\x00" + bytes(50), r"\.xls"),
        (archive({"xl/workbook.bin": b"x", "[Content_Types].xml": b"x"}), "damaged"),
        (archive({"mimetype": b"application/vnd.oasis", "content.xml": b"<x"}), "damaged"),
        (archive({"word/document.xml": b"<x/>", "[Content_Types].xml": b"x"}), "Word"),
        (archive({"Index/Document.iwa": b"x"}), "Numbers"),
        (archive({"stock.csv": b"IMEI"}), "ZIP archive"),
        (SMALL_WORKBOOK[:400], "damaged"),
        (b"<!DOCTYPE html><html><table><tr><td>353370080089451", "web page"),
        (b'<?xml version="1.0"?><Workbook/>', "XML"),
        (bytes(range(1, 32)) * 40, "neither text nor"),
        (bytes(4000) + b"\x01\x02\x03" * 900, "neither text nor"),
        (b"Name,Price\nA,5\nB,6\n", "No IMEI was found in 3 rows .* begins with 'Name'"),
        (b"\n\n,,\n", "No IMEI"),
    ],
)
def test_other_files_get_one_sentence_that_says_what_to_do(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words) as caught:
        read_file(data)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="cannot be opened"):
        read_file(tmp_path / "gone.csv")
    (tmp_path / "a.csv").write_bytes(lines("IMEI", *FIVE))
    assert taken(read_file(Path(tmp_path / "a.csv"))) == FIVE


def test_more_than_25_megabytes_are_refused_with_the_size() -> None:
    with pytest.raises(UnreadableFileError, match="26 MB, and 25 MB is the most"):
        read_file(b"1" * 26 * 1024 * 1024)


def test_more_imeis_than_a_batch_takes_are_refused_with_the_count() -> None:
    data = lines("IMEI", *imeis(1234), *imeis(10))
    with pytest.raises(UnreadableFileError, match="1,234 different IMEIs, and a batch takes 1,000"):
        read_file(data, limit=1000)
    assert len(read_file(data, limit=1234).ready) == 1234


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbooks.guarded._locked", lambda _: True)  # other tests may read a workbook at this moment
    with pytest.raises(UnreadableFileError, match="longer than 0 seconds"):
        read_file(SMALL_WORKBOOK, seconds=0)
    with pytest.raises(UnreadableFileError, match="longer than 0 seconds"):
        read_file(lines(*imeis(5000)), seconds=0)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_UNPACKED", 40 * 1024 * 1024)
    bomb = raw_workbook("<row/>", extra={"xl/sharedStrings.xml": b" " * 45 * 1024 * 1024})
    assert len(bomb) < 100 * 1024
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableFileError, match="Unpacked, the workbook is larger"):
            in_this_process(bomb)
        assert tracemalloc.get_traced_memory()[1] < 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_workbook_that_lies_about_its_size_is_cut_off_while_unpacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_UNPACKED", 100_000)
    rows = "".join(f'<row r="{n}"><c r="A{n}"><v>{imei(n)}</v></c></row>' for n in range(1, 9000))
    data = bytearray(raw_workbook(rows))
    size = max(info.file_size for info in zipfile.ZipFile(io.BytesIO(data)).infolist())
    while (place := data.find(size.to_bytes(4, "little"))) >= 0:
        data[place : place + 4] = (5000).to_bytes(4, "little")
    with pytest.raises(UnreadableFileError, match=r"damaged|Unpacked"):
        in_this_process(bytes(data))


def test_an_endless_tag_and_endless_strings_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets_parts, "MAX_TOKEN", 200_000)
    with pytest.raises(UnreadableFileError, match="Unpacked"):
        in_this_process(raw_workbook(f'<row r="{"1" * 900_000}"></row>'))
    monkeypatch.setattr(spreadsheets_xlsx, "MAX_STRINGS_KEPT", 10_000)
    with pytest.raises(UnreadableFileError, match="Unpacked"):
        in_this_process(text_workbook([[f"word {n}"] for n in range(2000)]))


def test_a_doctype_is_refused() -> None:
    before = '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(UnreadableFileError, match="damaged"):
        read_file(raw_workbook("<row><c><v>&b;</v></c></row>", before=before))


def test_a_row_and_a_column_far_away_cost_nothing() -> None:
    data = raw_workbook(
        f'<row r="999999999999"><c r="XFD1"><v>{FIVE[0]}</v></c><c r="ZZZZZZ1"><v>1</v></c><c r="!"><v>1</v></c></row>'
    )
    intake = read_file(data)
    assert taken(intake) == [FIVE[0]]


def test_a_sheet_of_too_many_rows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheets, "MOST_ROWS", 1000)
    with pytest.raises(UnreadableFileError, match="more than 1,000 rows"):
        read_file(b"x\n" * 1001, limit=100)


def test_memory_grows_by_few_bytes_an_imei() -> None:
    data = lines("IMEI", *imeis(20_000))
    tracemalloc.start()
    try:
        intake = read_file(data)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(intake.ready) == 20_000
    assert held < 20_000 * 30
    assert peak < 20_000 * 250


def test_a_workbook_that_names_an_unknown_encoding_is_refused_with_a_sentence() -> None:
    data = SMALL_WORKBOOK
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        links = file.read("xl/_rels/workbook.xml.rels")
    spoiled = b'<?xml version="1.0" encoding="UTF-81"?>' + links.partition(b"?>")[2]
    with pytest.raises(UnreadableFileError):
        read_file(repacked(data, {"xl/_rels/workbook.xml.rels": spoiled}))

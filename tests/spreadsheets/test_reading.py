"""Files and pasted text in: what is chosen, that every cell is accounted for, and what bad files get."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_tables import FIVE, SMALL_WORKBOOK, lines, taken
from sample_files import (
    imei,
    imeis,
    workbook,
)

from imei import Found, Kind
from spreadsheets import Choice, UnreadableFileError
from spreadsheets.cells import _classify_text
from spreadsheets.intake import ALL_COLUMNS
from spreadsheets.reading import read_file, read_text


def test_a_list_of_one_column_is_taken_in_order() -> None:
    intake = read_file(lines("IMEI", *FIVE))
    assert taken(intake) == FIVE
    assert [ready.row for ready in intake.ready] == [2, 3, 4, 5, 6]
    assert intake.chosen == Choice(sheet="", column=0, header_row=1, delimiter=",", encoding="utf-8")
    assert (intake.rows_read, intake.blank, intake.warnings) == (5, 0, ())


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        (Choice(column=9), "no column 10"),
        (Choice(encoding="klingon"), "not a text encoding"),
        (Choice(encoding="base64"), "not a text encoding"),
        (Choice(encoding="undefined"), "not text in the encoding"),
        (Choice(delimiter=";;"), "one sign"),
        (Choice(delimiter="\n"), "one sign"),
    ],
)
def test_a_choice_that_does_not_fit_gets_a_sentence(choice: Choice, words: str) -> None:
    with pytest.raises(UnreadableFileError, match=words):
        read_file(lines("IMEI", *FIVE), choice)


@pytest.mark.parametrize("between", ["\n", ", ", ";", " ", "\t", " | ", "\r\n\r\n", ",\n"])
def test_a_pasted_list_may_stand_in_any_shape(between: str) -> None:
    intake = read_text(between.join(FIVE))
    assert (intake.kind, taken(intake)) == ("text", FIVE)


def test_a_text_is_judged_once_for_all_that_look_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the separator, for the columns and for its values; long texts are not kept for that."""
    texts = [f"{number}  iPhone 13 with a text that no other test has" for number in imeis(100)]
    judged = list[str]()

    def judge(text: str) -> tuple[Found, ...]:
        judged.append(text)
        return _classify_text(text)

    monkeypatch.setattr("spreadsheets.cells._classify_text", judge)
    assert taken(read_text("\n".join(texts))) == imeis(100)
    assert 0 < len(judged) <= 110
    judged.clear()
    assert taken(read_text(f"{imei(1)} {'long ' * 50}\n" * 2)) == [imei(1)]
    assert len(judged) >= 4


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


def test_hidden_rows_are_taken_and_said_or_left_out_by_choice() -> None:
    data = workbook({"Stock": [["IMEI"], *([number] for number in FIVE)]}, hidden_rows=[3, 4])
    intake = read_file(data)
    assert taken(intake) == FIVE
    assert intake.warnings == ("Hidden or filtered rows also hold 2 IMEIs, which are taken too.",)
    visible = read_file(data, Choice(hidden_rows=False))
    assert taken(visible) == [FIVE[0], *FIVE[3:]]
    assert [(bad.row, bad.kind) for bad in visible.rejected] == [(3, Kind.HIDDEN), (4, Kind.HIDDEN)]


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

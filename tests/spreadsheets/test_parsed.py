"""What one reading of a file found survives as bytes, serves every choice of values, and took one walk."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_files import imei, imeis, text_workbook, workbook, wrong

from spreadsheets import UnreadableFileError, reading
from spreadsheets.intake import Choice, Intake
from spreadsheets.parsed import DamagedParseError, Parsed, parsed_list
from spreadsheets.reading import parse_file, parse_text, read_file
from workbooks import Row, Workbook, Worksheet

CASES = sorted((Path(__file__).parents[1] / "cases" / "uploads").iterdir())
CHOICES = [Choice(hidden_rows=hidden, second_imeis=second) for hidden in (True, False) for second in (True, False)]


def facts(intake: Intake) -> tuple[object, ...]:
    """Everything in an intake, as plain values."""
    return (
        intake.kind,
        intake.chosen,
        intake.sheets,
        intake.warnings,
        (intake.rows_read, intake.blank, intake.more_phones),
        (list(intake.ready), list(intake.luhn_failed), list(intake.seconds)),
        (list(intake.rejected), list(intake.repeated)),
    )


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_parsed_file_survives_as_bytes_for_every_choice_of_values(path: Path) -> None:
    try:
        parsed = parse_file(path)
    except UnreadableFileError:
        pytest.skip("the file is refused")
    again = Parsed.from_bytes(parsed.to_bytes())
    for choice in CHOICES:
        wanted = facts(read_file(path, choice))
        assert facts(parsed.intake(choice, 100_000)) == wanted
        assert facts(again.intake(choice, 100_000)) == wanted


def test_hidden_rows_and_second_imeis_are_chosen_after_the_parse() -> None:
    one, two, three = imeis(3), imeis(3, 60), imeis(3, 90)
    rows = [["IMEI", "IMEI 2"], *([f"{a}/{b}", c] for a, b, c in zip(one, two, three, strict=True))]
    parsed = parse_file(workbook({"Stock": rows}, hidden_rows=[4]))
    counts = [
        (len(found.ready), len(found.rejected), found.more_phones)
        for found in (parsed.intake(choice, 100) for choice in CHOICES)
    ]
    assert counts == [(9, 0, 0), (3, 0, 6), (6, 3, 0), (2, 2, 5)]


def test_surrogates_and_long_texts_survive_as_bytes() -> None:
    text = "\n".join(["IMEI", imei(1), "x" * 500 + " 353370080089458", wrong(2), "'" + imei(3)])
    parsed = parse_text(text)
    assert facts(Parsed.from_bytes(parsed.to_bytes()).intake(Choice(), 9)) == facts(parsed.intake(Choice(), 9))


@pytest.mark.parametrize("damage", [b"", b"x", parsed_list([imei(1)]).to_bytes()[:-3]])
def test_damaged_bytes_are_noticed(damage: bytes) -> None:
    with pytest.raises(DamagedParseError):
        Parsed.from_bytes(damage)


def test_bytes_of_another_version_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    data = parsed_list([imei(1)]).to_bytes()
    monkeypatch.setattr("spreadsheets.parsed.VERSION", 999)
    with pytest.raises(DamagedParseError, match="version 1 instead of 999"):
        Parsed.from_bytes(data)


def test_the_limit_holds_for_every_choice_of_values() -> None:
    parsed = parse_text("\n".join(map("{}/{}".format, imeis(3), imeis(3, 60))))
    assert len(parsed.intake(Choice(), 3).ready) == 3
    with pytest.raises(UnreadableFileError, match="6 different IMEIs, and a batch takes 3"):
        parsed.intake(Choice(second_imeis=True), 3)


def test_a_list_of_known_imeis_keeps_order_rows_repeats_and_wrong_check_digits() -> None:
    intake = parsed_list([imei(1), wrong(2), imei(3), imei(1), "?"]).intake(Choice(), 9)
    assert [(ready.imei, ready.row) for ready in intake.ready] == [(imei(1), 1), (imei(3), 3)]
    assert [failed.imei for failed in intake.luhn_failed] == [wrong(2)]
    assert [(again.row, again.first_row) for again in intake.repeated] == [(4, 1)]
    assert [bad.text for bad in intake.rejected] == ["?"]


@pytest.fixture(name="walked")
def walked_fixture(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows that were taken out of workbooks, by their numbers."""
    walked: list[int] = []

    class CountedWorkbook(Workbook):
        def rows(self, sheet: Worksheet) -> Iterator[Row]:
            for row in super().rows(sheet):
                walked.append(row[0])
                yield row

    monkeypatch.setattr(reading, "Workbook", CountedWorkbook)
    return walked


def test_the_rows_of_a_workbook_are_walked_once(walked: list[int]) -> None:
    rows = [["Model", "IMEI"], *(["iPhone", number] for number in imeis(500))]
    assert len(read_file(text_workbook(rows)).ready) == 500
    assert len(walked) == 501 + reading.GUESSED_BY


def test_a_wrong_guess_by_the_first_rows_is_corrected(walked: list[int]) -> None:
    """The column that holds IMEIs first is not the one that holds them in most rows."""
    few = [["A", number, ""] for number in imeis(60)]
    many = [["B", "sold", number] for number in imeis(500, 100)]
    intake = read_file(text_workbook([["Model", "Old", "New"], *few, *many]))
    assert intake.chosen.column == 2
    assert [ready.row for ready in intake.ready] == list(range(62, 562))
    assert len(walked) > 1100


def test_a_column_that_begins_after_the_first_rows_is_found() -> None:
    rows = [["Note", "IMEI"], *(["", "waiting"] for _ in range(100)), *(["", number] for number in imeis(9))]
    intake = read_file("\n".join(";".join(row) for row in rows).encode())
    assert len(intake.ready) == 9
    assert len(intake.rejected) == 100


def test_a_column_of_second_imeis_that_begins_after_the_first_rows_is_taken() -> None:
    rows = [["IMEI", "IMEI 2"], *([number, ""] for number in imeis(100)), [imei(200), imei(300)]]
    data = io.StringIO()
    data.writelines(f"{one},{two}\n" for one, two in rows)
    intake = read_file(data.getvalue().encode(), Choice(second_imeis=True))
    assert len(intake.ready) == 102

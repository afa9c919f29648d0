"""Each value of the chosen column is in exactly one bucket, by the choices of the user."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_tables import FIVE, lines, table, taken
from sample_files import (
    imei,
    imeis,
    text_workbook,
    wrong,
)
from workbook_reader import read_in_this_process

from imei import Kind
from spreadsheets import Choice, Intake
from spreadsheets.cells import classify
from spreadsheets.intake import ALL_COLUMNS
from spreadsheets.reading import read_file, read_text


def accounted(intake: Intake) -> list[int]:
    """The row of every value, in all buckets together."""
    buckets = (intake.ready, intake.luhn_failed, intake.repeated, intake.seconds)
    rows = [one.row for bucket in buckets for one in bucket]
    return sorted(rows + [rejected.row for rejected in intake.rejected])


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
    with read_in_this_process():
        intake = read_file(data, choice)
    expected = [row for row, (_, cell) in enumerate(cells, 2) for _ in classify(cell)]
    assert accounted(intake) == expected
    assert intake.blank == sum(1 for note, cell in cells if not classify(cell) and classify(note))
    assert len({ready.imei for ready in (*intake.ready, *intake.luhn_failed)}) == (
        len(intake.ready) + len(intake.luhn_failed)
    )


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


@pytest.mark.parametrize(
    "form",
    ['[{{"imei":"{}","imei2":"{}"}},{{"imei":"{}","imei2":"{}"}}]', "IMEI: {}, IMEI2: {}, IMEI: {}, IMEI2: {}"],
)
def test_a_labelled_second_imei_needs_no_label_with_a_count_on_the_first(form: str) -> None:
    intake = read_text(form.format(*FIVE[:4]))
    assert (taken(intake), list(intake.seconds.imeis())) == ([FIVE[0], FIVE[2]], [FIVE[1], FIVE[3]])

"""The contents of a file as the preview shows them."""

import pytest

from spreadsheets.intake import ALL_COLUMNS, Choice, Column, Ready, ReadyRows, Rows, names_second, second_columns


def column(index: int, header: str, imeis: int = 3) -> Column:
    return Column(index, header, filled=4, imeis=imeis, others=0, samples=())


def test_rows_are_made_when_they_are_asked_for_and_cut_as_a_list_is() -> None:
    made: list[int] = []

    def make(place: int) -> int:
        made.append(place)
        return place * 2

    rows = Rows(1_000_000, make)
    assert (len(rows), rows[3], rows[-1]) == (1_000_000, 6, 1_999_998)
    assert made == [3, 999_999]
    assert list(rows[10:16:2][1:]) == [24, 28]
    assert rows[:3] == [0, 2, 4]
    assert rows[:3] != [0, 2, 5]
    with pytest.raises(IndexError):
        rows[1_000_000]


def test_ready_rows_give_their_imeis_with_every_digit() -> None:
    rows = ReadyRows([353370080000001, 10000000000009], [1, 0], lambda place: Ready(f"row {place}", place))
    assert list(rows.imeis()) == ["010000000000009", "353370080000001"]
    assert [ready.row for ready in rows] == [1, 0]


@pytest.mark.parametrize(("index", "title"), [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA")])
def test_a_column_is_named_as_a_spreadsheet_names_it(index: int, title: str) -> None:
    assert column(index, "IMEI 2").title == f"Column {title} (IMEI 2)"
    assert column(index, "").title == f"Column {title}"


def test_columns_of_second_imeis_are_those_beside_the_chosen_one_that_hold_any() -> None:
    columns = [column(0, "IMEI"), column(1, "IMEI 2"), column(2, "2nd IMEI", imeis=0), column(3, "Note")]
    assert second_columns(Choice(column=0), columns) == (1,)
    assert second_columns(Choice(column=1), columns) == ()
    assert second_columns(Choice(column=ALL_COLUMNS), columns) == ()
    assert not names_second("IMEI") and names_second("Dual SIM IMEI")


def test_choices_that_one_parse_serves_have_one_key() -> None:
    read = Choice(sheet="Stock", column=2)
    assert read.reading == Choice(sheet="Stock", column=2, hidden_rows=False, second_imeis=True).reading
    assert read.reading != Choice(sheet="Stock", column=3).reading


@pytest.mark.parametrize(
    "header",
    [
        "IMEI 2",
        "IMEI#2",
        "2. IMEI",
        "IMEI (SIM 2)",
        "SIM2 IMEI",
        "Slot 2 IMEI",
        "Zweite IMEI",
        "segundo IMEI",
        "IMEI secundario",
        "deuxième IMEI",
        "второй IMEI",
        "eSIM IMEI",
        "IMEI eSIM",
    ],
)
def test_a_header_names_the_second_imei_in_many_ways(header: str) -> None:
    assert names_second(header)


@pytest.mark.parametrize(
    "header", ["IMEI", "IMEI 1", "IMEI (24 pcs)", "IMEI 2026", "IMEI 12", "IMEI1/IMEI2", "IMEI 1 / 2"]
)
def test_a_number_beside_a_header_or_both_imeis_in_it_name_no_second_one(header: str) -> None:
    assert not names_second(header)

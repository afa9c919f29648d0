"""Rows of exports of orders, the provider's and ours: titles, delimiters and texts are read as they were written."""

import math
import random
from datetime import date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from import_rows import FIRST
from imported_rows import TITLES, line, rows_of
from old_workbooks import ods
from read_tables import FIVE

from database import IMEIDatabase
from devices import MAX_VALUE
from results.importing import import_orders
from spreadsheets.order_rows import READERS, NotUnderstoodError, plain, read_orders, says_the_same
from spreadsheets.writing import guarded
from workbooks.kinds import UnreadableFileError


def test_titles_may_stand_below_others_and_a_twelfth_column_holds_notes() -> None:
    top = f"Advanced Export,,\r\n,,\r\n{TITLES},NOTES"
    [row] = rows_of(line() + ",for Bob", titles=top)
    assert row.number == 4
    assert row.values["notes"] == "for Bob"


@pytest.mark.parametrize("price", ["$" + "9" * 400, "$9999999999999", "-$1000000.01", "inf", "NaN", "1e400"])
def test_a_price_that_no_order_has_is_not_understood(price: str) -> None:
    """Sums of such prices are no numbers of 64 bits: on a server no page could be shown any more."""
    text = f"IMEI NO.,STATUS,SERVICE,CREDITS\n{FIRST},Completed,1,{price}\n{FIRST},Completed,1,-$999999.50\n"
    odd, high = read_orders(text.encode())
    assert odd.failure == f"{price[:40]!r} is not a price in US dollars."
    assert high.values["credits"] == -999999.5


@pytest.mark.parametrize("cell", [math.inf, -math.inf, math.nan, 1e300, 10**320])
def test_a_number_of_a_workbook_is_a_price_only_where_it_can_be_one(cell: float) -> None:
    with pytest.raises(NotUnderstoodError, match="not a price"):
        READERS["credits"](cell)
    assert READERS["credits"](0.08) == 0.08


@pytest.mark.parametrize(
    "cell",
    [
        "0001-01-01",
        "1969-12-31 23:59:59",
        "9999-12-31 23:59:59.9",
        datetime(9999, 12, 31, 23, 59, 59, 600_000),
        date.min,
    ],
)
def test_a_date_that_no_order_has_is_not_understood(cell: object) -> None:
    """Reports count months up to it and beyond it."""
    with pytest.raises(NotUnderstoodError, match="is not a date"):
        READERS["order_date"](cell)


def test_the_name_of_a_service_is_not_a_text_of_many_pages() -> None:
    """Sums are kept by it in an index, which on a server takes 2,700 bytes: no sum of any order could be kept."""
    text = f"IMEI NO.,STATUS,SERVICE\n{FIRST},Completed,{'x' * 801}\n{FIRST},Completed,{'x' * 800}\n"
    long, short = read_orders(text.encode())
    assert long.failure == f"'{'x' * 40}' … is too long for the name of a service."
    assert short.values["service_name"] == "x" * 800


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_another_delimiter_is_found(delimiter: str) -> None:
    text = f"{TITLES}\n{line()}".replace(",", delimiter)
    assert [row.values["imei"] for row in read_orders(text.encode())] == [FIRST]


@pytest.mark.parametrize("data", [b"IMEI\n353370080089458\n", b"a,b\n1,2\n", b"%PDF-1.7", b""])
def test_a_file_that_is_no_export_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        list(read_orders(data))


@given(st.text(max_size=30))
@settings(max_examples=200, deadline=None)
def test_any_text_survives_the_guard_against_formulas(text: str) -> None:
    assert says_the_same(text, plain(guarded(text.replace("\0", ""))))


def test_a_row_whose_finding_is_a_long_text_is_not_understood() -> None:
    """An index of a database server could not take it, and then no row of the file would be imported."""
    text = f"IMEI NO.,STATUS,SERVICE,CARRIER\n{FIRST},Completed,1,{'x' * 401}\n{FIRST},Completed,1,T-Mobile\n"
    long, short = read_orders(text.encode())
    assert long.failure == f"'{'x' * 40}' … is too long for the column carrier."
    assert short.values["carrier"] == "T-Mobile"


def test_the_longest_words_of_a_rejected_order_fit_into_one_index(server_database: IMEIDatabase) -> None:
    """The index of rejected orders holds all of them: one such row kept its whole file from being imported."""
    signs, chance = [chr(number) for number in range(0x4E00, 0x9FFF)], random.Random(1)
    titles = ["ORDER ID", "CARRIER", "SIMLOCK", "MODEL", "FMI", "BLACKLIST", "SERIAL"]
    for length in (MAX_VALUE // 3, 133):
        words = ["".join(chance.choices(signs, k=length)) for _ in titles]
        text = f"IMEI NO.,STATUS,SERVICE,{','.join(titles)}\n{FIRST},Rejected,1,{','.join(words)}\n"
        _, plan = import_orders(server_database, read_orders(text.encode()), "x.csv")
        assert plan.counts.rows_new == (3 * length <= MAX_VALUE)


@pytest.mark.parametrize("price", ["$9" + "9" * 400, "$10000000000000", "-1000001"])
def test_a_row_with_an_endless_price_is_not_understood(price: str) -> None:
    """No total could be counted with it: on a server no page showed one any more."""
    odd, plain_row = rows_of(line().replace("$0.08", price), line())
    assert odd.failure == f"{price[:40]!r} is not a price in US dollars."
    assert plain_row.values["credits"] == 0.08


@pytest.mark.parametrize("cell", [math.inf, math.nan, 1e308, 10**30])
def test_a_cell_with_an_endless_number_is_no_price(cell: float) -> None:
    with pytest.raises(NotUnderstoodError, match="is not a price"):
        READERS["credits"](cell)
    assert READERS["credits"](7) == 7.0


@pytest.mark.parametrize("day", ["0001-01-01 00:00:00", "9999-12-31 23:59:59.9", "3000-01-01"])
def test_a_row_of_another_age_is_not_understood(day: str) -> None:
    """No report could be made with it: the month after the last one is no date."""
    odd, plain_row = rows_of(line(date=day), line())
    assert odd.failure == f"{day!r} is not a date such as 2025-11-14 11:46:39."
    assert plain_row.failure == ""
    with pytest.raises(NotUnderstoodError, match="is not a date"):
        READERS["order_date"](datetime(9999, 12, 31, 23, 59, 59, 900_000))


def test_orders_are_imported_from_an_old_workbook() -> None:
    titles = ["SERVICE", "IMEI NO.", "STATUS", "ORDER DATE"]
    rows = list(read_orders(ods([titles, ["A", FIVE[0], "Completed", "2025-11-14 3:33:00"]])))
    assert [row.values["imei"] for row in rows] == FIVE[:1]


@pytest.mark.parametrize(
    ("price", "dollars"),
    [("0,08", 0.08), ("$0,085", 0.085), ("-$12,5", -12.5), ("$1,234.50", 1234.5), ("1,234", 1234.0), (".08", 0.08)],
)
def test_a_price_with_a_decimal_comma_is_not_a_hundred_times_as_high(price: str, dollars: float) -> None:
    """A spreadsheet program of many countries saves the export so."""
    assert READERS["credits"](price) == dollars


@pytest.mark.parametrize("price", ["1.234,50", "1,23,456", "0.0,8", "1,234,5"])
def test_a_price_with_signs_in_odd_places_is_not_understood(price: str) -> None:
    with pytest.raises(NotUnderstoodError, match="not a price"):
        READERS["credits"](price)

"""What the terms of a filter mean, by an index and as a test of what another term has found."""

from datetime import date

import pytest
from order_tables import NUMBER

from database import IMEIDatabase
from orders import OrderStatus
from schema import orders
from storage import order_counts, order_filters, order_searches, order_terms
from storage.order_terms import OrderFilter, terms_of


def test_a_day_begins_with_midnight_however_that_is_stored(database: IMEIDatabase) -> None:
    """Older programs have stored moments without a fraction of a second."""
    with database.write() as connection:
        for number, moment in enumerate(("2026-03-03 00:00:00", "2026-03-03 00:00:00.000000", "2026-03-04 00:00:00")):
            values = f"'{number}', '{NUMBER}', '{moment}'"
            connection.exec_driver_sql(f"INSERT INTO orders (order_id, imei, order_date) VALUES ({values})")
    day = date(2026, 3, 3)
    for chosen in (OrderFilter(since=day, until=day), OrderFilter(since=day, until=day, q=NUMBER)):
        assert {row.order_id for row in order_filters.page(database, chosen)} == {"0", "1"}
        assert order_filters.count(database, chosen) == 2
    assert order_filters.count(database, OrderFilter(since=date(2026, 3, 4))) == 1
    search_id = order_searches.save_search(database, [NUMBER], 0)
    assert order_searches.count_found(database, search_id, OrderFilter(since=day, until=day)) == 2


@pytest.mark.parametrize(
    ("asked", "found"), [("F17", 2), ("f17", 2), ("F17ABC", 1), ("f17abc", 1), ("c02", 1), ("17", 0), ("F17ABCD", 0)]
)
def test_a_serial_number_is_found_by_its_beginning(database: IMEIDatabase, asked: str, found: int) -> None:
    serials = ["F17ABC", "F17", "c02", None, ""]
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, "serial": serial} for serial in serials])
    for chosen in (OrderFilter(serial=asked), OrderFilter(serial=asked, q=NUMBER)):
        assert len(order_filters.page(database, chosen)) == found
        assert order_counts.counted(database, chosen).found == found


def test_a_term_that_a_word_of_an_enum_made_is_in_plain_words_for_the_next() -> None:
    """The two are equal, and terms are kept."""
    order_terms._of_value.cache_clear()
    for status in (OrderStatus.COMPLETED, "Completed"):
        [term] = terms_of(OrderFilter(status=status), {})
        assert [type(value) for value in term.seek.compile().params.values()] == [str]

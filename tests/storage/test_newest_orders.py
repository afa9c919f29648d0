"""The newest orders of the batches of a person or tag are found without a look at the older ones."""

import pytest
from order_tables import NUMBER
from sqlalchemy import event

from database import IMEIDatabase
from schema import batches, orders
from storage import order_filters, order_pages
from storage.order_counts import Count
from storage.order_pages import Sort
from storage.order_terms import OrderFilter
from storage.tag_store import tag_batches


@pytest.mark.parametrize("chosen", [OrderFilter(person="anna"), OrderFilter(tag="stock")])
def test_the_orders_of_few_batches_are_read_from_the_newest_of_each_and_counted_by_the_sums(
    database: IMEIDatabase, chosen: OrderFilter
) -> None:
    """How many orders the batches have makes no difference; those placed at the same time lie between each other."""
    batch = {"label": "", "source": "", "service_id": "", "service_name": "", "unit_price": 0, "total": 0}
    with database.write() as connection:
        rows = [{**batch, "state": "finished", "ordered_by": name} for name in ("anna", "bob", "anna", "")]
        connection.execute(batches.insert(), rows)
        connection.execute(orders.insert(), [{"imei": NUMBER, "batch_id": 1 + n % 4} for n in range(2000)])
    tag_batches(database, [1, 3], "Stock")
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    listed = order_pages.listed(database, chosen, Sort.NEWEST, "", 5)
    assert [order.id for order in listed.orders] == [1999, 1997, 1995, 1993, 1991]
    assert listed.count == Count(1000, is_all=True)
    assert not [statement for statement in asked if "count(*)" in statement]
    assert [order.id for order in order_filters.page(database, chosen, 1990, 3)] == [1989, 1987, 1985]
    assert len(list(order_filters.walk(database, chosen))) == order_filters.count(database, chosen) == 1000

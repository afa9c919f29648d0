"""The newest orders of the batches of a person or tag are found without a look at the older ones."""

import pytest
from order_tables import NUMBER
from sqlalchemy import event

from database import IMEIDatabase
from schema import batches, orders
from storage import newest_orders, order_filters, order_pages
from storage.newest_orders import PERSON, TAG
from storage.order_counts import Count
from storage.order_pages import Sort
from storage.order_terms import OrderFilter
from storage.tag_store import tag_batches, tag_orders


def fill(database: IMEIDatabase, count: int) -> None:
    """Store orders of four batches by turns; the first and the third are of Anna, and have a tag."""
    batch = {"label": "", "source": "", "service_id": "", "service_name": "", "unit_price": 0, "total": 0}
    with database.write() as connection:
        rows = [{**batch, "state": "finished", "ordered_by": name} for name in ("anna", "bob", "anna", "")]
        connection.execute(batches.insert(), rows)
        connection.execute(orders.insert(), [{"imei": NUMBER, "batch_id": 1 + n % 4} for n in range(count)])
    tag_batches(database, [1, 3], "Stock")


@pytest.mark.parametrize("chosen", [OrderFilter(person="anna"), OrderFilter(tag="stock")])
def test_the_orders_of_few_batches_are_read_from_the_newest_of_each_and_counted_by_the_sums(
    database: IMEIDatabase, chosen: OrderFilter
) -> None:
    """How many orders the batches have makes no difference; those placed at the same time lie between each other."""
    fill(database, 2000)
    asked: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    listed = order_pages.listed(database, chosen, Sort.NEWEST, "", 5)
    assert [order.id for order in listed.orders] == [1999, 1997, 1995, 1993, 1991]
    assert listed.count == Count(1000, is_all=True)
    assert not [statement for statement in asked if "count(*)" in statement]
    assert [order.id for order in order_filters.page(database, chosen, 1990, 3)] == [1989, 1987, 1985]
    assert len(list(order_filters.walk(database, chosen))) == order_filters.count(database, chosen) == 1000


@pytest.mark.parametrize(("name", "word"), [(PERSON, "anna"), (TAG, "STOCK")])
def test_the_newest_orders_lie_before_an_id_and_are_no_more_than_asked_for(
    database: IMEIDatabase, name: str, word: str
) -> None:
    fill(database, 20)

    def found(word: str, before: int | None, limit: int) -> list[int]:
        with database.read() as connection:
            return list(connection.execute(newest_orders.newest_of_batches(name, word, before, limit)).scalars())

    assert found(word, None, 3) == [19, 17, 15]
    assert found(word, 17, 3) == [15, 13, 11]
    assert found(word, 4, 9) == [3, 1]
    assert found(word, 1, 9) == []
    assert found("nobody", None, 9) == []


def test_batches_that_alone_have_a_tag_are_found_while_no_order_has_it_itself(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many, one more than is looked at: so that it is known that there are too many."""
    fill(database, 4)
    with database.read() as connection:
        assert sorted(newest_orders.batches_alone_with(connection, "stock")) == [1, 3]
        assert sorted(connection.execute(newest_orders.batches_of_person("anna")).scalars()) == [1, 3]
        assert newest_orders.batches_alone_with(connection, "other") == []
    monkeypatch.setattr(newest_orders, "MOST_BATCHES", 0)
    with database.read() as connection:
        assert len(newest_orders.some_batches(connection, newest_orders.batches_of_tag("Stock"))) == 1
    monkeypatch.undo()
    tag_orders(database, [2], "stock")
    with database.read() as connection:
        assert list(newest_orders.batches_alone_with(connection, "Stock")) == []

"""What can be disputed: rejected orders, those about another IMEI and IMEIs in doubt, each offered once."""

import pytest
from sqlalchemy import update

from database import IMEIDatabase
from orders import DisputeKind
from schema import items, orders
from storage import disputable, dispute_store
from storage.disputable import Disputable

REJECTED = Disputable(DisputeKind.REJECTED)
MISMATCHED = Disputable(DisputeKind.MISMATCHED)
IN_DOUBT = Disputable(DisputeKind.IN_DOUBT)


def found(database: IMEIDatabase, chosen: Disputable, past: int | None = None) -> list[int]:
    return [row.id for row in disputable.page(database, chosen, past, 99)]


def test_a_file_of_what_can_be_disputed_has_each_once_and_holds_no_snapshot(
    database: IMEIDatabase, batch: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.rows.WALKED_AT_ONCE", 2)
    listed = list(disputable.walk(database))
    assert [row.status for row in listed] == ["Rejected"] * 8 + ["Completed", "In doubt"]
    assert len({(row.status, row.id) for row in listed}) == len(listed)
    begun = disputable.walk(database)
    assert next(begun) == listed[0]
    dispute_store.open_all(database, REJECTED, "anna")
    assert list(begun) == [listed[1], *listed[-2:]]


def test_a_page_of_what_can_be_disputed_goes_on_where_the_last_one_ended(
    database: IMEIDatabase, rows: list[int]
) -> None:
    first = disputable.page(database, REJECTED, None, 5)
    more = disputable.page(database, REJECTED, first[-1].id, 5)
    assert [row.id for row in (*first, *more)] == [row for n, row in enumerate(rows) if n % 3][::-1]
    assert disputable.page(database, Disputable(DisputeKind.REJECTED, batch=99), None, 5) == []
    assert len(disputable.page(database, Disputable(DisputeKind.MISMATCHED, service="269"), None, 5)) == 3


def test_counts_and_pages_agree_for_each_kind_batch_and_service(
    database: IMEIDatabase, batch: int, rows: list[int]
) -> None:
    """Orders 0, 4 and 8 are about another IMEI, and of each three two are rejected."""
    with database.write() as connection:
        connection.execute(update(orders).where(orders.c.id.in_(rows[:5])).values(batch_id=batch))
        connection.execute(update(orders).where(orders.c.id.in_(rows[:2])).values(service_id="270"))
    expected = {
        (None, ""): (3, 8, 1), (batch, ""): (2, 3, 1), (None, "270"): (1, 1, 0), (None, "269"): (2, 7, 1),
        (batch, "269"): (1, 2, 1), (batch, "270"): (1, 1, 0), (99, ""): (0, 0, 0), (None, "1"): (0, 0, 0),
    }  # fmt: skip
    kinds = (DisputeKind.MISMATCHED, DisputeKind.REJECTED, DisputeKind.IN_DOUBT)
    for (of_batch, service), numbers in expected.items():
        counts = disputable.counts(database, of_batch, service)
        assert tuple(counts[kind] for kind in kinds) == numbers
        pages = [found(database, Disputable(kind, of_batch, service)) for kind in kinds]
        assert tuple(map(len, pages)) == numbers
        assert [ids == sorted(ids, reverse=True) for ids in pages[:2]] == [True, True]


def test_items_in_doubt_are_listed_oldest_first_with_what_they_may_cost(database: IMEIDatabase, batch: int) -> None:
    with database.write() as connection:
        connection.execute(update(items).where(items.c.outcome == "refused").values(outcome="in_doubt", message="lost"))
    first, second = disputable.page(database, IN_DOUBT, None, 9)
    assert first.id < second.id
    assert found(database, IN_DOUBT, first.id) == [second.id]
    assert found(database, IN_DOUBT, second.id) == []
    assert [row.id for row in disputable.page(database, IN_DOUBT, None, 1)] == [first.id]
    assert (first.order_id, first.credits, first.batch_id, first.said) == (None, 0.1, batch, "lost")
    assert first.order_date is not None
    assert first.why == "Sent, and no answer says whether it was placed"


def test_an_order_says_why_it_is_listed(database: IMEIDatabase, rows: list[int]) -> None:
    """What the result names counts more than the status."""
    why = {row.id: row.why for row in disputable.page(database, REJECTED, None, 99)}
    assert why[rows[1]] == "Rejected"
    assert why[rows[4]] == why[rows[8]] == "The result is about IMEI 350000000000014"
    assert dispute_store.open_orders(database, [rows[4]], "anna") == 1
    assert rows[4] not in found(database, REJECTED)
    assert rows[4] not in found(database, MISMATCHED)

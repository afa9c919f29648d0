"""Queries about orders: totals, statistics and the order of the rows."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from handmade_calls import planned
from order_tables import NUMBER, ORDER
from simulated_provider import SERVICE
from sqlalchemy import insert, update

from database import IMEIDatabase, utc_now
from orders import Outcome, Progress, ServiceInfo
from schema import batches, items, orders
from storage import batch_queries, kept_sums, order_queries, order_reports, tag_store
from storage.batch_creation import NewBatch, create_batch
from storage.order_queries import ListedBatches


def test_an_order_that_existed_before_our_call_costs_nothing_anywhere(database: IMEIDatabase, batch: int) -> None:
    before = batch_queries.progress(database, batch)
    assert before is not None
    values = {"imei": NUMBER, "batch_id": batch, "credits": 0, "existed": True, "order_date": utc_now()}
    with database.write() as connection:
        promised = batch_queries.spent_or_promised(connection)
        connection.execute(insert(orders).values(**values, service_name="Check", status="Completed"))
    for few in (1000, 0):
        kept_sums.tend(database, few)
        after = batch_queries.progress(database, batch)
        assert after is not None
        assert (after.spent, after.cost) == (before.spent, before.cost)
        with database.read() as connection:
            assert batch_queries.spent_or_promised(connection) == promised
            today = batch_queries.today(connection)
        assert (today.orders, round(today.spent, 6)) == (3, 0.2)
        assert order_queries.statistics(database).total_credits == 0.2
        assert round(order_queries.daily(database)[-1].spent, 6) == 0.2
        assert all(round(row.spent, 6) == 0.2 for by in order_reports.BY for row in order_reports.spend(database, by))


def test_statistics_are_sums_of_what_is_there(database: IMEIDatabase) -> None:
    database.insert_order(ORDER)
    database.insert_order({**ORDER, "order_id": "2", "status": "Completed"})
    found = order_queries.statistics(database)
    assert (found.total_orders, found.total_credits) == (2, 0.16)
    assert found.by_status == {"Pending": 1, "Completed": 1}


def test_orders_of_an_imei_are_listed_by_date_whenever_a_file_brought_them(database: IMEIDatabase) -> None:
    for order_id, day in (("new", "2026-02-01"), ("old", "2024-02-01")):
        database.insert_order({**ORDER, "order_id": order_id, "order_date": datetime.fromisoformat(day)})
    assert [order.order_id for order in order_queries.orders_of_phone(database, [ORDER["imei"]])] == ["new", "old"]


# Batches in a list


@pytest.fixture(name="listed")
def listed_fixture(file_database: IMEIDatabase) -> list[int]:
    """Five batches of one IMEI each; the last one is of scan mode."""
    given = [
        ("June stock", "ACME", "return by Friday", "anna"),
        ("July", "Acme", "", "berta"),
        ("stock 50%", "Berlin", "", "anna"),
        ("", "", "stock", "token sync"),
        ("stock", "ACME", "", "anna"),
    ]
    ids = [planned(file_database, 1, first=place)[0] for place in range(5)]
    with file_database.write() as connection:
        for batch_id, (label, customer, note, person) in zip(ids, given, strict=True):
            names = {"label": label, "customer": customer, "note": note, "ordered_by": person}
            connection.execute(update(batches).where(batches.c.id == batch_id).values(**names))
        connection.execute(update(batches).where(batches.c.id == ids[4]).values(source="scan"))
    return ids


def found(database: IMEIDatabase, limit: int = 10, before: int | None = None, **wanted: Any) -> list[int]:
    return [one.batch_id for one in order_queries.listed_batches(database, ListedBatches(**wanted), limit, before)]


def test_batches_are_listed_newest_first_and_in_pages_without_those_of_scans(
    file_database: IMEIDatabase, listed: list[int]
) -> None:
    first, second, third, fourth, _ = listed
    assert found(file_database) == [fourth, third, second, first]
    assert found(file_database, limit=2) == [fourth, third]
    assert found(file_database, limit=2, before=third) == [second, first]


def test_a_search_wants_each_word_in_a_name_customer_or_note_or_as_the_id(
    file_database: IMEIDatabase, listed: list[int]
) -> None:
    first, second, third, fourth, scanned = listed
    assert found(file_database, search="STOCK") == [fourth, third, first]
    assert found(file_database, search="stock acme friday") == [first]
    assert found(file_database, search="%") == [third]
    assert found(file_database, search=f"#{second}") == found(file_database, search=f"{second} july") == [second]
    assert found(file_database, search=f"#{scanned}") == []
    assert found(file_database, search="9" * 30) == []


def test_a_list_of_batches_is_of_a_person_of_a_tag_and_of_customers_as_they_are_written(
    file_database: IMEIDatabase, listed: list[int]
) -> None:
    first, second, third, fourth, _ = listed
    assert found(file_database, person="anna") == [third, first]
    assert found(file_database, person="Anna") == []
    assert found(file_database, customers=["Acme", "Berlin"]) == [third, second]
    tag_store.tag_batches(file_database, [first, fourth], "Urgent")
    assert found(file_database, tag="URGENT") == [fourth, first]
    assert found(file_database, tag="urgent", person="anna", search="june") == [first]
    with file_database.read() as connection:
        assert order_queries.people_who_ordered(connection) == ["anna", "berta", "token sync"]


# The IMEIs of a batch


def store(database: IMEIDatabase, imei: str, **values: Any) -> int:
    """Store an order of the service that batches of handmade calls ask for; return its row id."""
    row = {"imei": imei, "service_id": SERVICE, "status": "Completed"} | values
    with database.write() as connection:
        return int(connection.execute(insert(orders).values(**row).returning(orders.c.id)).scalar_one())


def repeated(database: IMEIDatabase, *numbers: str) -> Progress:
    """Create a batch in which these IMEIs are duplicates."""
    new = NewBatch("test", "command", SERVICE, "T-Mobile", 0.1, [(imei, None) for imei in numbers])
    batch_id = create_batch(database, new)
    with database.write() as connection:
        connection.execute(update(items).values(outcome=Outcome.DUPLICATE))
    batch = batch_queries.progress(database, batch_id)
    assert batch
    return batch


def test_the_newest_completed_order_of_the_service_answers_for_a_duplicate(file_database: IMEIDatabase) -> None:
    batch = repeated(file_database, "1", "2", "3")
    store(file_database, "1")
    completed = store(file_database, "1")
    store(file_database, "1", status="Rejected")
    store(file_database, "1", service_id="another")
    store(file_database, "2", status="Rejected")
    pending = store(file_database, "2", status="Pending")
    store(file_database, "4")
    answers = order_queries.earlier_orders(file_database, batch.batch_id, SERVICE)
    assert {imei: order.id for imei, order in answers.items()} == {"1": completed, "2": pending}


@pytest.mark.parametrize(
    ("own", "second", "answer"),
    [
        (None, "Rejected", "second"),
        ("Rejected", "Completed", "second"),
        ("Rejected", "Pending", "own"),
        ("Rejected", "Rejected", "own"),
        ("Pending", "Completed", "own"),
        ("Completed", "Completed", "own"),
    ],
)
def test_an_order_that_names_a_duplicate_as_its_second_imei_answers_where_the_own_one_is_rejected(
    file_database: IMEIDatabase, own: str | None, second: str, answer: str
) -> None:
    batch = repeated(file_database, "1")
    rows = {"own": store(file_database, "1", status=own)} if own else {}
    rows["second"] = store(file_database, "9", imei2="1", status=second)
    store(file_database, "8", imei2="1", other_imei="7")  # its result is about another device
    assert order_queries.earlier_orders(file_database, batch.batch_id, SERVICE)["1"].id == rows[answer]


def test_the_items_of_a_batch_come_in_its_order_with_their_own_orders_or_those_that_answer(
    file_database: IMEIDatabase,
) -> None:
    store(file_database, "2", order_id="known", carrier="AT&T")
    store(file_database, "3", order_id="of nobody here", carrier="no")
    batch = repeated(file_database, "3", "2", "1")
    store(file_database, "3", order_id="mine", carrier="T-Mobile", batch_id=batch.batch_id)
    with file_database.write() as connection:
        waits = items.c.imei == "1"
        connection.execute(update(items).where(waits).values(outcome=Outcome.REFUSED, message="no such phone"))
    planned(file_database, 2)
    rows = order_queries.items_with_orders(file_database, batch, 0, 10, None)
    assert [(row.imei, row.order_id, row.carrier, row.message) for row in rows if row.outcome != "duplicate"] == [
        ("1", None, None, "no such phone")
    ]
    assert [(row.imei, row.order_id, row.carrier) for row in rows] == [
        ("3", "mine", "T-Mobile"),
        ("2", "known", "AT&T"),
        ("1", None, None),
    ]
    assert order_queries.items_with_orders(file_database, batch, rows[0].item_id, 1, None) == [rows[1]]
    assert order_queries.items_with_orders(file_database, batch, 0, 10, "refused") == [rows[2]]
    plain = list(order_queries.result_items(file_database, batch.batch_id))
    assert [(row.imei, row.order_id) for row in plain] == [("3", "mine"), ("2", None), ("1", None)]
    assert list(order_queries.result_items(file_database, 99)) == []


# Figures and words for pages


def test_a_day_of_the_chart_has_its_orders_and_the_last_day_is_today(file_database: IMEIDatabase) -> None:
    now = utc_now()
    for days, verdict in ((0, "pass"), (0, None), (13, "fail"), (14, "fail"), (None, "fail")):
        date = None if days is None else now - timedelta(days=days)
        store(file_database, NUMBER, order_date=date, verdict=verdict, credits=0.25)
    chart = order_queries.daily(file_database)
    assert (len(chart), chart[0].day, chart[-1].day) == (14, (now - timedelta(days=13)).date(), now.date())
    assert [(day.orders, day.spent) for day in (chart[0], chart[1], chart[-1])] == [(1, 0.25), (0, 0.0), (2, 0.5)]
    assert (chart[0].verdicts.failed, chart[-1].verdicts.passed) == (1, 1)


def test_orders_are_counted_by_status_in_all_and_in_a_batch(database: IMEIDatabase, batch: int) -> None:
    store(database, NUMBER, status=None)
    store(database, NUMBER, status="Rejected")
    kept_sums.tend(database, 0)
    store(database, NUMBER, status="Rejected")
    assert order_queries.status_counts(database) == {"": 1, "Rejected": 2, "Pending": 2}
    assert order_queries.status_counts(database, batch) == {"Pending": 2}
    assert order_queries.status_counts(database, 99) == {}


def test_the_commonest_words_are_those_of_the_newest_results(
    file_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    for carrier in ("old", "B", "A", "A", "", "C", "B"):
        store(file_database, NUMBER, carrier=carrier, fmi="ON")
    store(file_database, NUMBER, carrier="no result", status="Rejected")
    monkeypatch.setattr(order_queries, "NEWEST_RESULTS", 6)
    assert order_queries.result_counts(file_database, 2) == {
        "carrier": [("A", 2), ("B", 2)],
        "simlock": [],
        "fmi": [("ON", 6)],
    }


def test_a_service_has_the_name_of_its_newest_order_or_its_id(file_database: IMEIDatabase) -> None:
    for service_id, name in (("1", "Old"), ("1", "Zebra"), ("2", None), ("3", "Check")):
        store(file_database, NUMBER, service_id=service_id, service_name=name)
    with file_database.read() as connection:
        assert order_queries.ordered_services(connection) == [("2", "2"), ("3", "Check"), ("1", "Zebra")]


def test_a_price_before_the_last_change_is_known_of_services_that_changed(file_database: IMEIDatabase) -> None:
    for at, price in enumerate((0.1, 0.2, 0.2)):
        listed = [ServiceInfo("1", "Check", price), ServiceInfo("2", "Other", 0.3)]
        file_database.store_services(listed, float(at))
    assert order_queries.previous_prices(file_database) == {"1": 0.1}


def test_the_tables_of_a_database_are_counted(database: IMEIDatabase, batch: int) -> None:
    database.store_services([ServiceInfo("1", "Check", 0.1), ServiceInfo("2", "Other", 0.3)], 0.0)
    database.store_services([ServiceInfo("1", "Check", 0.1)], 1.0)
    planned(database, 3)
    counted = order_queries.table_counts(database)
    assert (counted["orders"], counted["batches"], counted["items"], counted["services"]) == (2, 2, 7, 1)
    assert order_queries.checked_count(database) == 2

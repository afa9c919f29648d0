"""What the history asks for is found by an index, in the order of the page, and never by reading everything."""

import random
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from order_tables import NUMBER, plan
from plain_sql import run
from sqlalchemy import select

from benchmarks import bench_exports
from benchmarks.measuring import measured_apart
from database import IMEIDatabase
from schema import batches, orders
from storage import kept_sums, order_counts, order_filters, order_searches, order_terms
from storage.order_counts import Count
from storage.order_filters import Guide, guide, page_query
from storage.order_terms import OrderFilter
from storage.tag_store import tag_batches, tag_orders

#: Batch → who ordered it.
PEOPLE = {1: "anna", 2: "bob", 3: "anna", 4: ""}
#: Tag → the batches and the orders that have it.
TAGS: dict[str, tuple[list[int], list[int]]] = {
    "Sold": ([1, 4], [*range(10, 300, 10)]),
    "hot": ([], [7, 8, 290]),
    "Stock": ([1, 2, 4], []),
}


def add_batches(database: IMEIDatabase) -> None:
    """Store the batches of PEOPLE."""
    batch = {"label": "", "source": "", "service_id": "", "service_name": "", "unit_price": 0, "total": 0}
    rows = [{**batch, "id": number, "state": "finished", "ordered_by": name} for number, name in PEOPLE.items()]
    with database.write() as connection:
        connection.execute(batches.insert(), rows)


def test_a_finding_in_few_wordings_is_listed_from_the_newest_of_each(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest orders have no result yet: they are not walked past."""
    words = ["On", "Off", "Lost Mode", "Off", "Enabled"]
    rows = [{"imei": NUMBER, "fmi": words[n % 5] if n < 200 else None} for n in range(300)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    for name in ("VERY_FEW", "FEW"):
        monkeypatch.setattr(order_filters, name, 20)
    fitting = [n + 1 for n in range(199, -1, -1) if n % 5 in (0, 2, 4)]
    first = order_filters.page(database, OrderFilter(fmi="ON"), None, 50)
    second = order_filters.page(database, OrderFilter(fmi="ON"), first[-1].id, 100)
    assert [order.id for order in [*first, *second]] == fitting
    with database.read() as connection:
        query = page_query(OrderFilter(fmi="ON"), guide(connection, OrderFilter(fmi="ON")), None, 50)
    assert str(query).count("orders.fmi = ") == 3


@pytest.mark.parametrize(
    ("chosen", "index"),
    [
        (OrderFilter(status="Pending"), "idx_status"),
        (OrderFilter(service="269"), "idx_orders_service"),
        (OrderFilter(batch=41), "idx_orders_batch"),
        (OrderFilter(person="anna"), "idx_orders_batch"),
        (OrderFilter(tag="Sold"), "idx_orders_batch"),
        (OrderFilter(carrier="T-Mobile"), "idx_orders_carrier"),
        (OrderFilter(simlock="Locked"), "idx_orders_simlock"),
        (OrderFilter(fmi="ON"), "idx_orders_fmi"),
        (OrderFilter(blacklist="Clean"), "idx_orders_blacklist"),
        (OrderFilter(verdict="fail"), "idx_orders_verdict"),
        (OrderFilter(model="iPhone 12"), "idx_orders_model"),
        (OrderFilter(serial="F17"), "idx_orders_serial"),
        (OrderFilter(serial="f17"), "idx_orders_serial"),
        (OrderFilter(mismatch=True), "idx_orders_other_imei"),
        (OrderFilter(since=date(2026, 1, 1), until=date(2026, 1, 2)), "idx_order_date"),
        (OrderFilter(q=NUMBER), "idx_imei"),
        (OrderFilter(q=NUMBER), "idx_orders_imei2"),
        (OrderFilter(q="35337008"), "idx_imei"),
        (OrderFilter(q="353"), "idx_imei"),
        (OrderFilter(q="A-77"), "idx_imei"),
    ],
)
@pytest.mark.parametrize("before", [None, 5000])
def test_each_filter_is_served_by_its_index(
    file_database: IMEIDatabase, chosen: OrderFilter, index: str, before: int | None
) -> None:
    with file_database.read() as connection:
        words = plan(file_database, page_query(chosen, guide(connection, chosen), before, 101))
    assert index in words
    assert "SCAN" not in words


def test_the_term_that_fewest_orders_fit_leads_and_the_others_are_looked_up_in_their_indexes(
    file_database: IMEIDatabase,
) -> None:
    rows = [{"imei": NUMBER, "carrier": "Usual", "status": "Completed", "fmi": "ON"} for _ in range(20)]
    with file_database.write() as connection:
        connection.execute(orders.insert(), [*rows, {**rows[0], "fmi": "OFF"}])
    chosen = OrderFilter(carrier="Usual", fmi="OFF", status="Completed")
    with file_database.read() as connection:
        words = plan(file_database, page_query(chosen, guide(connection, chosen), None, 101))
    assert "SEARCH orders USING COVERING INDEX idx_orders_fmi" in words
    assert "SEARCH o USING COVERING INDEX idx_orders_carrier (carrier=? AND rowid=?)" in words
    assert "SEARCH o USING COVERING INDEX idx_status (status=? AND rowid=?)" in words


def test_of_two_terms_that_many_orders_fit_the_one_leads_that_is_rarer_among_the_newest(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are counted up to a bound only; walking the commoner one would test thousands of orders in vain."""
    monkeypatch.setattr(order_filters, "VERY_FEW", 5)
    monkeypatch.setattr(order_filters, "FEW", 20)
    rows = [{"imei": NUMBER, "carrier": "BA"[n % 8 > 0], "service_id": "12"[n % 3 > 0]} for n in range(400)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    with database.read() as connection:
        assert guide(connection, OrderFilter(carrier="A", service="1")).name == "idx_orders_service"
        assert guide(connection, OrderFilter(carrier="B", service="1")).name == "idx_orders_carrier"


def test_many_orders_of_a_person_are_looked_up_only_where_the_newest_orders_are_of_others(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A walk from the newest order would pass all orders since a person has left.

    So it is where there are too many batches to look at the newest order of each.
    """
    monkeypatch.setattr(order_terms, "MOST_BATCHES", 0)
    monkeypatch.setattr(order_filters, "VERY_FEW", 5)
    monkeypatch.setattr(order_filters, "FEW", 20)
    add_batches(database)
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, "batch_id": 1 + n // 100} for n in range(200)])
    with database.read() as connection:
        names = [guide(connection, OrderFilter(person=person)).name for person in ("anna", "bob")]
        assert names == ["person", ""]
        assert guide(connection, OrderFilter(person="anna", mismatch=True)).name == "idx_orders_other_imei"


@pytest.mark.parametrize(
    "chosen",
    [
        OrderFilter(status="Rejected", q="35000000"),
        OrderFilter(status="Rejected", carrier="Usual", fmi="ON"),
        OrderFilter(status="Rejected", service="7", since=date(2026, 3, 1)),
    ],
)
def test_what_else_is_asked_of_many_rejected_orders_is_read_in_their_index(
    file_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, chosen: OrderFilter
) -> None:
    monkeypatch.setattr(order_filters, "VERY_FEW", -1)
    with file_database.read() as connection:
        guided = guide(connection, chosen)
        words = plan(file_database, page_query(chosen, guided, None, 101))
        terms = order_filters.fitting(chosen, guided)
        by_age = plan(file_database, select(orders).where(*terms).order_by(orders.c.id))
    assert "SCAN orders USING INDEX idx_orders_rejected" in words
    assert "SEARCH orders USING INDEX idx_status (status=?)" in by_age
    assert "TEMP B-TREE" not in by_age


@pytest.mark.parametrize("chosen", [OrderFilter(status="Pending"), OrderFilter(batch=41), OrderFilter(fmi="ON")])
def test_a_page_of_one_term_stops_when_it_is_full(file_database: IMEIDatabase, chosen: OrderFilter) -> None:
    with file_database.read() as connection:
        guided = guide(connection, chosen)
    assert "TEMP B-TREE" not in plan(file_database, page_query(chosen, guided, 5000, 101))


def test_without_a_filter_a_page_is_the_end_of_the_table(file_database: IMEIDatabase) -> None:
    assert "SEARCH orders USING INTEGER PRIMARY KEY (rowid<?)" in plan(
        file_database, page_query(OrderFilter(), Guide(), 5000, 101)
    )


VALUES: dict[str, list[Any]] = {
    "status": ["", "Completed", "Rejected", "Pending"],
    "carrier": ["", "A", "B", "Rare"],
    "fmi": ["", "ON", "OFF"],
    "verdict": ["", "pass", "fail", "pending"],
    "service": ["", "1", "2"],
    "person": ["", "anna", "bob", "nobody"],
    "tag": ["", "sold", "HOT", "stock", "none"],
    "q": ["", "35", "353370", "353370000000017", "9"],
    "since": [None, date(2026, 3, 3), date(2026, 3, 20)],
    "until": [None, date(2026, 3, 9)],
    "mismatch": [False, False, True],
}


def fits(row: dict[str, Any], chosen: OrderFilter) -> bool:
    """The filter in plain words, as a judge of the queries."""
    day = row["order_date"].date()
    return (
        all(not wanted or row[name] == wanted for name, wanted in (("status", chosen.status), ("fmi", chosen.fmi)))
        and (not chosen.verdict or (row["verdict"] or "pending") == chosen.verdict)
        and (not chosen.carrier or chosen.carrier.casefold() in (row["carrier"] or "").casefold())
        and (not chosen.service or row["service_id"] == chosen.service)
        and (not chosen.person or PEOPLE.get(row["batch_id"]) == chosen.person)
        and (not chosen.tag or has_tag(row, chosen.tag))
        and (not chosen.q or row["imei"].startswith(chosen.q) or row["order_id"] == chosen.q)
        and (chosen.since is None or day >= chosen.since)
        and (chosen.until is None or day <= chosen.until)
        and (not chosen.mismatch or bool(row["other_imei"]))
    )


def has_tag(row: dict[str, Any], tag: str) -> bool:
    return any(
        row["batch_id"] in batch_ids or row["id"] in rows
        for word, (batch_ids, rows) in TAGS.items()
        if word.casefold() == tag.casefold()
    )


@pytest.mark.parametrize("few", [0, 30, order_filters.FEW])
def test_pages_of_any_filter_give_each_order_that_fits_once_and_newest_first(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(order_filters, "FEW", few)
    monkeypatch.setattr(order_filters, "VERY_FEW", min(few, order_filters.VERY_FEW))
    chance = random.Random(few)
    rows = [some_order(chance, number) for number in range(300)]
    add_batches(database)
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
    for word, (batch_ids, ids) in TAGS.items():
        tag_batches(database, batch_ids, word)
        tag_orders(database, ids, word)
    search_id = order_searches.save_search(database, [row["imei"] for row in rows], 0)
    for _ in range(30):
        given = {name: chance.choice(values) for name, values in VALUES.items() if chance.random() < 0.4}
        chosen = OrderFilter(**given)
        expected = [row for row in rows if fits(row, chosen)]
        expected.sort(key=lambda row: (row["order_date"], -row["id"]) if chosen.dated else row["id"], reverse=True)
        found: list[int] = []
        while part := order_filters.page(database, chosen, found[-1] if found else None, 7):
            found += [row.id for row in part]
        assert found == [row["id"] for row in expected], chosen
        assert order_filters.count(database, chosen) == len(expected), chosen
        if not chosen.q:
            assert order_searches.count_found(database, search_id, chosen) == len(expected), chosen
        count = order_counts.counted(database, chosen)
        assert count.found == len(expected) if count.is_all else count.found <= len(expected), chosen


def some_order(chance: random.Random, number: int) -> dict[str, Any]:
    status = chance.choice(["Completed", "Completed", "Rejected", "Pending"])
    carrier = "Rare" if number % 40 == 0 else chance.choice("AAB")
    return {
        "id": number + 1,
        "order_id": str(9000 + number),
        "imei": f"353{chance.choice([370, 999])}{number:09d}",
        "status": status,
        "carrier": carrier if status == "Completed" else None,
        "fmi": chance.choice(["ON", "OFF"]) if status == "Completed" else None,
        "verdict": None if status == "Pending" else chance.choice(["pass", "fail"]),
        "service_id": chance.choice(["1", "2", "2"]),
        "batch_id": chance.choice([None, *PEOPLE]),
        "order_date": datetime(2026, 3, 1) + timedelta(days=chance.randrange(25), hours=chance.randrange(3)),
        "other_imei": NUMBER if chance.random() < 0.1 else None,
    }


def test_a_walk_gives_every_order_once(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, "order_id": str(n)} for n in range(4500)])
    found = [row.order_id for row in order_filters.walk(database, OrderFilter())]
    assert found == [str(n) for n in reversed(range(4500))]
    assert order_filters.count(database, OrderFilter(q=NUMBER)) == 4500
    assert order_filters.imeis_of(database, OrderFilter(), 10) == [NUMBER]


def test_what_sums_are_kept_of_is_counted_exactly_however_many_orders_fit(
    database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_counts, "INDEX_ONLY", 1)
    monkeypatch.setattr(order_counts, "LOOKED_AT", 1)
    chance = random.Random(7)
    rows = [some_order(chance, number) | {"batch_id": None} for number in range(300)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)
        connection.execute(orders.insert(), {"id": 999, "imei": NUMBER})
    for beyond_mark in (1000, 0):  # every order is counted at first, then they are all in the sums
        kept_sums.tend(database, beyond_mark)
        for _ in range(20):
            names = [name for name in ("status", "verdict", "since", "until") if chance.random() < 0.5]
            given = {name: chance.choice(VALUES[name][:3]) for name in names}
            chosen = OrderFilter(**given)
            expected = sum(fits(row, chosen) for row in rows) + (not chosen.arguments())
            assert order_counts.counted(database, chosen) == Count(expected, is_all=True), chosen


def test_forty_thousand_orders_leave_as_csv_in_the_memory_of_half_of_them(tmp_path: Path) -> None:
    path = tmp_path / "orders.db"
    bench_exports.fill(path, 40_000)
    with IMEIDatabase(path) as database, database.write() as connection:
        run(connection, "UPDATE orders SET carrier = CASE id % 2 WHEN 0 THEN 'AT&T' ELSE 'T-Mobile' END")
    half, whole = (measured_apart("bench_exports", "csv", path, carrier) for carrier in ("AT&T", ""))
    assert (half["rows"], whole["rows"]) == (20_000, 40_000)
    assert whole["peak"] - half["peak"] < 5 * 1024  # kilobytes; the rows alone take four times that

"""Statements in words, on both databases."""

import json
from datetime import date, datetime

import pytest
from sqlalchemy import bindparam, func, insert, literal, select

from database import IMEIDatabase, utc_now
from schema import (
    DayStart,
    WordList,
    batches,
    each_of,
    insert_rows,
    last_id,
    orders,
    run_together,
    saved_searches,
    skip_ids,
    sql,
)


@pytest.fixture(params=["file_database", "server_database"])
def database(request: pytest.FixtureRequest) -> IMEIDatabase:
    """An empty database of either kind."""
    found: IMEIDatabase = request.getfixturevalue(request.param)
    return found


def test_each_gives_the_values_of_a_list_in_its_order(database: IMEIDatabase) -> None:
    query = sql("SELECT key, value + 1 FROM each(:ids AS INTEGER) given ORDER BY key")
    with database.read() as connection:
        assert connection.execute(query, {"ids": json.dumps([2**40, 5])}).all() == [(0, 2**40 + 1), (1, 6)]
        assert connection.execute(query, {"ids": "[]"}).all() == []


def test_rows_gives_columns_of_the_declared_types(database: IMEIDatabase) -> None:
    query = sql("SELECT id * 2, name, price FROM rows(:rows AS id INTEGER, name TEXT, price REAL) given ORDER BY key")
    rows = [[7, "7%:x", 0.08], [8, None, None]]
    with database.read() as connection:
        assert connection.execute(query, {"rows": json.dumps(rows)}).all() == [(14, "7%:x", 0.08), (16, None, None)]


def test_two_lists_of_one_statement_stay_apart(database: IMEIDatabase) -> None:
    with database.read() as connection:
        query = select(literal("b").in_(each_of(["a", "b"])), literal("b").in_(each_of(["a"])))
        assert connection.execute(query).one() == (True, False)


def test_functions_with_other_names_give_the_same_value(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "1", "imei": "x", "order_date": "2026-11-25T23:30:00-02:00"})
    with database.read() as connection:
        assert connection.execute(select(func.day_of(orders.c.order_date))).scalar_one() == "2026-11-26"
        assert connection.execute(select(func.place_in("Completed", "ple"))).scalar_one() == 4


def test_the_values_of_rows_are_collected_in_their_order(database: IMEIDatabase) -> None:
    query = sql(
        "SELECT json_list(o.id) || json_list(o.imei)"
        " FROM (SELECT id, imei FROM orders WHERE imei < :last ORDER BY id) o"
    )
    for order_id, imei in (("2", "b"), ("1", "a"), ("3", "c")):
        database.insert_order({"order_id": order_id, "imei": imei})
    with database.read() as connection:
        found = connection.execute(query, {"last": "c"}).scalar_one()
        assert found.replace(" ", "") == '[1,2]["b","a"]'
        assert connection.execute(query, {"last": ""}).scalar_one() == "[][]"


def test_rows_are_inserted_with_other_values_and_known_ones_do_not_count(database: IMEIDatabase) -> None:
    words = (
        "INSERT INTO orders (order_id, imei, attempt_id, order_date, notes) SELECT given.order_id, given.imei,"
        " given.attempt, :now, :notes FROM rows(:rows AS order_id TEXT, imei TEXT, attempt INTEGER) given"
        " WHERE true ON CONFLICT (order_id) DO NOTHING"
    )
    with database.write() as connection:
        for rows, written in (([("1", "a", 2**40), ("2", "b", None)], 2), ([("2", "b", 7), ("3", "c", 7)], 1)):
            assert insert_rows(connection, words, rows, now=datetime(2026, 11, 25, 12), notes="n") == written
    found = [database.get_order(order_id) or {} for order_id in "123"]
    assert [row["attempt_id"] for row in found] == [2**40, None, 7]
    assert {(row["order_date"], row["notes"]) for row in found} == {(datetime(2026, 11, 25, 12), "n")}


def test_statements_that_run_together_say_how_many_rows_each_has_changed(database: IMEIDatabase) -> None:
    for order_id in "123":
        database.insert_order({"order_id": order_id, "imei": order_id})
        with database.write() as connection:
            connection.execute(insert(saved_searches).values(imeis="[]", rejected=0, created_at=utc_now()))
    named = sql("UPDATE orders SET notes = :notes WHERE order_id IN (SELECT value FROM each(:ids AS TEXT) given)")
    dated = sql("UPDATE saved_searches SET created_at = :now WHERE id > 1").bindparams(
        bindparam("now", type_=saved_searches.c.created_at.type)
    )
    values = {"notes": "n", "ids": '["1", "9"]', "now": datetime(2026, 11, 25, 12)}
    with database.write() as connection:
        assert run_together(connection, (named, dated), values) == [1, 2]
        assert run_together(connection, (named, dated), {**values, "ids": "[]"}) == [0, 2]
    assert (database.get_order("1") or {})["notes"] == "n"
    with database.read() as connection:
        found = connection.execute(select(saved_searches.c.created_at).order_by(saved_searches.c.id)).scalars().all()
    assert [when == datetime(2026, 11, 25, 12) for when in found] == [False, True, True]


def test_ids_that_were_given_are_known_and_can_be_skipped(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert last_id(connection, batches) == 0
        for last in (6, 9):
            skip_ids(connection, batches, last)
            assert last_id(connection, batches) == last


def test_the_list_of_a_column_is_walked_in_its_order(database: IMEIDatabase) -> None:
    query = sql(
        "SELECT wanted.key, wanted.value FROM saved_searches AS search"
        " CROSS JOIN each(search.imeis AS TEXT) AS wanted ON true"
        " WHERE search.id = :search AND wanted.key >= 1 ORDER BY wanted.key"
    )
    with database.write() as connection:
        new = {"imeis": '["b", "a", "c"]', "rejected": 7, "created_at": utc_now()}
        connection.execute(saved_searches.insert().values(new))
        assert connection.execute(query, {"search": 1}).all() == [(1, "a"), (2, "c")]
        assert connection.execute(select(func.json_length(saved_searches.c.imeis))).scalar_one() == 3


def test_an_order_is_looked_for_in_an_index_by_one_word_or_several(database: IMEIDatabase) -> None:
    one = sql("SELECT id FROM orders by_index(idx_imei) WHERE imei = 'x' AND in_index(idx_status, status, :status)")
    several = sql("SELECT id FROM orders WHERE in_index(idx_status, status, each(:words AS TEXT)) ORDER BY id")
    several = several.bindparams(bindparam("words", type_=WordList))
    listed = select(orders.c.id).where(func.is_one_of(func.unindexed(orders.c.status), literal(["A", "C"], WordList)))
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": "x", "status": word} for word in ("A", "B", "C")])
        assert connection.execute(one, {"status": "B"}).scalars().all() == [2]
        assert connection.execute(several, {"words": ["A", "C"]}).scalars().all() == [1, 3]
        assert connection.execute(listed.order_by(orders.c.id)).scalars().all() == [1, 3]


def test_a_day_begins_before_each_of_its_moments(database: IMEIDatabase) -> None:
    with database.write() as connection:
        for moment in ("2026-11-24 23:59:59.999999", "2026-11-25 00:00:00", "2026-11-25 00:00:00.000000"):
            connection.exec_driver_sql(f"INSERT INTO orders (imei, order_date) VALUES ('x', '{moment}')")
        since = orders.c.order_date >= literal(date(2026, 11, 25), DayStart)
        assert connection.execute(select(orders.c.id).where(since).order_by(orders.c.id)).scalars().all() == [2, 3]


def test_a_total_of_whole_numbers_is_a_whole_number(database: IMEIDatabase) -> None:
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": "x"}, {"imei": "y"}])
        found = connection.execute(select(func.total(orders.c.id), func.total(orders.c.batch_id))).one()
    assert (found, type(found[0])) == ((3, None), int)

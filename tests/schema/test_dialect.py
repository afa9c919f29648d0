"""Statements in words, on both databases."""

import json

import pytest
from sqlalchemy import func, literal, select

from database import IMEIDatabase
from schema import each_of, orders, sql


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
        given = select(func.day_of(orders.c.order_date), func.greatest(orders.c.id, 5), func.least(orders.c.id, 5))
        assert connection.execute(given).one() == ("2026-11-26", 5, 1)
        assert connection.execute(select(func.place_in("Completed", "ple"))).scalar_one() == 4

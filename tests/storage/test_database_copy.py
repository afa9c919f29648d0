"""The copy of all tables: odd values, ids that go on, and values that are refused by table, row and column."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moved_data import rows_of, used_file_fixture, used_fixture
from order_tables import ORDER
from sqlalchemy import Connection, delete, insert, select, text

from amounts import HIGHEST_PRICE
from database import IMEIDatabase
from results.order_values import reparse
from schema import batches, metadata, orders
from storage.database_copy import CopyError, Repair, copy_tables

__all__ = ["used_file_fixture", "used_fixture"]

TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(["\\.", "\\N", "", "\0", "x" * 100_000])
#: Columns of an order that nothing depends on.
ODD = st.fixed_dictionaries(
    {
        "notes": st.none() | TEXTS,
        "raw_response": st.none() | TEXTS,
        "credits": st.none() | st.floats(-HIGHEST_PRICE, HIGHEST_PRICE),
        "order_date": st.none() | st.datetimes(datetime(1, 1, 1)),
        "existed": st.booleans(),
        "verdict_rule": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


def copied(source: IMEIDatabase, target: IMEIDatabase) -> list[Repair]:
    with target.write() as new, source.read() as old:
        return copy_tables(old, new, lambda _: None)


def definitions(connection: Connection) -> list[Sequence[Any]]:
    """What makes the tables of a server, besides their columns."""
    return [
        sorted(connection.exec_driver_sql(query).all())
        for query in (
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace",
            "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal",
        )
    ]


def test_every_table_is_equal_and_the_server_keeps_its_indexes_keys_and_triggers(
    used: IMEIDatabase, server_database: IMEIDatabase
) -> None:
    with server_database.read() as connection:
        before = definitions(connection)
    assert copied(used, server_database) == []
    with used.read() as old, server_database.read() as new:
        ours, theirs = rows_of(old), rows_of(new)
        assert definitions(new) == before
    assert theirs == ours
    assert len(ours) > 20


def test_an_id_is_never_given_again(used: IMEIDatabase, server_database: IMEIDatabase) -> None:
    with used.write() as connection:
        given = insert(orders).values({**ORDER, "order_id": "new"}).returning(orders.c.id)
        last = connection.execute(given).scalar_one()
        connection.execute(delete(orders).where(orders.c.id == last))
        counters = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence").all()
        given_last: dict[str, int] = {row.name: row.seq for row in counters}
    copied(used, server_database)
    with server_database.read() as connection:
        for table in metadata.sorted_tables:
            if table.autoincrement_column is not None:
                newest = connection.execute(text(f"SELECT last_value, is_called FROM {table.name}_id_seq")).one()
                highest = connection.execute(text(f"SELECT coalesce(max(id), 0) FROM {table.name}")).scalar_one()
                least = max(given_last.get(table.name, 0), highest)
                assert tuple(newest) == ((least, True) if least else (1, False)), table.name
    assert server_database.insert_order({**ORDER, "order_id": "new"}) == last + 1


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ODD, min_size=40, max_size=120))
def test_odd_values_are_read_as_they_were(
    file_database: IMEIDatabase, server_database: IMEIDatabase, rows: list[dict[str, Any]]
) -> None:
    with file_database.write() as connection:
        connection.execute(delete(orders))
        connection.execute(insert(orders), [{**ORDER, "order_id": str(n), **row} for n, row in enumerate(rows)])
    repairs = copied(file_database, server_database)
    with file_database.read() as old, server_database.read() as new:
        ours, theirs = (connection.execute(select(orders).order_by(orders.c.id)).all() for connection in (old, new))
    assert repr(theirs) == repr(ours).replace(r"\x00", "\ufffd")
    odd = sum("\0" in (row[name] or "") for row in rows for name in ("notes", "raw_response"))
    assert sum(repair.rows for repair in repairs) == odd


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (
            "UPDATE orders SET order_date = 'soon' WHERE id = 7",
            "orders, row 7, column order_date holds a str of 4 signs",
        ),
        ("UPDATE orders SET model = x'ff' WHERE id = 8", "orders, row 8, column model holds a bytes of"),
        (
            "UPDATE orders SET model = CAST(x'61ff' AS TEXT) WHERE id = 9",
            "orders, row 9, column model holds a text that",
        ),
        ("UPDATE orders SET credits = 9e999 WHERE id = 7", "orders, row 7, column credits holds a float"),
        ("UPDATE orders SET credits = -1e13 WHERE id = 7", "float of 17 signs that is no price up to $1,000,000."),
        ("UPDATE orders SET model = hex(randomblob(9000)) WHERE id = 7", "run `flask reparse`"),
        ("UPDATE users SET name = 'a' || char(0)", "users, row 1, column name holds a str"),
        ("UPDATE batches SET resumes_itself = 7 WHERE id = 2", "batches, row 2, column resumes_itself holds a int"),
        (
            "PRAGMA foreign_keys = OFF; UPDATE items SET batch_id = 99 WHERE id = 1",
            "Key (batch_id)=(99) is not present",
        ),
        (
            "PRAGMA foreign_keys = OFF; UPDATE orders SET batch_id = 99 WHERE id = 7",
            "Key (batch_id)=(99) is not present",
        ),
    ],
)
def test_a_value_that_the_server_cannot_hold_is_named_and_nothing_is_copied(
    used: IMEIDatabase, server_database: IMEIDatabase, statement: str, words: str
) -> None:
    hand = sqlite3.connect(used.path)
    hand.executescript(statement)
    hand.close()
    with pytest.raises(CopyError) as found:
        copied(used, server_database)
    assert words in str(found.value)
    with server_database.read() as connection:
        assert [*rows_of(connection)] == ["rule_versions", "totals_mark"]


def test_a_file_with_a_finding_that_is_too_long_is_copied_after_reparse(
    used: IMEIDatabase, server_database: IMEIDatabase
) -> None:
    hand = sqlite3.connect(used.path)
    hand.executescript("UPDATE orders SET model = hex(randomblob(9000)), result_code = NULL WHERE id = 7")
    hand.close()
    with pytest.raises(CopyError, match="flask reparse"):
        copied(used, server_database)
    assert reparse(used)[1] >= 1
    copied(used, server_database)
    with used.read() as old, server_database.read() as new:
        models = [connection.execute(select(orders.c.model).where(orders.c.id == 7)) for connection in (old, new)]
        assert len({found.scalar_one() for found in models}) == 1


def test_a_repaired_text_is_reported(file_database: IMEIDatabase, server_database: IMEIDatabase) -> None:
    with file_database.write() as connection:
        values = {"source": "file", "service_id": "1", "service_name": "x", "unit_price": 1, "total": 1}
        connection.execute(insert(batches).values(label="a\0b", state="finished", **values))
    (repair,) = copied(file_database, server_database)
    assert str(repair) == "batches, column label, 1 row, the first of them 1: each NUL was replaced by U+FFFD."

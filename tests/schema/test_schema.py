"""The schema in words is the schema on disk, and an old database is migrated to it."""

import sqlite3
from contextlib import nullcontext
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from handmade_calls import call
from order_tables import NUMBER
from simulated_provider import imeis
from sqlalchemy import CheckConstraint, Connection, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from database import IMEIDatabase
from schema import items, metadata
from storage import order_queries, result_store


def test_every_index_of_the_schema_is_there_and_no_other(database: IMEIDatabase) -> None:
    with database.read() as connection:
        found = {
            row[0]
            for row in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'index'")
            if not row[0].startswith("sqlite_autoindex")
        }
    assert found == {str(index.name) for table in metadata.tables.values() for index in table.indexes}


def test_the_schema_in_words_is_the_schema_on_disk(database: IMEIDatabase) -> None:
    for table in metadata.tables.values():
        with database.read() as connection:
            columns = {row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
        assert columns == set(table.c.keys()), table.name


def test_the_constraints_in_words_are_those_on_disk_and_are_kept(database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    with database.read() as connection:
        on_disk: dict[str, str] = dict(
            connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
        )
    for table in metadata.tables.values():
        for constraint in table.constraints:
            if isinstance(constraint, CheckConstraint):
                assert f"CONSTRAINT {constraint.name} CHECK ({constraint.sqltext})" in on_disk[table.name]
    for word, is_known in (("lost", False), ("cancelled", True)):
        with nullcontext() if is_known else pytest.raises(IntegrityError), database.write() as connection:
            connection.execute(update(items).where(items.c.chunk_id == chunk.chunk_id).values(outcome=word))


BATCH = (
    "INSERT INTO batches (id, label, source, service_id, service_name, unit_price, total, state)"
    " VALUES ({}, 'a', 'file', '1', 'x', 1, 1, 'running')"
)


@pytest.fixture(params=["file_database", "server_database"])
def either_database(request: pytest.FixtureRequest) -> IMEIDatabase:
    """A database of each kind with two batches, the first of which has an order."""
    found: IMEIDatabase = request.getfixturevalue(request.param)
    with found.write() as connection:
        for statement in (BATCH.format(1), BATCH.format(2), "INSERT INTO orders (imei, batch_id) VALUES ('1', 1)"):
            connection.exec_driver_sql(statement)
    return found


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO orders (imei, batch_id) VALUES ('2', 1), ('3', NULL), ('4', 99)",
        "UPDATE orders SET batch_id = 99",
        "DELETE FROM batches WHERE id = 1",
        "UPDATE batches SET id = 98 WHERE id = 1",
    ],
)
def test_an_order_names_a_batch_that_is_there(either_database: IMEIDatabase, statement: str) -> None:
    with pytest.raises(IntegrityError), either_database.write() as connection:
        connection.exec_driver_sql(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO orders (imei, batch_id) VALUES ('2', 1), ('3', NULL), ('4', 2)",
        "UPDATE orders SET batch_id = 2",
        "UPDATE orders SET batch_id = NULL",
        "DELETE FROM batches WHERE id = 2",
        "UPDATE batches SET id = 98 WHERE id = 2",
    ],
)
def test_orders_and_batches_change_where_no_batch_is_missed(either_database: IMEIDatabase, statement: str) -> None:
    with either_database.write() as connection:
        connection.exec_driver_sql(statement)


def test_a_batch_is_not_deleted_beside_its_first_orders(server_database: IMEIDatabase) -> None:
    """Whoever deletes it waits for a transaction that has inserted them, and then finds them."""
    with server_database.write() as connection:
        connection.exec_driver_sql(BATCH.format(1))
    with server_database.engine.connect() as adding, server_database.engine.connect() as deleting:
        adding.exec_driver_sql("INSERT INTO orders (imei, batch_id) VALUES ('1', 1)")
        deleting.exec_driver_sql("SET lock_timeout = '50ms'")
        with pytest.raises(DBAPIError, match="lock timeout"):
            deleting.exec_driver_sql("DELETE FROM batches")
        deleting.rollback()
        adding.commit()
        with pytest.raises(IntegrityError):
            deleting.exec_driver_sql("DELETE FROM batches")


def test_a_database_of_the_first_schema_is_migrated_and_keeps_its_orders(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with IMEIDatabase(path) as database:
        database.insert_order({"order_id": "77", "imei": NUMBER, "status": "Pending"})
        with database.write() as connection:
            _take_back_second_schema(connection)
    with IMEIDatabase(path) as database:
        order = database.get_order("77")
        assert order
        assert (order["imei"], order["other_imei"]) == (NUMBER, None)
        assert result_store.count_pending(database) == 1
        assert order_queries.statistics(database).by_status == {"Pending": 1}


def _take_back_second_schema(connection: Connection) -> None:
    old = ("service", "pending", "rejected", "imei2", "other_imei", "carrier", "simlock", "fmi")
    pairs = ("verdict_simlock", "verdict_fmi", "verdict_blacklist")
    names = (*old, "blacklist", "model", "serial", "verdict", "ungraded", *pairs)

    disputed = ("dispute_events", "disputes", "report_links", "service_prices", "turnarounds", "service_figures")
    for statement in (
        *(f"DROP TABLE {name}" for name in disputed),
        *(f"DROP TABLE automation_{name}" for name in ("changes", "phones", "runs")),
        "DROP TABLE automations",
        "DROP TRIGGER orders_recounted",
        "DROP TRIGGER orders_uncounted",
        "DROP TRIGGER orders_untallied",
        *(f"DROP TRIGGER orders_model_{event}" for event in ("added", "gained", "lost", "removed")),
        *(f"DROP TABLE {name}" for name in ("tac_models", "imported_models")),
        *(f"DROP TRIGGER orders_result_{event}" for event in ("came", "went", "changed")),
        *(f"DROP TRIGGER orders_rejection_{event}" for event in ("came", "changed")),
        "DROP TABLE rejections",
        "DROP TABLE result_changes",
        "DROP TABLE result_counts",
        "DROP TABLE order_totals",
        "DROP TABLE totals_mark",
        "DROP INDEX idx_batches_untallied",
        "DROP INDEX idx_items_message",
        "ALTER TABLE batches DROP COLUMN tally",
        "ALTER TABLE batches DROP COLUMN tally_revision",
        *(f"ALTER TABLE batches DROP COLUMN {name}" for name in ("is_judged", "is_stopped")),
        *(f"DROP INDEX idx_orders_{name}" for name in names),
        "ALTER TABLE orders DROP COLUMN other_imei",
        "ALTER TABLE import_history DROP COLUMN undone_at",
        "DROP TABLE import_changes",
        "DROP TABLE status_changes",
        "DROP TABLE saved_searches",
        "DROP INDEX idx_orders_account",
        "DROP INDEX idx_attempts_account",
        *(f"ALTER TABLE {table} DROP COLUMN account" for table in ("orders", "attempts", "chunks")),
        *(f"DROP TABLE {name}" for name in ("provider_accounts", "account_prices", "account_list_proofs")),
        "DROP TABLE balance_readings",
        "DROP TABLE leases",
        "DROP TABLE withheld_results",
        "DROP TABLE listed_orders",
        "DROP TABLE provider_requests",
        *(f"DROP TABLE {name}" for name in ("pace", "elections", "raw_answers")),
        *(f"DROP TABLE {name}" for name in ("preferences", "saved_filters")),
        *(f"DROP TABLE {name}" for name in ("batch_tags", "order_tags", "tags", "customers")),
        "ALTER TABLE attempts DROP COLUMN taken_by",
        "ALTER TABLE attempts DROP COLUMN begun_at",
        "ALTER TABLE attempts DROP COLUMN after_order",
        "ALTER TABLE attempts DROP COLUMN first_list",
        "ALTER TABLE chunks DROP COLUMN doubt_attempt",
        "ALTER TABLE chunks DROP COLUMN cleared",
        "ALTER TABLE orders DROP COLUMN existed",
        *(f"ALTER TABLE orders DROP COLUMN {name}" for name in ("verdict", "verdict_rule", "rules_version")),
        "DROP TABLE rule_versions",
        "DROP TABLE scans",
        "DROP INDEX idx_batches_listed",
        "DROP INDEX idx_batches_person",
        "DROP INDEX idx_batches_customer",
        *(
            f"ALTER TABLE {table} DROP COLUMN {name}"
            for table in ("batches", "uploads")
            for name in ("customer", "note")
        ),
        "ALTER TABLE services DROP COLUMN favourite",
        "DROP TABLE idempotency_keys",
        *(f"ALTER TABLE batches DROP COLUMN {name}" for name in ("ordered_by", "user_id", "token_id", "announced")),
        *(f"DROP TABLE {name}" for name in ("deliveries", "outbox_events", "webhooks", "audit_entries")),
        *(f"DROP TABLE {name}" for name in ("login_failures", "api_tokens", "sessions", "recovery_codes", "users")),
        "UPDATE alembic_version SET version_num = '0001'",
    ):
        connection.exec_driver_sql(statement)


SPECIFIED_COLUMNS = [
    "id",
    "order_id",
    "service_name",
    "service_id",
    "imei",
    "imei2",
    "credits",
    "status",
    "order_date",
    "carrier",
    "simlock",
    "model",
    "fmi",
    "result_code",
    "result_code_display",
    "notes",
    "raw_response",
    "created_at",
    "updated_at",
]


def test_the_orders_table_has_the_columns_and_indexes_that_people_know(database: IMEIDatabase) -> None:
    with sqlite3.connect(database.path) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(orders)")]
        indexes = {row[1] for row in connection.execute("PRAGMA index_list(orders)")}
    assert [name for name in columns if name in SPECIFIED_COLUMNS] == SPECIFIED_COLUMNS
    assert {"idx_imei", "idx_order_id", "idx_order_date", "idx_status"} <= indexes


def test_migrations_and_schema_say_the_same(database: IMEIDatabase) -> None:
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []

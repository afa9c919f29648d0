"""A database that is emptied after a test is what the migrations made, or it is used no more."""

from typing import Any

import psycopg
import pytest
from postgresql_cluster import Cluster
from simulated_provider import imeis
from web_client import CARRIER, order_batch

from database import IMEIDatabase


def contents(address: str) -> dict[str, Any]:
    """The rows of every table, the next number of every sequence, and what the planner knows."""
    with psycopg.connect(address) as connection:
        known = connection.execute(
            "SELECT relname, reltuples FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        found: dict[str, Any] = {
            name: connection.execute(f"SELECT * FROM {name}".encode()).fetchall() for name, _ in known
        }
        found["sequences"] = set(connection.execute("SELECT sequencename, last_value FROM pg_sequences").fetchall())
        found["planner"] = set(known)
    return found


def fill(address: str) -> None:
    """Write orders, a service and a setting, change a row of the migrations, and let the planner know them."""
    with IMEIDatabase(address) as database:
        database.store_services([CARRIER], 0.0)
        order_batch(database, imeis(300))
        database.set_setting("key", "value")
        with database.write() as connection:
            connection.exec_driver_sql("DELETE FROM rule_versions")
            connection.exec_driver_sql("ANALYZE")


def test_it_is_what_a_new_one_is(cluster: Cluster) -> None:
    with cluster.migrated() as new, cluster.emptied() as address:
        fill(address)
        assert contents(address) != contents(new)
    with cluster.migrated() as new, cluster.emptied() as again:
        assert again == address
        assert contents(again) == contents(new)


def test_what_a_test_left_open_is_ended(cluster: Cluster) -> None:
    with cluster.emptied() as address:
        left = psycopg.connect(address)
        left.execute("LOCK TABLE orders")
    with cluster.emptied() as again:
        assert again == address
    with pytest.raises(psycopg.OperationalError):
        left.execute("SELECT 1")


def number_of(database: IMEIDatabase) -> int:
    """The number of the process of the server behind the connection that is used next."""
    with database.read() as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def test_a_connection_outlives_its_engine_and_is_as_a_new_one(cluster: Cluster) -> None:
    with cluster.emptied() as address:
        for _ in range(3):  # the driver counts how often it is given a statement
            with IMEIDatabase(address) as database:
                first = number_of(database)
                with database.engine.connect() as connection:
                    assert connection.exec_driver_sql("SHOW work_mem").scalar() == "4MB"
                    assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
                    connection.exec_driver_sql("SET work_mem = '9MB'")
                    connection.exec_driver_sql("SELECT pg_advisory_lock(7)")
                    connection.exec_driver_sql("PREPARE it AS SELECT 1")
                    connection.commit()
                database.count_orders()  # a statement that the driver prepares
    with cluster.emptied() as again, IMEIDatabase(again) as database:
        assert number_of(database) == first
        with psycopg.connect(address) as other:
            assert other.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (True,)


def test_a_connection_that_the_server_ended_is_not_kept(cluster: Cluster) -> None:
    with cluster.emptied() as address:
        with IMEIDatabase(address) as database:
            first = number_of(database)
        with psycopg.connect(address, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [first])
        with IMEIDatabase(address) as database:
            assert number_of(database) != first


def test_a_connection_in_a_transaction_is_not_kept(cluster: Cluster) -> None:
    with cluster.emptied() as address:
        with IMEIDatabase(address) as database:
            first = number_of(database)
            connection = database.engine.raw_connection()
            connection.cursor().execute("LOCK TABLE orders")
            driver: Any = connection.driver_connection
            connection.detach()
            database.engine.dialect.do_close(driver)
        with IMEIDatabase(address) as database:
            assert number_of(database) != first
            assert database.count_orders() == 0


@pytest.mark.parametrize(
    "change",
    [
        "DROP INDEX idx_imei",
        "ALTER TABLE orders DISABLE TRIGGER ALL",
        "ALTER TABLE orders ADD COLUMN new int",
        "CREATE FUNCTION new() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE orders DROP COLUMN imei CASCADE",
    ],
)
def test_one_with_another_schema_is_used_no_more(cluster: Cluster, change: str) -> None:
    with cluster.emptied() as address, psycopg.connect(address, autocommit=True) as connection:
        connection.execute(change.encode())
    with cluster.emptied() as again:
        assert again != address


def test_two_at_the_same_time_are_two(cluster: Cluster) -> None:
    with cluster.emptied() as one, cluster.emptied() as other:
        assert one != other

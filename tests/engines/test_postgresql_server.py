"""A database on a server: one writer at a time, snapshots, and migrations while older programs run."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from postgresql_cluster import Cluster
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import URL, Engine, create_engine, make_url, text

from database import DatabaseUnavailableError, IMEIDatabase, UnusableDatabaseError, read_setting, write_setting
from engines import postgresql_server
from engines.postgresql_server import NETWORK
from storage.handed_calls import each_by_itself
from storage.listening import server_address

KEY, COUNT = "counter", "SELECT count(*) FROM settings"


@contextmanager
def database_with(cluster: Cluster, setting: str) -> Iterator[IMEIDatabase]:
    """Open a database for whose connections an administrator has set this."""
    with cluster.migrated() as address:
        name = address.rpartition("/")[2].partition("?")[0]
        cluster.run(f"ALTER DATABASE {name} SET {setting}")
        with IMEIDatabase(address) as opened:
            yield opened


def test_a_write_waits_for_another_one_and_sees_what_it_wrote(server_database: IMEIDatabase) -> None:
    """Two read, change and write at the same time: no change is lost."""

    def increase() -> None:
        for _ in range(20):
            with server_database.write() as connection:
                write_setting(connection, KEY, str(int(read_setting(connection, KEY) or 0) + 1))

    threads = [threading.Thread(target=increase) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server_database.get_setting(KEY) == "80"


def test_a_reader_keeps_its_snapshot_and_cannot_write(server_database: IMEIDatabase) -> None:
    with server_database.read() as reader:
        before = reader.exec_driver_sql(COUNT).scalar_one()
        server_database.set_setting(KEY, "1")
        assert reader.exec_driver_sql(COUNT).scalar_one() == before
    with pytest.raises(DatabaseUnavailableError, match="read-only"), server_database.read() as reader:
        reader.exec_driver_sql("DELETE FROM settings")


def test_a_database_that_takes_no_changes_takes_none_of_a_connection_that_has_read(cluster: Cluster) -> None:
    """Such as one that is about to be moved to another server."""
    with database_with(cluster, "default_transaction_read_only = on") as opened:
        for _ in range(2):
            assert opened.count_orders() == 0
            with pytest.raises(DatabaseUnavailableError) as raised:
                opened.set_setting(KEY, "1")
            assert "takes no changes" in raised.value.sentence


def test_a_connection_that_is_kept_is_not_ended_for_doing_nothing(cluster: Cluster) -> None:
    with database_with(cluster, "idle_session_timeout = '100ms'") as opened:
        for _ in range(2):
            assert opened.count_orders() == 0
            time.sleep(0.3)


def test_a_server_that_the_settings_of_connections_do_not_reach_is_refused(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler that is told to ignore them: locks would be waited for without end, and stopped writers never ended."""

    def without_options(url: URL, connect_args: dict[str, Any], **given: Any) -> Engine:
        return create_engine(url, connect_args={**connect_args, "options": ""}, **given)

    with cluster.migrated() as address:
        monkeypatch.setattr(postgresql_server, "create_engine", without_options)
        with pytest.raises(UnusableDatabaseError, match="PgBouncer"):
            IMEIDatabase(address)


def test_only_marked_statements_keep_their_plans(server_database: IMEIDatabase) -> None:
    """A plan for all values would read a whole table for a rare one."""
    prepared = text("SELECT statement FROM pg_prepared_statements")
    for _ in range(10):
        with server_database.snapshot() as connection:
            server_database.get_setting("one")
            connection.execute(text("SELECT 7"))
    with server_database.read() as connection:
        kept = connection.execute(prepared).scalars().all()
    assert ["FROM settings" in statement for statement in kept] == [True]


def test_a_hurried_write_gives_up_where_another_one_writes(server_database: IMEIDatabase) -> None:
    with (
        server_database.write(),
        pytest.raises(DatabaseUnavailableError) as raised,
        server_database.write(is_hurried=True),
    ):
        pass
    assert "half a minute" in raised.value.sentence
    with server_database.write(is_hurried=True) as connection:
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "30s"


@pytest.mark.parametrize(("told", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")])
def test_each_commit_is_flushed_where_the_server_is_told_not_to(cluster: Cluster, told: str, used: str) -> None:
    """What a server is told for standbys stays as it is."""
    with database_with(cluster, f"synchronous_commit = {told}") as opened:
        engines = opened.engines
        for engine in (opened.engine, engines.readers, engines.singles, engines.writers):
            with engine.begin() as connection:
                assert connection.exec_driver_sql("SHOW synchronous_commit").scalar_one() == used
        with each_by_itself(opened) as direct:
            assert direct.execute(text("SHOW synchronous_commit")).scalar_one() == used


@pytest.mark.parametrize("told", ["repeatable read", "serializable"])
def test_a_write_sees_what_it_waited_for_whatever_the_server_is_told(cluster: Cluster, told: str) -> None:
    """Else it would decide on a snapshot from before it waited: the same IMEI would be ordered by two batches."""
    with database_with(cluster, f"default_transaction_isolation = '{told}'") as opened:
        test_a_write_waits_for_another_one_and_sees_what_it_wrote(opened)
        engines, shown = opened.engines, "SHOW transaction_isolation"
        for engine in (opened.engine, engines.singles, engines.writers, engines.hurried):
            with engine.begin() as connection:
                assert connection.exec_driver_sql(shown).scalar_one() == "read committed"
        with each_by_itself(opened) as direct:
            assert direct.execute(text(shown)).scalar_one() == "read committed"
        with opened.read() as connection:
            assert connection.exec_driver_sql(shown).scalar_one() == "repeatable read"


def test_a_single_statement_has_no_transaction_around_it(server_database: IMEIDatabase) -> None:
    """The connection goes back as it was: the next transaction on it is one."""
    begun = "SELECT now()"  # when the transaction began
    for opened, is_one in ((server_database.read_one, False), (server_database.read, True)):
        with opened() as connection:
            moments = {connection.exec_driver_sql(begun).scalar_one() for _ in range(3)}
        assert (len(moments) == 1) is is_one


def test_what_a_server_may_lose_with_its_machine_is_named(server_database: IMEIDatabase) -> None:
    names = ("fsync", "full_page_writes")
    with server_database.read() as connection:
        off = [name for name in names if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off"]
    risk = server_database.engines.risk
    assert (f"has {' and '.join(off)} set to off" in risk) if off else risk == ""


def test_a_server_that_ended_the_connections_is_used_again(server_database: IMEIDatabase) -> None:
    assert server_database.count_orders() == 0
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
    with server_database.engine.begin() as connection, pytest.raises(DatabaseUnavailableError):
        server_database.count_orders()
        connection.exec_driver_sql(f"{others} current_database()")
        server_database.count_orders()
    assert server_database.count_orders() == 0


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_cannot_hold_all_texts_is_refused(cluster: Cluster, encoding: str) -> None:
    """A server that was installed where no language was set has SQL_ASCII."""
    name = f"of_{encoding.lower()}_{os.getpid()}"
    cluster.run(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'")
    try:
        with pytest.raises(UnusableDatabaseError, match=f"encoding {encoding}, .* ENCODING 'UTF8'"):
            IMEIDatabase(cluster.address(name))
    finally:
        cluster.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_texts_are_sent_whole_whatever_encoding_a_role_has(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with database_with(cluster, "client_encoding = 'LATIN1'") as opened:
        opened.set_setting(KEY, "\U0001f4f1")
        assert opened.get_setting(KEY) == "\U0001f4f1"


def test_tables_of_a_newer_version_are_used(server_url: str, caplog: pytest.LogCaptureFixture) -> None:
    with IMEIDatabase(server_url) as database, database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with IMEIDatabase(server_url) as database:
        assert database.count_orders() == 0
    assert "newer version (schema 9999)" in caplog.text


def test_a_server_that_is_too_old_is_refused(server_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_server, "LEAST_VERSION", 99)
    with pytest.raises(UnusableDatabaseError, match="PostgreSQL 99 or newer"):
        IMEIDatabase(server_url)


@pytest.mark.parametrize("address", ["postgresql://hammer@127.0.0.1:54x/hammer", "postgresql://hammer@[::1/hammer"])
def test_an_address_that_cannot_be_read_is_refused(address: str) -> None:
    with pytest.raises(UnusableDatabaseError, match="DATABASE_URL cannot be read"):
        IMEIDatabase(address)


def test_a_user_who_may_not_make_tables_is_told_to_own_the_database(cluster: Cluster) -> None:
    """Since PostgreSQL 15 only the owner of a database may."""
    with cluster.empty() as address:
        name = f"guest_{os.getpid()}"
        cluster.run(f"CREATE ROLE {name} LOGIN PASSWORD 'of the guest'")
        try:
            url = make_url(address).set(username=name, password="of the guest")
            with pytest.raises(UnusableDatabaseError, match="make this user its owner"):
                IMEIDatabase(url.render_as_string(hide_password=False))
        finally:
            cluster.run(f"DROP ROLE {name}")


def test_options_of_the_address_hold_beside_ours(server_url: str) -> None:
    """Such as the schema of the tables."""
    with IMEIDatabase(f"{server_url}?options=-c%20work_mem%3D7MB") as database:
        for opened in (database.read, database.write):
            with opened() as connection:
                shown = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("work_mem", "timezone")]
                assert shown == ["7MB", "UTC"]
        assert conninfo_to_dict(server_address(database))["options"] == "-c work_mem=7MB"


def test_the_queue_of_jobs_takes_a_password_with_a_blank(server_url: str) -> None:
    encoded = make_url(server_url).set(password="of the-server").render_as_string(hide_password=False)
    with IMEIDatabase(encoded) as database:
        assert conninfo_to_dict(server_address(database))["password"] == "of the-server"


def test_the_queue_of_jobs_notices_too_that_the_server_is_gone(server_database: IMEIDatabase, server_url: str) -> None:
    """Without these limits a connection whose packets are lost waits for a quarter of an hour."""
    known = conninfo_to_dict(server_address(server_database))
    assert {name: known[name] for name in NETWORK} == NETWORK
    with IMEIDatabase(f"{server_url}?connect_timeout=9") as patient:
        assert conninfo_to_dict(server_address(patient))["connect_timeout"] == "9"

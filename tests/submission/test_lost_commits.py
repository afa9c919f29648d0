"""A server that lost commits orders nothing, whichever way it lost them; one that only crashed goes on."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from handed_over import ACCOUNT, ANSWER, handed_over
from plain_sql import run
from postgresql_cluster import Cluster
from server_copies import FOLLOWS, LAGS, ServerCopy, copied_server
from waiting import wait_until

from database import DatabaseUnavailableError, IMEIDatabase
from orders import ChunkState
from storage import call_queries, handed_calls, history_mark
from storage.handed_calls import Begun, at_once, each_by_itself
from submission import Options, Ownership, Throttle
from submission.cluster_carrier import ClusterCarrier
from submission.lost_commits import LOST, restore_calls, stop_where_commits_are_lost
from submission.older_copy import accept_older_copy, newest_stop, older_copy_objection
from submission.ownership import OtherHistoryError

ENDLESS = 1e12
#: Databases of the server when it is copied: each test of the copy has its own.
SHARED = 5


@pytest.fixture(scope="module")
def names(private: Cluster) -> Iterator[list[str]]:
    """Databases whose leader has looked, with three calls that nobody has begun."""
    with ExitStack() as held:
        urls = [held.enter_context(private.migrated()) for _ in range(SHARED)]
        for url in urls:
            with IMEIDatabase(url) as database:
                assert not stop_where_commits_are_lost(database)
                handed_over(database, 3)
        yield [url.rpartition("/")[2].partition("?")[0] for url in urls]


@pytest.fixture(scope="module")
def standby(private: Cluster, names: list[str]) -> Iterator[ServerCopy]:
    """A standby that has these databases, and nothing that is committed later."""
    with copied_server(private.url) as copy:
        copy.start()
        yield copy


@pytest.fixture(scope="module")
def promoted(standby: ServerCopy, names: list[str]) -> Iterator[dict[str, IMEIDatabase]]:
    """The databases of the standby, opened before it took over: their connections live on."""
    with ExitStack() as held:
        opened = {name: held.enter_context(IMEIDatabase(standby.address(name))) for name in names}
        with pytest.raises(DatabaseUnavailableError):
            stop_where_commits_are_lost(opened[names[0]])
        standby.promote()
        yield opened


def begun(database: IMEIDatabase, attempt_id: int) -> Begun | None:
    with at_once(database) as connection:
        return handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", ENDLESS)


def attempts(database: IMEIDatabase) -> list[int]:
    with database.read() as connection:
        return [row.id for row in run(connection, "SELECT id FROM attempts ORDER BY id")]


def assert_stopped(database: IMEIDatabase) -> None:
    """No call begins and none is withdrawn, before a leader looks and afterwards; then everything is paused."""
    ids = attempts(database)
    assert begun(database, ids[0]) is None
    with at_once(database) as connection:
        assert handed_calls.withdraw(connection, ids) == set()
        assert not handed_calls.is_open(connection, ids[0], ACCOUNT)
    assert stop_where_commits_are_lost(database)
    assert not stop_where_commits_are_lost(database)
    assert older_copy_objection(database) == LOST
    with database.read() as connection:
        rows = run(connection, "SELECT DISTINCT state, notice FROM batches")
        assert [tuple(row) for row in rows] == [("paused", LOST)]
    accept_older_copy(database, newest_stop(database))
    assert [begun(database, one) for one in ids] == [None] * len(ids)  # they may have been made: they are in doubt
    with database.read() as connection:
        chunk_ids = {chunk.attempt_id: chunk for chunk in call_queries.open_chunks(connection, ChunkState.SENDING)}
        left = handed_calls.orphaned(connection, chunk_ids, "make_call", -1.0, 0.0)
    assert all(left[one] for one in ids)
    (later,) = handed_over(database, 1, first=100)
    assert begun(database, later) is not None


def test_a_standby_that_took_over(promoted: dict[str, IMEIDatabase], names: list[str]) -> None:
    assert_stopped(promoted[names[0]])


def test_a_leader_that_lives_on_ends_and_looks(promoted: dict[str, IMEIDatabase], names: list[str]) -> None:
    """It is not taken for one that was overtaken: the next one leads at once."""
    database = promoted[names[1]]
    ownership = Ownership(database, None, "main")
    with database.write() as connection:
        ownership.take(connection)
        with pytest.raises(OtherHistoryError) as raised:
            ownership.check(connection)
    ownership.lose(raised.value)
    assert (ownership.has_lease, ownership.was_overtaken) == (False, False)
    assert stop_where_commits_are_lost(database)
    with database.write() as connection:
        ownership.take(connection)
        ownership.check(connection)


def test_an_answer_to_a_call_that_was_lost_is_recorded(promoted: dict[str, IMEIDatabase], names: list[str]) -> None:
    """The worker that made it lives on. Its chunk is planned here, and would be paid again."""
    database = promoted[names[2]]
    with database.write() as connection:
        (chunk, *_) = call_queries.open_chunks(connection, ChunkState.SENDING)
        run(connection, f"DELETE FROM attempts WHERE id = {chunk.attempt_id}")
        run(connection, f"UPDATE chunks SET state = 'planned', attempt = 0 WHERE id = {chunk.chunk_id}")
    with at_once(database) as connection:
        handed_calls.keep(connection, Begun(chunk, f"{chunk.attempt_id} x", time.time()), ANSWER)
    options = Options(pool=ThreadPoolExecutor)
    carrier = ClusterCarrier(database, ACCOUNT, options, Throttle(5), time.monotonic)
    answers = carrier.collect(0.0, [])
    with database.write() as connection:
        assert carrier.take(connection, answers) == answers
        again = {one.chunk_id: one for one in call_queries.open_chunks(connection, ChunkState.SENDING)}
        run(connection, f"UPDATE items SET outcome = 'ordered' WHERE chunk_id = {chunk.chunk_id}")
    assert again[chunk.chunk_id].attempt_id == chunk.attempt_id
    assert older_copy_objection(database) == LOST
    accept_older_copy(database, newest_stop(database))
    with database.write() as connection:  # of a worker that was stopped until its orders were restored
        restore_calls(connection, [chunk])
    assert older_copy_objection(database) == ""


def test_a_restart_after_a_crash_stops_nothing(
    standby: ServerCopy, promoted: dict[str, IMEIDatabase], names: list[str]
) -> None:
    database = promoted[names[3]]
    stop_where_commits_are_lost(database)
    accept_older_copy(database, newest_stop(database))
    (attempt_id,) = handed_over(database, 1, first=100)
    standby.crash()
    standby.start()
    for one in promoted.values():  # their connections are gone, and tests of them may come after this one
        one.engines.close()
    with IMEIDatabase(standby.address(names[3])) as again:
        assert not stop_where_commits_are_lost(again)
        assert begun(again, attempt_id) is not None


def test_a_call_that_was_begun_is_known_after_the_crash_of_a_server_that_need_not_flush(
    standby: ServerCopy, promoted: dict[str, IMEIDatabase], names: list[str]
) -> None:
    """Its timeline is the same, so nothing else shows that a commit is lost: the call would be made again."""
    assert names[3] in promoted
    standby.crash()
    standby.options = (*LAGS, "synchronous_commit=off", "wal_writer_delay=10s")
    standby.start()
    with IMEIDatabase(standby.address(names[3])) as database:
        (attempt_id,) = handed_over(database, 1, first=200)
        with each_by_itself(database) as connection:
            assert handed_calls.begin(connection, attempt_id, ACCOUNT, "a worker", ENDLESS) is not None
        standby.crash()
    standby.options = LAGS
    standby.start()
    with IMEIDatabase(standby.address(names[3])) as again:
        assert attempts(again)[-1] == attempt_id
        assert begun(again, attempt_id) is None


@pytest.mark.parametrize(
    ("is_lossless", "change", "goes_on"),
    [
        (True, "", True),
        (False, "", False),
        (True, "UPDATE settings SET value = '' WHERE key = 'commits_confirmed'", False),
        (True, "UPDATE settings SET value = value || '0' WHERE key = 'history'", False),
    ],
    ids=["goes on", "not set", "was not synchronous", "another server"],
)
def test_a_standby_that_has_confirmed_every_commit(
    server_database: IMEIDatabase, is_lossless: bool, change: str, goes_on: bool
) -> None:
    """The timeline of the mark is set back, which is all that a promotion changes. The servers are synchronous."""
    with server_database.write() as connection:
        history_mark.write_mark(connection, is_synchronous=True)
        earlier = "overlay(value PLACING '00000000' FROM length(value) - position(' ' IN reverse(value)) - 7)"
        run(connection, f"UPDATE settings SET value = {earlier} WHERE key = 'history'")
        set_xid = "value = regexp_replace(value, '[0-9]+$', CAST(CAST(pg_current_xact_id() AS xid) AS text))"
        run(connection, f"UPDATE settings SET {set_xid} WHERE key = 'history'")
        if change:
            run(connection, change)
    assert stop_where_commits_are_lost(server_database, is_lossless) is not goes_on
    assert (older_copy_objection(server_database) == "") is goes_on
    assert not stop_where_commits_are_lost(server_database, is_lossless)


def test_a_synchronous_standby_goes_on(
    standby: ServerCopy, promoted: dict[str, IMEIDatabase], names: list[str]
) -> None:
    """A standby of the standby, which has confirmed the last call that was begun."""
    with copied_server(standby.address()) as second, psycopg.connect(standby.address(), autocommit=True) as primary:
        second.options = FOLLOWS
        second.start()
        primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        primary.execute("SELECT pg_reload_conf()")
        sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: primary.execute(sync).fetchone() == (1,), "it follows")
        with IMEIDatabase(standby.address(names[4])) as database:
            assert stop_where_commits_are_lost(database, True)  # the first standby lagged
            accept_older_copy(database, newest_stop(database))
            attempt_id, waiting = handed_over(database, 2, first=100)
            assert begun(database, attempt_id) is not None
        standby.crash()
        second.promote()
        with IMEIDatabase(second.address(names[4])) as database:
            assert begun(database, waiting) is None
            assert not stop_where_commits_are_lost(database, True)
            assert older_copy_objection(database) == ""
            assert [begun(database, one) is not None for one in (attempt_id, waiting)] == [False, True]


@pytest.mark.parametrize("options", [(), ("--clean", "--if-exists"), ("--data-only", "--table=settings")])
def test_a_dump_that_was_put_back(cluster: Cluster, server_url: str, tmp_path: Path, options: Sequence[str]) -> None:
    """Into a new database, or into the same one."""
    path = tmp_path / "dump"
    with IMEIDatabase(server_url) as database:
        stop_where_commits_are_lost(database)
        handed_over(database, 2)
        subprocess.run(["pg_dump", "--format=custom", f"--file={path}", server_url], check=True)
        if "--data-only" in options:
            with database.write() as connection:
                run(connection, "TRUNCATE settings")
    with cluster.empty() as empty:
        target = server_url if options else empty
        subprocess.run(["pg_restore", "--no-owner", *options, f"--dbname={target}", str(path)], check=True)
        with IMEIDatabase(target) as restored:
            assert_stopped(restored)


def test_a_database_made_from_another_one(cluster: Cluster, server_url: str) -> None:
    with IMEIDatabase(server_url) as database:
        stop_where_commits_are_lost(database)
        handed_over(database)
    name = server_url.rpartition("/")[2].partition("?")[0]
    cluster.run(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
    try:
        with IMEIDatabase(cluster.address(f"{name}_copy")) as copy:
            assert_stopped(copy)
    finally:
        cluster.run(f"DROP DATABASE {name}_copy WITH (FORCE)")


def test_what_a_managed_server_does_not_tell_is_left_out(server_url: str) -> None:
    with psycopg.connect(server_url) as connection:
        whole = connection.execute("SELECT hammer_history()").fetchone()
        connection.commit()
        connection.execute("CREATE ROLE somebody")
        connection.execute("SET hammer.place = ''")
        for function in ("pg_control_system()", "pg_current_wal_insert_lsn()"):
            connection.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC".encode())
        connection.execute("SET ROLE somebody")
        left = connection.execute("SELECT hammer_history()").fetchone()
        assert whole is not None
        assert left == (f"- {whole[0].split()[1]} -",)
        connection.rollback()


def test_the_mark_stays_when_its_table_is_written_anew(server_database: IMEIDatabase) -> None:
    stop_where_commits_are_lost(server_database)
    with server_database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for care in ("VACUUM FREEZE settings", "VACUUM FULL settings", "REINDEX TABLE settings"):
            connection.exec_driver_sql(care)
    assert not stop_where_commits_are_lost(server_database)

"""The lock that elects the leader: a file that the kernel frees, or a row that ends by the clock of the database."""

import os
import signal
from pathlib import Path

import pytest
from planted_kills import context, start_fork_server
from waiting import wait_until

from database import IMEIDatabase
from storage import election_store
from storage.handed_calls import at_once
from submission import leader_locks as locks
from submission.leader_locks import RowLock, RunnerLock, leader_alive, leader_lock, runner_alive


def test_one_holder_at_a_time_and_asking_does_not_take_the_lock(tmp_path: Path) -> None:
    first, second = RunnerLock(tmp_path), RunnerLock(tmp_path)
    assert not runner_alive(tmp_path)
    assert first.acquire()
    assert runner_alive(tmp_path)
    assert not second.acquire()
    first.release()
    first.release()
    assert not runner_alive(tmp_path)
    assert second.acquire()
    second.release()


def test_the_lock_is_free_after_its_holder_has_died(tmp_path: Path) -> None:
    start_fork_server()
    holder = context.Process(target=hold_and_die, args=(tmp_path,), daemon=True)
    holder.start()
    holder.join(60)
    assert ((tmp_path / "acquired").read_text(), holder.exitcode) == ("True", -signal.SIGKILL)
    assert not runner_alive(tmp_path)


def hold_and_die(folder: Path) -> None:
    """Take the lock of a folder, write whether it was taken, and die with it."""
    lock = RunnerLock(folder)
    (folder / "acquired").write_text(str(lock.acquire()))
    os.kill(os.getpid(), signal.SIGKILL)


def test_one_of_two_leads_and_the_other_follows_at_once_when_it_is_released(
    server_database: IMEIDatabase, data_dir: Path
) -> None:
    first, second = RowLock(server_database), RowLock(server_database)
    with first.held() as is_leader:
        assert is_leader
        assert not second.acquire()
        assert leader_alive(server_database, data_dir)
    assert not leader_alive(server_database, data_dir)
    with second.held() as is_leader:
        assert is_leader
        assert not second.is_lost


def test_a_leader_that_was_stopped_for_too_long_finds_its_lock_lost(
    server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RENEWED", 0.02)
    stopped, other = RowLock(server_database), RowLock(server_database)
    assert stopped.acquire()
    with at_once(server_database) as connection:
        assert election_store.take(connection, "main", "another process", 10.0) is False
        election_store.renew(connection, "main", stopped._holder, -1.0)  # as if nobody had renewed it
        assert election_store.take(connection, "main", "another process", 10.0)
    wait_until(lambda: stopped.is_lost, "the lock is lost")
    stopped.release()
    assert not other.acquire()


def test_a_clock_of_the_server_that_was_set_back_leaves_no_leader_that_is_gone(server_database: IMEIDatabase) -> None:
    """Else nobody would lead before the old time comes again."""
    with at_once(server_database) as connection:
        assert election_store.take(connection, "main", "a process that is gone", 3600.0)
    with RowLock(server_database).held() as is_leader:
        assert is_leader


def test_a_lock_is_renewed(server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RENEWED", 0.02)
    monkeypatch.setattr(locks, "LASTS", 0.5)
    lock = RowLock(server_database)
    with lock.held():
        with at_once(server_database) as connection:
            election_store.renew(connection, "main", lock._holder, 0.0)

        def is_held() -> bool:
            with server_database.read() as connection:
                return election_store.is_held(connection, "main")

        wait_until(is_held, "it is renewed")


def test_a_file_of_sqlite_has_a_lock_file(file_database: IMEIDatabase, data_dir: Path) -> None:
    assert isinstance(leader_lock(file_database, data_dir), RunnerLock)
    assert not leader_alive(file_database, data_dir)

"""The lock of a data directory is held by one process, and freed when that process dies."""

import os
import signal
from pathlib import Path

from planted_kills import context, start_fork_server

from submission.runner_lock import RunnerLock, runner_alive


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

"""The lock of a data directory is held by one process, and freed when that process dies."""

import subprocess
import sys
from pathlib import Path

from submission.runner_lock import RunnerLock, runner_alive

HOLD = """
import sys
from pathlib import Path
from submission.runner_lock import RunnerLock
print(RunnerLock(Path(sys.argv[1])).acquire(), flush=True)
"""


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
    root = Path(__file__).parents[2]
    hold = f"{HOLD}import os, signal; lock = RunnerLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    died = subprocess.run([sys.executable, "-c", hold, str(tmp_path)], cwd=root, capture_output=True, text=True)
    assert (died.stdout, died.returncode) == ("True\n", -9)
    assert not runner_alive(tmp_path)

"""The lock of a database: shared by all that have it open, also of other processes, and freed by a kill."""

import subprocess
import sys
from pathlib import Path

import pytest

from database import IMEIDatabase
from sqlite_file import InUseError, alone

ROOT = Path(__file__).parents[2]
OPEN = (
    "import sys; from database import IMEIDatabase; d = IMEIDatabase(sys.argv[1]); print(flush=True); sys.stdin.read()"
)


def test_nobody_has_it_alone_while_a_process_has_the_database_open(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    for opened in (database, rival):
        with pytest.raises(InUseError), alone(database.path):
            pass
        opened.close()
    with alone(database.path):
        pass


def test_who_has_the_database_open_can_have_it_alone(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    with pytest.raises(InUseError):
        database.hold_alone()
    rival.close()
    database.hold_alone()
    assert database.count_orders() == 0
    with pytest.raises(InUseError), alone(database.path):
        pass
    database.close()
    with alone(database.path):
        pass


def test_a_killed_process_frees_it(tmp_path: Path) -> None:
    path = tmp_path / "imei_orders.db"
    command = [sys.executable, "-c", OPEN, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(InUseError), alone(path):
            pass
        other.kill()
        other.wait()
        with alone(path):
            pass

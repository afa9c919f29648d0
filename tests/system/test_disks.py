"""A disk that is full, read-only, locked or damaged: nothing is sent that could not be recorded, and the user is told.

The small disk is a tmpfs of the test. The provider never refuses a duplicate: what is sent twice is charged twice.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from batch_checks import (
    PRICE,
    assert_all_paid_once,
    at_work,
    found,
    locked_by_another_program,
    new_batch,
    outcomes,
    paid_calls,
    rows,
    see_through,
    told_by_command,
    told_by_page,
    waits,
)
from forked_command import ForkedCommand
from gunicorn_server import environ_of
from planted_kills import CHUNK, Job, start
from simulated_provider import Knobs, Simulator, system, threads_of
from sqlalchemy import Connection, event
from sqlalchemy.exc import IntegrityError, OperationalError
from waiting import wait_until
from web_client import SERVICES, Browser, Provider, make_app, words

from database import IMEIDatabase
from orders import Chunk
from production_submission_system import PROGRAM_ERROR
from settings import Settings
from storage import batch_states
from submission.checkpoints import DISK_FULL, READ_ONLY, Checkpoints

TOTAL = 12 * CHUNK


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, latency=0.3, duplicates="never")) as running:
        yield running


class SmallDisk:
    """A disk of 64 MB that can be filled and freed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "somebody-elses-file"

    def fill(self, leave: int = 0) -> None:
        """Let another program take all bytes that are free now but these; what is freed meanwhile stays free."""
        missing = shutil.disk_usage(self.path).free - leave
        with self._filler.open("ab") as file:
            while (size := min(missing, shutil.disk_usage(self.path).free - leave)) > 0:
                with contextlib.suppress(OSError):  # the program took a part of it meanwhile
                    os.posix_fallocate(file.fileno(), self._filler.stat().st_size, size)
                    missing -= size

    def free(self) -> None:
        self._filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path, require: Callable[[str], NoReturn]) -> Iterator[SmallDisk]:
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64m", "hammer-tests", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        require("a small disk can only be mounted as root")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture
def data_dir(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """On the small disk for the tests that have one."""
    small = request.getfixturevalue("disk").path if "disk" in request.fixturenames else tmp_path
    path: Path = small / "data"
    path.mkdir()
    return path


def nothing_is_open(database: IMEIDatabase) -> bool:
    return rows(database, "SELECT count(*) FROM chunks WHERE state IN ('sending', 'in_doubt')") == [(0,)]


# Full


def test_on_an_almost_full_disk_nothing_is_sent_and_the_page_says_why(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, disk: SmallDisk
) -> None:
    batch_id = new_batch(database, TOTAL, CHUNK)
    disk.fill(leave=20 * 2**20)
    with system(simulator, database, chunk_size=CHUNK) as running, at_work(running):
        wait_until(lambda: found(database, batch_id).notice == DISK_FULL, "the notice")
        assert DISK_FULL in told_by_page(database, settings, batch_id)
        status = words(Browser(make_app(settings, database, Provider(list(SERVICES)))).get("/status"))
        assert DISK_FULL in status
        assert paid_calls(simulator) == 0
        disk.free()
        wait_until(lambda: outcomes(database, batch_id) == {"ordered": TOTAL}, "every IMEI is ordered")
    assert found(database, batch_id).notice == ""
    assert_all_paid_once(simulator, database, batch_id)


@pytest.mark.parametrize("ballast", [True, False], ids=["with ballast", "without"])
def test_a_disk_that_fills_while_answers_come_loses_none_of_them(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, disk: SmallDisk, ballast: bool
) -> None:
    total = 3 * TOTAL  # on a busy machine many calls pass before the disk is full
    batch_id = new_batch(database, total, CHUNK)
    with system(simulator, database, chunk_size=CHUNK) as running, at_work(running):
        wait_until(lambda: waits(simulator) == 5, "five calls are on the wire")
        disk.fill()
        if not ballast:
            threads_of(running).checkpoints.drop_ballast()
            disk.fill()
        wait_until(lambda: waits(simulator) == 0, "their answers")
        if ballast:
            wait_until(lambda: found(database, batch_id).notice == DISK_FULL, "the notice")
            assert DISK_FULL in told_by_page(database, settings, batch_id)
            assert outcomes(database, batch_id)["ordered"] == len(simulator.charges())
            assert nothing_is_open(database)
        assert paid_calls(simulator) < total // CHUNK
        disk.free()
        wait_until(lambda: outcomes(database, batch_id) == {"ordered": total}, "every IMEI is ordered")
    assert rows(database, "SELECT count(*) FROM attempts WHERE result = 'in doubt'") == [(0,)]
    assert_all_paid_once(simulator, database, batch_id)


def test_killed_on_a_full_disk_the_next_process_settles_what_could_not_be_written(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, disk: SmallDisk
) -> None:
    batch_id = new_batch(database, TOTAL, CHUNK)
    process = start(Job(settings.data_dir, simulator.base_url, batch_id, workers=3))
    wait_until(lambda: waits(simulator) == 3, "three calls are on the wire")
    disk.fill()
    Checkpoints(settings.data_dir / "checkpoints").drop_ballast()
    disk.fill()
    wait_until(lambda: waits(simulator) == 0, "their answers")
    process.kill()
    process.join(10)
    disk.free()
    with system(simulator, database, chunk_size=CHUNK) as running:
        more = see_through(running, batch_id)
    assert_all_paid_once(simulator, database, batch_id, more)


# Read-only


def test_on_a_read_only_disk_the_command_says_so_and_sends_nothing(
    simulator: Simulator, settings: Settings, disk: SmallDisk, tmp_path: Path
) -> None:
    with IMEIDatabase(settings.database_path) as database:
        new_batch(database, TOTAL, CHUNK)
    disk.remount("ro")
    upload = tmp_path / "phones.csv"
    upload.write_text("IMEI\n353370080089458\n")
    given = {"GSM_FUSION_API_KEY": "DEMO-KEY", "GSM_FUSION_USERNAME": "demo", "GSM_FUSION_BASE_URL": simulator.base_url}
    environ = environ_of(settings.data_dir, **given)
    command = ForkedCommand(tmp_path, environ, "submit", str(upload), "--service", "269", "--yes")
    code, _, complaint = command.finish()
    disk.remount("rw")
    assert code == 1
    assert complaint.splitlines() == [
        f"HAMMER-API cannot start. DATA_DIR {settings.data_dir} cannot be written: make its disk writable, "
        "or choose another folder."
    ]
    assert simulator.calls() == []


class Writable:
    """Whether the disk under a database and its checkpoints takes writes; a real one cannot be remounted in use."""

    def __init__(self, database: IMEIDatabase) -> None:
        self.yes = True
        event.listen(database.engine, "begin", self._set)

    def _set(self, connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA query_only = {int(not self.yes)}")


class OnDisk(Checkpoints):
    """Checkpoints on such a disk."""

    def __init__(self, folder: Path, writable: Writable) -> None:
        super().__init__(folder)
        self._writable = writable

    def keep(self, chunk: Chunk, raw: bytes) -> None:
        if not self._writable.yes:
            raise OSError(30, "Read-only file system")
        super().keep(chunk, raw)


def test_a_disk_that_turns_read_only_holds_the_answers_in_memory_until_it_takes_them(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    batch_id, writable = new_batch(database, TOTAL, CHUNK), Writable(database)
    with system(simulator, database, chunk_size=CHUNK) as running:
        threads_of(running).checkpoints = OnDisk(threads_of(running).checkpoints.folder, writable)
        with at_work(running):
            wait_until(lambda: waits(simulator) == 5, "five calls are on the wire")
            writable.yes = False
            wait_until(lambda: waits(simulator) == 0, "their answers")
            sent = paid_calls(simulator)
            wait_until(lambda: len(running._unwritten) > 0, "answers that wait for the disk")
            assert paid_calls(simulator) == sent < TOTAL // CHUNK
            writable.yes = True
            wait_until(lambda: outcomes(database, batch_id) == {"ordered": TOTAL}, "every IMEI is ordered")
    assert rows(database, "SELECT count(*) FROM attempts WHERE result = 'in doubt'") == [(0,)]
    assert_all_paid_once(simulator, database, batch_id)


def test_the_health_page_names_a_folder_that_cannot_be_written(settings: Settings, disk: SmallDisk) -> None:
    with IMEIDatabase(settings.database_path) as database:
        browser = Browser(make_app(settings, database, Provider(list(SERVICES))))
    disk.remount("ro")
    answer = browser.get("/health")
    disk.remount("rw")
    assert answer.status_code == 503
    assert answer.get_json()["checks"]["environment"]["advice"] == [READ_ONLY]


# Locked


def test_a_database_locked_for_longer_than_anybody_waits_delays_and_loses_nothing(
    simulator: Simulator, database: IMEIDatabase
) -> None:
    """The wait is cut from 30 s to 0.1 s, and the lock from a minute to ten waits; `soak.py` holds it for 60 s."""
    batch_id = new_batch(database, TOTAL, CHUNK)
    simulator.set(latency=2.0)  # the lock must be there before the answers, also on a busy machine
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout = 100"))
    database.engine.dispose()
    with system(simulator, database, chunk_size=CHUNK) as running, at_work(running):
        wait_until(lambda: waits(simulator) == 5, "five calls are on the wire")
        with locked_by_another_program(database):
            wait_until(lambda: waits(simulator) == 0, "their answers")
            sent = paid_calls(simulator)
            time.sleep(1.0)  # the fault itself
            assert paid_calls(simulator) == sent < TOTAL // CHUNK
            assert rows(database, "SELECT count(*) FROM orders WHERE attempt_id != 0") == [(0,)]
        wait_until(lambda: outcomes(database, batch_id) == {"ordered": TOTAL}, "every IMEI is ordered")
    assert_all_paid_once(simulator, database, batch_id)


# Damaged


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "a bit flipped": flip_a_bit,
    "cut short": lambda path: os.truncate(path, path.stat().st_size - 40),
    "all zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_not_believed_but_settled(
    simulator: Simulator, database: IMEIDatabase, settings: Settings, damage: str
) -> None:
    batch_id = new_batch(database, 3 * CHUNK, CHUNK)
    process = start(Job(settings.data_dir, simulator.base_url, batch_id, "after_checkpoint"))
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    DAMAGES[damage](settings.data_dir / "checkpoints" / str(batch_id) / "answers.log")
    with system(simulator, database, chunk_size=CHUNK) as running:
        stop = threading.Event()
        stop.set()
        running.run_batch(batch_id, stop=stop)
        assert outcomes(database, batch_id) == {"in_doubt": CHUNK, "waiting": 2 * CHUNK}
        stake = f"Up to ${CHUNK * PRICE:.2f} more may have been charged"
        assert stake in told_by_command(database, batch_id)
        assert see_through(running, batch_id) == 0
    assert_all_paid_once(simulator, database, batch_id)


# Refused


@pytest.mark.parametrize(
    ("statement", "kind", "says"),
    [
        ("SELECT RAISE(ABORT, 'refused')", IntegrityError, "refused"),
        ("SELECT missing FROM settings", OperationalError, "no such column: missing"),
        ("INSERT INTO missing VALUES (1)", OperationalError, "no such table"),
    ],
)
def test_an_error_of_the_program_stops_the_batch_aloud_and_the_next_run_records_the_kept_answers(
    simulator: Simulator,
    database: IMEIDatabase,
    caplog: pytest.LogCaptureFixture,
    statement: str,
    kind: type[Exception],
    says: str,
) -> None:
    """To wait and try again, as on a full disk, would be to wait for ever without a word."""
    batch_id = new_batch(database, 3 * CHUNK, CHUNK)
    with database.write() as connection:
        connection.exec_driver_sql(f"CREATE TRIGGER refuse BEFORE INSERT ON orders BEGIN {statement}; END")
    with system(simulator, database, in_use=False, chunk_size=CHUNK) as running:
        with pytest.raises(kind, match=says):
            running.run_batch(batch_id)
        with database.write() as connection:
            connection.exec_driver_sql("DROP TRIGGER refuse")
    assert rows(database, "SELECT state, notice FROM batches") == [("paused", PROGRAM_ERROR)]
    stopped = next(record for record in caplog.records if record.message == "An error of the program stops every batch")
    assert stopped.exc_info is not None
    simulator.set(listing="off")
    with database.write() as connection:
        assert batch_states.resume(connection, batch_id)
    with system(simulator, database, chunk_size=CHUNK) as running:
        running.run_batch(batch_id)
    assert_all_paid_once(simulator, database, batch_id)

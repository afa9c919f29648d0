"""gunicorn as a user starts it, on a free port, and fixtures for tests with it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from database import IMEIDatabase
from settings import Settings
from storage.batch_creation import NewBatch, create_batch
from storage.batch_states import pause

ROOT = Path(__file__).parents[2]


def environ_of(data_dir: Path, **more: str) -> dict[str, str]:
    """Return the environment of this machine without settings of the program, plus these; empty ones override .env."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("GSM_", "RAILWAY_"))}
    empty = {"GSM_FUSION_API_KEY": "", "GSM_FUSION_USERNAME": "", "ADMIN_PASSWORD": "", "WEB_CONCURRENCY": "2"}
    return plain | empty | {"DATA_DIR": str(data_dir)} | more


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(name="port")
def port_fixture() -> int:
    """A port that was free a moment ago."""
    return free_port()


class Server:
    """gunicorn as `make run` starts it. start: the arguments of Python before the name of the module."""

    def __init__(self, data_dir: Path, port: int, start: Sequence[str] = ("-m",), **more: str) -> None:
        self.port = port
        self.log = data_dir / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *start, "gunicorn", "web_app:app"],
                cwd=ROOT,
                env=environ_of(data_dir, PORT=str(port), **more),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def answers(self) -> bool:
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def kill(self) -> None:
        """Kill the whole process group of the server, if a failed test has left any of it."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)


@pytest.fixture(name="paused_batch")
def paused_batch_fixture(settings: Settings) -> int:
    """A paused batch, so that its stream stays open."""
    new = NewBatch("waiting", "upload", "1739", "a service", 0.08, [("353370080089458", 1)])
    with IMEIDatabase(settings.data_dir / "demo" / "imei_orders.db") as database:
        batch_id = create_batch(database, new)
        with database.write() as connection:
            assert pause(connection, batch_id, "Paused by hand.")
    return batch_id

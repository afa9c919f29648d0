"""gunicorn on a free port, and fixtures for tests with it.

It is forked from a process that has imported the program and made an app, which saves four seconds of imports in all
and a second of parsed rules; `execute_gunicorn` starts it without that.
"""

import contextlib
import http.client
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from planted_kills import context, start_fork_server

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


class ForkedGunicorn:
    """gunicorn in a process of the fork server, with the methods of one of subprocess.

    before: a function of a module that is called in the process first. options: of the command line.
    """

    def __init__(
        self,
        environ: dict[str, str],
        log: Path,
        before: Callable[[], None] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        start_fork_server()
        self._process = context.Process(target=_serve, args=(environ, log, before, options), daemon=True)
        self._process.start()
        self.pid = int(self._process.pid or 0)
        self.terminate, self.kill = self._process.terminate, self._process.kill

    def poll(self) -> int | None:
        """Return its exit code; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Wait for its end; return its exit code."""
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, "gunicorn still runs"
        return code


def _serve(environ: dict[str, str], log: Path, before: Callable[[], None] | None, options: tuple[str, ...]) -> None:
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environ)
    if before:
        before()
    sys.argv = ["gunicorn", "web_app:app", *options]
    runpy.run_module("gunicorn", run_name="__main__", alter_sys=True)


def execute_gunicorn(environ: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start gunicorn as `make run` does."""
    command = [sys.executable, "-m", "gunicorn", "web_app:app"]
    with log.open("ab") as output:
        return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output, start_new_session=True)


#: Starts gunicorn in this environment, with this file for its output.
Start = Callable[[dict[str, str], Path], "ForkedGunicorn | subprocess.Popen[bytes]"]


class Server:
    """gunicorn, forked with or without short limits, or started as `make run` does."""

    def __init__(self, data_dir: Path, port: int, start: Start = ForkedGunicorn, /, **more: str) -> None:
        self.port = port
        self.log = data_dir / "server.log"
        self.process = start(environ_of(data_dir, PORT=str(port), **more), self.log)

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
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()  # a forked process may not lead its group yet
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

"""The demo provider: one simulator process for all processes of a folder, which find it by its announcement file.

This module starts the simulator as a program and must not know how that answers.
"""

import fcntl
import http.client
import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

DEMO_KEY, DEMO_USERNAME = "DEMO-KEY", "demo"
DEMO_KNOBS = {
    #: Real ids have fewer than thirteen digits, so that a simulated order cannot be mistaken for a real one.
    "first_order_id": 9_000_000_000_000,
    "latency": 1.2,
    "jitter": 0.4,
    "read_latency": 0.1,
    "turnaround": 60,
    "rejection_share": 0.02,
    "listing_limit": 2000,
}
#: The folder that holds this package.
ROOT = Path(__file__).resolve().parents[1]
#: Seconds to wait for the announcement of a demo provider, and for its answer that it is alive.
START_PATIENCE, ALIVE_PATIENCE = 15.0, 5.0


class DemoError(RuntimeError):
    """The demo provider could not be started; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoProvider:
    """A running demo provider. Keep a reference: a provider that this process started ends when its input closes."""

    base_url: str
    process: subprocess.Popen[bytes] | None = None  #: None if another process had started it
    api_key: str = DEMO_KEY
    username: str = DEMO_USERNAME

    def close(self) -> None:
        """End the provider if this process started it."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


def ensure_running(folder: Path) -> DemoProvider:
    """Return the demo provider of this folder, started if it is not alive, on its former port where that is free.

    May be called from several processes at once, and again when the provider is gone. Raises DemoError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "simulator.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        pid, port = _announced(folder / "simulator.json")
        if port and _alive(pid, port):
            return DemoProvider(f"http://127.0.0.1:{port}")
        for wanted in dict.fromkeys((port, 0)):
            process = _spawn(folder, wanted)
            port = _await_announcement(folder / "simulator.json", process)
            if port:
                logger.info("Demo provider started with pid %d on port %d", process.pid, port)
                return DemoProvider(f"http://127.0.0.1:{port}", process)
    raise DemoError("The demo provider did not start: see its message on standard error.")


def _announced(path: Path) -> tuple[int, int]:
    """Return the pid and port of the announced provider, zeros if there is none."""
    try:
        announced = json.loads(path.read_bytes())
        return int(announced["pid"]), int(announced["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0, 0


def _alive(pid: int, port: int) -> bool:
    """Return whether this process answers on the port; the provider of another folder may use it meanwhile.

    A running process that accepts the connection and does not answer in time is busy, perhaps with a long list.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ALIVE_PATIENCE)
    try:
        connection.request("GET", "/whoami")
        return bool(json.loads(connection.getresponse().read())["pid"] == pid)
    except TimeoutError:
        return _runs(pid)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return False
    finally:
        connection.close()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _spawn(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a provider that ends with this process, in its own session, so that Ctrl-C does not reach it first."""
    options = {
        "port": port,
        "ledger": folder.resolve() / "ledger.jsonl",
        "announce": folder.resolve() / "simulator.json",
        **DEMO_KNOBS,
    }
    words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    return subprocess.Popen(
        [sys.executable, "-m", "simulator", "--until-stdin-closes", *words],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def _await_announcement(path: Path, process: subprocess.Popen[bytes]) -> int:
    """Return the port of the new process, 0 if it ended or was killed because it announced nothing in time."""
    until = time.monotonic() + START_PATIENCE
    while process.poll() is None:
        pid, port = _announced(path)
        if pid == process.pid:
            return port
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.02)
    if process.stdin is not None:
        process.stdin.close()
    return 0

"""A second server made from the first one, which takes its place with what it has: a standby that lags, or a backup."""

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gunicorn_server import free_port
from postgresql_cluster import MEMORY, PATIENCE, programs, start_server, unprivileged_user

#: It outlives a crash of the server, and follows the first one, or nobody: then it lacks what is committed later.
FOLLOWS = ("fsync=off", "full_page_writes=off", "synchronous_commit=on", "wal_retrieve_retry_interval=100ms")
LAGS = (*FOLLOWS, "primary_conninfo=")


@dataclass
class ServerCopy:
    """The copy of a server, on a port of its own. It is a standby until it is promoted."""

    data: Path
    options: tuple[str, ...] = LAGS
    port: int = field(default_factory=free_port)
    process: "subprocess.Popen[bytes] | None" = None

    def address(self, name: str = "postgres") -> str:
        """Return the address of a database of this server."""
        return f"postgresql://hammer@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        self.process = start_server(self.data, self.port, self.options)

    def promote(self) -> None:
        """Let it take over; return when it takes changes."""
        run(self.data, "pg_ctl", "-D", str(self.data), "-w", "-t", f"{PATIENCE:.0f}", "promote")

    def crash(self) -> None:
        """End all its processes at once."""
        run(self.data, "pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")
        assert self.process is not None
        self.process.wait(PATIENCE)


def run(folder: Path, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL as the user of its servers."""
    command = [str((programs() or Path()) / program), *arguments]
    subprocess.run(command, check=True, user=unprivileged_user(), cwd=folder, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def copied_server(url: str) -> Iterator[ServerCopy]:
    """Copy the server of this address as it is now, to be started as a standby. It ends with the block."""
    folder = Path(tempfile.mkdtemp(prefix="hammer-copy-", dir=MEMORY if MEMORY.is_dir() else None))
    if user := unprivileged_user():
        shutil.chown(folder, user)
    copy = ServerCopy(folder / "data")
    try:
        run(folder, "pg_basebackup", f"--dbname={url}", "-D", str(copy.data), "-R", "-c", "fast", "--no-sync")
        yield copy
    finally:
        if copy.process is not None and copy.process.poll() is None:
            copy.process.send_signal(3)  # at once
            copy.process.wait(PATIENCE)
        shutil.rmtree(folder, ignore_errors=True)

"""A private cluster of PostgreSQL in a temporary folder, for the tests that run on both databases.

TEST_DATABASE_URL names a server to use instead: the address of a database whose user may create others.
"""

import contextlib
import itertools
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from emptied_database import EmptiedDatabase

from database import IMEIDatabase

#: Where distributions put the programs, besides PATH.
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
#: Where the data of a server is kept if this number of bytes is free: a copy of a database writes 300 files. No server
#: of the tests flushes to the disk, in any case.
MEMORY, ROOM = Path("/dev/shm"), 2 << 30
#: A crash of the machine may lose the data of a test.
FAST = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
CREATED = ("-U", "hammer", "-A", "trust", "-E", "UTF8", "--locale=C")
PATIENCE = 30.0
MIGRATED = "migrated"


def programs() -> Path | None:
    """Return the folder with initdb and postgres; None where they are not installed."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += [path for pattern in FOLDERS for path in sorted(Path("/").glob(pattern[1:]), reverse=True)]
    return next((folder for folder in folders if (folder / "postgres").exists()), None)


@dataclass(eq=False)
class Cluster:
    """A running server. Each test gets a database of its own, a copy of a migrated one."""

    url: str  #: of the database postgres
    names: Iterator[int] = field(default_factory=itertools.count)
    is_prepared: bool = False
    opened: "psycopg.Connection[Any] | None" = None
    spare: EmptiedDatabase | None = None  #: that no test uses now

    def address(self, name: str) -> str:
        """Return the address of a database of this server."""
        base, _, query = self.url.partition("?")
        return f"{base.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")

    def run(self, statement: str) -> None:
        """Run one statement outside a transaction, in a connection that stays: to open one costs as much as a copy."""
        if self.opened is None or self.opened.closed:
            self.opened = psycopg.connect(self.url, autocommit=True)
        self.opened.execute(statement.encode())

    def close(self) -> None:
        """Drop what was kept, and close the connections: a server waits for them before it ends."""
        if self.spare is not None:
            self._drop(self.spare)
        if self.is_prepared:
            self.run(f"DROP DATABASE IF EXISTS {self.template} WITH (FORCE)")
        if self.opened is not None:
            self.opened.close()

    @contextlib.contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the address of an empty database, which is dropped afterwards."""
        name = f"test_{os.getpid()}_{next(self.names)}"
        self.run(f"CREATE DATABASE {name}")
        try:
            yield self.address(name)
        finally:
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @contextlib.contextmanager
    def emptied(self) -> Iterator[str]:
        """Yield the address of a migrated database without rows, which a later test uses again."""
        lent, self.spare = self.spare or EmptiedDatabase(self.address(self._copy())), None
        try:
            yield lent.address
        finally:
            if self.spare is None and lent.empty():
                self.spare = lent
            else:
                self._drop(lent)

    @contextlib.contextmanager
    def migrated(self) -> Iterator[str]:
        """Yield the address of a migrated database without rows, which is dropped afterwards."""
        name = self._copy()
        try:
            yield self.address(name)
        finally:
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    @property
    def template(self) -> str:
        """The migrated database of this process, which others are copies of."""
        return f"{MIGRATED}_{os.getpid()}"

    def _copy(self) -> str:
        """Create a migrated database without rows; return its name."""
        if not self.is_prepared:
            self.run(f"DROP DATABASE IF EXISTS {self.template} WITH (FORCE)")
            self.run(f"CREATE DATABASE {self.template}")
            IMEIDatabase(self.address(self.template)).close()
            self.is_prepared = True
        name = f"test_{os.getpid()}_{next(self.names)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {self.template} STRATEGY file_copy")
        return name

    def _drop(self, lent: EmptiedDatabase) -> None:
        lent.close()
        self.run(f"DROP DATABASE IF EXISTS {lent.name} WITH (FORCE)")


@contextlib.contextmanager
def private_cluster(options: tuple[str, ...] = FAST) -> Iterator[Cluster]:
    """Start a server in a temporary folder, on a free port of loopback, until the block ends."""
    with new_data() as data, _on_port(data, options) as cluster:
        yield cluster


@contextlib.contextmanager
def kept_cluster(folder: Path, options: tuple[str, ...] = FAST) -> Iterator[Cluster]:
    """Start the server whose data is in a folder, new or of an earlier run, until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    with _on_port(data if data.exists() else _create_data(folder), options) as cluster:
        yield cluster


@contextlib.contextmanager
def _on_port(data: Path, options: tuple[str, ...]) -> Iterator[Cluster]:
    port = _free_port()
    with (
        running_server(data, port, options),
        contextlib.closing(Cluster(f"postgresql://hammer@127.0.0.1:{port}/postgres")) as cluster,
    ):
        yield cluster


@contextlib.contextmanager
def new_data() -> Iterator[Path]:
    """Yield the data folder of a new server, in a temporary folder, in memory where there is room."""
    has_room = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    folder = Path(tempfile.mkdtemp(prefix="hammer-postgresql-", dir=MEMORY if has_room else None))
    try:
        yield _create_data(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _create_data(folder: Path) -> Path:
    """Create the data of a new server in an empty folder; return where it is."""
    found = programs()
    if found is None:
        raise FileNotFoundError("the programs of PostgreSQL are not installed")
    user = unprivileged_user()
    if user:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    create = [str(found / "initdb"), "-D", str(folder / "data"), "-N", *CREATED]
    subprocess.run(create, check=True, user=user, cwd=folder, stdout=subprocess.DEVNULL)
    return folder / "data"


@contextlib.contextmanager
def running_server(data: Path, port: int, options: tuple[str, ...] = FAST) -> Iterator[subprocess.Popen[bytes]]:
    """Run the server of a data folder until the block ends."""
    server = start_server(data, port, options)
    try:
        yield server
    finally:
        server.terminate()  # the server ends when its clients are gone; a second signal does not wait for them
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.2)
        if server.poll() is None:
            server.send_signal(2)
            server.wait(PATIENCE)


def start_server(
    data: Path, port: int, options: tuple[str, ...] = FAST, host: str = "127.0.0.1", namespace: str = ""
) -> subprocess.Popen[bytes]:
    """Start the server of a data folder, perhaps in a network namespace, and return when it answers at this host."""
    found = programs()
    if found is None:
        raise FileNotFoundError("the programs of PostgreSQL are not installed")
    settings = [f"port={port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={data.parent}"]
    settings += ["max_connections=300", "min_wal_size=32MB", "max_wal_size=128MB", *options]
    command = [str(found / "postgres"), "-D", str(data), *(part for one in settings for part in ("-c", one))]
    user = unprivileged_user()
    if namespace:  # root enters it, and becomes the user inside
        account, user = pwd.getpwnam(user or "nobody"), None
        owner = (f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
        command = ["ip", "netns", "exec", namespace, "setpriv", *owner, *command]
    with (data.parent / "log").open("ab") as log:
        server = subprocess.Popen(command, user=user, cwd=data, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(f"postgresql://hammer@{host}:{port}/postgres", connect_timeout=2).close()
            return server
        if time.monotonic() > deadline or server.poll() is not None:
            server.kill()
            raise TimeoutError("PostgreSQL did not start")
        time.sleep(0.05)


def unprivileged_user() -> str | None:
    """Return a user for the server, which root may not run; None where this process is not root."""
    if os.getuid() != 0:
        return None
    return next(user for user in ("postgres", "nobody") if any(user == known.pw_name for known in pwd.getpwall()))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

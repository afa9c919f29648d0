"""Workers in processes of their own, on a database server, as `flask worker` runs them."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planted_kills import context, start_fork_server
from simulated_provider import account_settings

from database import IMEIDatabase
from settings import Settings
from storage import pace_store
from submission import cluster_carrier, job_calls, leader_locks, watches
from workers import run_worker, running

CHUNK = 50  #: IMEIs a call


@dataclass(frozen=True)
class WorkerJob:
    """One worker process: its database, its provider and its settings that differ."""

    database_url: str
    base_url: str
    data_dir: Path
    changes: tuple[tuple[str, Any], ...] = ()

    @property
    def settings(self) -> Settings:
        usual = {"workers": 6, "chunk_size": CHUNK, "call_timeout": 3.0, "database_url": self.database_url}
        return account_settings(self.base_url, self.data_dir, **{**usual, **dict(self.changes)})


def start_worker(job: WorkerJob) -> "multiprocessing.context.ForkServerProcess":
    """Start a worker."""
    start_fork_server()
    process = context.Process(target=_work, args=(job,), daemon=True)
    process.start()
    return process


@contextmanager
def workers(job: WorkerJob, count: int = 1) -> Iterator[list["multiprocessing.context.ForkServerProcess"]]:
    """Run workers, and end them all."""
    processes = [start_worker(job) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(20)
            process.kill()


def _work(job: WorkerJob) -> None:
    """Work until SIGTERM, with waits that are short enough for tests."""
    leader_locks.LASTS, leader_locks.RENEWED = 2.0, 0.4
    cluster_carrier.SILENCE, cluster_carrier.SWEEP, running.HEARTBEAT = 3.0, 0.3, 0.5
    job_calls.AT_THE_END = 2.0
    pace_store.LENIENT, job_calls.SEND_WITHIN, cluster_carrier.SEND_BY, cluster_carrier.MARGIN = 0.5, 0.5, 1.0, 0.5
    watches.LOOKS = (0.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)
    watches.LONGEST_PROOF = 1.0
    with IMEIDatabase(job.database_url) as database:
        run_worker(job.settings, database)

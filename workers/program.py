"""`flask worker`: a process that makes calls, stands for election, and does the duties while it leads.

All of it ends on SIGTERM: nothing more is begun, calls on the wire are waited for, and the lead is given back at once.
It also ends where the database belongs to another account: the leader has checked its own, and not that of each worker.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from callers import all_calling
from database import DatabaseUnavailableError, IMEIDatabase
from runner import Background, in_threads, use_one_heap
from settings import Settings
from storage import election_store, job_queue
from storage.background import Duty
from storage.handed_calls import at_once
from storage.listening import server_address
from submission import CallJobs, JobCalls, OtherAccountError, RowLock, account_objection, require_account
from workers.jobs import calls_app, duties_app
from workers.running import run_jobs

logger = logging.getLogger(__name__)

#: Duties with shorter pauses (seconds) have a thread: a job takes longer than that.
SHORTEST = 1.0
#: What of the queue's log is of use: not a line for each job, and no traceback where the database is away.
LOGGED = MappingProxyType(
    {
        "procrastinate": logging.WARNING,
        "procrastinate.manager": logging.CRITICAL,
        "procrastinate.worker.worker": logging.CRITICAL,
        "psycopg.pool": logging.CRITICAL,
        "asyncio": logging.CRITICAL,
    }
)
#: Seconds that the duties get to end, and between two looks for jobs whose workers are gone.
PATIENCE, TIDY = 5.0, 60.0
#: Seconds between two looks whether another account has adopted the database: its leader needs longer to begin.
LOOK = 2.0


def run_worker(settings: Settings, database: IMEIDatabase) -> None:
    """Work until SIGTERM or SIGINT. Raises DemoError, and OtherAccountError once its account must not work here."""
    require_account(database, settings)
    use_one_heap()
    for name, level in LOGGED.items():
        logging.getLogger(name).setLevel(level)
    worker = WorkerProgram(settings, database)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stopping.set())
    worker.work()


@dataclass(frozen=True, slots=True)
class WorkerProgram:
    """One process that works until stopping is set."""

    settings: Settings
    database: IMEIDatabase
    stopping: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Stand for election in a thread, and make calls."""
        background = Background(self.settings, self.database, self.stopping, self._at_duties)
        background.start()
        name = f"{election_store.WORKER}{socket.gethostname()} {os.getpid()}"
        with all_calling(self.settings, self.database) as callers, RowLock(self.database, name).held():
            install_id = self.database.install_id() if self.settings.send_order_key else None
            clients = {caller.account.name: caller.client for caller in callers}
            calls = {
                job_queue.calls_of(account): JobCalls(self.database, client, account, self.stopping, install_id)
                for account, client in clients.items()
            }
            app = calls_app(server_address(self.database), CallJobs(calls))
            queues, threads = list(calls), sum(caller.account.workers for caller in callers)
            thread = threading.Thread(target=run_jobs, args=(app, queues, threads, self.stopping), name="jobs")
            thread.start()
            logger.info("This worker makes up to %d calls at once, for %s", threads, ", ".join(clients))
            objection = self._awaited_end()
            background.stop(PATIENCE)  # another worker leads at once, while calls on the wire end here
            thread.join()
        background.stop(self.settings.call_timeout)
        logger.info("This worker has ended")
        if objection:
            raise OtherAccountError(objection)

    def _awaited_end(self) -> str:
        """Wait for the end of the work. Returns why it has ended, where the database belongs to another account now."""
        while not self.stopping.wait(LOOK):
            with suppress(DatabaseUnavailableError):
                if objection := account_objection(self.database, self.settings):
                    self.stopping.set()
                    return objection
        return ""

    @contextmanager
    def _at_duties(self, duties: Sequence[Duty]) -> Iterator[None]:
        """Do the duties as periodic jobs, those with very short pauses in threads, as long as this is held."""
        with at_once(self.database) as connection:
            job_queue.drop_duties(connection)  # of a leader that died
        tidy = Duty("jobs", TIDY, self._drop_dead_jobs, "Old jobs could not be deleted")
        short = [duty for duty in duties if duty.seconds < SHORTEST]
        long = [tidy, *(duty for duty in duties if duty.seconds >= SHORTEST)]
        ended = threading.Event()
        app = duties_app(server_address(self.database), long, ended)
        work = partial(run_jobs, app, [job_queue.DUTY_QUEUE], len(long), ended)
        thread = threading.Thread(target=work, name="duties", daemon=True)
        thread.start()
        try:
            with in_threads(short):
                yield
        finally:
            ended.set()
            thread.join(PATIENCE)
            for duty in long:
                with suppress(Exception):
                    duty.end()

    def _drop_dead_jobs(self, _stop: threading.Event) -> None:
        with at_once(self.database) as connection:
            job_queue.drop_dead(connection)
            election_store.forget_workers(connection)

"""The tasks that Procrastinate runs: calls, on every worker, and the duties, on the worker that leads.

Their arguments are ids. A call whose job is repeated or late does nothing (submission/job_calls.py). A duty has one
turn at a time, and one that waits.
"""

from collections.abc import Sequence
from threading import Event
from typing import Any

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool

from database import DatabaseUnavailableError
from engines import READ_COMMITTED
from storage.background import Duty
from storage.job_queue import CALL_TASK, DUTY_QUEUE
from submission import CallJobs

#: Connections of the queue in each process: for jobs and for notifications.
CONNECTIONS = 4
#: Taking a job and ending it are single statements, which need no transaction around them and no flush: a job that is
#: there again after a crash of the server finds that its call was begun.
OPTIONS = f"{READ_COMMITTED} -c synchronous_commit=off"
#: A job that found the database away is tried again after these seconds, and how often.
AGAIN, TRIES = 2, 30
MINUTE, HOUR = 60, 3600


def calls_app(address: str, calls: CallJobs) -> App:
    """Return the queue with the task that makes calls."""
    app = _app(address)

    @app.task(
        name=CALL_TASK,
        pass_context=True,
        retry=RetryStrategy(max_attempts=TRIES, wait=AGAIN, retry_exceptions=[DatabaseUnavailableError]),
    )
    def make_call(context: JobContext, attempt_id: int) -> None:
        job = context.job
        calls.make(job.queue, attempt_id, job.worker_id or 0)

    return app


def duties_app(address: str, duties: Sequence[Duty], stop: Event) -> App:
    """Return the queue with a periodic task for each duty."""
    app = _app(address)
    for duty in duties:
        _add(app, duty, stop)
    return app


def _add(app: App, duty: Duty, stop: Event) -> None:
    lock = f"duty {duty.name}"

    @app.periodic(cron=schedule(duty.seconds))
    @app.task(name=lock, queue=DUTY_QUEUE, lock=lock, queueing_lock=lock)
    def take_turn(timestamp: int) -> None:  # when it was due
        duty.take_turn(stop)


def schedule(seconds: float) -> str:
    """Return the times, as cron writes them with seconds in the sixth place, that lie about so far apart."""
    whole = max(1, round(seconds))
    if whole < MINUTE:
        return f"* * * * * */{whole}"
    return f"*/{whole // MINUTE} * * * *" if whole < HOUR else "0 * * * *"


def _app(address: str) -> App:
    options = f"{conninfo_to_dict(address).get('options', '')} {OPTIONS}"  # those of the address, and ours
    return App(connector=PsycopgConnector(pool_factory=_pool, conninfo=address, kwargs={"options": options}))


def _pool(**given: Any) -> AsyncConnectionPool[Any]:
    """Return connections that are not tried each time before they are used: the worker starts again after a failure."""
    size = {"min_size": 1, "max_size": CONNECTIONS}
    return AsyncConnectionPool(**{**given, **size, "check": None, "configure": _prepare})


async def _prepare(connection: Any) -> None:
    await connection.set_autocommit(True)

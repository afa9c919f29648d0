"""The queue of jobs, Procrastinate on PostgreSQL: jobs added in our own transactions, and jobs that are left over."""

from collections.abc import Sequence
from typing import Any, cast

import psycopg
from procrastinate import App, SyncPsycopgConnector
from sqlalchemy import Connection, text

#: The task that makes one call, and its queue for an account: only workers with its credentials take from it.
CALL_TASK = "make_call"
#: The queue of the duties: only the worker that leads takes from it.
DUTY_QUEUE = "duties"
#: Jobs whose worker is gone for good: nobody will finish them.
DEAD = text(
    "DELETE FROM procrastinate_jobs j WHERE j.status = 'doing' AND NOT EXISTS (SELECT 1 FROM procrastinate_workers w"
    " WHERE w.id = j.worker_id AND w.last_heartbeat > clock_timestamp() - interval '10 minutes')"
)
DUTIES = text("DELETE FROM procrastinate_jobs WHERE queue_name = :queue")


def calls_of(account: str) -> str:
    """Return the name of the queue of the calls of an account."""
    return f"calls.{account}"


def drop_dead(connection: Connection) -> None:
    """Delete jobs whose workers are gone: what they were for is decided by other rows."""
    connection.execute(DEAD)


def drop_duties(connection: Connection) -> None:
    """Delete the turns that another leader has begun or planned."""
    connection.execute(DUTIES, {"queue": DUTY_QUEUE})


class JobQueue:
    """Adds jobs. It opens no connection of its own."""

    def __init__(self) -> None:
        self._app = App(connector=SyncPsycopgConnector())

    def add_calls(self, connection: Connection, account: str, attempt_ids: Sequence[int]) -> None:
        """Add a job for each attempt, in this transaction."""
        driver = cast("psycopg.Connection[Any]", connection.connection.dbapi_connection)
        deferrer = self._app.configure_task(CALL_TASK, queue=calls_of(account), connection=driver)
        arguments: list[dict[str, Any]] = [{"attempt_id": attempt_id} for attempt_id in attempt_ids]
        deferrer.batch_defer(*arguments)

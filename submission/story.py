"""The story of each batch in the log: created, started, paused, resumed, finished; how many, how much, how long.

It compares the database with what it read last, and so logs every change, whichever process made it.
"""

import logging
from contextlib import suppress

from amounts import money, plural
from database import DatabaseUnavailableError, IMEIDatabase
from logs import about
from orders import BatchState, Progress
from settings import MAIN_ACCOUNT
from storage.batch_queries import StateOfBatch, newest_batch, progress, states_of_batches
from submission.report import metrics

logger = logging.getLogger(__name__)


class Story:
    """Logs at INFO what has happened to the batches of a database since it was made.

    Each account has a loop, and all of them work on the same batches: the loop of the main account logs.
    """

    def __init__(self, database: IMEIDatabase, account: str) -> None:
        self._database = database
        self._is_logged = account == MAIN_ACCOUNT
        self._newest = newest_batch(database)
        self._known: dict[int, StateOfBatch] = {}  #: batches that were not finished when they were read last

    def log_changes(self) -> None:
        """Log what has changed since the last call. A database that cannot be read now is read the next time."""
        if not self._is_logged:
            return
        with suppress(DatabaseUnavailableError):
            for found in states_of_batches(self._database, self._newest, list(self._known)):
                with about(batch_id=found.batch_id):
                    self._look_at(found)

    def _look_at(self, found: StateOfBatch) -> None:
        before = self._known.get(found.batch_id)
        if found != before and (batch := progress(self._database, found.batch_id)):
            self._log(before, found, batch)
        self._known[found.batch_id] = found
        if found.state is BatchState.FINISHED:
            del self._known[found.batch_id]
        self._newest = max(self._newest, found.batch_id)

    def _log(self, before: StateOfBatch | None, now: StateOfBatch, batch: Progress) -> None:
        is_new, was_started = now.batch_id > self._newest, before is not None and before.is_started
        if is_new:
            most = money(batch.unit_price * batch.total)
            logger.info("Batch %d created: %s, service %s, at most %s", *_head(batch), batch.service_id, most)
        elif before is None:
            logger.info("Batch %d goes on: %s", batch.batch_id, _figures(batch))
        if now.is_started and not was_started and (is_new or before):
            logger.info("Batch %d started: %s in %s", *_head(batch), plural(sum(batch.chunks.values()), "call"))
        if now.state is BatchState.PAUSED:
            logger.info("Batch %d paused after %s: %s", batch.batch_id, _figures(batch), batch.notice)
        elif now.state is BatchState.FINISHED:
            logger.info("Batch %d finished: %s; %s", batch.batch_id, _figures(batch), metrics(batch))
        elif before and before.state is BatchState.PAUSED:
            logger.info("Batch %d resumed", batch.batch_id)


def _head(batch: Progress) -> tuple[int, str]:
    return batch.batch_id, plural(batch.total, "IMEI")


def _figures(batch: Progress) -> str:
    counts = ", ".join(f"{count:,} {outcome.label.lower()}" for outcome, count in batch.outcomes.items() if count)
    return f"{counts}; {money(batch.spent)} spent"

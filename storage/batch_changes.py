"""Wait until a batch has changed: on a database server by its notifications, whichever machine has changed it."""

import threading
from collections import Counter

from database import IMEIDatabase
from storage.listening import listen

#: The channel on which a trigger sends the id of each batch that has changed.
CHANNEL = "hammer_batches"


class BatchChanges:
    """What the streams of one process wait for. Thread-safe; listens from the first wait on."""

    def __init__(self, database: IMEIDatabase, stopping: threading.Event) -> None:
        """stopping: nobody waits any more."""
        self._database = database
        self._stopping = stopping
        self._condition = threading.Condition()
        self._changes = Counter[str]()
        self._thread: threading.Thread | None = None

    def wait(self, batch_id: int, seen: int, seconds: float) -> int:
        """Wait for a change of a batch beyond those seen, at most these seconds. Return how many there are now."""
        if self._database.is_file:
            self._stopping.wait(seconds)
            return seen
        name = str(batch_id)
        with self._condition:
            if self._thread is None:
                work = (self._database, CHANNEL, self._note, self._stopping)
                self._thread = threading.Thread(target=listen, args=work, name="changes", daemon=True)
                self._thread.start()
            self._condition.wait_for(lambda: self._changes[name] != seen or self._stopping.is_set(), seconds)
            return self._changes[name]

    def _note(self, name: str) -> None:
        with self._condition:
            self._changes[name] += 1
            self._condition.notify_all()

"""Calls carried by threads of this process; each answer is put on disk before it is judged (submission/checkpoints.py).

What is on the wire is in memory only: what a process leaves behind when it ends has an answer in a checkpoint, or is in
doubt.
"""

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager

from database import IMEIDatabase, Transaction
from logs import about
from orders import Chunk, ChunkState
from storage import call_queries
from submission.answers import Answer, held_back, judged, kept_answer
from submission.carrier import Recovery
from submission.checkpoints import Checkpoints, is_disk_full
from submission.judging import NotPlaced
from submission.older_copy import reopen_answered
from submission.options import Options
from submission.placing import PlacingProvider, place
from submission.report import ProgressFiles

logger = logging.getLogger(__name__)


class ThreadCarrier:
    """The threads in which calls are made."""

    lasts = False
    ahead = 1

    def __init__(
        self,
        database: IMEIDatabase,
        client: PlacingProvider,
        checkpoints: Checkpoints,
        options: Options,
        clock: Callable[[], float],
    ) -> None:
        """clock returns seconds that never go back."""
        self.checkpoints = checkpoints
        self._database = database
        self._client = client
        self._options = options
        self._clock = clock
        self._install_id = database.install_id() if options.send_order_key else None
        self._progress = ProgressFiles(database, checkpoints, clock)
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()  #: None: something else has come
        self._slots = threading.Semaphore(options.workers)  # one thread more is there for looks
        self._hold = threading.Event()  # set: calls that have not begun give their chunk back
        self._pool: Executor | None = None

    @contextmanager
    def open(self) -> Iterator[Executor]:
        """Start the threads; at the end, wait for the calls that they make, and close the files of their answers."""
        if not self._database.is_file:  # two carriers on one database would not know each other's calls
            raise RuntimeError("On a database server only jobs make calls.")
        with closing(self.checkpoints), self._options.pool(self._options.workers + 1) as pool:
            self._pool = pool
            yield pool

    def recover(self, connection: Transaction) -> Recovery:
        """Return the answer in the checkpoint of each call, or none, which means doubt."""
        reopen_answered(connection, self.checkpoints, self._options.account)
        sending = call_queries.open_chunks(connection, ChunkState.SENDING, self._options.account)
        return Recovery([kept_answer(chunk, self.checkpoints.answer_of(chunk)) for chunk in sending])

    def hand_over(self, connection: Transaction, claimed: Sequence[Chunk]) -> None:
        """Do nothing: threads see a call only when its intent is on disk."""

    def send(self, claimed: Sequence[Chunk], starts: Sequence[float]) -> None:
        """Hand the calls to the threads."""
        self._hold.clear()
        self._note(max((chunk.attempt_id for chunk in claimed), default=0))
        for chunk, start in zip(claimed, starts, strict=True):
            if self._pool is not None:
                self._pool.submit(self._call, chunk, start)

    def collect(self, seconds: float, _on_the_wire: Collection[Chunk]) -> list[Answer]:
        """Wait for the next answer, and take all that have come."""
        found: list[Answer | None] = []
        try:
            found.append(self._answers.get(timeout=seconds))
            while True:
                found.append(self._answers.get_nowait())
        except queue.Empty:
            return [answer for answer in found if answer is not None]

    def take(self, _connection: Transaction, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Return all answers: they are in this process only."""
        return answers

    def wake(self) -> None:
        """Let collect() return at once."""
        self._answers.put(None)

    def hold(self) -> None:
        """Let the calls that have not begun give their chunks back."""
        self._hold.set()

    def has_space(self) -> bool:
        """Return whether the disk has room for another round of answers."""
        return self.checkpoints.has_space()

    def make_room(self) -> None:
        """Free the ballast on the disk."""
        self.checkpoints.drop_ballast()

    def show_progress(self, batch_ids: Sequence[int], is_idle: bool) -> None:
        """Write progress.json of these batches when it is due."""
        self._progress.note(batch_ids)
        self._progress.write(is_idle)

    def _note(self, attempt_id: int) -> None:
        try:
            self.checkpoints.note_call(attempt_id)
        except OSError as error:
            logger.warning("The newest call was not noted beside the database: %s", error.strerror)

    # In a thread

    def _call(self, chunk: Chunk, start: float) -> None:
        with self._slots, about(batch_id=chunk.batch_id, chunk_id=chunk.chunk_id):
            self._place(chunk, start)

    def _place(self, chunk: Chunk, start: float) -> None:
        if self._hold.wait(max(0.0, start - self._clock())):
            self._answers.put(held_back(chunk))
            return
        began = self._clock()
        content = place(self._client, chunk, self._install_id, lambda raw: self._keep(chunk, raw))
        answer = judged(chunk, content, self._clock() - began, began)
        self._answers.put(answer)
        if isinstance(answer.judgement, NotPlaced) and answer.judgement.limited:
            # At once: calls that have not begun would be refused too. But after the answer is queued: it must be
            # recorded before the chunks that they give back are planned again.
            self._hold.set()

    def _keep(self, chunk: Chunk, raw: bytes) -> None:
        """Put the answer on disk. On a full disk the ballast goes first; without room the commit still follows."""
        try:
            self.checkpoints.keep(chunk, raw)
        except OSError as error:
            if is_disk_full(error):
                self.checkpoints.drop_ballast()
            logger.error("The answer for chunk %d has no checkpoint: %s", chunk.chunk_id, error.strerror)

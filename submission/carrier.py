"""What carries claimed calls to the provider and brings their answers back. The loop decides; a carrier only carries.

Embedded, the carrier is a pool of threads (submission/thread_carrier.py); with a database server, the jobs of all
machines (submission/cluster_carrier.py).
"""

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from database import Transaction
from orders import Chunk
from submission.answers import Answer


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a carrier knows of the calls whose intents an earlier process has written."""

    answers: Sequence[Answer] = ()  #: of calls that have ended
    on_the_wire: Sequence[Chunk] = ()  #: calls that are still carried


class Carrier(Protocol):
    """Calls the provider for the loop. wake() may be called from any thread, the rest from the loop only."""

    @property
    def lasts(self) -> bool:
        """Whether calls go on, and their answers are kept, when this process has ended."""

    @property
    def ahead(self) -> int:
        """How many quick calls of each worker to plan beyond those on the wire."""

    def open(self) -> AbstractContextManager[Executor]:
        """Carry calls as long as this is held. Yields the threads in which the loop reads lists and balances."""

    def recover(self, connection: Transaction) -> Recovery:
        """Return what became of the calls of earlier processes, inside the transaction that takes the lease."""

    def hand_over(self, connection: Transaction, claimed: Sequence[Chunk]) -> None:
        """Note calls inside the transaction that writes their intents."""

    def send(self, claimed: Sequence[Chunk], starts: Sequence[float]) -> None:
        """Make calls whose intents are on disk, each at its start (seconds of the loop's clock)."""

    def collect(self, seconds: float, on_the_wire: Collection[Chunk]) -> list[Answer]:
        """Wait for the next answer, at most these seconds, and return all that have come."""

    def take(self, connection: Transaction, answers: Sequence[Answer]) -> Sequence[Answer]:
        """Return the answers that nobody has recorded, inside the transaction that records them."""

    def wake(self) -> None:
        """Let collect() return at once."""

    def hold(self) -> None:
        """Let the calls that have not begun give their chunks back, until send() is called again."""

    def has_space(self) -> bool:
        """Return whether there is room for the answers of another round of calls."""

    def make_room(self) -> None:
        """Free what is kept in reserve, because a disk is full."""

    def show_progress(self, batch_ids: Sequence[int], is_idle: bool) -> None:
        """Show how far these batches are, after a commit; is_idle: no call is on the wire."""

"""The duties of the process that calls the provider: small pieces of work, each done again and again.

In one process each duty has a thread; with workers on several machines its turns are jobs.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from database import DatabaseUnavailableError
from settings import MAIN_ACCOUNT

logger = logging.getLogger(__name__)


def _nothing() -> None:
    pass


def name_for(duty: str, account: str) -> str:
    """Return the name of a duty for an account: each has its own turns."""
    return duty if account == MAIN_ACCOUNT else f"{duty} {account}"


@dataclass(frozen=True, slots=True)
class Duty:
    """One piece of work. Two turns of it never run at the same time."""

    name: str
    seconds: float  #: between two turns
    turn: Callable[[threading.Event], object]  #: one turn; it ends soon when the event is set
    failure: str  #: what the log says when a turn fails
    end: Callable[[], object] = _nothing  #: called after the last turn

    def take_turn(self, stop: threading.Event) -> None:
        """Do what there is to do. A failure is logged; the next turn tries again."""
        try:
            self.turn(stop)
        except DatabaseUnavailableError as error:
            logger.warning("%s: %s", self.failure, error.orig)
        except Exception:  # a thread, or a job, ends here
            logger.exception(self.failure)

    def repeat(self, stop: threading.Event) -> None:
        """Take turns until stop is set."""
        while not stop.wait(self.seconds):
            self.take_turn(stop)
        self.end()

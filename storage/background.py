"""What the threads of the leader have in common: a look at what there is to do, again and again."""

import logging
import threading
from collections.abc import Callable

from database import DatabaseUnavailableError


def repeat(
    work: Callable[[], object], seconds: float, stop: threading.Event, logger: logging.Logger, failure: str
) -> None:
    """Work every `seconds` until stop is set. A failure is logged with these words; the next turn tries again."""
    while not stop.wait(seconds):
        try:
            work()
        except DatabaseUnavailableError as error:
            logger.warning("%s: %s", failure, error.orig)
        except Exception:  # a thread ends here
            logger.exception(failure)

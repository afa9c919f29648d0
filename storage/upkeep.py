"""What keeps the pages quick while the orders grow: totals, tallies, and the statistics that SQLite plans by.

Nothing here changes what a page says: without upkeep every number is counted where it lies, only slower.
"""

import logging
import threading
import time

from database import DatabaseUnavailableError, IMEIDatabase
from storage import order_totals
from storage.batch_tallies import TALLIED_AT_ONCE, tally_finished

logger = logging.getLogger(__name__)

#: Seconds between two looks at what there is to do, and between two looks at SQLite's statistics.
LOOK, STATISTICS = 5.0, 3600.0
#: Orders beyond the totals that pages may well count themselves.
FEW = 2000


def tend(database: IMEIDatabase, few: int = FEW) -> None:
    """Bring totals and tallies up to date, in transactions short enough for the runner to wait for."""
    with database.read() as connection:
        behind = order_totals.uncounted(connection) > few
    while behind:
        with database.write() as connection:
            behind = not order_totals.roll(connection)
    while tally_finished(database) == TALLIED_AT_ONCE:
        pass


def run(database: IMEIDatabase, stop: threading.Event) -> None:
    """Tend until stop is set."""
    optimize_at = time.monotonic() + STATISTICS
    while not stop.wait(LOOK):
        try:
            tend(database)
            if time.monotonic() >= optimize_at:
                optimize_at = time.monotonic() + STATISTICS
                database.optimize()
        except DatabaseUnavailableError as error:
            logger.warning("Upkeep waits: %s", error.orig)
        except Exception:  # a thread ends here; the next round tries again
            logger.exception("Upkeep failed")

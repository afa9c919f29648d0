"""Every page on PostgreSQL at 1,000,000 orders: processor time of the thread and of the server, and the clock.

The orders are those of bench_pages.py, copied from a file to a private server as `flask move-to-postgres` copies them.
`python -m benchmarks.bench_pages_postgresql 200000` prints the table of every page.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

from postgresql_cluster import private_cluster

from benchmarks.bench_fleet import DURABLE
from benchmarks.bench_pages import Found, app_on, limit_of, table, timed, visits
from benchmarks.fleet_costs import Meter, server_of
from benchmarks.years import Years, fill
from database import IMEIDatabase
from storage.database_copy import copy_tables

SIZE = 1_000_000
LIMIT = 60.0  #: milliseconds


def run() -> list[tuple[str, str, str]]:
    """The row: what, measured, target."""
    found = {name: times for name, times in measure(SIZE).items() if limit_of(name) <= LIMIT}
    name = max(found, key=lambda name: found[name].p95)
    measured = f"{found[name].p95:.0f} ms, {found[name].clock_p95:.0f} by the clock ({name})"
    return [(f"{len(found)} pages on PostgreSQL, {SIZE:,} orders: slowest p95", measured, f"{LIMIT:.0f} ms")]


def measure(size: int, only: str = "") -> Found:
    """Return the times of every page over this many orders."""
    with (
        tempfile.TemporaryDirectory() as name,
        private_cluster(DURABLE) as cluster,
        cluster.migrated() as url,
        IMEIDatabase(url, Path(name)) as database,
    ):
        years = filled(database, size)
        meter = Meter(server_of(url))
        return {
            page: timed({size: visit._replace(served=meter.served)})[size]
            for page, visit in visits(app_on(database), database, years)
            if only in page
        }


def filled(database: IMEIDatabase, size: int) -> Years:
    """Fill an empty database on a server with this many orders."""
    with IMEIDatabase(database.folder / "imei_orders.db") as file:
        years = fill(file, size)
        with file.read() as old, database.write() as new:
            copy_tables(old, new, partial(print, file=sys.stderr))
    return years


if __name__ == "__main__":
    wanted = int(sys.argv[1])
    print("\n".join(table({wanted: measure(wanted, *sys.argv[2:])})))

"""Every page on PostgreSQL at 1,000,000 orders: processor time of the thread and of the server, and the clock.

The orders are those of bench_pages.py, copied from a file to a private server as `flask move-to-postgres` copies them.
`python -m benchmarks.bench_pages_postgresql 200000` prints the table of every page. With --keep FOLDER the file and the
data of the server stay there for the next run, --part 1/3 asks for a third of the pages (0/1: for none, it only fills),
and --only for those with these words.
"""

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from postgresql_cluster import kept_cluster, private_cluster

from benchmarks.bench_fleet import DURABLE
from benchmarks.bench_pages import Found, app_on, limit_of, table, timed, visits
from benchmarks.fleet_costs import Meter, server_of
from benchmarks.years import Years, describe, fill
from database import IMEIDatabase
from storage.database_copy import copy_tables

SIZE = 1_000_000
LIMIT = 60.0  #: milliseconds
KEPT = "pages"  #: the name of a database that stays


def run() -> list[tuple[str, str, str]]:
    """The row: what, measured, target."""
    with made(SIZE) as (database, years):
        found = {name: times for name, times in measure(database, years, SIZE).items() if limit_of(name) <= LIMIT}
    name = max(found, key=lambda name: found[name].p95)
    measured = f"{found[name].p95:.0f} ms, {found[name].clock_p95:.0f} by the clock ({name})"
    return [(f"{len(found)} pages on PostgreSQL, {SIZE:,} orders: slowest p95", measured, f"{LIMIT:.0f} ms")]


def measure(database: IMEIDatabase, years: Years, size: int, only: str = "", part: slice = slice(None)) -> Found:
    """Return the times of every page over this many orders, or of those that were asked for."""
    address = database.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    meter = Meter(server_of(address))
    named = ((page, visit) for page, visit in visits(app_on(database), database, years) if only in page)
    return {
        page: timed({size: visit._replace(served=meter.served)})[size]
        for page, visit in islice(named, part.start, None, part.step)
    }


@contextlib.contextmanager
def made(size: int, folder: Path | None = None) -> Iterator[tuple[IMEIDatabase, Years]]:
    """Open a database on a private server with this many orders; one in a folder stays, and is filled once."""
    with (
        tempfile.TemporaryDirectory() as name,
        kept_cluster(folder, DURABLE) if folder else private_cluster(DURABLE) as cluster,
    ):
        home = folder or Path(name)
        is_new = not (home / "copied").exists()
        with IMEIDatabase(home / "imei_orders.db") as file:
            years = kept(file, size)
            if is_new:
                cluster.run(f"DROP DATABASE IF EXISTS {KEPT}")
                cluster.run(f"CREATE DATABASE {KEPT}")
            with IMEIDatabase(cluster.address(KEPT), Path(name)) as database:
                if is_new:
                    with file.read() as old, database.write() as new:
                        copy_tables(old, new, partial(print, file=sys.stderr))
                    (home / "copied").touch()
                yield database, years


def kept(file: IMEIDatabase, size: int) -> Years:
    """Fill a file with this many orders, unless an earlier run did, and return what was made."""
    note = file.folder / "years.json"
    if not note.exists():
        note.write_text(describe(fill(file, size)))
    return Years(**json.loads(note.read_text()))


def main(words: Sequence[str]) -> None:
    """Print the table of what these words ask for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", type=int)
    parser.add_argument("--only", default="")
    parser.add_argument("--part", default="1/1")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args(words)
    number, parts = map(int, asked.part.split("/"))
    with made(asked.size, asked.keep) as (database, years):
        if not number:
            return
        found = measure(database, years, asked.size, asked.only, slice(number - 1, None, parts))
    print("\n".join(table({asked.size: found})))


if __name__ == "__main__":
    main(sys.argv[1:])

"""A database as years of work leave it: batches with chunks, calls and items, orders with their result texts.

Made by SQLite itself from a table of numbers, in the order of time and with the indexes in place, as it would have
grown. Services, carriers and models are as unevenly spread as in life; some values are rare on purpose.
"""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from benchmarks.measuring import with_check_digit
from database import IMEIDatabase, utc_now
from orders import AutomationKind, DisputeKind, RunKind, ServiceInfo
from people import DEMO_USER
from storage import automation_store, dispute_store, result_count_store, service_figure_store
from storage.automation_store import NewRun, Terms
from storage.disputable import Disputable
from storage.kept_sums import tend
from storage.tag_store import tag_batches, tag_orders

#: IMEIs of the newest finished batch, whose results are still pending, and of the one that is running.
PENDING, RUNNING, DOUBTFUL = 10_000, 20_000, 200
BIG = 100_000  #: IMEIs of the largest batch
AUTOMATIONS = 12
USUAL = 1_000  #: batches, besides these; and IMEIs of the one whose pages are compared
FEWEST, MOST = 6_000, 20_000  #: orders a day
CUSTOMERS = 97
OLD = 25  #: of the oldest usual batches have a tag: 20,000 orders of a million

SERVICES = [
    ServiceInfo(
        str(200 + number), f"{number}. Status Check of Network {number}", 0.05 + number / 100, "Instant", "Network"
    )
    for number in range(40)
]

ORDERS = text("""
INSERT INTO orders (order_id, imei, imei2, service_name, service_id, credits, status, order_date, carrier, simlock,
                    model, fmi, blacklist, serial, result_code, result_code_display, raw_response, other_imei,
                    created_at, updated_at, batch_id, attempt_id, verdict, verdict_rule, rules_version)
SELECT id, imei, CASE WHEN h % 3 = 0 THEN substr(imei, 1, 8) || printf('%07d', i % 9999991) END,
       :name, :service, :price, status, placed, carrier, simlock, model, fmi,
       CASE WHEN done THEN 'Clean' END, CASE WHEN done THEN serial END,
       CASE WHEN done THEN replace(said, char(10), '<br>') END, CASE WHEN done THEN said END,
       json_object('id', id, 'imei', imei, 'status', status),
       CASE WHEN done AND h % 5003 = 7 THEN '359999990000001' END, placed, placed, :batch, :attempt + n / 100,
       CASE rule WHEN 4 THEN 'fail' WHEN 9 THEN 'pass' ELSE CASE WHEN rule > 0 THEN 'review' END END, rule,
       CASE WHEN rule > 0 THEN 1 END
FROM (SELECT *, CASE WHEN status = 'Rejected' THEN 1 WHEN NOT done THEN NULL
                     WHEN fmi IN ('ON', 'Enabled', 'Lost Mode') THEN 4 WHEN simlock <> 'Unlocked' THEN 5
                     WHEN fmi = 'UNKNOWN' THEN 7 ELSE 9 END AS rule,
         'Model: ' || model || char(10) || 'IMEI Number: ' || imei || char(10) || 'Serial Number: ' || serial
         || char(10) || 'IMEI2 Number: ' || imei || char(10) || 'AppleCare Eligible: OFF' || char(10)
         || 'Estimated Purchase Date: 05/12/19' || char(10) || 'Carrier: ' || carrier || char(10)
         || 'Next Tether Policy: 10' || char(10) || 'Current GSMA Status: Clean' || char(10) || 'Find My iPhone: '
         || fmi || char(10) || 'SimLock: ' || simlock AS said
      FROM (SELECT *, '' || (15000000 + i) AS id, printf('F4G%09d', h) AS serial, status = 'Completed' AS done,
                CASE WHEN status <> 'Completed' THEN NULL WHEN h % 50021 = 3 THEN 'Rare Mobile'
                     WHEN h % 100 < 40 THEN 'T-Mobile USA' WHEN h % 100 < 65 THEN 'AT&T'
                     WHEN h % 100 < 80 THEN 'Verizon' WHEN h % 100 < 95 THEN 'Unlocked'
                     ELSE 'Carrier ' || h % 61 END AS carrier,
                CASE WHEN status <> 'Completed' THEN NULL WHEN h % 70001 = 5 THEN 'Relocked'
                     WHEN h % 100 < 50 THEN 'Locked' ELSE 'Unlocked' END AS simlock,
                CASE WHEN status <> 'Completed' THEN NULL WHEN h % 40009 = 9 THEN 'UNKNOWN'
                     WHEN h / 100 % 3 > 0 THEN 'OFF' WHEN h / 300 % 20 = 0 THEN 'Lost Mode'
                     WHEN h / 300 % 20 = 1 THEN 'Enabled' ELSE 'ON' END AS fmi,
                CASE WHEN status = 'Completed' THEN 'iPhone ' || (7 + h / 7 % 10) || ' 128GB Midnight' END AS model
            FROM (SELECT n, :first + n AS i, (:first + n) * 2654435761 % 4294967296 AS h,
                      with_check_digit(printf('%08d', 35000000 + min((:first + n) * 40503 % 65536 % 300,
                                                                     (:first + n) * 30011 % 65536 % 40) * 1009)
                                       || printf('%06d', (:first + n) * 7919 % 999983)) AS imei,
                      strftime('%Y-%m-%d %H:%M:%S.000000', :start, (n / 300) || ' seconds') AS placed,
                      CASE WHEN :pending THEN 'Pending' WHEN (:first + n) % 50 = 0 THEN 'Rejected'
                           WHEN (:first + n) % 49999 = 1 THEN 'In Process' ELSE 'Completed' END AS status
                  FROM numbers WHERE n < :count)))
""")
CHUNKS = text(
    "INSERT INTO chunks (batch_id, size, state, attempt)"
    " SELECT :batch, min(100, :count - 100 * n), :state, :state <> 'planned' FROM numbers WHERE n < (:count + 99) / 100"
)
ATTEMPTS = text(
    "INSERT INTO attempts (chunk_id, number, imeis, sent_at, ended_at, result) SELECT id, 1, size,"
    " :start, :start, CASE state WHEN 'in_doubt' THEN 'in doubt' ELSE state END FROM chunks"
    " WHERE batch_id = :batch AND state <> 'planned' AND id >= :chunk"
)
ITEMS = text(
    "INSERT INTO items (batch_id, chunk_id, service_id, imei, source_row, outcome)"
    " SELECT batch_id, :chunk + (id - :order) / 100, service_id, imei, id - :order, 'ordered' FROM orders"
    " WHERE id >= :order"
)
OPEN_ITEMS = text(
    "INSERT INTO items (batch_id, chunk_id, service_id, imei, source_row, outcome, message)"
    " SELECT :batch, :chunk + n / 100, :service, printf('%015d', 990000000000000 + :batch * 1000000 + n), n, :outcome,"
    " :message FROM numbers WHERE n < :count"
)
OTHER_ITEMS = text(
    "INSERT INTO items (batch_id, service_id, imei, source_row, outcome, message)"
    " SELECT :batch, :service, printf('%015d', 980000000000000 + :batch * 1000000 + n), n, 'duplicate',"
    " 'ordered already: order ' || (15000000 + n % 50) FROM numbers WHERE n < :count"
)
CHANGES = text(
    "INSERT INTO status_changes (order_row, old, new, changed_at)"
    " SELECT id, 'Pending', status, order_date FROM orders WHERE id >= :order AND status <> 'Pending'"
)


Batch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Years:
    """What was made, for those who ask for its pages."""

    usual: int  #: a finished batch of a thousand, the same at every size
    pending: int  #: a finished batch of 10,000 whose results are pending
    running: int  #: a batch of which half is sent
    doubtful: int  #: a batch with IMEIs in doubt
    big: int | None  #: a finished batch of 100,000, where there are as many orders
    recheck: int  #: a run of an automation with RUNNING changed phones


def fill(database: IMEIDatabase, total: int) -> Years:
    """Fill an empty database with this many orders (100,000 or more), the newest of them today's."""
    with _hurried(database):
        years = _fill(database, total)
    database.optimize()
    return years


@contextmanager
def _hurried(database: IMEIDatabase) -> Iterator[None]:
    """The one connection that the pool holds does not wait for the disk meanwhile, and keeps much in memory."""
    connection = database.engine.raw_connection()
    connection.cursor().connection.create_function("with_check_digit", 1, with_check_digit)
    connection.close()
    _pragmas(database, "synchronous = OFF", "cache_size = -400000", "wal_autocheckpoint = 50000")
    try:
        yield
    finally:
        _pragmas(database, "synchronous = FULL", "cache_size = -16000", "wal_autocheckpoint = 1000")


def _pragmas(database: IMEIDatabase, *words: str) -> None:
    connection = database.engine.raw_connection()
    for word in words:
        connection.cursor().execute(f"PRAGMA {word}")
    connection.close()


def _fill(database: IMEIDatabase, total: int) -> Years:
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")
        connection.exec_driver_sql(
            "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 99999) INSERT INTO numbers"
            " SELECT n FROM c"
        )
    database.store_services(SERVICES, utc_now().timestamp())
    maker = _Maker(database, random.Random(7))
    big = BIG if total >= 10 * BIG else 0
    sizes = list(maker.usual_sizes(total - big - PENDING - RUNNING // 2 - USUAL))
    starts = list(maker.starts([*sizes[: len(sizes) // 2], big or 1, *sizes[len(sizes) // 2 :]]))
    middle = len(sizes) // 2
    usual = [maker.finished(size, start) for size, start in zip(sizes[:middle], starts, strict=False)]
    the_big = maker.finished(big, starts[middle]) if big else None
    usual += [maker.finished(size, start) for size, start in zip(sizes[middle:], starts[middle + 1 :], strict=True)]
    usual.append(maker.finished(USUAL, starts[-1]))
    now = utc_now()
    doubtful = maker.doubtful(now)
    pending = maker.finished(PENDING, now - timedelta(minutes=20), pending=True)
    running = maker.running(now)
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE numbers")
    name_and_tag(database, usual, the_big)
    tend(database, 0)
    result_count_store.update_counts(database, 0)
    dispute_store.open_all(database, Disputable(DisputeKind.REJECTED), "anna")
    service_figure_store.update_figures(database)
    recheck = _automate(database, [*usual, running])
    return Years(usual[-1], pending, running, doubtful, the_big, recheck)


def _automate(database: IMEIDatabase, batch_ids: list[int]) -> int:
    """Make AUTOMATIONS that have ordered these batches between them, and a run with changes; return that run."""
    terms = Terms("", "fmi=OFF&carrier=T-Mobile+USA", SERVICES[0].package_id, 1.0, 100.0, first_day="2026-01-01")
    with database.write() as connection:
        made = []
        for number in range(AUTOMATIONS):
            kind = list(AutomationKind)[number % 2]
            automation_id = automation_store.create(connection, kind, replace(terms, name=f"rule {number}"), DEMO_USER)
            found = automation_store.find_automation(connection, automation_id)
            made += [found] if found else []
        left_out = {"already checked with this service": 40, "under way with this service": 3}
        for place, batch_id in enumerate(batch_ids):
            run = NewRun(RunKind.BY_ITSELF, "rule", 1000, 900, 0.08, left_out)
            run_id = automation_store.add_run(connection, made[place % AUTOMATIONS], run, batch_id)
        changes = "INSERT INTO automation_changes SELECT :run, id, imei, :changes FROM orders ORDER BY id LIMIT :most"
        given = {"run": run_id, "changes": json.dumps([["Find My", "OFF", "ON"]]), "most": RUNNING}
        connection.execute(text(changes), given)
        connection.execute(text("UPDATE automation_runs SET is_compared = true"))
    return run_id


def name_and_tag(database: IMEIDatabase, usual: list[int], big: int | None) -> None:
    """Give each batch one of CUSTOMERS, and tags to old batches, to the big one, and to single orders."""
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE batches SET customer = 'Customer ' || (id % {CUSTOMERS})")
    tag_batches(database, usual[:OLD], "Old stock")
    tag_batches(database, [big or usual[-1]], "Big")
    tag_orders(database, range(1, 100_000, 100), "Hold")


class _Maker:
    def __init__(self, database: IMEIDatabase, chance: random.Random) -> None:
        self.database = database
        self.chance = chance
        self.weights = [1 / (rank + 1) for rank in range(len(SERVICES))]
        self.orders = 0

    def usual_sizes(self, total: int) -> Iterator[int]:
        """About USUAL sizes that add up to total; a few are large."""
        left, mean = total, total / USUAL
        while left > 0:
            size = min(left, BIG, max(1, round(self.chance.expovariate(1 / mean))))
            left -= size
            yield size

    def starts(self, sizes: list[int]) -> Iterator[datetime]:
        """When each batch began, so that a day has FEWEST to MOST orders and the last one is yesterday."""
        days: list[int] = []
        day, room = 0, self.chance.randint(FEWEST, MOST)
        for size in sizes:
            if room <= 0:
                day, room = day + 1, self.chance.randint(FEWEST, MOST)
            days.append(day)
            while room < size and size > MOST:
                size, room, day = size - max(room, 0), self.chance.randint(FEWEST, MOST), day + 1
            room -= size
        yesterday = utc_now().replace(hour=1, minute=0, second=0, microsecond=0) - timedelta(days=1)
        for place, one in enumerate(days):
            yield yesterday - timedelta(days=day - one) + timedelta(minutes=place % 600)

    def finished(self, size: int, start: datetime, pending: bool = False) -> int:
        """A batch whose every call was answered."""
        with self.database.write() as connection:
            batch = self._batch(connection, size, start, "finished")
            self._answered(connection, batch, size, start, pending)
            duplicates = size // 50
            connection.execute(OTHER_ITEMS, {"batch": batch["batch"], "service": batch["service"], "count": duplicates})
        return int(batch["batch"])

    def running(self, start: datetime) -> int:
        """A batch of which half is ordered and half waits."""
        with self.database.write() as connection:
            batch = self._batch(connection, RUNNING, start, "running")
            self._answered(connection, batch, RUNNING // 2, start, True)
            self._open(connection, batch, RUNNING // 2, start, "planned")
        return int(batch["batch"])

    def doubtful(self, start: datetime) -> int:
        """A finished batch with IMEIs in doubt."""
        with self.database.write() as connection:
            batch = self._batch(connection, DOUBTFUL, start, "finished")
            self._open(connection, batch, DOUBTFUL, start, "in_doubt")
        return int(batch["batch"])

    def _batch(self, connection: Connection, size: int, start: datetime, state: str) -> Batch:
        service = self.chance.choices(SERVICES, self.weights)[0]
        number = connection.execute(
            text(
                "INSERT INTO batches (label, source, service_id, service_name, unit_price, total, state, fingerprint,"
                " created_at, started_at, finished_at) VALUES (:label, 'upload', :service, :name, :price, :total,"
                " :state, :mark, :start, :start, CASE :state WHEN 'finished' THEN :start END) RETURNING id"
            ),
            {
                "label": f"stock-{start:%Y-%m-%d-%H%M}.csv",
                "service": service.package_id,
                "name": service.title,
                "price": service.price,
                "total": size,
                "state": state,
                "mark": f"{self.chance.getrandbits(128):032x}",
                "start": f"{start:%Y-%m-%d %H:%M:%S.%f}",
            },
        ).scalar_one()
        return {"batch": number, "service": service.package_id, "name": service.title, "price": service.price}

    def _answered(self, connection: Connection, batch: Batch, size: int, start: datetime, pending: bool) -> None:
        chunk, attempt = self._chunks(connection, batch, size, start, "answered")
        given = {**batch, "attempt": attempt, "start": f"{start:%Y-%m-%d %H:%M:%S}", "pending": pending}
        connection.execute(ORDERS, {**given, "first": self.orders, "count": size})
        connection.execute(ITEMS, {"order": self.orders + 1, "chunk": chunk})
        connection.execute(CHANGES, {"order": self.orders + 1})
        self.orders += size

    def _open(self, connection: Connection, batch: Batch, size: int, start: datetime, state: str) -> None:
        chunk, _ = self._chunks(connection, batch, size, start, state)
        outcome, message = ("waiting", None) if state == "planned" else ("in_doubt", "the connection was lost")
        given = {"batch": batch["batch"], "service": batch["service"], "chunk": chunk, "count": size}
        connection.execute(OPEN_ITEMS, {**given, "outcome": outcome, "message": message})

    def _chunks(self, connection: Connection, batch: Batch, size: int, start: datetime, state: str) -> tuple[int, int]:
        before = connection.exec_driver_sql(
            "SELECT (SELECT coalesce(max(id), 0) FROM chunks), (SELECT coalesce(max(id), 0) FROM attempts)"
        ).one()
        connection.execute(CHUNKS, {"batch": batch["batch"], "count": size, "state": state})
        given = {"batch": batch["batch"], "start": f"{start:%Y-%m-%d %H:%M:%S.%f}", "chunk": before[0] + 1}
        connection.execute(ATTEMPTS, given)
        return before[0] + 1, before[1] + 1


def describe(years: Years) -> str:
    """Return what was made as one line of JSON."""
    return json.dumps({name: getattr(years, name) for name in Years.__slots__})

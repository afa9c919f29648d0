"""How fast an account may be called, over all machines: one row, changed under its lock, by the database's clock.

The loop writes the pace. Whoever makes a call reserves its start here, waits for it, and gives it back when it comes
too late to keep it. Starts grow, and each lies a window after the start that many calls before it: so no window of any
position holds more calls than the allowance. For PostgreSQL.
"""

import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, text

from engines import Direct
from storage.handed_calls import NOW

ORDERS, READS = "orders", "reads"
#: Locks the row before it is read: what is computed from it stays true until the commit.
LOCK = text(f"UPDATE pace SET newest_start = newest_start WHERE account = :account RETURNING *, {NOW} AS now")
STORE = text(
    "UPDATE pace SET newest_start = :newest_start, hold_until = :hold_until, orders = :orders, reads = :reads,"
    " seen_at = :seen_at WHERE account = :account"
)
INSERT = (
    "INSERT INTO pace (account, hold_until, spacing, allowance, seconds, orders_wait)"
    f" VALUES (:account, {NOW} + :hold, :spacing, :allowance, :seconds, :orders_wait) ON CONFLICT (account) DO "
)
#: Calls that nothing limits leave no start behind: a distance is counted from the moment at which it begins.
WRITE = text(
    f"{INSERT}UPDATE SET hold_until = greatest(pace.hold_until, excluded.hold_until),"
    " spacing = excluded.spacing, allowance = excluded.allowance, seconds = excluded.seconds,"
    " orders_wait = excluded.orders_wait, newest_start = CASE WHEN pace.spacing <= 0 AND excluded.spacing > 0"
    f"  THEN greatest(pace.newest_start, {NOW}) ELSE pace.newest_start END"
    " RETURNING set_config('synchronous_commit', 'off', true)"
)
#: Whoever comes second writes nothing: the loop knows better.
WRITE_FIRST = text(INSERT + "NOTHING")
HOLD = text(f"UPDATE pace SET hold_until = greatest(hold_until, {NOW} + :seconds) WHERE account = :account")
READ = text(f"SELECT *, {NOW} AS now FROM pace WHERE account = :account")
NEXT_START = f"greatest({NOW}, newest_start + greatest(spacing, :least), hold_until)"
#: The whole reservation of a paid call where there is no limit. Its commit is not flushed; see NO_FLUSH.
RESERVE = text(
    f"UPDATE pace SET newest_start = {NEXT_START} WHERE account = :account AND allowance IS NULL"
    f" AND {NEXT_START} <= {NOW} + :ahead"
    f" RETURNING newest_start, newest_start - {NOW} AS wait, set_config('synchronous_commit', 'off', true)"
)
#: Reservations need no flush of their own: what follows before the call is flushed, and all before it with it.
NO_FLUSH = text("SET LOCAL synchronous_commit TO off")
#: The loop notes the clock every two seconds. A clock that is behind what was noted by more than STEP seconds was set
#: back; one that is ahead of it by more than GAP was set ahead, or no loop has run since.
STEP, GAP = 1.0, 10.0
SEEN = text(
    f"UPDATE pace SET seen_at = {NOW} WHERE account = :account AND seen_at <= {NOW} + {STEP}"
    f" AND (:begins OR seen_at = 0 OR seen_at >= {NOW} - {GAP})"
)
#: The least distance of two starts (seconds), so that each has a number of its own.
LEAST = 1e-5
#: Seconds by which a call may be later than its start, with a limit and without one.
STRICT, LENIENT = 0.5, 5.0


@dataclass(frozen=True, slots=True)
class CallPace:
    """How fast the loop lets an account be called."""

    hold: float  #: seconds from now in which no call starts
    spacing: float  #: seconds between two starts
    allowance: int | None  #: calls in any window; None: no limit
    seconds: float  #: of the window
    orders_wait: bool  #: more orders wait for their turn, so that reads keep to their share


@dataclass(frozen=True, slots=True)
class Slots:
    """The row of an account. Times are Unix seconds by the clock of the database."""

    now: float
    newest_start: float
    hold_until: float
    spacing: float
    allowance: int | None
    seconds: float
    orders_wait: bool
    orders: tuple[float, ...]  #: starts within the window
    reads: tuple[float, ...]
    seen_at: float  #: what the clock showed when the loop looked last

    def next_start(self) -> float:
        """Return when the next call may start."""
        earliest = max(self.now, self.newest_start + max(self.spacing, LEAST), self.hold_until)
        taken = sorted(self.orders + self.reads)
        if self.allowance is not None and len(taken) >= self.allowance:
            earliest = max(earliest, taken[-self.allowance] + self.seconds)
        return earliest

    def reserved(self, kind: str, start: float) -> "Slots":
        """Return the row with a call of this kind at this start, without the starts that have left the window."""
        since = self.now - self.seconds
        orders, reads = (tuple(at for at in starts if at > since) for starts in (self.orders, self.reads))
        if self.allowance is not None:
            orders, reads = ((*orders, start), reads) if kind == ORDERS else (orders, (*reads, start))
        return replace(self, newest_start=start, orders=orders, reads=reads)

    def earlier(self, seconds: float) -> "Slots":
        """Return the row with all its times earlier."""
        orders, reads = (tuple(at - seconds for at in starts) for starts in (self.orders, self.reads))
        newest, hold, seen = (at - seconds for at in (self.newest_start, self.hold_until, self.seen_at))
        return replace(self, newest_start=newest, hold_until=hold, seen_at=seen, orders=orders, reads=reads)

    def without_gap(self) -> "Slots":
        """Return the row as if the clock had stood still since the loop noted it, where that is too long ago.

        Where the clock was set ahead, starts would leave the window before their time. Where no loop has run, calls
        wait for a window at most.
        """
        gap = self.now - self.seen_at
        return self.earlier(-gap) if self.seen_at and gap > GAP and self.allowance is not None else self

    def without(self, start: float) -> "Slots":
        """Return the row without the call at this start. What was reserved in vain delays nobody.

        Without a limit the start before it is not known: it may have been the distance of two starts earlier.
        """
        orders = tuple(at for at in self.orders if at != start)
        reads = tuple(at for at in self.reads if at != start)
        before = max((*orders, *reads), default=start - max(self.spacing, LEAST))
        newest = before if self.newest_start == start else self.newest_start
        return replace(self, orders=orders, reads=reads, newest_start=newest)


@dataclass(frozen=True, slots=True)
class Slot:
    """A reserved start."""

    start: float  #: Unix seconds by the clock of the database
    wait: float  #: seconds from the reservation
    tolerance: float  #: seconds after the start in which the call may still be made


def write_pace(connection: Connection, account: str, pace: CallPace) -> None:
    """Write how fast an account may be called, without a flush. A hold that is longer stays."""
    connection.execute(WRITE, {"account": account, **asdict(pace)})


def hold(connection: Connection, account: str, seconds: float) -> None:
    """Let no call start for these seconds."""
    connection.execute(HOLD, {"account": account, "seconds": seconds})


def slots(connection: Connection, account: str) -> Slots | None:
    """Return the row of an account; None before its loop has run."""
    row = connection.execute(READ, {"account": account}).first()
    return _slots(row) if row else None


def reserve_unlimited(connection: Connection | Direct, account: str, ahead: float = math.inf) -> Slot | None:
    """Reserve the next start for a paid call, in one statement.

    None where there is a limit, or no pace yet, or where that start is more than `ahead` seconds away.
    """
    row = connection.execute(RESERVE, {"account": account, "least": LEAST, "ahead": ahead}).first()
    return None if row is None else Slot(row.newest_start, row.wait, LENIENT)


def reserve_order(connection: Connection, account: str) -> Slot | None:
    """Reserve the next start for a paid call; None before the loop of the account has run."""
    found = _locked(connection, account)
    return _reserved(connection, account, ORDERS, found) if found else None


def reserve_read(connection: Connection, account: str, share: float, first: CallPace) -> Slot | None:
    """Reserve the next start for a read; None where reads must wait, to be asked again.

    They wait while orders wait too and reads have had their share of the allowance. first is the pace where no loop of
    the account has run: a rebuild reads before any.
    """
    found = _locked(connection, account)
    if found is None:
        connection.execute(WRITE_FIRST, {"account": account, **asdict(first)})
        found = _locked(connection, account)
    if found is None:
        return None
    recent = sum(at > found.now - found.seconds for at in found.reads)
    if found.allowance is not None and found.orders_wait and recent >= max(1, int(found.allowance * share)):
        return None
    return _reserved(connection, account, READS, found)


def give_back(connection: Connection, account: str, slot: Slot) -> None:
    """Free a start at which no call was made."""
    found = _locked(connection, account)
    if found is not None:
        _store(connection, account, found.without(slot.start))


def follow_clock(connection: Connection, account: str, begins: bool = False) -> None:
    """Note what the clock of the database shows. Where it was set, all starts are as long ago, or ahead, as before.

    Otherwise no call would start before a clock that was set back has shown the same time again, and as many calls as
    a window holds would start at once after it was set ahead. begins: nothing was noted for a while, so that a later
    time shows nothing.
    """
    connection.execute(NO_FLUSH)
    if connection.execute(SEEN, {"account": account, "begins": begins}).rowcount:
        return
    found = _locked(connection, account)
    if found is not None:
        _store(connection, account, found.earlier(found.seen_at - found.now))


def _locked(connection: Connection, account: str) -> Slots | None:
    connection.execute(NO_FLUSH)
    row = connection.execute(LOCK, {"account": account}).first()
    return _slots(row).without_gap() if row else None


def _reserved(connection: Connection, account: str, kind: str, found: Slots) -> Slot:
    start = found.next_start()
    _store(connection, account, found.reserved(kind, start))
    return Slot(start, start - found.now, LENIENT if found.allowance is None else STRICT)


def _store(connection: Connection, account: str, changed: Slots) -> None:
    lists = {"orders": json.dumps(changed.orders), "reads": json.dumps(changed.reads)}
    times = {"newest_start": changed.newest_start, "hold_until": changed.hold_until, "seen_at": changed.seen_at}
    connection.execute(STORE, {"account": account, **times, **lists})


def _slots(row: Row[Any]) -> Slots:
    known = (row.now, row.newest_start, row.hold_until, row.spacing, row.allowance, row.seconds, row.orders_wait)
    return Slots(*known, tuple(json.loads(row.orders)), tuple(json.loads(row.reads)), row.seen_at)

"""The programs of a cluster with shorter times, and with faults that the judge of a proof must notice.

Each function is called in a worker process before its program starts; the product has no hooks for them.
"""

import faulthandler
import gc
import signal
import sys
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from types import ModuleType
from typing import Any

from forked_command import short_waits
from sqlalchemy import Connection, literal_column, text

import callers
import production_submission_system
from account import answerer
from automation import running as automation_running
from engines import postgresql_server
from notices import delivering
from results import auditing, soon, sync
from storage import handed_calls, history_mark, pace_store, regrading
from storage.pace_store import Slot
from submission import Options, Settler, Throttle, cluster_carrier, job_calls, leader_locks, options_of, watches
from submission.raw_failures import HELD_BACK
from workers import running

#: Seconds of the window in which the limit counts, and without a renewal after which another worker leads. Beside other
#: tests a thread may wait for a second or more: a leader that loses its lease so begins again to watch every doubt, and
#: where that happens every few seconds none of them is ever settled.
WINDOW, LEASE = 4.0, 3.0
#: Seconds after which the server ends a transaction that does nothing.
IDLE = 3.0
#: Seconds between two looks of duties that no test of a cluster waits for, and for requests of a page: a second of the
#: program would be four hundredths here, and half of what an idle leader does.
SELDOM, SOON = 15.0, 0.2
#: Seconds after which the loop looks for new batches while no answer comes: each turn is a dozen statements.
POLL = 0.5


def scaled() -> None:
    """Shorten what a minute of a test cannot wait for, and do seldom what none waits for."""
    short_waits()
    signal.signal(signal.SIGUSR1, _tell)
    leader_locks.LASTS, leader_locks.RENEWED = LEASE, 0.3
    cluster_carrier.SILENCE, cluster_carrier.SWEEP, running.HEARTBEAT = 2.5, 0.3, 0.5
    cluster_carrier.AFTER_OUTAGE, cluster_carrier.MARGIN = 2.0, 0.5
    pace_store.LENIENT, job_calls.SEND_WITHIN, cluster_carrier.SEND_BY = 0.5, 1.0, 1.5
    watches.LONGEST_PROOF = 2.0
    sync.LOOK = auditing.LOOK = delivering.LOOK = regrading.LOOK = soon.LOOK = SELDOM
    answerer.LOOK = SOON
    put(callers, "Throttle", partial(Throttle, window=WINDOW))
    put(callers, "options_of", _turning_seldom)
    quick = {"connect_timeout": "2", "keepalives_idle": "1", "keepalives_interval": "1", "tcp_user_timeout": "3000"}
    postgresql_server.NETWORK.update(quick)
    options = str(postgresql_server.CONNECTION["options"])
    postgresql_server.CONNECTION["options"] = options.replace(
        f"idle_in_transaction_session_timeout={postgresql_server.IDLE:g}s",
        f"idle_in_transaction_session_timeout={IDLE:g}s",
    )


def _turning_seldom(*given: Any) -> Options:
    """Return the options of an account whose loop is woken by answers, and else looks for work after POLL."""
    return replace(options_of(*given), poll=POLL)


def _tell(*_: object) -> None:
    """Write to standard error what each loop of this process knows of its doubts, and where its threads are."""
    for settler in [one for one in gc.get_objects() if isinstance(one, Settler)]:
        told = {attempt_id: replace(watch, shorter=None) for attempt_id, watch in settler.watches.items()}
        print(time.monotonic(), replace(settler, watches=told), file=sys.stderr, flush=True)
    faulthandler.dump_traceback()


def automating() -> None:
    """Let automations look each second, and order results as soon as they come."""
    scaled()
    automation_running.LOOK, automation_running.GATHERING = 1.0, timedelta(0)


def begun_by_everybody() -> None:
    """A job begins its call whether it was begun before or not."""
    scaled()
    guard = "a.taken_by IS NULL AND "
    assert guard in str(handed_calls.BEGIN)
    put(handed_calls, "BEGIN", text(str(handed_calls.BEGIN).replace(guard, "")))


def begun_counts_as_unsent() -> None:
    """A call whose worker is gone is sent again, although it may have been placed."""
    scaled()
    put(cluster_carrier, "written_failure", lambda _error: HELD_BACK)


def far_ahead() -> None:
    """Hand over more calls than are made at once, however long they take: some are always there that nobody began."""
    scaled()
    put(production_submission_system, "QUICK_CALL", 60.0)


def unmarked() -> None:
    """Nobody looks whether the server has lost commits."""
    far_ahead()
    for name in ("BEGIN", "IS_OPEN", "WITHDRAW", "KEEP_AND_TAKE"):
        put(handed_calls, name, text(str(getattr(handed_calls, name)).replace(history_mark.IS_WHOLE, "true")))
    put(history_mark, "STORED", literal_column("false").label("is_other_history"))
    put(callers, "stop_where_commits_are_lost", lambda _database, _is_lossless: False)
    put(cluster_carrier, "restore_calls", lambda _connection, _called: None)


def unlimited() -> None:
    """No worker knows the limit, and none reads the row of the pace."""
    scaled()
    put(callers, "Throttle", lambda workers, _limit=None: Throttle(workers))

    def reserve(connection: Connection, _account: str, _ahead: float = 0.0) -> Slot:
        return Slot(handed_calls.database_clock(connection), 0.0, pace_store.LENIENT)

    put(pace_store, "reserve_unlimited", reserve)


def put(module: ModuleType, name: str, value: Any) -> None:
    """Replace what a module knows by this name; it must know it."""
    assert name in vars(module), f"{module.__name__} knows no {name}"
    setattr(module, name, value)

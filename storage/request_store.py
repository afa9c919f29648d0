"""Requests to the leader, the one process that calls the provider, and the answers that have no table of their own.

Pages and commands leave a request and poll its row; the leader takes it, asks the provider outside any transaction,
and stores the answer. Each transition is a guarded UPDATE. A leader that dies leaves its requests to the next one: they
only read. This module knows no HTTP.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, select, update

from database import IMEIDatabase, Transaction
from orders import IMEIOrder, RequestKind, RequestState
from schema import FINISHED_REQUEST, OPEN_REQUEST, listed_orders, provider_requests, sql, upsert
from settings import MAIN_ACCOUNT

#: Seconds after which a request is deleted.
KEPT = 3600.0
#: Rows that one transaction writes at most, so that the loop that places orders need not wait long.
ROWS_AT_ONCE = 5000

COLUMNS = provider_requests.c
#: The oldest waiting request of some kinds, and that to one account. The leader asks for it many times a second, and to
#: build a statement takes longer than to run it.
WAITING = (
    select(provider_requests)
    .where(OPEN_REQUEST, COLUMNS.kind.in_(bindparam("kinds", expanding=True)), COLUMNS.state == RequestState.WAITING)
    .order_by(COLUMNS.id)
    .limit(1)
)
WAITING_OF_ACCOUNT = WAITING.where(COLUMNS.account == bindparam("account"))
#: One request, which who waits for it reads again and again.
BY_ID = select(provider_requests).where(COLUMNS.id == bindparam("wanted"))
#: The newest finished request of a kind to an account, and of an argument.
NEWEST = (
    select(provider_requests)
    .where(FINISHED_REQUEST, COLUMNS.kind == bindparam("kind"), COLUMNS.account == bindparam("account"))
    .order_by(COLUMNS.id.desc())
    .limit(1)
)
NEWEST_OF_ARGUMENT = NEWEST.where(COLUMNS.argument == bindparam("argument"))
#: The open request that is identical to one that is left, and one that is left unless there is one.
IDENTICAL = select(COLUMNS.id).where(
    OPEN_REQUEST,
    COLUMNS.kind == bindparam("kind"),
    COLUMNS.argument == bindparam("argument"),
    COLUMNS.account == bindparam("account"),
)
LEAVE = upsert(provider_requests).on_conflict_do_nothing()
MOVE = update(provider_requests).where(COLUMNS.id == bindparam("moved"), COLUMNS.state == bindparam("before"))
INSERT_LISTED = sql(
    "INSERT INTO listed_orders (request_id, position, order_id, imei, status, service, requested_at)"
    " SELECT request_id, position, order_id, imei, status, service, requested_at FROM rows(:rows AS request_id INTEGER,"
    " position INTEGER, order_id TEXT, imei TEXT, status TEXT, service TEXT, requested_at TEXT) given"
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request and what became of it."""

    request_id: int
    kind: RequestKind
    argument: str
    state: RequestState
    asked_at: float  #: Unix time
    answered_at: float  #: Unix time; 0 while it is open
    error: str  #: why there is no answer, as a sentence
    failure: str  #: the kind of error, by which it is raised again
    account: str  #: the provider account that is asked


def leave(database: IMEIDatabase, kind: RequestKind, argument: str, now: float, account: str = MAIN_ACCOUNT) -> int:
    """Leave a request to an account, or join an identical one that is open. Returns its id. Safe between processes."""
    same = {"kind": kind, "argument": argument, "account": account}
    with database.read() as connection:
        found = connection.execute(IDENTICAL, same).scalar()
    if found is not None:
        return int(found)
    with database.write() as connection:
        connection.execute(LEAVE, {**same, "state": RequestState.WAITING, "asked_at": now})
        return int(connection.execute(IDENTICAL, same).scalar_one())


def get(database: IMEIDatabase, request_id: int) -> Request | None:
    """Return a request; None where it was deleted."""
    with database.read() as connection:
        return _request(connection.execute(BY_ID, {"wanted": request_id}).first())


def waiting(database: IMEIDatabase, kind: RequestKind, account: str = MAIN_ACCOUNT) -> Request | None:
    """Return the oldest request of a kind to an account that no leader has taken."""
    with database.read_one() as connection:
        return _oldest_waiting(connection, [kind], account)


def newest_finished(
    database: IMEIDatabase, kind: RequestKind, argument: str | None = None, account: str = MAIN_ACCOUNT
) -> Request | None:
    """Return the newest request of a kind to an account, and of an argument, that was answered or failed.

    None before the first.
    """
    query = NEWEST if argument is None else NEWEST_OF_ARGUMENT
    with database.read() as connection:
        return _request(connection.execute(query, {"kind": kind, "account": account, "argument": argument}).first())


def take(database: IMEIDatabase, kinds: Collection[RequestKind], account: str | None = None) -> Request | None:
    """Take the oldest waiting request of these kinds: it is asked from now on. None where none waits.

    account: a request to this one; None: to any.
    """
    while True:
        with database.read_one() as connection:
            found = _oldest_waiting(connection, kinds, account)
        if found is None:
            return None
        with database.write() as connection:
            if _move(connection, found.request_id, RequestState.WAITING, RequestState.ASKING):
                return found


def finish(connection: Transaction, request_id: int, now: float, error: str = "", failure: str = "") -> bool:
    """Mark a request that is asked as answered, or as failed with an error. Returns False where it is asked no more."""
    state = RequestState.FAILED if failure else RequestState.ANSWERED
    return _move(connection, request_id, RequestState.ASKING, state, answered_at=now, error=error, failure=failure)


def reopen(database: IMEIDatabase, kinds: Collection[RequestKind], alive: Sequence[int] = ()) -> None:
    """Let requests of these kinds wait again whose leader died, or that it could not finish; alive are asked now."""
    dead = (COLUMNS.state == RequestState.ASKING) & COLUMNS.kind.in_(kinds) & COLUMNS.id.not_in(alive)
    with database.write() as connection:
        connection.execute(update(provider_requests).where(OPEN_REQUEST, dead).values(state=RequestState.WAITING))


def forget(connection: Transaction, now: float) -> None:
    """Delete finished requests older than KEPT seconds, or from a wrong clock.

    The newest request of each kind to each account is kept.
    """
    newest = select(func.max(COLUMNS.id)).where(FINISHED_REQUEST).group_by(COLUMNS.kind, COLUMNS.account)
    old = ~COLUMNS.asked_at.between(now - KEPT, now + KEPT) & COLUMNS.id.not_in(newest)
    connection.execute(delete(provider_requests).where(FINISHED_REQUEST, old))


def take_back(database: IMEIDatabase, request_id: int, now: float) -> None:
    """End a request that is no longer needed and that no leader asks."""
    with database.write() as connection:
        _move(connection, request_id, RequestState.WAITING, RequestState.ANSWERED, answered_at=now)


def call_ages(
    database: IMEIDatabase,
    kinds: Collection[RequestKind],
    not_sent: str,
    now: float,
    seconds: float,
    account: str,
) -> list[float]:
    """Return how many seconds ago each request of these kinds to an account was finished, in the last `seconds`.

    Requests that failed by not_sent do not count: no call was made for them.
    """
    recent = COLUMNS.answered_at.between(now - seconds, now) & (COLUMNS.failure != not_sent)
    with database.read() as connection:
        mine = COLUMNS.kind.in_(kinds) & (COLUMNS.account == account)
        query = select(COLUMNS.answered_at).where(FINISHED_REQUEST, mine, recent)
        return [now - at for at in connection.execute(query).scalars()]


def store_orders(database: IMEIDatabase, request: Request, found: Sequence[IMEIOrder]) -> None:
    """Store the orders that the answer to a request lists, in short transactions: finish() shows them to readers."""
    own = listed_orders.c.request_id == request.request_id
    with database.write() as connection:  # what a leader that died has stored
        connection.execute(delete(listed_orders).where(own))
    rows = [
        (request.request_id, position, order.id, order.imei, order.status, order.service_id, order.requested_at)
        for position, order in enumerate(found)
    ]
    for start in range(0, len(rows), ROWS_AT_ONCE):
        with database.write() as connection:
            connection.execute(INSERT_LISTED, {"rows": json.dumps(rows[start : start + ROWS_AT_ONCE])})


def drop_older_orders(connection: Transaction, request: Request) -> None:
    """Delete the orders that answers to earlier identical requests list."""
    same = (COLUMNS.kind == request.kind) & (COLUMNS.argument == request.argument)
    same &= COLUMNS.account == request.account
    older = select(COLUMNS.id).where(FINISHED_REQUEST, same, COLUMNS.id < request.request_id)
    connection.execute(delete(listed_orders).where(listed_orders.c.request_id.in_(older)))


def newest_orders(database: IMEIDatabase, kind: RequestKind, argument: str, account: str) -> list[IMEIOrder]:
    """Return the orders that the newest answer to such a request to an account lists, without result texts."""
    mine = COLUMNS.account == account
    answered = (COLUMNS.kind == kind) & (COLUMNS.argument == argument) & (COLUMNS.state == RequestState.ANSWERED)
    newest = select(func.max(COLUMNS.id)).where(FINISHED_REQUEST, answered, mine)
    columns = listed_orders.c
    query = select(columns.order_id, columns.imei, columns.status, columns.service, columns.requested_at)
    query = query.where(columns.request_id == newest.scalar_subquery()).order_by(columns.position)
    with database.read() as connection:
        rows = connection.execute(query).all()
    return [IMEIOrder(row.order_id, row.imei, row.status, "", row.service, row.requested_at) for row in rows]


def _oldest_waiting(connection: Transaction, kinds: Collection[RequestKind], account: str | None) -> Request | None:
    """Return the oldest waiting request of these kinds, to one account or, for None, to any."""
    query = WAITING if account is None else WAITING_OF_ACCOUNT
    return _request(connection.execute(query, {"kinds": list(kinds), "account": account}).first())


def _move(
    connection: Transaction, request_id: int, state: RequestState, target: RequestState, **values: float | str
) -> bool:
    """Change the state of a request that is in one; returns whether it was."""
    given = {"moved": request_id, "before": state, "state": target, **values}
    return connection.execute(MOVE, given).rowcount == 1


def _request(row: Row[Any] | None) -> Request | None:
    if row is None:
        return None
    return Request(
        request_id=row.id,
        kind=RequestKind(row.kind),
        argument=row.argument,
        state=RequestState(row.state),
        asked_at=row.asked_at,
        answered_at=row.answered_at or 0.0,
        error=row.error,
        failure=row.failure,
        account=row.account,
    )

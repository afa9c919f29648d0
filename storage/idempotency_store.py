"""Idempotency keys: the same key and body again get the same answer, and nothing is ordered a second time.

A key is claimed before its request is worked on, and bound to the answer in the transaction that creates the batch.
Only one request can bind a key, so a claim that was taken over can never make two batches.
"""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, and_, delete, insert, select, update

from database import IMEIDatabase, utc_now
from schema import idempotency_keys

#: How long an answer is kept.
KEPT = timedelta(days=7)
#: After this time a claim without an answer is taken over: the process that made it was killed.
LOST_AFTER = timedelta(seconds=60)


class KeyReusedError(Exception):
    """The key was used for another request."""


class KeyInUseError(Exception):
    """The first request with the key is not finished."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """The key of one request."""

    caller: str  #: who sent it, such as "token 3": callers do not share keys
    key: str
    body_hash: str  #: of everything that the request asks for

    @property
    def row(self) -> dict[str, str]:
        """The columns that name it."""
        return {"caller": self.caller, "key": self.key}


def claim(database: IMEIDatabase, key: RequestKey) -> str | None:
    """Claim a key for a new request and return None, or return the answer that it got before.

    Raises KeyReusedError, KeyInUseError.
    """
    now, table = utc_now(), idempotency_keys.c
    with database.write() as connection:
        connection.execute(delete(idempotency_keys).where(table.created_at < now - KEPT))
        row = connection.execute(select(idempotency_keys).filter_by(**key.row)).first()
        if row is None:
            connection.execute(insert(idempotency_keys).values(**key.row, body_hash=key.body_hash, created_at=now))
            return None
        if row.body_hash != key.body_hash:
            raise KeyReusedError
        if row.answer is None and now - row.created_at < LOST_AFTER:
            raise KeyInUseError
        if row.answer is None:
            connection.execute(update(idempotency_keys).filter_by(**key.row).values(created_at=now))
        return row.answer and str(row.answer)


def bind(connection: Connection, key: RequestKey, batch_id: int | None, answer: str) -> None:
    """Store the answer to a claimed key. Raises KeyInUseError where another request with this key has got one."""
    is_open = and_(idempotency_keys.c.body_hash == key.body_hash, idempotency_keys.c.answer.is_(None))
    bound = update(idempotency_keys).filter_by(**key.row).where(is_open).values(batch_id=batch_id, answer=answer)
    if connection.execute(bound).rowcount != 1:
        raise KeyInUseError


def release(database: IMEIDatabase, key: RequestKey) -> None:
    """Give up the claim of a request that was refused: the key can be used again."""
    with database.write() as connection:
        is_open = idempotency_keys.c.answer.is_(None)
        connection.execute(delete(idempotency_keys).filter_by(**key.row).where(is_open))

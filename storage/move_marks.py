"""What a move to another database leaves behind: both know its name, and the one that was left may not be used.

Two databases that both plan the same orders would pay for them twice. Reads and writes only; results/moving.py decides.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, select, update

from database import MOVED_AWAY, Transaction, read_setting, write_setting
from orders import ChunkState
from schema import (
    api_tokens,
    audit_entries,
    batches,
    chunks,
    import_history,
    leases,
    orders,
    rule_versions,
    saved_searches,
    stored_settings,
    users,
    webhooks,
)

#: The setting with the newest move of a database.
MOVE = "move"
#: The setting of the file that says that its newest move was completed, whatever became of the server since.
COMPLETED = "move_completed"
#: Why this database may not be used any more, for a SELECT of something else: it is asked with every intent.
STORED = select(stored_settings.c.value).where(stored_settings.c.key == MOVED_AWAY).scalar_subquery().label(MOVED_AWAY)
#: Tables whose rows somebody would miss. What the program writes by itself when it starts is not among them.
MISSED = (orders, batches, users, api_tokens, webhooks, audit_entries, import_history, saved_searches)
#: The version of the grading rules that every database begins with.
FIRST_RULES = 1


@dataclass(frozen=True, slots=True)
class Move:
    """A move of all data, as both databases note it."""

    name: str  #: random, for this move only
    place: str  #: of the new database
    moved_at: str  #: UTC, ISO 8601


def read_move(connection: Connection) -> Move | None:
    """Return the newest move from or to this database; None where there was none."""
    stored = read_setting(connection, MOVE)
    return Move(**json.loads(stored)) if stored else None


def write_move(connection: Transaction, move: Move) -> None:
    """Note a move."""
    write_setting(connection, MOVE, json.dumps(asdict(move)))


def note_completed(connection: Transaction) -> None:
    """Note in a file that the server has all of it: from then on the server may order."""
    write_setting(connection, COMPLETED, "1")


def was_completed(connection: Connection) -> bool:
    """Return whether it is known that the newest move of this file was completed."""
    return bool(read_setting(connection, COMPLETED))


def leave(connection: Transaction, why: str) -> None:
    """Let nobody work with this database any more. why: what a person reads who tries."""
    write_setting(connection, MOVED_AWAY, why)


def forget_move(connection: Transaction) -> None:
    """Let this database be used as if it had never been moved."""
    connection.execute(delete(stored_settings).where(stored_settings.c.key.in_([MOVE, MOVED_AWAY, COMPLETED])))


def go_on_at(connection: Transaction, place: str) -> None:
    """Let whoever leads take this database for the one that the last leader worked with, and not for a copy of it."""
    connection.execute(update(leases).values(place=place))


def sending(connection: Connection) -> int:
    """Return the number of chunks whose calls have no recorded end."""
    return int(connection.execute(select(func.count()).where(chunks.c.state == ChunkState.SENDING)).scalar_one())


def missed(connection: Connection) -> Mapping[str, int]:
    """Return table → number of rows that somebody would miss if this database were emptied."""
    found = {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in MISSED}
    newer = select(func.count()).where(rule_versions.c.id > FIRST_RULES)
    found[rule_versions.name] = connection.execute(newer).scalar_one()
    return {name: count for name, count in found.items() if count}

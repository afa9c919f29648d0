"""What users and tokens may order in one UTC day, and what of it is used. Reads only; others decide.

A batch counts for the user, and for the token, that created it, whoever resumes it: its orders of this day, what is
not sent yet, and what is in doubt. The budget counts all batches in the same way.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection, select

from amounts import exceeds, money
from schema import api_tokens, batches, users
from storage.batch_queries import spent_or_promised


@dataclass(frozen=True, slots=True)
class DailyLimit:
    """The limit of one user or token. Amounts are in US dollars."""

    whose: str  #: as the batches name who ordered: "anna", "token stock-sync"
    dollars: float
    used: float  #: of this UTC day, promises included

    @property
    def left(self) -> float:
        """US dollars that may still be ordered."""
        return max(0.0, self.dollars - self.used)

    def sentence(self, reader: str) -> str:
        """Return the limit and its use in words, for the user or token of this name."""
        subject = "Your daily limit" if reader == self.whose else f"The daily limit of {self.whose}"
        return f"{subject} is {money(self.dollars)}; {money(self.used)} of it is used."


def daily_limits(connection: Connection, user_id: int | None, token_id: int | None) -> tuple[DailyLimit, ...]:
    """Return the limits under which a user and a token order; none where neither has one."""
    return tuple(_limits(connection, user_id, token_id))


def _limits(connection: Connection, user_id: int | None, token_id: int | None) -> Iterator[DailyLimit]:
    owners = ((users, user_id, batches.c.user_id, ""), (api_tokens, token_id, batches.c.token_id, "token "))
    for table, owner, column, prefix in owners:
        if owner is None:
            continue
        limited = select(table.c.name, table.c.daily_limit).where(table.c.id == owner, table.c.daily_limit.is_not(None))
        row = connection.execute(limited).first()
        if row is not None:
            yield DailyLimit(prefix + row.name, row.daily_limit, spent_or_promised(connection, column == owner))


def limit_objections(limits: Iterable[DailyLimit], cost: float, reader: str) -> list[str]:
    """Return why these limits do not allow a batch of this cost in US dollars; reader: who orders it."""
    return [
        f"This costs {money(cost)}. {limit.sentence(reader)}"
        for limit in limits
        if cost > 0 and exceeds(limit.used + cost, limit.dollars)
    ]

"""What users and tokens may order in one UTC day, what of it is used, and who may not order. Reads only.

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


def refusal(connection: Connection, user_id: int | None, token_id: int | None) -> str:
    """Return why a user or a token may not order any more; "" where both may."""
    disabled = select(users.c.name).where(users.c.id == user_id, users.c.disabled_at.is_not(None))
    if user_id is not None and (name := connection.execute(disabled).scalar()) is not None:
        return f"The user {name} is disabled."
    revoked = select(api_tokens.c.name).where(api_tokens.c.id == token_id, api_tokens.c.revoked_at.is_not(None))
    if token_id is not None and (name := connection.execute(revoked).scalar()) is not None:
        return f"The token {name} is revoked."
    return ""


def limit_objections(limits: Iterable[DailyLimit], cost: float, reader: str) -> list[str]:
    """Return why these limits do not allow a batch of this cost in US dollars; reader: who orders it."""
    return [
        f"This costs {money(cost)}. {limit.sentence(reader)}"
        for limit in limits
        if cost > 0 and exceeds(limit.used + cost, limit.dollars)
    ]

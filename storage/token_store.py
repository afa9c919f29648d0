"""Tokens of programs, with the person who made each. The token itself is never stored, only its SHA-256."""

from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import Row, bindparam, insert, or_, select, update

from database import IMEIDatabase, utc_now
from people import Role, Scope
from schema import api_tokens, users

COLUMNS = api_tokens.c


class TokenState(StrEnum):
    """Whether a token is accepted; if not, why."""

    ACTIVE = "Active"
    REVOKED = "Revoked"
    EXPIRED = "Expired"
    DISABLED = "Disabled with its maker"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token to be made."""

    name: str
    role: Role
    scopes: frozenset[Scope]
    user_id: int | None = None  #: who makes it; None for the command line
    daily_limit: float | None = None  #: US dollars that it may order in one UTC day; None: no limit
    expires_at: datetime | None = None  #: UTC; None: never


@dataclass(frozen=True, slots=True)
class Maker:
    """The person who made a token, as they are now."""

    user_id: int
    name: str
    role: Role
    daily_limit: float | None  #: US dollars
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token without its secret. Times are UTC."""

    token_id: int
    name: str
    hint: str  #: its last characters
    role: Role
    scopes: frozenset[Scope]
    daily_limit: float | None  #: US dollars; None: no limit
    created_at: datetime
    expires_at: datetime | None  #: None: never
    used_at: datetime | None  #: exact to a minute
    used_from: str  #: the address of its last use
    revoked_at: datetime | None
    maker: Maker | None  #: None for the command line

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """Make one of a row of TOKENS."""
        maker = None
        if row.user_id is not None:
            disabled = row.user_disabled_at is not None
            maker = Maker(row.user_id, row.user_name, Role(row.user_role), row.user_limit, disabled)
        return cls(
            token_id=row.id,
            name=row.name,
            hint=row.hint,
            role=Role(row.role),
            scopes=frozenset(map(Scope, row.scopes.split())),
            daily_limit=row.daily_limit,
            created_at=row.created_at,
            expires_at=row.expires_at,
            used_at=row.used_at,
            used_from=row.used_from,
            revoked_at=row.revoked_at,
            maker=maker,
        )

    def state(self, now: datetime) -> TokenState:
        """Return the state of the token at this UTC time."""
        if self.revoked_at is not None:
            return TokenState.REVOKED
        if self.expires_at is not None and now >= self.expires_at:
            return TokenState.EXPIRED
        return TokenState.DISABLED if self.maker and self.maker.is_disabled else TokenState.ACTIVE


#: Tokens with their makers. One lookup a request, so the statements are built once.
TOKENS = select(
    api_tokens,
    users.c.name.label("user_name"),
    users.c.role.label("user_role"),
    users.c.daily_limit.label("user_limit"),
    users.c.disabled_at.label("user_disabled_at"),
).join(users, users.c.id == COLUMNS.user_id, isouter=True)
BY_HASH = TOKENS.where(COLUMNS.token_hash == bindparam("digest"))


def find(database: IMEIDatabase, token_hash: str) -> StoredToken | None:
    """Return the token with this SHA-256 (in hexadecimal), also a revoked or expired one."""
    with database.read() as connection:
        row = connection.execute(BY_HASH, {"digest": token_hash}).first()
    return StoredToken.from_row(row) if row else None


def listed(database: IMEIDatabase) -> list[StoredToken]:
    """Return every token, the newest first; revoked ones last."""
    with database.read() as connection:
        rows = connection.execute(TOKENS.order_by(COLUMNS.revoked_at.is_not(None), COLUMNS.id.desc())).all()
    return [StoredToken.from_row(row) for row in rows]


def add(database: IMEIDatabase, new: NewToken, token_hash: str, hint: str) -> int | None:
    """Store a token and return its id; None where a token that is not revoked has this name."""
    values = asdict(new) | {"scopes": " ".join(scope for scope in Scope if scope in new.scopes)}
    token = insert(api_tokens).values(**values, token_hash=token_hash, hint=hint, created_at=utc_now())
    taken = select(COLUMNS.id).where(COLUMNS.name == new.name, COLUMNS.revoked_at.is_(None))
    with database.write() as connection:
        if connection.execute(taken).first() is not None:
            return None
        return int(connection.execute(token.returning(COLUMNS.id)).scalar_one())


def revoke(database: IMEIDatabase, token_id: int) -> bool:
    """Revoke a token; return whether it was not revoked before."""
    change = update(api_tokens).where(COLUMNS.id == token_id, COLUMNS.revoked_at.is_(None))
    with database.write() as connection:
        return connection.execute(change.values(revoked_at=utc_now())).rowcount == 1


def note_use(database: IMEIDatabase, token_id: int, address: str, now: datetime, before: datetime) -> None:
    """Record a use at a UTC time, unless one was recorded after `before` by another process."""
    is_due = or_(COLUMNS.used_at.is_(None), COLUMNS.used_at <= before, COLUMNS.used_at > now)
    change = update(api_tokens).where(COLUMNS.id == token_id, is_due)
    with database.write() as connection:
        connection.execute(change.values(used_at=now, used_from=address))

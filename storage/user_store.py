"""Users, with hashes of passwords and recovery codes. This module decides nothing and knows no request."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from people import Actor, Role
from schema import recovery_codes, upsert, users

#: The columns of a user that pages show.
COLUMNS = (
    users.c.id,
    users.c.name,
    users.c.role,
    users.c.daily_limit,
    users.c.totp_secret.is_not(None).label("has_second_factor"),
    users.c.created_at,
    users.c.password_at,
    users.c.disabled_at,
)
ANY_USER = select(users.c.id).limit(1)


@dataclass(frozen=True, slots=True)
class User:
    """A person who may log in. Times are UTC."""

    user_id: int
    name: str  #: in lower case
    role: Role
    daily_limit: float | None  #: US dollars that may be ordered in one UTC day; None: no limit
    has_second_factor: bool
    created_at: datetime
    password_at: datetime  #: when the password was set
    disabled_at: datetime | None

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> "User":
        """Make one of a row of COLUMNS."""
        user_id, name, role, daily_limit, has_second_factor, created_at, password_at, disabled_at = row
        return cls(
            user_id, name, Role(role), daily_limit, bool(has_second_factor), created_at, password_at, disabled_at
        )

    @property
    def actor(self) -> Actor:
        """Who acts when this user does."""
        return Actor(self.name, self.role, user_id=self.user_id, user_limit=self.daily_limit)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a user proves an identity with."""

    user: User
    password_hash: str = field(repr=False)
    totp_secret: str | None = field(repr=False)
    totp_step: int | None  #: the time step of the last accepted code


def has_users(connection: Connection) -> bool:
    """Return whether there is any user."""
    return connection.execute(ANY_USER).first() is not None


def all_users(connection: Connection) -> list[User]:
    """Return every user, by name."""
    return [User.from_row(row) for row in connection.execute(select(*COLUMNS).order_by(users.c.name))]


def find_user(connection: Connection, user_id: int) -> User | None:
    """Return the user with this id."""
    row = connection.execute(select(*COLUMNS).where(users.c.id == user_id)).first()
    return User.from_row(row) if row else None


def find_named(connection: Connection, name: str) -> User | None:
    """Return the user of this name, which is in lower case."""
    row = connection.execute(select(*COLUMNS).where(users.c.name == name)).first()
    return User.from_row(row) if row else None


def secrets_of(connection: Connection, name: str) -> Secrets | None:
    """Return a user with the hash of the password and the second factor."""
    query = select(*COLUMNS, users.c.password_hash, users.c.totp_secret, users.c.totp_step)
    row = connection.execute(query.where(users.c.name == name)).first()
    return Secrets(User.from_row(row[:-3]), *row[-3:]) if row else None


def add_user(
    connection: Connection, name: str, role: Role, password_hash: str, daily_limit: float | None, now: datetime
) -> int | None:
    """Store a user and return the id; None where the name is taken."""
    values = {"name": name, "role": role, "password_hash": password_hash, "daily_limit": daily_limit}
    statement = upsert(users).values(**values, created_at=now, password_at=now).on_conflict_do_nothing()
    return connection.execute(statement.returning(users.c.id)).scalar()


def has_admin(connection: Connection, other_than: int = 0) -> bool:
    """Return whether an admin who is not disabled exists, other than the user with the id other_than."""
    enabled = (users.c.role == Role.ADMIN, users.c.disabled_at.is_(None), users.c.id != other_than)
    return connection.execute(select(users.c.id).where(*enabled).limit(1)).first() is not None


def set_role(connection: Connection, user_id: int, role: Role) -> bool:
    """Store a role; return whether the user had another one."""
    return _change(connection, users.c.id == user_id, users.c.role != role, role=role)


def set_daily_limit(connection: Connection, user_id: int, daily_limit: float | None) -> bool:
    """Store a daily limit in US dollars; return whether the user had another one."""
    return _change(
        connection, users.c.id == user_id, users.c.daily_limit.is_distinct_from(daily_limit), daily_limit=daily_limit
    )


def set_password(connection: Connection, user_id: int, password_hash: str, now: datetime) -> bool:
    """Store the hash of a new password; return whether the user exists."""
    return _change(connection, users.c.id == user_id, password_hash=password_hash, password_at=now)


def rehash(connection: Connection, user_id: int, old_hash: str, new_hash: str) -> bool:
    """Store another hash of the same password, unless it was changed meanwhile."""
    same = users.c.password_hash == old_hash
    return _change(connection, users.c.id == user_id, same, password_hash=new_hash)


def set_second_factor(connection: Connection, user_id: int, secret: str | None, step: int | None) -> bool:
    """Store the secret of an authenticator app and the time step of its first code; None forgets both."""
    return _change(connection, users.c.id == user_id, totp_secret=secret, totp_step=step)


def use_step(connection: Connection, user_id: int, step: int) -> bool:
    """Record the time step of an accepted code; return False where this or a later one was accepted before."""
    is_later = or_(users.c.totp_step.is_(None), users.c.totp_step < step)
    return _change(connection, users.c.id == user_id, is_later, totp_step=step)


def replace_recovery_codes(connection: Connection, user_id: int, hashes: Iterable[str]) -> None:
    """Store the hashes of new recovery codes in place of the old ones."""
    connection.execute(delete(recovery_codes).where(recovery_codes.c.user_id == user_id))
    for code_hash in hashes:
        connection.execute(insert(recovery_codes).values(user_id=user_id, code_hash=code_hash))


def use_recovery_code(connection: Connection, user_id: int, code_hash: str, now: datetime) -> bool:
    """Record that a recovery code is used; return False where it is unknown or was used before."""
    unused = (recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    used = update(recovery_codes).where(*unused, recovery_codes.c.code_hash == code_hash).values(used_at=now)
    return connection.execute(used).rowcount == 1


def count_recovery_codes(connection: Connection, user_id: int) -> int:
    """Return how many recovery codes of a user are not used."""
    unused = (recovery_codes.c.user_id == user_id, recovery_codes.c.used_at.is_(None))
    return int(connection.execute(select(func.count()).where(*unused)).scalar_one())


def disable(connection: Connection, user_id: int, now: datetime) -> bool:
    """Refuse this user from now on; return whether that is a change."""
    return _change(connection, users.c.id == user_id, users.c.disabled_at.is_(None), disabled_at=now)


def enable(connection: Connection, user_id: int) -> bool:
    """Accept a disabled user again; return whether that is a change."""
    return _change(connection, users.c.id == user_id, users.c.disabled_at.is_not(None), disabled_at=None)


def _change(connection: Connection, *where: ColumnElement[bool], **values: Any) -> bool:
    return connection.execute(update(users).where(*where).values(**values)).rowcount == 1

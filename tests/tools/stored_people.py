"""Users and tokens in a database, and who orders with them."""

import pytest
from sqlalchemy import insert

from access import create_token
from database import IMEIDatabase, utc_now
from people import Actor, Role, Scope, scopes_of
from schema import users
from storage.token_store import NewToken
from web import auth


def add_user(database: IMEIDatabase, name: str, role: Role = Role.OPERATOR, daily_limit: float | None = None) -> Actor:
    """Store a user who cannot log in; return the actor of their requests."""
    now = utc_now()
    values = {"name": name, "role": role, "password_hash": "", "daily_limit": daily_limit}
    statement = insert(users).values(**values, created_at=now, password_at=now).returning(users.c.id)
    with database.write() as connection:
        return Actor(name, role, int(connection.execute(statement).scalar_one()), user_limit=daily_limit)


def add_token(
    database: IMEIDatabase,
    name: str = "stock-sync",
    role: Role = Role.OPERATOR,
    scopes: frozenset[Scope] = frozenset(),
    maker: Actor | None = None,
    daily_limit: float | None = None,
) -> str:
    """Store a token with these scopes, or all of its role; return it."""
    user_id = maker.user_id if maker else None
    return create_token(database, NewToken(name, role, scopes or scopes_of(role), user_id, daily_limit))


def act_as(monkeypatch: pytest.MonkeyPatch, actor: Actor) -> None:
    """Let the requests of the open demo be this actor's."""
    monkeypatch.setattr(auth, "DEMO_USER", actor)

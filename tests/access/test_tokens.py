"""Tokens: who they act for, when they end, and what the database keeps of them."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update
from stored_people import add_user

from access import AccessRefusedError, actor_of, create_token, read_days, read_scopes
from database import IMEIDatabase, utc_now
from people import Actor, Role, Scope
from schema import api_tokens, users
from storage import token_store
from storage.token_store import NewToken

SYNC = NewToken("stock-sync", Role.OPERATOR, frozenset({Scope.READ, Scope.ORDER}), daily_limit=50.0)


def change_user(database: IMEIDatabase, user_id: int | None, **values: object) -> None:
    with database.write() as connection:
        connection.execute(update(users).where(users.c.id == user_id).values(**values))


def test_a_token_has_256_random_bits_and_only_its_hash_is_stored(database: IMEIDatabase) -> None:
    token = create_token(database, SYNC)
    assert token.startswith("hmr_")
    assert len(token) == 4 + 43  # base64url, 6 bits a character
    with database.read() as connection:
        row = connection.execute(select(api_tokens)).one()
    assert row.hint == token[-4:]
    assert token[:-4] not in str(row)
    assert token not in database.path.read_bytes().decode("latin-1")
    assert actor_of(database, token) == Actor(
        "token stock-sync", Role.OPERATOR, None, row.id, None, 50.0, frozenset({Scope.READ, Scope.ORDER})
    )


@pytest.mark.parametrize("token", ["", "hmr_", "hmr_" + "A" * 43, "Bearer", "hmr_\x00", "ø"])
def test_an_unknown_token_acts_for_nobody(database: IMEIDatabase, token: str) -> None:
    create_token(database, SYNC)
    assert actor_of(database, token) is None


def test_a_revoked_or_expired_token_acts_for_nobody(database: IMEIDatabase) -> None:
    end = utc_now() + timedelta(days=90)
    token = create_token(database, replace(SYNC, expires_at=end))
    assert actor_of(database, token, now=end - timedelta(seconds=1)) is not None
    assert actor_of(database, token, now=end) is None
    found = token_store.listed(database)[0]
    assert token_store.revoke(database, found.token_id)
    assert not token_store.revoke(database, found.token_id)
    assert actor_of(database, token) is None
    assert create_token(database, SYNC) != token  # the name is free again


def test_a_token_is_worth_no_more_than_its_maker(database: IMEIDatabase) -> None:
    anna = add_user(database, "anna", daily_limit=80.0).user_id
    token = create_token(database, replace(SYNC, user_id=anna))
    actor = actor_of(database, token)
    assert actor is not None
    assert (actor.role, actor.user_id, actor.user_limit, actor.token_limit) == (Role.OPERATOR, anna, 80.0, 50.0)
    for role, expected in (("viewer", Role.VIEWER), ("admin", Role.OPERATOR)):
        change_user(database, anna, role=role)
        actor = actor_of(database, token)
        assert actor is not None
        assert actor.role is expected
    change_user(database, anna, disabled_at=utc_now())
    assert actor_of(database, token) is None


def test_the_last_use_is_written_once_a_minute(database: IMEIDatabase) -> None:
    token = create_token(database, SYNC)
    start = utc_now()
    seen = []
    for seconds, address in ((0, "10.0.0.1"), (59, "10.0.0.2"), (60, "10.0.0.3"), (61, None)):
        assert actor_of(database, token, address, start + timedelta(seconds=seconds))
        stored = token_store.listed(database)[0]
        seen.append((stored.used_at, stored.used_from))
    first, later = (start, "10.0.0.1"), (start + timedelta(seconds=60), "10.0.0.3")
    assert seen == [first, first, later, later]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "1 to 60 characters"),
        ({"name": "two\nlines"}, "1 to 60 characters"),
        ({"scopes": frozenset()}, "at least one scope"),
        ({"role": Role.VIEWER}, "The role viewer does not include the scope order."),
        ({"name": "taken"}, "There is a token taken already."),
    ],
)
def test_a_token_that_cannot_be_made_is_refused_in_a_sentence(
    database: IMEIDatabase, wrong: dict[str, object], words: str
) -> None:
    create_token(database, replace(SYNC, name="taken"))
    with pytest.raises(AccessRefusedError, match=words):
        create_token(database, replace(SYNC, **wrong))  # type: ignore[arg-type]


def test_scopes_are_words_and_none_mean_all_of_the_role() -> None:
    assert read_scopes(["read", "order"], Role.OPERATOR) == {Scope.READ, Scope.ORDER}
    assert read_scopes([], Role.OPERATOR) == {Scope.READ, Scope.EXPORT, Scope.ORDER}
    with pytest.raises(AccessRefusedError, match="A scope is one of read, export, order, manage"):
        read_scopes(["everything"], Role.ADMIN)


def test_days_are_a_number_or_no_end() -> None:
    found = read_days("90")
    assert found is not None
    assert timedelta(days=89) < found - utc_now() <= timedelta(days=90)
    assert read_days(" ") is None
    for wrong in ("0", "-1", "1.5", "soon", "3651", "9" * 5000):
        with pytest.raises(AccessRefusedError, match="1 to 3650 days"):
            read_days(wrong)

"""The commands `flask tokens …`."""

import pytest
from click.testing import Result
from flask import Flask
from stored_people import add_token

from access import actor_of
from database import IMEIDatabase
from people import Actor, Role, Scope


def run(app: Flask, *args: str) -> Result:
    return app.test_cli_runner().invoke(args=["tokens", *args])


def test_create_prints_only_the_token_on_standard_output(app: Flask, database: IMEIDatabase) -> None:
    options = ("--role", "operator", "--scope", "read", "--scope", "order", "--daily-limit", "50", "--days", "90")
    made = run(app, "create", "stock-sync", *options)
    assert made.exit_code == 0
    assert made.stderr == ""
    token = made.stdout.removesuffix("\n")
    scopes = frozenset({Scope.READ, Scope.ORDER})
    assert actor_of(database, token) == Actor("token stock-sync", Role.OPERATOR, None, 1, None, 50.0, scopes)
    assert actor_of(database, run(app, "create", "all", "--role", "viewer").stdout.strip()) is not None


def test_tokens_are_listed_without_their_secret_and_revoked(app: Flask, database: IMEIDatabase) -> None:
    token = add_token(database, daily_limit=50.0)
    line = f"stock-sync\t…{token[-4:]}\toperator\tread,export,order\t$50.00\tcommand line\tnever used\tactive\n"
    assert run(app, "list").stdout == line
    assert run(app, "revoke", "stock-sync").stdout == "stock-sync is revoked.\n"
    assert actor_of(database, token) is None
    assert run(app, "list").stdout.endswith("\trevoked\n")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("create", "stock-sync", "--role", "viewer"), "There is a token stock-sync already."),
        (("create", "a", "--role", "viewer", "--scope", "order"), "The role viewer does not include the scope order."),
        (("create", "a", "--role", "viewer", "--scope", "all"), "A scope is one of read, export, order, manage."),
        (("create", "a", "--role", "viewer", "--daily-limit", "much"), "is not a number of US dollars"),
        (("create", "a", "--role", "viewer", "--days", "0"), "1 to 3650 days"),
        (("revoke", "nobody"), "There is no token nobody."),
    ],
)
def test_a_refusal_is_a_sentence_and_nothing_on_standard_output(
    app: Flask, database: IMEIDatabase, args: tuple[str, ...], sentence: str
) -> None:
    add_token(database)
    refused = run(app, *args)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert sentence in refused.stderr

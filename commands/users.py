"""The commands `flask users …`: add, list and change users. A password comes from a prompt or standard input."""

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from flask.cli import AppGroup

from access import (
    AccessRefusedError,
    NewUser,
    Passwords,
    add_user,
    all_users,
    disable,
    enable,
    find_named,
    make_passwords,
    read_limit,
    reset_second_factor,
    set_daily_limit,
    set_password,
    set_role,
)
from amounts import money
from backend import backend
from commands.audit_log import record
from people import Role

ROLE = click.Choice([role.value for role in Role])

users = AppGroup("users", help="Add, list and change the users of the pages.")


def refusing(command: Callable[..., None]) -> Callable[..., None]:
    """End a command with the sentence of an AccessRefusedError, and exit code 1."""

    @wraps(command)
    def run(*args: Any, **options: Any) -> None:
        try:
            command(*args, **options)
        except AccessRefusedError as error:
            raise click.ClickException(f"Nothing was changed. {error}") from error

    return run


@users.command("add")
@click.argument("name")
@click.option("--role", type=ROLE, required=True)
@click.option("--daily-limit", default="", metavar="USD", help="Most that this user may order in one UTC day.")
@refusing
def add(name: str, role: str, daily_limit: str) -> None:
    """Add user NAME. The password is asked for, or read from the first line of standard input."""
    limit = read_limit(daily_limit)
    user = add_user(backend().database, _passwords(), NewUser(name, Role(role), _new_password(), limit))
    record(backend().database, "user.add", f"user {user.name}", role=user.role, daily_limit=limit)
    click.echo(f"Added {user.name} as {user.role}.")


@users.command("list")
def list_users() -> None:
    """List users: name, role, daily limit, second factor and state, separated by tabs."""
    for user in all_users(backend().database):
        limit = money(user.daily_limit) if user.daily_limit is not None else "no limit"
        factor = "second factor" if user.has_second_factor else "no second factor"
        click.echo("\t".join((user.name, user.role, limit, factor, "disabled" if user.disabled_at else "active")))


@users.command("set-role")
@click.argument("name")
@click.argument("role", type=ROLE)
@refusing
def change_role(name: str, role: str) -> None:
    """Give user NAME another ROLE. The sessions of the user end."""
    user = find_named(backend().database, name)
    set_role(backend().database, user.user_id, Role(role))
    record(backend().database, "user.change", f"user {user.name}", role=f"{user.role} → {role}")
    click.echo(f"{name} is {role}.")


@users.command("set-limit")
@click.argument("name")
@click.argument("limit", metavar="USD")
@refusing
def change_limit(name: str, limit: str) -> None:
    """Set what user NAME may order in one UTC day; "" removes the limit."""
    user, wanted = find_named(backend().database, name), read_limit(limit)
    set_daily_limit(backend().database, user.user_id, wanted)
    record(backend().database, "user.change", f"user {user.name}", daily_limit=wanted)
    click.echo(f"{user.name} may order {'without a limit' if wanted is None else f'for {money(wanted)} a day'}.")


@users.command("set-password")
@click.argument("name")
@refusing
def change_password(name: str) -> None:
    """Set a new password for user NAME. The sessions of the user end."""
    user = find_named(backend().database, name)
    set_password(backend().database, _passwords(), user.user_id, _new_password())
    record(backend().database, "user.password", f"user {user.name}")
    click.echo(f"{user.name} has a new password.")


@users.command("disable")
@click.argument("name")
@refusing
def disable_user(name: str) -> None:
    """Disable user NAME, who cannot log in any more. The sessions of the user end."""
    user = find_named(backend().database, name)
    disable(backend().database, user.user_id)
    record(backend().database, "user.disable", f"user {user.name}")
    click.echo(f"{name} is disabled.")


@users.command("enable")
@click.argument("name")
@refusing
def enable_user(name: str) -> None:
    """Enable user NAME, who was disabled."""
    user = find_named(backend().database, name)
    enable(backend().database, user.user_id)
    record(backend().database, "user.enable", f"user {user.name}")
    click.echo(f"{name} is enabled.")


@users.command("reset-2fa")
@click.argument("name")
@refusing
def reset_factor(name: str) -> None:
    """Remove the second factor of user NAME, who sets up another one. The sessions of the user end."""
    user = find_named(backend().database, name)
    reset_second_factor(backend().database, user.user_id)
    record(backend().database, "user.reset_factor", f"user {user.name}")
    click.echo(f"{user.name} has no second factor.")


def _passwords() -> Passwords:
    return make_passwords(backend().settings.password_memory)


def _new_password() -> str:
    """Return a password from a prompt, or from the first line of standard input where that is no terminal."""
    if sys.stdin.isatty():
        return str(click.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")

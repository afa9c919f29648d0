"""The commands `flask tokens …`: create, list and revoke tokens of programs."""

import click
from flask.cli import AppGroup

from access import AccessRefusedError, create_token, read_days, read_limit, read_scopes, revoke_token
from amounts import money
from backend import backend
from commands.audit_log import record
from commands.users import ROLE, refusing
from database import utc_now
from people import Role, Scope
from storage import token_store
from storage.token_store import NewToken

tokens = AppGroup("tokens", help="Create, list and revoke the tokens of programs.")


@tokens.command("create")
@click.argument("name")
@click.option("--role", type=ROLE, required=True)
@click.option("--scope", "scopes", multiple=True, metavar="|".join(Scope), help="Only this; may be repeated.")
@click.option("--daily-limit", default="", metavar="USD", help="Most that the token may order in one UTC day.")
@click.option("--days", default="", metavar="DAYS", help="Days until the token expires; without it, never.")
@refusing
def create(name: str, role: str, scopes: tuple[str, ...], daily_limit: str, days: str) -> None:
    """Create a token for the program NAME. Standard output is the token and nothing else; it is shown only once."""
    new = NewToken(
        name=name,
        role=Role(role),
        scopes=read_scopes(scopes, Role(role)),
        daily_limit=read_limit(daily_limit),
        expires_at=read_days(days),
    )
    token = create_token(backend().database, new)
    detail = {"role": role, "scopes": sorted(new.scopes), "daily_limit": new.daily_limit, "days": days}
    record(backend().database, "token.create", f"token {name}", **detail)
    click.echo(token)


@tokens.command("list")
def list_tokens() -> None:
    """List tokens: name, end of the token, role, scopes, daily limit, maker, last use and state, separated by tabs."""
    for token in token_store.listed(backend().database):
        used = f"used {token.used_at:%Y-%m-%d %H:%M} UTC from {token.used_from}" if token.used_at else "never used"
        limit = money(token.daily_limit) if token.daily_limit is not None else "no limit"
        maker = token.maker.name if token.maker else "command line"
        scopes = ",".join(scope for scope in Scope if scope in token.scopes)
        state = token.state(utc_now()).lower()
        click.echo("\t".join((token.name, f"…{token.hint}", token.role, scopes, limit, maker, used, state)))


@tokens.command("revoke")
@click.argument("name")
@refusing
def revoke(name: str) -> None:
    """Revoke the token NAME. Its requests are refused from now on."""
    found = [token for token in token_store.listed(backend().database) if token.name == name and not token.revoked_at]
    if not found:
        raise AccessRefusedError(f"There is no token {name}.")
    revoke_token(backend().database, found[0])
    record(backend().database, "token.revoke", f"token {name}")
    click.echo(f"{name} is revoked.")

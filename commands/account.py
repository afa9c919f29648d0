"""The command `flask adopt-account`: use this database with another account."""

import click
from flask.cli import with_appcontext

from backend import Backend, backend
from commands.audit_log import record
from storage import account_mark
from submission import OtherAccountError, account_objection, adopt_database, may_adopt


@click.command("adopt-account")
@click.option("--yes", is_flag=True, help="Do not ask before adopting.")
@with_appcontext
def adopt_account(yes: bool) -> None:
    """Let the account of the settings work with a database that holds the orders of another one.

    Places nothing. Every unfinished batch is paused; a person resumes it. Exit code 1: nothing was adopted.
    """
    adopt_now(backend(), yes)


def adopt_now(backend: Backend, yes: bool) -> None:
    """Explain the consequences, ask, and adopt. Raises ClickException."""
    objection = account_objection(backend.database, backend.settings)
    if not objection:
        click.echo("This database belongs to the account of the settings already.")
        return
    click.echo(objection, err=True)
    click.echo("\n".join(account_mark.adoption(backend.database).sentences), err=True)
    if not may_adopt(backend.database, backend.settings):
        raise click.ClickException("Nothing was adopted: simulated and real orders are not mixed.")
    if not yes and not click.confirm("Adopt this database?", err=True):
        raise click.ClickException("Nothing was adopted.")
    try:
        adopt_database(backend.database, backend.settings)
    except OtherAccountError as error:
        raise click.ClickException(str(error)) from error
    record(backend.database, "account.adopt")
    click.echo("Adopted. Unfinished batches are paused; resume those that this account should order.")

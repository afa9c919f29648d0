"""The command `flask adopt-account`: use this database with another account."""

import click
from flask.cli import with_appcontext

from backend import backend
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
    found = backend()
    objection = account_objection(found.database, found.settings)
    if not objection:
        click.echo("This database belongs to the account of the settings already.")
        return
    click.echo(objection, err=True)
    click.echo("\n".join(account_mark.adoption(found.database).sentences), err=True)
    if not may_adopt(found.database, found.settings):
        raise click.ClickException("Nothing was adopted: simulated and real orders are not mixed.")
    if not yes and not click.confirm("Adopt this database?", err=True):
        raise click.ClickException("Nothing was adopted.")
    try:
        adopt_database(found.database, found.settings)
    except OtherAccountError as error:
        raise click.ClickException(str(error)) from error
    record(found.database, "account.adopt")
    click.echo("Adopted. Unfinished batches are paused; resume those that this account should order.")

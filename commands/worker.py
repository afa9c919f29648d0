"""`flask worker`: make calls, and lead if no other worker does."""

import click
from flask.cli import with_appcontext

from backend import backend
from logs import log_server
from simulator import DemoError
from submission import OtherAccountError
from workers import run_worker

NEEDS_A_SERVER = "A worker needs a database on a server: set DATABASE_URL. With SQLite, the web processes do its work."


@click.command("worker")
@with_appcontext
def worker() -> None:
    """Place orders as one of several workers, on a database server."""
    found = backend()
    log_server(found.settings)
    if found.database.is_file:
        raise click.ClickException(NEEDS_A_SERVER)
    try:
        run_worker(found.settings, found.database)
    except (DemoError, OtherAccountError) as error:
        raise click.ClickException(str(error)) from error

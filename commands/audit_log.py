"""The commands `flask audit-log …`, and the entries that other commands leave in the audit log."""

import os
import pwd
from datetime import datetime

import click
from flask.cli import AppGroup

from amounts import plural
from backend import backend
from database import DatabaseUnavailableError, IMEIDatabase
from people import COMMAND_LINE
from storage import audit_chain
from storage.audit_chain import Link
from storage.audit_log import AuditFilter, NewEntry, append, page

#: Exit codes of `verify`.
IN_ORDER, BROKEN = 0, 1
LOCAL = "local"

audit_log = AppGroup("audit-log", help="Show and verify the audit log.")


def read_links(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> list[Link]:
    """Return the entries that texts like NUMBER:DIGEST name."""
    pairs = [text.partition(":")[::2] for text in given]
    if not all(number.isdecimal() and len(digest) == len(audit_chain.GENESIS) for number, digest in pairs):
        raise click.BadParameter("give the number of an entry, a colon and its digest of 64 signs.")
    return [Link(int(number), digest.lower()) for number, digest in pairs]


@audit_log.command("verify")
@click.option(
    "--noted", callback=read_links, multiple=True, metavar="NUMBER:DIGEST", help="An entry that was noted elsewhere."
)
@click.pass_context
def verify(context: click.Context, noted: list[Link]) -> None:
    """Check every entry from the first to the last, and that entries noted before are still there.

    A person who can write to the database file can compute a new chain: note the digest that this command prints in
    another place, and give it to --noted later. Exit code 0: all entries are in order. 1: the first entry that is not
    is named.
    """
    database = backend().database
    before = audit_chain.verified(database)
    report = audit_chain.verify(database, noted=[*noted, *([before.last] if before else [])])
    if report.problem:
        click.echo(f"Broken at entry {report.broken}. {report.problem}")
        context.exit(BROKEN)
    audit_chain.remember(database, report.last)
    click.echo(
        f"{plural(report.checked, 'entry', 'entries')} in order. The last one is {':'.join(map(str, report.last))}"
    )


@audit_log.command("show")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Number of entries.")
@click.option("--actor", default="", help="Only of this person.")
@click.option("--action", default="", help="Only this action, such as batch.pause, or this group, such as batch.")
@click.option("--subject", default="", help='Only about this subject, such as "batch 12".')
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only since this day (UTC).")
def show(limit: int, actor: str, action: str, subject: str, since: datetime | None) -> None:
    """Print the newest entries, a line each, the newest last."""
    chosen = AuditFilter(actor=actor, action=action, subject=subject, since=since.date() if since else None)
    for entry in reversed(page(backend().database, chosen, None, limit)):
        click.echo(entry.line)


def record(database: IMEIDatabase, action: str, subject: str = "", **detail: object) -> None:
    """Record what a command did, under the name of the user of the operating system."""
    new = NewEntry(f"{COMMAND_LINE.name} ({system_user()})", LOCAL, action, subject, detail)
    try:
        with database.write() as connection:
            append(connection, new)
    except DatabaseUnavailableError as error:
        click.echo(f"The audit log has no entry about this command. {error.sentence}", err=True)


def system_user() -> str:
    """Return the name of the user of the operating system who runs this process; its number without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())

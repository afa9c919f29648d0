"""The commands `flask services|sync`: what the provider offers, and the results that it has."""

import click
from flask.cli import with_appcontext

from amounts import plural
from backend import backend
from commands.audit_log import record
from gsm_fusion_client import GSMFusionAPIError, NotSentError
from runner import led, sync_or_follow
from simulator import DemoError


@click.command()
@click.option("--refresh", is_flag=True, help="Ask the provider now, also when the list is fresh.")
@with_appcontext
def services(refresh: bool) -> None:
    """List the services: id, price in US dollars and title, separated by tabs."""
    found = backend()
    try:
        with led(found.settings, found.database):
            if refresh:
                found.catalog.ask_now()
            catalogue = found.catalog.current()
    except (GSMFusionAPIError, DemoError) as error:
        raise click.ClickException(str(error)) from error
    for service in catalogue.services:
        click.echo(f"{service.package_id}\t{service.price:g}\t{service.title}")
    if catalogue.error:
        raise click.ClickException(f"The provider did not answer, so this list may be old. {catalogue.error}")


@click.command()
@with_appcontext
def sync() -> None:
    """Ask the provider for the results of all pending orders. Exit code 1: the provider did not answer."""
    found = backend()
    try:
        report = sync_or_follow(found.settings, found.database)
    except (NotSentError, DemoError) as error:
        raise click.ClickException(str(error)) from error
    record(found.database, "results.request", asked=report.asked, updated=report.updated)
    click.echo(
        f"{plural(report.asked, 'order')} asked for in {plural(report.calls, 'call')}: "
        f"{report.updated:,} changed, {report.pending:,} still pending."
    )
    if report.error:
        raise click.ClickException(f"The round ended early. {report.error}")

"""The commands that compare with the provider: `flask --app web_app audit|rebuild-from-provider`.

What they find is decided in audit.py; here it is asked for and shown.
"""

import json
from dataclasses import asdict
from datetime import datetime

import click
from flask.cli import with_appcontext

import batch_older_copy
from audit import AuditReport, Difference, RebuildReport, plan_rebuild, run_audit
from audit import rebuild as restore_orders
from gsm_fusion_client import GSMFusionError
from runner import make_client
from simulator import DemoError
from web_context import Backend, backend
from web_format import money, plural

#: Exit codes: both sides agree; they differ, or could not be compared to the end.
AGREE, DIFFER = 0, 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The last line is the report as one JSON object.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only orders since this date: ours by UTC, the provider's by the date in its list (zone unknown).",
)
@click.pass_context
@with_appcontext
def audit(context: click.Context, as_json: bool, since: datetime | None) -> None:
    """Compare our orders with the provider's list. Places nothing.

    Exit code 0: the provider was asked, its list shows all our orders, and both sides agree. 1: anything else.
    """
    report = audit_now(backend(), since)
    click.echo("\n".join(report_lines(report)), err=as_json)
    if as_json:
        click.echo(json.dumps(figures(report)))
    context.exit(AGREE if report.agrees else DIFFER)


@click.command("rebuild-from-provider")
@click.option("--yes", is_flag=True, help="Do not ask before writing.")
@with_appcontext
def rebuild_from_provider(yes: bool) -> None:
    """Restore orders from the provider's list, as after the loss of a disk. Places nothing, and may be repeated.

    Run it before the app is started on an old copy of the database: what that copy still means to send would
    otherwise be sent again.
    """
    rebuild_now(backend(), yes)


def audit_now(backend: Backend, since: datetime | None) -> AuditReport:
    """One audit. Raises ClickException where there is no provider to ask."""
    try:
        with make_client(backend.settings) as client:
            return run_audit(backend.database, client, since)
    except DemoError as error:
        raise click.ClickException(str(error)) from error


def rebuild_now(backend: Backend, yes: bool) -> None:
    """Say what is there, ask, restore, print the counts. Raises ClickException."""
    try:
        with make_client(backend.settings) as client:
            planned, listed, rows = plan_rebuild(backend.database, client)
    except GSMFusionError as error:
        raise click.ClickException(f"Nothing was restored. {error}") from error
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    click.echo("\n".join(plan_lines(planned, len(rows))), err=True)
    if rows and not yes and not click.confirm(f"Restore {plural(len(rows), 'order')}?", err=True):
        raise click.ClickException("Nothing was restored.")
    click.echo("\n".join(rebuilt_lines(restore_orders(backend.database, planned, listed, rows))))
    batch_older_copy.settle(backend.database)


def figures(report: AuditReport) -> dict[str, object]:
    """The report as JSON has it, with its verdict; examples are objects."""
    said: dict[str, object] = asdict(report)
    for name in said:
        value = getattr(report, name)
        if isinstance(value, Difference):
            said[name] = {"count": value.count, "examples": [example._asdict() for example in value.examples]}
    return said | {"complete": report.complete, "agrees": report.agrees}


def report_lines(report: AuditReport) -> list[str]:
    """The report for reading."""
    return [*_scope(report), *_sums(report), *_classes(report), verdict(report)]


def _scope(report: AuditReport) -> list[str]:
    if not report.since:
        lines = ["Audit of all orders"]
    else:
        note = "ours by UTC, the provider's by the date in its list, whose time zone is unknown"
        lines = [f"Audit of orders since {report.since} ({note})"]
    reach = f", from {report.oldest} to {report.newest} (the provider's time)" if report.oldest else ""
    lines.append(f"The provider lists {plural(report.listed, 'order')}{reach}")
    if report.only_by_id:
        lines.append(f"  {plural(report.only_by_id, 'order')} of ours not on its list, which it knows by id")
    if report.under_way:
        lines.append(f"  {plural(report.under_way, 'order')} of calls that still wait for their answer left out")
    return lines


def _sums(report: AuditReport) -> list[str]:
    unpriced = f"  (without {plural(report.unpriced, 'order')} of unknown price)" if report.unpriced else ""
    return [
        f"  {'Ours':<28}{report.ours:>10,}{money(report.our_spend):>14}",
        f"  {'Theirs, at our prices':<28}{report.theirs:>10,}{money(report.their_spend):>14}{unpriced}",
        f"  {'In doubt':<28}{report.in_doubt:>10,}{money(report.at_stake):>14}",
    ]


def _classes(report: AuditReport) -> list[str]:
    named = (
        ("Charged, unknown to us", report.unknown_to_us),
        ("Ours, unknown to them", report.unknown_to_them),
        ("Charged twice", report.charged_twice),
        ("Same id, other IMEI/service", report.other_device),
        ("Repeats without a batch", report.repeats),
    )
    return [line for title, difference in named for line in _class_lines(title, difference)]


def _class_lines(title: str, difference: Difference) -> list[str]:
    lines = [f"  {title:<28}{difference.count:>10,}"]
    lines += [f"    order {e.order_id}  {e.imei}  service {e.service}  {e.date}" for e in difference.examples]
    more = difference.count - len(difference.examples)
    return [*lines, f"    and {more:,} more"] if more else lines


def verdict(report: AuditReport) -> str:
    """One sentence: whether both sides agree, and if not, what stands in the way."""
    if report.agrees:
        return "Both sides agree."
    reasons = []
    if report.error:
        reasons.append(f"The provider could not be asked about everything. {report.error}")
    if report.only_by_id:
        reasons.append("The provider's list does not show all our orders, so a charge may hide beyond it; see --since.")
    if report.differences:
        reasons.append(f"{plural(report.differences, 'difference')}.")
    if report.in_doubt:
        reasons.append(f"{plural(report.in_doubt, 'IMEI')} in doubt.")
    return f"Agreement is not proven: {' '.join(reasons)}"


def plan_lines(planned: RebuildReport, count: int) -> list[str]:
    """What a rebuild would do."""
    reach = f", back to {planned.oldest} (the provider's time)" if planned.oldest else ""
    lines = [
        f"The provider lists {plural(planned.listed, 'order')}{reach}.",
        f"  {planned.known:,} known already, {count:,} to restore, at today's prices",
    ]
    if planned.unusable:
        lines.append(f"  {planned.unusable:,} without an IMEI, which cannot be restored")
    if planned.unnamed_service:
        count = planned.unnamed_service
        lines.append(f"  {count:,} of a service that we cannot name: these IMEIs would not be recognised as ordered")
    return lines


def rebuilt_lines(report: RebuildReport) -> list[str]:
    """What a rebuild did."""
    new, linked, taken_over, left = report.restored
    lines = [f"{plural(new, 'order')} restored, {linked:,} given their id, {report.updated:,} brought up to date."]
    if taken_over:
        lines.append(f"{plural(taken_over, 'IMEI')} waited to be sent though ordered already, and will not be sent.")
    if left:
        lines.append(f"{plural(left, 'order')} left to the runner, which settles calls in doubt by itself.")
    return lines

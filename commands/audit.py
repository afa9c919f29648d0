"""The commands that compare with the provider: `flask audit|rebuild-from-provider`.

What they find is decided in results/auditing.py; here it is asked for and shown.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click
from flask.cli import with_appcontext

from amounts import money, plural
from backend import Backend, backend
from commands.audit_log import record
from gsm_fusion_client import GSMFusionAPIError, NotSentError
from results import (
    AuditReport,
    Difference,
    RebuildPlan,
    RebuildReport,
    audit_sentences,
    plan_rebuild,
    rebuild_records,
)
from runner import audit_or_follow, taking_the_lead
from settings import MAIN_ACCOUNT
from simulator import DemoError
from submission import (
    LOST,
    RESTORED,
    Checkpoints,
    accept_older_copy,
    newest_stop,
    older_copy_objection,
    seconds_to_wait,
)

#: Exit codes: both sides agree; they differ, or could not be compared to the end.
AGREE, DIFFER = 0, 1
#: Exit codes of a rebuild: all that was paid is known; some of it is not, and nothing may be ordered.
REBUILT, INCOMPLETE = 0, 1
#: Missing orders that are printed.
SHOWN = 20
NEXT_STEP = (
    "Import a file with the columns ORDER ID, IMEI NO. and SERVICE that lists these orders as on the provider's site,"
    " and run this command again. Where an answer names no order of yours, move its folder out of checkpoints."
)
#: Restored orders have no service, so a new order of the same IMEI would not be recognised as one that repeats them.
UNNAMED = (
    "{} of a service that we cannot name, so that their IMEIs could be ordered again. Run this command again with"
    " --sure if nobody will."
)
STOPPED_AGAIN = "The database was stopped once more meanwhile, so newer orders may be missing. Run this command again."
#: The list of an account is shorter than what was lost.
SHORT_LIST = (
    "The list of account {} shows no order that this database knew: orders before it may be missing. Import a file with"
    " the columns ORDER ID, IMEI NO. and SERVICE that lists them, then run this command again with --sure."
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="The last line is the report as one JSON object.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Only orders since this date: ours by UTC, the provider's by the date in its list (zone unknown).",
)
@click.option("--account", default=MAIN_ACCOUNT, show_default=True, help="The account at the provider, by its name.")
@click.pass_context
@with_appcontext
def audit(context: click.Context, as_json: bool, since: datetime | None, account: str) -> None:
    """Compare our orders with the provider's list. Places nothing.

    Exit code 0: the provider was asked, its list shows all our orders, and both sides agree. 1: anything else.
    """
    report = audit_now(backend(), since, account)
    click.echo("\n".join(report_lines(report)), err=as_json)
    if as_json:
        click.echo(json.dumps(figures(report)))
    context.exit(AGREE if report.agrees else DIFFER)


@click.command("rebuild-from-provider")
@click.option("--yes", is_flag=True, help="Do not ask before writing.")
@click.option("--dry-run", is_flag=True, help="Say what would be restored, and write nothing.")
@click.option("--sure", is_flag=True, help="You have imported every order that a short list leaves out.")
@click.pass_context
@with_appcontext
def rebuild_from_provider(context: click.Context, yes: bool, dry_run: bool, sure: bool) -> None:
    """Restore orders from kept answers and the provider's list, as after the loss of a disk.

    Places nothing, and may be repeated. Run it before the app is started on an old copy of the database: what that
    copy still means to send would otherwise be sent again.

    Exit code 0: every order that answers or list name is known. 1: some are not, and nothing is ordered until they are.
    """
    context.exit(REBUILT if rebuild_now(backend(), yes, dry_run, sure) else INCOMPLETE)


def audit_now(backend: Backend, since: datetime | None, account: str) -> AuditReport:
    """Run one audit of an account. Raises ClickException if there is no provider to ask."""
    try:
        return audit_or_follow(backend.settings, backend.database, since, account)
    except (NotSentError, DemoError) as error:
        raise click.ClickException(str(error)) from error


def rebuild_now(backend: Backend, yes: bool, dry_run: bool, sure: bool) -> bool:
    """Show what is missing of each account, ask, restore, and print the counts. Raises ClickException.

    Orders are taken again only when nothing that was paid is missing. Returns whether that is so.
    """
    stop = newest_stop(backend.database)
    plans, unasked = _planned(backend, dry_run)
    rows = sum(len(plan.rows) for plan in plans)
    for plan in plans:
        lines = plan_lines(plan.report, len(plan.rows))
        click.echo("\n".join([f"Account {plan.account}:"] * (len(plans) > 1) + lines), err=True)
    if dry_run:
        click.echo("Nothing was written.")
        return not unasked and all(plan.report.complete for plan in plans)
    if rows and not yes and not click.confirm(f"Restore {plural(rows, 'order')}?", err=True):
        raise click.ClickException("Nothing was restored.")
    reports = [rebuild_records(backend.database, plan) for plan in plans]
    objection = "" if sure else older_copy_objection(backend.database)
    short = _short(plans) if objection in (LOST, RESTORED) else []
    unnamed = sum(report.unnamed for report in reports) if objection else 0
    complete = not (unasked or short or unnamed) and all(report.complete for report in reports)
    record(backend.database, "rebuild", restored=sum(report.restored[0] for report in reports), complete=complete)
    for report in reports:
        click.echo("\n".join(rebuilt_lines(report)))
    if complete:
        if not accept_older_copy(backend.database, stop):
            raise click.ClickException(STOPPED_AGAIN)
        return True
    for report in (report for report in reports if not report.complete):
        click.echo("\n".join(incomplete_lines(report, older_copy_objection(backend.database))), err=True)
    if unnamed:
        click.echo(UNNAMED.format(plural(unnamed, "restored order")), err=True)
    for account in short:
        click.echo(SHORT_LIST.format(account), err=True)
    for account in unasked:
        click.echo(f"Answers to account {account} are kept, and its credentials are missing: set them first.", err=True)
    return False


def _short(plans: Sequence[RebuildPlan]) -> list[str]:
    """Return the accounts whose lists do not reach back to what the database knew: no newer answers are kept."""
    return [plan.account for plan in plans if not plan.report.reaches_back]


def _wait_for_calls(backend: Backend) -> None:
    """Wait while the provider may work on calls that the database has lost: its list would not show their orders."""
    seconds = seconds_to_wait(backend.database, backend.settings)
    if seconds:
        click.echo(f"Waiting {seconds:.0f} s for calls that the provider may still work on.", err=True)
        time.sleep(seconds)


def _planned(backend: Backend, dry_run: bool) -> tuple[list[RebuildPlan], list[str]]:
    """Return a plan for each account, and the accounts with kept answers that cannot be asked."""
    checkpoints = Checkpoints(backend.settings.data_dir / "checkpoints")
    try:
        with taking_the_lead(backend.settings, backend.database) as leader:
            plans = []
            if not dry_run:
                _wait_for_calls(backend)
            for caller in leader.callers:
                name = caller.account.name
                plans.append(plan_rebuild(backend.database, caller.client, checkpoints.of_account(name), name))
    except GSMFusionAPIError as error:
        raise click.ClickException(f"Nothing was restored. {error}") from error
    except OSError as error:
        words = f"Nothing was restored. The kept answers cannot be read: {error.strerror}."
        raise click.ClickException(words) from error
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    return plans, sorted(checkpoints.of_accounts().keys() - {plan.account for plan in plans})


def figures(report: AuditReport) -> dict[str, object]:
    """Return the report for JSON, with its conclusion; examples are objects."""
    found: dict[str, object] = asdict(report)
    for name in found:
        value = getattr(report, name)
        if isinstance(value, Difference):
            found[name] = {"count": value.count, "examples": [example._asdict() for example in value.examples]}
    return found | {"complete": report.complete, "agrees": report.agrees}


def report_lines(report: AuditReport) -> list[str]:
    """Return the report as lines of text."""
    return [*_scope(report), *_sums(report), *_classes(report), *audit_sentences(report), conclusion(report)]


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
    if report.undated:
        lines.append(f"  {plural(report.undated, 'order')} without a readable date, counted as if placed in these days")
    return lines


def _sums(report: AuditReport) -> list[str]:
    unpriced = f"  (without {plural(report.unpriced, 'order')} of unknown price)" if report.unpriced else ""
    return [
        f"  {'Ours':<28}{report.ours:>10,}{money(report.our_spend):>14}",
        f"  {'Theirs, at our prices':<28}{report.theirs:>10,}{money(report.their_spend):>14}{unpriced}",
        f"  {'In doubt':<28}{report.in_doubt:>10,}{money(report.at_stake):>14}",
        *_balance(report),
    ]


def _balance(report: AuditReport) -> list[str]:
    if not report.balance_since:
        return []
    return [
        f"  {'Fall of the balance':<38}{money(report.balance_fell):>14}",
        f"  {'Cost of our orders since':<38}{money(report.known_spent):>14}",
        f"  {'Not explained':<38}{money(report.unexplained):>14}",
    ]


def _classes(report: AuditReport) -> list[str]:
    named = (
        ("Charged, unknown to us", report.unknown_to_us),
        ("Ours, unknown to them", report.unknown_to_them),
        ("Ours without id, not listed", report.unmatched),
        ("Charged twice", report.charged_twice),
        ("Same id, other IMEI/service", report.other_device),
        ("Repeats without a batch", report.repeats),
    )
    return [line for title, difference in named for line in _class_lines(title, difference)]


def _class_lines(title: str, difference: Difference) -> list[str]:
    lines = [f"  {title:<28}{difference.count:>10,}"]
    lines += [f"    order {e.order_id or '-'}  {e.imei}  service {e.service}  {e.date}" for e in difference.examples]
    more = difference.count - len(difference.examples)
    return [*lines, f"    and {more:,} more"] if more else lines


def conclusion(report: AuditReport) -> str:
    """Return one sentence: whether both sides agree, and if not, the reasons."""
    if report.agrees:
        return "Both sides agree."
    reasons = []
    if report.error:
        reasons.append(f"The provider could not be asked about everything. {report.error}")
    if report.only_by_id:
        reasons.append("The provider's list does not show all our orders, so a charge may hide beyond it; see --since.")
    if report.differences:
        reasons.append(f"{plural(report.differences, 'difference')}.")
    if report.sums_differ:
        reasons.append("The two sides do not add up to the same.")
    if report.money_differs:
        reasons.append("The balance does not fit our orders.")
    if report.in_doubt:
        reasons.append(f"{plural(report.in_doubt, 'IMEI')} in doubt.")
    return f"Agreement is not proven: {' '.join(reasons)}"


def plan_lines(planned: RebuildReport, count: int) -> list[str]:
    """Describe what a rebuild would do."""
    reach = f", back to {planned.oldest} (the provider's time)" if planned.oldest else ""
    lines = [
        f"The provider lists {plural(planned.listed, 'order')}{reach}.",
        f"{plural(planned.answers, 'answer')} kept on disk, with {plural(len(planned.kept), 'unknown order')}.",
        f"  {planned.known:,} listed ones known already, {count:,} to restore",
    ]
    if planned.missing:
        lines.append(f"  {plural(len(planned.missing), 'order')} of kept answers that cannot be restored for certain")
    if planned.damaged:
        lines.append(f"  {plural(len(planned.damaged), 'kept answer')} that cannot be read")
    if planned.error:
        lines.append(f"  The provider could not be asked about single orders. {planned.error}")
    if planned.unusable:
        lines.append(f"  {planned.unusable:,} without an IMEI, which cannot be restored")
    if planned.unnamed_service:
        count = planned.unnamed_service
        lines.append(f"  {count:,} of a service that we cannot name: these IMEIs would not be recognised as ordered")
    return lines


def rebuilt_lines(report: RebuildReport) -> list[str]:
    """Describe what a rebuild did."""
    new, linked, taken_over, left = report.restored
    lines = [f"{plural(new, 'order')} restored, {linked:,} given their id, {report.updated:,} brought up to date."]
    if taken_over:
        lines.append(f"{plural(taken_over, 'IMEI')} waited to be sent though ordered already, and will not be sent.")
    if left:
        lines.append(f"{plural(left, 'order')} left to the leader, which settles calls in doubt by itself.")
    return lines


def incomplete_lines(report: RebuildReport, objection: str) -> list[str]:
    """Describe what a rebuild could not restore, and what to do next."""
    lines = []
    if report.missing:
        lines.append(f"{plural(len(report.missing), 'order')} of kept answers missing, or of an unknown service:")
        lines += [f"  order {o.order_id}  {o.imei}  of batch {o.batch_id}" for o in report.missing[:SHOWN]]
        more = len(report.missing) - SHOWN
        lines += [f"  and {more:,} more"] if more > 0 else []
    if report.unexplained:
        lines.append(f"{plural(report.unexplained, 'listed order')} not known though the IMEI waits to be sent.")
    if report.damaged:
        batches = ", ".join(str(batch_id) for batch_id in sorted(set(report.damaged)))
        lines.append(f"{plural(len(report.damaged), 'kept answer')} not readable, of batch {batches}.")
    lines.append(NEXT_STEP)
    return [*lines, "Nothing is ordered until then."] if objection else lines

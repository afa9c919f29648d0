"""The command `flask submit`.

Text for people goes to standard error, data for programs to standard output. This module makes no decision about money
that the pages do not make too: it reads the file, asks, passes the batch to the leader and reports.
"""

import json
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click
from flask.cli import with_appcontext

from amounts import money, plural
from backend import Backend, backend
from callers import provider_access
from commands.arguments import readable
from commands.audit import audit_now, report_lines
from commands.audit_log import record
from commands.messages import Refusal, say
from commands.results import keep_file
from database import DatabaseUnavailableError
from gsm_fusion_client import NotSentError
from orders import BatchNames, BatchState, Outcome, Progress, ServiceInfo, SubmissionResult
from people import COMMAND_LINE
from results import midnight
from runner import led, run_or_follow
from settings import Settings
from simulator import DemoError
from spreadsheets import Choice, Intake, UnreadableFileError, read_file
from storage.account_chunks import accounts_of_batch
from storage.audit_store import had_doubt
from storage.balance_store import BalanceChange, balance_change
from storage.batch_creation import NotOrderedError, create_batch
from storage.batch_queries import progress
from submission import Plan, balance_warning, balance_words, price_objection, service_objection, unchecked

#: Exit codes, besides 2 of a Refusal: every IMEI is settled; some were not sent; some may have been charged; the
#: provider has orders or charges that are not ours; stopped by a signal.
SETTLED, UNSETTLED, IN_DOUBT, DISAGREES, INTERRUPTED = 0, 1, 3, 4, 130
AGAIN = "Run the same command again to continue; nothing is ordered twice."
#: Fields of SubmissionResult that are lists; --json leaves them out.
LISTS = frozenset({"orders", "errors"})


@dataclass(frozen=True, slots=True)
class SubmitOptions:
    """The arguments of `flask submit`."""

    file: Path
    service_id: str
    yes: bool
    as_json: bool
    second_imeis: bool
    name: str  #: of the batch; "": the file's name
    customer: str
    note: str

    @property
    def names(self) -> BatchNames:
        """What the batch will be called."""
        return BatchNames(self.name or self.file_name, self.customer, self.note)

    @property
    def file_name(self) -> str:
        """The name of the file, as it is stored and shown."""
        return readable(self.file.name)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--service", "service_id", required=True, metavar="ID", help="Service id; see `services`.")
@click.option("--yes", is_flag=True, help="Do not ask before ordering.")
@click.option("--json", "as_json", is_flag=True, help="The last line is the figures as one JSON object.")
@click.option("--second-imeis", is_flag=True, help="Check the second IMEI of each phone too.")
@click.option("--name", default="", help="Name of the batch; without it, the name of FILE.")
@click.option("--customer", default="", help="Customer or purchase order of the batch.")
@click.option("--note", default="", help="Note on the batch.")
@click.pass_context
@with_appcontext
def submit(context: click.Context, /, **given: Any) -> None:
    """Order every IMEI in FILE (CSV, Excel or text). The same FILE again continues what was interrupted.

    Exit code 0: every IMEI was ordered, known already or refused. 1: some were not sent. 2: nothing was done.
    3: some are in doubt. 4: a call was in doubt, and the audit after it found that the provider's orders or charges are
    not ours.
    """
    context.exit(submit_file(backend(), SubmitOptions(**given)))


def submit_file(backend: Backend, options: SubmitOptions) -> int:
    """Read the file, show the cost, ask, order and report. Return the exit code.

    Raises Refusal before anything is written.
    """
    settings = backend.settings
    intake = _read(settings, options)
    try:
        with provider_access(settings):  # held, so that the demo's provider lives as long as the command
            with led(settings, backend.database):
                plan = backend.plan(_find_service(backend, options.service_id), _pairs(intake), COMMAND_LINE)
            say(*read_lines(options.file_name, intake), *plan_lines(plan), *second_lines(plan, intake))
            _refuse_objections(plan)
            _ask(settings, plan, options.yes)
            with led(settings, backend.database):
                _check_price(backend, plan)
            token = (
                None if plan.continues else keep_file(backend, options.file, options.service_id, options.second_imeis)
            )
            new = plan.batch(options.names, "command", backend.daily_budget(), token)
            batch_id = create_batch(backend.database, new, settings.chunk_size)
            sent = {"service": new.service_id, "imeis": plan.count, "cost": money(plan.cost)}
            record(backend.database, "batch.confirm", f"batch {batch_id}", **sent, file=options.file_name)
            return _see_through(backend, batch_id, options.as_json)
    except (NotOrderedError, NotSentError) as error:
        raise Refusal(str(error)) from error
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    except DatabaseUnavailableError as error:
        raise click.ClickException(f"{error.sentence} {AGAIN}") from error


def exit_code(outcomes: Mapping[Outcome, int]) -> int:
    """Return 0 only when every IMEI was ordered, known already or refused. Doubt outranks IMEIs that were not sent."""
    if outcomes[Outcome.IN_DOUBT]:
        return IN_DOUBT
    return UNSETTLED if outcomes[Outcome.WAITING] or outcomes[Outcome.CANCELLED] else SETTLED


def figures(result: SubmissionResult) -> dict[str, object]:
    """Return every field of the result but the lists."""
    return {f.name: getattr(result, f.name) for f in fields(result) if f.name not in LISTS}


def read_lines(name: str, intake: Intake) -> list[str]:
    """Describe what was read from the file, bucket by bucket."""
    lines = [f"{name}: {intake.rows_read:,} rows read, {plural(len(intake.ready), 'IMEI')} ready"]
    repaired = sum(1 for ready in intake.ready if ready.note)
    if repaired:
        lines.append(f"  {plural(repaired, 'IMEI')} repaired, such as a missing check digit added")
    if intake.luhn_failed:
        first = intake.luhn_failed[0]
        example = f"row {first.row}: {first.imei}"
        lines.append(f"  {plural(len(intake.luhn_failed), 'IMEI')} left out: wrong check digit ({example})")
    if intake.rejected:
        cell = intake.rejected[0]
        example = f"row {cell.row}, {cell.text[:40]!r}: {cell.reason}"
        lines.append(f"  {plural(len(intake.rejected), 'value')} left out ({example})")
    if intake.repeated:
        again = intake.repeated[0]
        example = f"row {again.row} repeats row {again.first_row}"
        lines.append(f"  {plural(len(intake.repeated), 'value')} repeated in the file, ordered once ({example})")
    return lines + [f"  {warning}" for warning in intake.warnings]


def plan_lines(plan: Plan) -> list[str]:
    """Describe what would be ordered and what it costs."""
    price = money(plan.service.price)
    lines = [f"Service {plan.service.package_id}: {plan.service.title}, {price} an IMEI"]
    if plan.continues is not None:
        return [*lines, f"Batch {plan.continues} was interrupted and is continued; nothing is ordered twice."]
    left_out = len(plan.imeis) - plan.count
    if left_out:
        lines.append(f"  {plural(left_out, 'IMEI')} left out: ordered from this service already, or under way")
    return [*lines, f"Cost: {plural(plan.count, 'IMEI')} x {price} = {money(plan.cost)}"]


def result_lines(found: Progress, result: SubmissionResult, change: BalanceChange | None = None) -> list[str]:
    """Describe the outcome of a batch. change: how the balance changed during its calls, None if unknown."""
    lines = [
        f"Batch {found.batch_id}: {plural(found.total, 'IMEI')} in {result.duration:,.1f} s,"
        f" {found.stage.label.lower()}",
        *(f"  {outcome.label:<10}{count:>10,}" for outcome, count in found.outcomes.items() if count),
        f"  {'Spent':<10}{money(found.spent):>10}",
    ]
    if change is not None:
        lines.append(f"{balance_words(change)} {balance_warning(change)}".rstrip())
    if found.at_stake:
        lines.append(f"Up to {money(found.at_stake)} more may have been charged: settle the doubt on the batch's page.")
    if found.notice:
        lines.append(f"Why it stopped: {found.notice}")
    if result.waiting:
        lines.append("Run the same command again to continue.")
    return lines


def second_lines(plan: Plan, intake: Intake) -> list[str]:
    """Describe what the second IMEIs that are left out would cost."""
    if not intake.more_phones:
        return []
    cost = money(plan.service.price * intake.more_phones)
    return [f"  {plural(intake.more_phones, 'second IMEI')} left out; --second-imeis checks them too, for {cost} more"]


def _read(settings: Settings, options: SubmitOptions) -> Intake:
    file = options.file
    try:
        intake = read_file(file, Choice(second_imeis=options.second_imeis), settings.max_batch_imeis)
    except UnreadableFileError as error:
        raise Refusal(str(error)) from error
    if not intake.ready:
        say(*read_lines(options.file_name, intake))
        raise Refusal(f"{options.file_name} holds no IMEI that can be ordered.")
    return intake


def _find_service(backend: Backend, service_id: str) -> ServiceInfo:
    catalogue = backend.catalog.current()
    if not catalogue.services:
        raise Refusal(f"The provider's services could not be read, so the price is unknown. {catalogue.error}")
    service = catalogue.find(service_id)
    objection = service_objection(service, service_id)
    if service is None or objection:
        raise Refusal(f"{objection} `flask services` lists what there is.")
    return service


def _pairs(intake: Intake) -> list[tuple[str, int | None]]:
    return [(ready.imei, ready.row) for ready in intake.ready]


def _refuse_objections(plan: Plan) -> None:
    """Raise Refusal where the plan may not be ordered, or its batch continued.

    A plan of a new batch without new IMEIs costs nothing and is never refused.
    """
    if plan.objections and (plan.count or plan.continues is not None):
        raise Refusal(" ".join(plan.objections))


def _ask(settings: Settings, plan: Plan, yes: bool) -> None:
    """Return if the user agrees, else raise ClickException (exit code 1)."""
    if yes or not plan.count or plan.continues is not None:
        return
    if plan.cost > settings.confirm_above:
        typed = click.prompt(f"Type {plan.count} to order them", err=True, default="", show_default=False)
        agreed = typed.strip().replace(",", "") == str(plan.count)
    else:
        agreed = click.confirm("Order them?", err=True)
    if not agreed:
        raise click.ClickException("Nothing was ordered.")


def _check_price(backend: Backend, plan: Plan) -> None:
    """Ask for the price again if the plan may cost something. Raises Refusal if it is not the price that was shown."""
    if not plan.count and plan.continues is None:
        return
    catalogue, planned = backend.catalog.for_confirmation(), plan.service
    service = catalogue.find(planned.package_id)
    if service is None:
        raise Refusal(service_objection(None, planned.package_id))
    objection = unchecked(catalogue) or price_objection(planned.title, planned.price, service.price)
    if objection:
        raise Refusal(objection)


def _see_through(backend: Backend, batch_id: int, as_json: bool) -> int:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    result = _run_with_bar(backend, batch_id, stop)
    if stop.is_set():
        say(f"Stopped. Run the same command again to continue batch {batch_id}; nothing is ordered twice.")
        return INTERRUPTED
    found = progress(backend.database, batch_id)
    if found is None:
        raise click.ClickException(f"Batch {batch_id} is gone from the database.")
    with backend.database.read() as connection:
        change = balance_change(connection, batch_id)
    click.echo("\n".join(result_lines(found, result, change)), err=as_json)
    if as_json:
        click.echo(json.dumps(figures(result)))
    return _audited(backend, found, exit_code(found.outcomes))


def _audited(backend: Backend, found: Progress, code: int) -> int:
    """Audit the days since a finished batch that had doubt was created, and return the exit code."""
    if found.state is not BatchState.FINISHED or not had_doubt(backend.database, found.batch_id):
        return code
    since = found.created_at and midnight(found.created_at)
    with backend.database.read() as connection:
        accounts = sorted(accounts_of_batch(connection, found.batch_id))
    try:
        reports = [audit_now(backend, since, account) for account in accounts]
    except (click.ClickException, DatabaseUnavailableError) as error:
        say(f"A call was in doubt, and no audit could be made. {error}")
        return code
    lines = [line for report in reports for line in report_lines(report)]
    say("A call of this batch was in doubt, so our orders were compared with the provider's:", *lines)
    if not all(report.complete for report in reports):
        say("The audit is not complete: run `flask audit` later.")
    return DISAGREES if any(report.disagrees for report in reports) and code != IN_DOUBT else code


def _run_with_bar(backend: Backend, batch_id: int, stop: threading.Event) -> SubmissionResult:
    """Run or follow the batch with a progress bar. Where there is no terminal, each new percent is a line."""
    name = f"Batch {batch_id}"
    with click.progressbar(
        None, 1, label=name, show_percent=False, show_pos=True, item_show_func=_details, file=sys.stderr
    ) as bar:

        def draw(found: Progress) -> None:
            bar.label, bar.length, bar.current_item = f"{name}: {found.percent}%", found.total, found
            bar.make_step(found.done - bar.pos)
            bar.render_progress()

        return run_or_follow(backend.settings, backend.database, batch_id, draw, stop)


def _details(found: Progress | None) -> str | None:
    """Describe, beside the bar, what was spent, what is in doubt and why the batch waits."""
    if found is None:
        return None
    words = [money(found.spent)]
    if found.outcomes[Outcome.IN_DOUBT]:
        asking = ", asking the provider's list" if found.state is BatchState.FINISHED else ""
        words.append(f"{found.outcomes[Outcome.IN_DOUBT]:,} in doubt{asking}")
    return ", ".join([*words, found.notice] if found.notice else words)

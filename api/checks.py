"""Checks: one IMEI at a time. A known result is given at once and costs nothing; otherwise the IMEI is ordered.

A check is a scan of the token's own session: made by the same plan and objections as any order, and left out of lists
of batches.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from flask import abort, url_for
from flask.typing import ResponseReturnValue
from marshmallow import post_load

from api.answers import CheckAnswer
from api.fields import TextLine
from api.once import KEY_HEADER, Keep, KeptReply, reply_once
from api.operations import operation, operations
from api.ordering import OrderTerms, Paid, cost_of, plan_order, problem_of
from api.problems import Problem, ProblemKind
from backend import backend
from database import Transaction
from imei import COMPLETIONS
from orders import BatchNames, Outcome, is_awaited
from people import Role
from results import ask_for_result
from spreadsheets import Choice, parsed_list
from storage import scan_store
from storage.batch_creation import NotOrderedError
from storage.scan_store import NewScan, Scan
from web import Start, allow, current_actor, record_nothing, start_batch

blueprint = operations("checks", "One IMEI at a time: a known result, or an order.")

SOURCE = "scan"
EXAMPLE = {"imei": "353370080000011", "service_id": "269"}


class CheckForm(Paid):
    """The IMEI to check."""

    imei = TextLine(64, required=True, least=1)

    @post_load
    def _read(self, data: dict[str, Any], **_: Any) -> tuple[str, OrderTerms]:
        return data["imei"], OrderTerms.from_form(data)


@operation(
    blueprint,
    "POST",
    "/checks",
    CheckAnswer,
    takes=CheckForm,
    status=201,
    refusals=(402, 409),
    doc={"parameters": [KEY_HEADER], "requestBody": {"content": {"application/json": {"example": EXAMPLE}}}},
)
@allow(Role.OPERATOR, "batch.confirm")
def create(asked: tuple[str, OrderTerms]) -> ResponseReturnValue:
    """Check one IMEI: give its known result, or order it.

    With `recheck`, a result whose order the program does not know is given too: see `known_orders`.
    """
    imei, terms = asked
    return reply_once((imei, *terms.key), partial(_check, imei, terms))


@operation(blueprint, "GET", "/checks/<int:check_id>", CheckAnswer)
@allow(Role.VIEWER)
def show(check_id: int) -> Mapping[str, Any]:
    """Show what is known of a check of this token, and ask for a result that is awaited."""
    return _answer(_scan_or_404(check_id))


def _check(text: str, terms: OrderTerms, keep: Keep) -> KeptReply:
    imei = _read_imei(text)
    known = _known(imei, terms)
    if known is None:
        return _order(imei, terms, keep)
    check_id = scan_store.record(backend().database, known)
    reply = _reply(_answer(_scan_or_404(check_id)))
    with backend().database.write() as connection:
        keep(connection, known.batch_id, reply)
    record_nothing()
    return reply


def _read_imei(text: str) -> str:
    """Return the IMEI of a text. Raises Problem where it is not an IMEI, or would have to be guessed."""
    intake = parsed_list([text]).intake(Choice(), 1)
    if len(intake.ready) == 1 and not intake.seconds and intake.ready[0].note not in COMPLETIONS:
        return intake.ready[0].imei
    bad = [*(one.note for one in (*intake.luhn_failed, *intake.ready)), *(one.reason for one in intake.rejected)]
    words = bad[0] if bad else "An IMEI has 15 digits."
    raise Problem(ProblemKind.INVALID_IMEIS, words, [{"detail": words, "pointer": "#/imei", "text": text}])


def _known(imei: str, terms: OrderTerms) -> NewScan | None:
    """Return what answers for an IMEI without another order; None where it must be ordered."""
    known = scan_store.known(backend().database, terms.service_id, imei)
    if known is None:
        return None
    if known.order is not None and known.has_result and terms.again.checked and terms.again.knows(known.order):
        return None
    return NewScan(_session(), imei, terms.service_id, known.batch_id, known.order_row)


def _order(imei: str, terms: OrderTerms, keep: Keep) -> KeptReply:
    """Order an IMEI; its check and the reply are stored in the transaction that creates its batch."""
    again = replace(terms.again, rejected=terms.again.checked or terms.again.rejected)
    plan = plan_order(replace(terms, again=again), [(imei, None)])
    replies: list[KeptReply] = []

    def record(connection: Transaction, batch_id: int, is_new: bool) -> None:
        cost_of(connection, batch_id, terms)
        new = NewScan(_session(), imei, terms.service_id, batch_id=batch_id, is_new=is_new)
        waiting = {"id": scan_store.record_in(connection, new), "imei": imei, "service_id": terms.service_id}
        waiting |= {"is_open": True, "is_new": is_new, "outcome": Outcome.WAITING, "message": "", "batch_id": batch_id}
        replies.append(_reply(waiting))
        keep(connection, batch_id, replies[-1])

    try:
        names = BatchNames(f"Check {imei}")
        start_batch(backend(), plan, names, SOURCE, None, Start(and_then=record))
    except NotOrderedError as error:
        raise problem_of(error) from error
    return replies[-1]


def _reply(answer: Mapping[str, Any]) -> KeptReply:
    return KeptReply(201, url_for("api_checks.show", check_id=answer["id"]), dict(CheckAnswer().dump(answer)))


def _scan_or_404(check_id: int) -> Scan:
    found = scan_store.scans_of(backend().database, _session(), 1, [check_id])
    if not found:
        abort(404, "This token made no such check.")
    return found[0]


def _session() -> str:
    return f"api token {current_actor().token_id}"


def _answer(scan: Scan) -> dict[str, Any]:
    """Return a check as it is now, and ask for the result that it waits for."""
    order = scan.order
    awaits = is_awaited(order.status) if order else scan.outcome in (Outcome.WAITING, Outcome.IN_DOUBT)
    ask_for_result(backend().database, order)
    return {
        "id": scan.scan_id,
        "imei": scan.imei,
        "service_id": scan.service_id,
        "is_open": awaits,
        "is_new": scan.is_new,
        "outcome": scan.outcome,
        "message": scan.message or scan.notice,
        "verdict": order.verdict if order else None,
        "order": order,
        "batch_id": scan.batch_id,
    }

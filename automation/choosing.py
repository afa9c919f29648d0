"""What a run of an automation orders now: its phones, and as many of them as every limit allows.

This module writes nothing. What stops an automation is raised: it must be turned off, or it waits.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from amounts import exceeds, money
from automation.deciding import (
    Candidate,
    KnownOrder,
    Orderable,
    SpendingLimit,
    WhyNot,
    affordable,
    distinct,
    orderable,
    reason_of,
)
from backend import Backend
from orders import AutomationKind, BatchState, ServiceInfo
from people import Actor, Role
from storage import automation_phone_store, automation_store, batch_creation, stop_loss, user_store
from storage.automation_store import Automation
from submission import Again, Knows, Plan, any_order, service_objection, unchecked


class MustTurnOffError(Exception):
    """The automation must be turned off until a person has looked at it; the message says why."""


class MustWaitError(Exception):
    """Nothing can be ordered now; what the automation has found waits. The message says why."""


@dataclass(frozen=True, slots=True)
class Selected:
    """What a run orders, and what it leaves out."""

    found: int  #: phones
    phones: tuple[Candidate, ...]  #: to order now, the oldest result first
    waiting: tuple[Candidate, ...]  #: to order when there is money
    left_out: Mapping[str, int]  #: a word of WhyNot → phones
    plan: Plan | None  #: None where there is nothing to order
    words: str  #: which limit is too low for everything; "" where all of it fits

    @property
    def price(self) -> float:
        """US dollars an IMEI."""
        return self.plan.service.price if self.plan else 0.0


def responsible(backend: Backend, automation: Automation) -> Actor:
    """Return who an automation orders for by itself: the user who turned it on. Raises MustTurnOffError."""
    if automation.user_id is None:
        if not backend.settings.demo:
            raise MustTurnOffError("Nobody is responsible for it.")
        return Actor(automation.orders_as, Role.ADMIN)
    with backend.database.read() as connection:
        user = user_store.find_user(connection, automation.user_id)
    if user is None or user.disabled_at is not None:
        raise MustTurnOffError(f"The user {automation.ordered_by} is disabled.")
    if not user.role.includes(Role.OPERATOR):
        raise MustTurnOffError(f"The user {user.name} may not order any more.")
    return Actor(automation.orders_as, user.role, user_id=user.user_id, user_limit=user.daily_limit)


def check_earlier_batches(backend: Backend, automation: Automation) -> None:
    """Look at what an automation has ordered before. Raises MustTurnOffError and MustWaitError."""
    limit = stop_loss.stored(backend.database)
    with backend.database.read() as connection:
        unfinished = automation_store.unfinished_batches_of(connection, automation.automation_id)
        bad, results = (
            automation_store.bad_results_since(connection, automation, limit.first) if limit is not None else (0, 0)
        )
    for batch in unfinished:
        if batch.state == BatchState.PAUSED and not batch.resumes_itself:
            raise MustTurnOffError(f"Its batch {batch.id} is paused: {batch.notice}")
    if limit is not None and limit.is_hit(bad):
        raise MustTurnOffError(f"Stop-loss: {bad:,} of its newest {results:,} results fail or are rejected.")
    if unfinished:
        raise MustWaitError(f"Its batch {unfinished[0].id} is being sent.")


def choose(
    backend: Backend,
    automation: Automation,
    rows: Sequence[tuple[str, int]],
    actor: Actor,
    knows: Knows = any_order,
) -> Selected:
    """Return what a run over these phones orders now. rows: IMEI and status change of each; 0: no change waits.

    knows: the earlier orders whose phones a re-check may order again; for others the plan has them as unseen.
    Raises MustTurnOffError and MustWaitError.
    """
    with backend.database.read() as connection:
        others = automation_phone_store.other_imeis(connection, (imei for imei, _ in rows))
    phones = distinct(Candidate(imei, others.get(imei, ""), change) for imei, change in rows)
    found = _orderable(backend, automation, phones)
    if not found.phones:
        return Selected(len(phones), (), (), found.left_out, None, "")
    service = _service(backend, automation)
    numbers = [(phone.imei, None) for phone in found.phones]
    plan = backend.plan(service, numbers, actor, Again(checked=automation.rechecks, knows=knows))
    limits = list(_spending_limits(backend, automation, plan))
    fits, words = affordable(len(found.phones), service.price, limits)
    waiting = found.phones[fits:]
    left_out = found.left_out + Counter[str]({WhyNot.MONEY: len(waiting)})
    return Selected(len(phones), found.phones[:fits], waiting, left_out, plan, words)


def _orderable(backend: Backend, automation: Automation, phones: Sequence[Candidate]) -> Orderable:
    """Leave out the phones that are ordered or under way."""
    imeis = list(dict.fromkeys(imei for phone in phones for imei in phone.imeis))
    service_id, ordered = automation.terms.service_id, frozenset[str]()
    flying = batch_creation.in_flight(backend.database, service_id, imeis)
    with backend.database.read() as connection:
        orders = batch_creation.known_orders(connection, service_id, imeis)
        if automation.kind is AutomationKind.FOLLOW_UP:
            theirs = automation_phone_store.ordered_by_it(connection, automation.automation_id, imeis)
            ordered = frozenset(theirs)
    known = {order.imei: KnownOrder(reason_of(order.status), order.order_date) for order in orders}
    known |= dict.fromkeys(flying, KnownOrder(WhyNot.UNDER_WAY))
    return orderable(phones, ordered, known, automation.rechecks)


def _service(backend: Backend, automation: Automation) -> ServiceInfo:
    """Return the service at the price of now. Raises MustTurnOffError and MustWaitError."""
    terms, objection = automation.terms, backend.order_objection()
    if objection:
        raise MustWaitError(objection)
    catalogue = backend.catalog.for_confirmation()
    objection = unchecked(catalogue)
    if objection:
        raise MustWaitError(objection)
    service = catalogue.find(terms.service_id)
    objection = service_objection(service, terms.service_id)
    if service is None or objection:
        raise MustTurnOffError(objection)
    if exceeds(service.price, terms.max_price):
        raise MustTurnOffError(f"The price is now {money(service.price)}, above the limit of {money(terms.max_price)}.")
    return service


def _spending_limits(backend: Backend, automation: Automation, plan: Plan) -> Iterator[SpendingLimit]:
    """Yield every limit on what may be ordered now. Raises MustWaitError where the balance is not known."""
    terms, balance = automation.terms, plan.balance
    if balance.credits is None or not balance.trusted:
        raise MustWaitError("The balance of the account is not known at the moment.")
    with backend.database.read() as connection:
        used = automation_store.spent_on_day(connection, automation.automation_id)
    words = (
        f"Its daily limit of {money(terms.daily_limit)}, of which {money(used)} was used, is too low for all of them."
    )
    yield SpendingLimit(terms.daily_limit - used, words)
    yield SpendingLimit(balance.credits - plan.promised, "The balance of the account is too low for all of them.")
    yield SpendingLimit(plan.budget_left, "Today's budget is too low for all of them.")
    for one in plan.limits:
        yield SpendingLimit(
            one.left, f"The daily limit of {one.whose} is too low for all of them; {money(one.used)} is used."
        )

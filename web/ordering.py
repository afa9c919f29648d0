"""Turn IMEIs into a plan and a plan into a batch: shared by all pages that order. No routes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from flask import request

from backend import Backend
from orders import BatchNames, ServiceInfo
from people import Actor
from storage.batch_creation import AndThen, create_batch, create_batches, write_no_more
from submission import Again, Plan, price_objection, service_objection, unchecked
from web.access import describe
from web.format import money, plural


@dataclass(frozen=True, slots=True)
class Start:
    """How a batch begins."""

    at_once: bool = True  #: False: it is paused until somebody resumes it
    and_then: AndThen = write_no_more


AT_ONCE = Start()


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page of the confirm button showed: price, number of IMEIs, and the mark of the plan.

    The mark differs where another tab chose a service of the same price or a column with as many IMEIs, and where an
    IMEI that the page showed as new would be paid a second time.
    """

    price: str
    count: str
    mark: str

    def fits(self, plan: Plan) -> bool:
        """Whether the page showed this plan."""
        return self.price == price_mark(plan) and self._holds_the_same(plan)

    def price_objection(self, plan: Plan) -> str:
        """Return the message about a price that changed while nothing else did, or ""."""
        try:
            shown = float(self.price)
        except ValueError:
            return ""
        return price_objection(plan.service.title, shown, plan.service.price) if self._holds_the_same(plan) else ""

    def _holds_the_same(self, plan: Plan) -> bool:
        return (self.count, self.mark) == (str(plan.count), plan.mark)


def price_mark(plan: Plan) -> str:
    """Return the price as the confirm form holds it."""
    return f"{plan.service.price:.6f}"


def must_type(backend: Backend, plan: Plan) -> bool:
    """Return whether the user must type the number of IMEIs to confirm."""
    return plan.continues is None and plan.cost > backend.settings.confirm_above


def typing_objection(count: int) -> str:
    """Return why the number that the form's user typed does not confirm this number of IMEIs; "" where it does."""
    typed = request.form.get("typed", "").replace(",", "").replace(" ", "")
    return "" if typed == str(count) else f"Nothing was sent: to confirm, type the number of IMEIs, {count}."


def plan_few(
    backend: Backend, service_id: str, imeis: Sequence[str], shown_price: float | None, again: Again, actor: Actor
) -> tuple[Plan | None, tuple[str, ...]]:
    """Return what would be sent at the price of now, and the objections; there is no plan without a service.

    shown_price: US dollars an IMEI on the page; None where the form does not say.
    """
    before = backend.catalog.stored().find(service_id)
    catalogue = backend.catalog.for_confirmation()
    service = catalogue.find(service_id)
    objection = service_objection(service, service_id)
    if service is None or objection:
        return None, (objection,)
    plan = backend.plan(service, [(imei, None) for imei in imeis], actor, again)
    shown = before.price if shown_price is None and before is not None else shown_price
    checked = unchecked(catalogue) or price_objection(service.title, shown, service.price)
    return plan, tuple(filter(None, (checked, *plan.objections)))


def price_list(services: Iterable[ServiceInfo]) -> str:
    """Return every price that a page shows, as its form carries them: "1739:0.080000 269:0.100000"."""
    return " ".join(f"{service.package_id}:{service.price:.6f}" for service in services if service.orderable)


def shown_price(prices: str, service_id: str) -> float | None:
    """Return the price of a service in a price_list, or None."""
    listed = dict(pair.rpartition(":")[::2] for pair in prices.split())
    try:
        return float(listed[service_id])
    except (KeyError, ValueError):
        return None


def start_batch(
    backend: Backend, plan: Plan, names: BatchNames, source: str, token: str | None, how: Start = AT_ONCE
) -> int:
    """Create the batch of a plan, or continue the unfinished one; return its id. Raises NotOrderedError."""
    new = replace(plan.batch(names, source, backend.daily_budget(), token), starts=how.at_once)
    batch_id = create_batch(backend.database, new, backend.settings.chunk_size, how.and_then)
    describe(f"batch {batch_id}", service=new.service_id, imeis=plan.count, cost=money(plan.cost), name=new.label)
    return batch_id


def start_parts(backend: Backend, parts: Sequence[tuple[Plan, BatchNames, str]], source: str) -> list[int]:
    """Create the batches of the parts of one upload, or none; return their ids. Raises NotOrderedError.

    parts: plan, names and confirm token of each.
    """
    budget = backend.daily_budget()
    new = [plan.batch(names, source, budget, token) for plan, names, token in parts]
    made = create_batches(backend.database, new, backend.settings.chunk_size)
    services = ", ".join(plan.service.package_id for plan, _, _ in parts)
    cost = money(sum(plan.cost for plan, _, _ in parts))
    count = sum(plan.count for plan, _, _ in parts)
    describe(f"batches {', '.join(map(str, made))}", services=services, imeis=count, cost=cost)
    return made


def started(plan: Plan, batch_id: int) -> str:
    """Return the message after a batch was created or continued."""
    if plan.continues is not None:
        return f"Batch {batch_id} has these IMEIs already. What it has not sent yet is sent now."
    return f"Batch {batch_id} has started: {plural(plan.count, 'IMEI')} to send."

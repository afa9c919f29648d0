"""What confirming would do: which IMEIs would be sent, what that costs, and what speaks against it.

The plan is made again when the user confirms. This module writes nothing but the provider's list of services, and knows
no request.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from amounts import exceeds, money
from database import MOVED_AWAY, IMEIDatabase
from orders import Balance, BatchNames, Catalogue, NotPossibleError, OrderStatus, ServiceInfo
from people import COMMAND_LINE, Actor
from settings import Settings
from storage import batch_queries
from storage.batch_creation import NewBatch, fingerprint, in_flight, known_orders, results_elsewhere, unfinished_batch
from storage.daily_limits import DailyLimit, daily_limits, limit_objections
from storage.rows import EarlierOrder
from submission.account_guard import account_objection
from submission.account_room import budget_of_accounts
from submission.older_copy import older_copy_objection

VOLATILE = (
    "No paid orders are placed, because this disk is lost at the next deploy: attach a volume, "
    "or set DATA_DIR to a folder on one."
)
NO_IMEI = "There is no IMEI to send: choose another column or sheet, or bring another file."
NOTHING_LEFT = "Nothing is left to send: each of these IMEIs is ordered or under way already."


#: A program that names no orders pays again only for IMEIs whose orders and results are older. A repeated request, and
#: what somebody else has ordered on the same day, is younger; a program that runs once a day finds its orders older.
KNOWN_AGE = timedelta(hours=12)
#: What a program does about an order of an imported file, which may have no id to be named by.
WITHOUT_ID = (
    f"send no known_orders, and wait until its order and result are older than {KNOWN_AGE // timedelta(hours=1)} hours."
)
#: Whether somebody who orders again knows of an earlier order.
Knows = Callable[[EarlierOrder], bool]


def any_order(_order: EarlierOrder, /) -> bool:
    """Know of every order: the plan is shown, and compared with what was shown, before it is confirmed."""
    return True


def shown_orders(rows: Collection[int]) -> Knows:
    """Know of the orders with these row ids, which a page has shown."""
    return lambda order: order.id in rows


def stored_before(moment: datetime) -> Knows:
    """Know of the orders that were stored, with their results, before a moment in UTC."""
    return lambda order: order.changed_at is not None and order.changed_at < moment


def known_to_program(order_ids: Collection[str] | None, now: datetime) -> Knows:
    """Know of the orders that a program names; of older ones where it names none at all. now: UTC."""
    if order_ids is None:
        return stored_before(now - KNOWN_AGE)
    return lambda order: order.order_id in order_ids


@dataclass(frozen=True, slots=True)
class Again:
    """Which IMEIs of earlier orders are sent, and paid, a second time: where these orders are known."""

    checked: bool = False  #: those with a result
    rejected: bool = False  #: those whose order the provider rejected
    knows: Knows = field(default=any_order, repr=False)  #: an IMEI whose order is not known is left out


NOT_AGAIN = Again()
#: Seconds after which a price is asked for again before an order whose price nobody was shown.
PRICE_MAX_AGE = 10.0
#: Final status of an earlier order → where a plan holds it.
FATES: Mapping[str, str] = MappingProxyType({OrderStatus.COMPLETED: "checked", OrderStatus.REJECTED: "rejected"})


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be sent, and why not."""

    service: ServiceInfo
    imeis: Sequence[tuple[str, int | None]]  #: everything that the batch would hold, with source rows
    fingerprint: str
    recheck: bool
    resend_rejected: bool
    checked: tuple[EarlierOrder, ...]  #: completed orders, left out unless recheck
    rejected: tuple[EarlierOrder, ...]  #: orders that the provider rejected, left out unless resend_rejected
    pending: tuple[EarlierOrder, ...]  #: orders that wait for their result, left out
    repeated: tuple[EarlierOrder, ...]  #: of checked and rejected, those whose IMEIs are sent again
    unseen: tuple[EarlierOrder, ...]  #: those that would be, but are not known to who orders; left out
    elsewhere: tuple[EarlierOrder, ...]  #: completed orders of other services, the newest of each IMEI; sent anyway
    in_flight: dict[str, int]  #: IMEI → unfinished batch that it is in, left out
    continues: int | None  #: the unfinished batch that confirming resumes
    count: int  #: IMEIs that would be sent
    balance: Balance
    promised: float  #: US dollars that unfinished batches may still take
    budget_left: float | None  #: US dollars of today's budget; None: no limit
    actor: Actor  #: who orders
    limits: tuple[DailyLimit, ...]  #: of who orders
    left_out: frozenset[str] = frozenset()  #: IMEIs that would not be sent
    objections: tuple[str, ...] = ()

    @property
    def to_send(self) -> list[tuple[str, int | None]]:
        """The IMEIs that would be sent, with source rows."""
        return [pair for pair in self.imeis if pair[0] not in self.left_out]

    @property
    def cost(self) -> float:
        """US dollars if every one of them is accepted."""
        return self.service.price * self.count

    @property
    def mark(self) -> str:
        """A name for what is confirmed: service and IMEIs, and the earlier orders that are paid a second time.

        It differs where somebody has ordered an IMEI since a page showed it as new.
        """
        if not self.repeated:
            return self.fingerprint
        return fingerprint(self.fingerprint, (str(order.id) for order in self.repeated))

    @property
    def balance_after(self) -> float | None:
        """US dollars that the account would hold; None where the balance is unknown."""
        return None if self.balance.credits is None else self.balance.credits - self.cost

    def batch(self, names: BatchNames, source: str, budget: float | None, token: str | None = None) -> NewBatch:
        """Return the batch that confirming creates; budget: US dollars of a UTC day, token: its confirm token."""
        return NewBatch(
            label=names.name,
            customer=names.customer,
            note=names.note,
            source=source,
            service_id=self.service.package_id,
            service_name=self.service.title,
            unit_price=self.service.price,
            imeis=self.imeis,
            fingerprint=self.fingerprint,
            confirm_token=token,
            recheck=self.recheck,
            resend_rejected=self.resend_rejected,
            seen=frozenset(order.id for order in self.repeated),
            budget=budget,
            held=self.balance.credits if self.balance.trusted else None,
            actor=self.actor,
        )


@dataclass(frozen=True, slots=True)
class Means:
    """What there is to spend, and why nothing may be spent at all."""

    balance: Balance
    daily_budget: float | None = None  #: US dollars; None: no limit
    objection: str = ""  #: why nothing may be ordered with this database
    actor: Actor = COMMAND_LINE  #: who orders, within the daily limits of this user and token


def make_plan(
    database: IMEIDatabase,
    service: ServiceInfo,
    imeis: Sequence[tuple[str, int | None]],
    means: Means,
    again: Again = NOT_AGAIN,
) -> Plan:
    """What a batch of these IMEIs would send now."""
    names = [imei for imei, _ in imeis]
    flying = in_flight(database, service.package_id, names)
    with database.read() as connection:
        known = known_orders(connection, service.package_id, names)
        elsewhere = tuple(results_elsewhere(connection, service.package_id, names))
        limits = daily_limits(connection, means.actor.user_id, means.actor.token_id)
    earlier = _by_status(order for order in known if order.imei not in flying)
    asked = (earlier["checked"] if again.checked else ()) + (earlier["rejected"] if again.rejected else ())
    repeated = tuple(order for order in asked if again.knows(order))
    sent_again = {order.imei for order in repeated}
    left_out = flying.keys() | {order.imei for order in known} - sent_again
    mark, count = fingerprint(service.package_id, names), sum(imei not in left_out for imei in names)
    plan = Plan(
        service=service,
        imeis=imeis,
        fingerprint=mark,
        recheck=again.checked,
        resend_rejected=again.rejected,
        checked=earlier["checked"],
        rejected=earlier["rejected"],
        pending=earlier["pending"],
        repeated=repeated,
        unseen=tuple(order for order in asked if order.imei not in sent_again),
        elsewhere=elsewhere,
        in_flight=flying,
        continues=unfinished_batch(database, mark, count),
        count=count,
        balance=means.balance,
        promised=batch_queries.committed(database),
        budget_left=_budget_left(database, means.daily_budget),
        actor=means.actor,
        limits=limits,
        left_out=frozenset(left_out),
    )
    return _with_objections(plan, means.objection)


def _by_status(orders: Iterable[EarlierOrder]) -> dict[str, tuple[EarlierOrder, ...]]:
    """Earlier orders as a plan holds them: checked, rejected and pending."""
    found: dict[str, list[EarlierOrder]] = {"checked": [], "rejected": [], "pending": []}
    for order in orders:
        found[FATES.get(order.status or "", "pending")].append(order)
    return {name: tuple(listed) for name, listed in found.items()}


def order_objection(database: IMEIDatabase, settings: Settings | None) -> str:
    """Return why nothing may be ordered with this database, on this disk and with this account; "" if it may.

    settings: None where a program brings its own database and client, so that only the database can object.
    """
    of_database = database.get_setting(MOVED_AWAY) or older_copy_objection(database)
    if of_database or settings is None:
        return of_database
    is_lost = settings.volatile_disk and not settings.demo
    return VOLATILE if is_lost else account_objection(database, settings)


def budget_of_day(database: IMEIDatabase, settings: Settings) -> float | None:
    """Return the US dollars that this UTC day may cost: DAILY_BUDGET, or less where accounts have their own."""
    with database.read() as connection:
        own = budget_of_accounts(connection, settings.accounts)
    return min((budget for budget in (settings.daily_budget, own) if budget is not None), default=None)


def checked_budget(database: IMEIDatabase, settings: Settings | None) -> float | None:
    """Return budget_of_day(), None without settings. Raises NotPossibleError where nothing may be ordered."""
    if objection := order_objection(database, settings):
        raise NotPossibleError(objection)
    return budget_of_day(database, settings) if settings else None


def service_objection(service: ServiceInfo | None, service_id: str) -> str:
    """Why this service cannot be ordered, or ""."""
    if not service_id:
        return "Choose a service first."
    if service is None:
        return f"The provider does not list a service {service_id}: choose another one."
    if not service.orderable:
        needed = ", ".join(service.required_fields)
        return f"“{service.title}” needs more than an IMEI ({needed}), so it cannot be ordered here."
    return ""


def find_service(
    database: IMEIDatabase, ask: Callable[[], list[ServiceInfo]], service_id: str, max_age: float = math.inf
) -> ServiceInfo:
    """Return a service that can be ordered; ask is one question to the provider for its services.

    The provider is asked for an unknown service, and where the prices are max_age seconds old.
    Raises ValueError for an unknown service, and for one that needs more than an IMEI.
    """
    service, read_at = database.get_service(service_id), database.get_services()[1]
    if service is None or abs(time.time() - read_at) >= max_age:
        database.store_services(ask(), time.time())
        service = database.get_service(service_id)
    if service is None:
        raise ValueError(f"The provider has no service {service_id}.")
    if not service.orderable:
        raise ValueError(f"{service.title} needs more than an IMEI: {', '.join(service.required_fields)}.")
    return service


def price_objection(title: str, shown: float | None, now: float) -> str:
    """Return why a price must be confirmed again, or "" where it is what was shown; US dollars an IMEI.

    Where none was shown there is nothing to compare.
    """
    if shown is None or not exceeds(abs(now - shown), 0.0):
        return ""
    moved = "rose" if now > shown else "fell"
    return f"The price of “{title}” {moved} from {money(shown)} to {money(now)}. Check the new cost and confirm again."


def unchecked(catalogue: Catalogue) -> str:
    """Return why nothing may be ordered at the prices of this list, or ""."""
    if not catalogue.stale:
        return ""
    return f"The price could not be checked, so nothing was ordered. Try again in a minute. {catalogue.error}".strip()


def money_objections(cost: float, balance: Balance, promised: float, budget_left: float | None) -> tuple[str, ...]:
    """Why the money does not suffice; amounts in US dollars."""
    found = []
    held = balance.credits
    if balance.trusted and held is not None and exceeds(cost + promised, held):
        other = f", of which {money(promised)} is promised to unfinished batches" if promised else ""
        found.append(f"This costs {money(cost)}, but the account holds {money(held)}{other}.")
    if budget_left is not None and exceeds(cost, budget_left):
        found.append(f"This costs {money(cost)}, but {money(max(budget_left, 0.0))} of today's budget is left.")
    return tuple(found)


def objections_of_parts(plans: Sequence[Plan], objection: str) -> tuple[str, ...]:
    """Return what speaks against several plans together: money holds for their sum.

    objection: why nothing may be ordered with this database; "" if it may.
    """
    found = [objection, *(service_objection(plan.service, plan.service.package_id) for plan in plans)]
    if not plans:
        return tuple(filter(None, [objection, NOTHING_LEFT]))
    cost = sum(plan.cost for plan in plans if plan.continues is None)
    first = plans[0]
    found += money_objections(cost, first.balance, first.promised, first.budget_left)
    found += limit_objections(first.limits, cost, first.actor.name)
    return tuple(dict.fromkeys(sentence for sentence in found if sentence))


def _with_objections(plan: Plan, objection: str) -> Plan:
    found = [objection]
    if plan.continues is None:
        found += money_objections(plan.cost, plan.balance, plan.promised, plan.budget_left)
        found += limit_objections(plan.limits, plan.cost, plan.actor.name)
        found += [] if plan.count else [NOTHING_LEFT if plan.imeis else NO_IMEI]
        found += [service_objection(plan.service, plan.service.package_id)]
    return replace(plan, objections=tuple(sentence for sentence in found if sentence))


def _budget_left(database: IMEIDatabase, daily_budget: float | None) -> float | None:
    if daily_budget is None:
        return None
    with database.read() as connection:
        return daily_budget - batch_queries.spent_or_promised(connection)

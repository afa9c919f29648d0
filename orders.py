"""The nouns of the trade: services, batches, chunks, items, orders, and what became of them.

Frozen types and enums only. This module must not know HTTP, SQL, files or Flask.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from grading import NO_VERDICTS, VerdictCounts
from settings import MAIN_ACCOUNT


class NotPossibleError(Exception):
    """What a person asked for cannot be done now. The message is a sentence for the page."""


class Outcome(StrEnum):
    """What became of one IMEI of a batch: always exactly one of these."""

    WAITING = "waiting"  #: not answered yet; nothing is known to be placed
    ORDERED = "ordered"  #: the provider named it with an order id
    DUPLICATE = "duplicate"  #: already known to the provider, or to us; not ordered again
    REFUSED = "refused"  #: the provider said no to this IMEI; nothing was placed
    IN_DOUBT = "in_doubt"  #: it was sent and may have been charged; nobody knows yet
    CANCELLED = "cancelled"  #: taken back before it was sent

    @property
    def label(self) -> str:
        """The word that people see."""
        return OUTCOME_WORDS[self][0]

    @property
    def hint(self) -> str:
        """What it means, in a sentence."""
        return OUTCOME_WORDS[self][1]


class ChunkState(StrEnum):
    """Where one call of up to 100 IMEIs stands."""

    PLANNED = "planned"  #: written down, not sent
    SENDING = "sending"  #: the intent is on disk; the call may be on the wire
    ANSWERED = "answered"  #: every IMEI of it has a settled outcome
    IN_DOUBT = "in_doubt"  #: at least one IMEI of it may have been placed without our knowing
    CANCELLED = "cancelled"  #: taken back before it was sent


class BatchState(StrEnum):
    """Where one upload stands."""

    RUNNING = "running"  #: the leader may send its chunks
    PAUSED = "paused"  #: nothing more of it is sent until it is resumed
    FINISHED = "finished"  #: no chunk of it is planned or on the wire


class BatchStage(StrEnum):
    """Where one upload stands for a person who waits for its results: derived, never stored."""

    SENDING = "sending"  #: IMEIs are being ordered
    WAITING = "waiting"  #: everything is ordered; results are still to come
    COMPLETE = "complete"  #: every result that will come is here
    NEEDS_YOU = "needs_you"  #: it does not go on before a person acts
    STOPPED = "stopped"  #: a person took the rest back; results of what was ordered may still come

    @property
    def label(self) -> str:
        """The words that people see."""
        return STAGE_WORDS[self]


class RequestKind(StrEnum):
    """What a page or a command asks of the leader, the one process that calls the provider."""

    SERVICES = "services"  #: read the service list
    ACCOUNT = "account"  #: read the account's balance
    RECENT_ORDERS = "recent_orders"  #: read the list of recent orders
    ORDER = "order"  #: read one order; the argument is its id
    RESULT = "result"  #: read the result of one order of ours and store it; the argument is its id
    AUDIT = "audit"  #: compare our orders with the provider's list; the argument is the first date, or ""
    LEAD = "lead"  #: let the process that asks become the leader for a while


class RequestState(StrEnum):
    """Where a request to the leader stands."""

    WAITING = "waiting"  #: no leader has taken it
    ASKING = "asking"  #: a leader is asking the provider
    ANSWERED = "answered"  #: the answer is stored
    FAILED = "failed"  #: there is no answer; the row says why

    @property
    def is_open(self) -> bool:
        """Whether an answer may still come."""
        return self in (RequestState.WAITING, RequestState.ASKING)


class OrderStatus(StrEnum):
    """The provider's words for an order (statusId 1 to 4)."""

    PENDING = "Pending"
    COMPLETED = "Completed"
    REJECTED = "Rejected"
    IN_PROCESS = "In Process"


class DisputeKind(StrEnum):
    """Why an order is disputed with the provider."""

    IN_DOUBT = "in_doubt"  #: sent, and no answer says whether it was placed
    MISMATCHED = "mismatched"  #: the result is about another IMEI
    REJECTED = "rejected"  #: it was charged and gave no result
    OTHER = "other"  #: for a reason that a person wrote down


class DisputeState(StrEnum):
    """The state of a dispute. Only a refunded or closed one has a refund."""

    OPEN = "open"  #: written down here; the provider does not know of it
    SENT = "sent"  #: the provider was asked for the money
    REFUNDED = "refunded"  #: the provider paid back, all or a part
    REFUSED = "refused"  #: the provider does not pay back
    CLOSED = "closed"  #: nothing more will be done


class AutomationKind(StrEnum):
    """What an automation orders."""

    FOLLOW_UP = "follow_up"  #: a second check of phones whose new results fit its filter
    RECHECK = "recheck"  #: on a schedule, the same check of every phone of its filter

    @property
    def label(self) -> str:
        """The words that people see."""
        return {AutomationKind.FOLLOW_UP: "Follow-up", AutomationKind.RECHECK: "Scheduled re-check"}[self]


class RunKind(StrEnum):
    """Who started a run of an automation."""

    TRIAL = "trial"  #: a person, to see what it would order
    BY_HAND = "by hand"  #: a person, who confirmed the cost
    BY_ITSELF = "by itself"  #: the program


OUTCOME_WORDS = {
    Outcome.ORDERED: ("Ordered", "The provider named an order for it."),
    Outcome.WAITING: ("Waiting", "Not sent yet, or no answer yet."),
    Outcome.DUPLICATE: ("Duplicate", "Known already; not ordered and not paid again."),
    Outcome.REFUSED: ("Refused", "The provider said no; nothing was placed."),
    Outcome.IN_DOUBT: ("In doubt", "No clear reply; it may have been charged."),
    Outcome.CANCELLED: ("Cancelled", "Taken back before it was sent."),
}

STAGE_WORDS = {
    BatchStage.SENDING: "Sending",
    BatchStage.WAITING: "Waiting for results",
    BatchStage.COMPLETE: "Complete",
    BatchStage.NEEDS_YOU: "Needs you",
    BatchStage.STOPPED: "Stopped",
}

#: What the provider said of an IMEI that stays in doubt until its list shows which order it meant.
SAYS_IT_EXISTS = "the provider says that it has an order of this IMEI"

#: How an item in doubt was settled, in the words that its message holds.
FOUND_IN_LIST, NAMED_BY_PERSON = "found in the provider's list", "order id given by a person"

#: A status after which the provider changes nothing any more.
FINAL_STATUSES = frozenset({OrderStatus.COMPLETED, OrderStatus.REJECTED})


def is_awaited(status: str | None) -> bool:
    """Return whether an order with this status may still get a result."""
    return status is not None and status not in FINAL_STATUSES


def until_result(status: str) -> str:
    """Return the status to store until the result text is here: In Process for a final one, so that it is fetched."""
    return OrderStatus.IN_PROCESS if status in FINAL_STATUSES else status


def order_key(install_id: str, item_id: int, imei: str, service_id: str) -> str:
    """Return the orderId that an order of one item carries: 32 hex digits, the same each time the item is sent.

    The install id keeps the keys of two databases on one account apart; IMEI and service those of items that have one
    id, after an older copy of the database was put in its place. Providers of this family document the field as an
    idempotency key; nothing may rely on it.
    """
    about = f"{item_id} {imei} {service_id}"
    return hmac.new(install_id.encode(), about.encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One service (the provider's "package") that an IMEI can be ordered from."""

    package_id: str
    title: str
    price: float  #: US dollars an IMEI
    delivery_time: str = ""  #: the provider's words, such as "Instant-5 Minutes"
    category: str = ""
    must_read: str = ""  #: the provider's HTML notice, untrusted
    required_fields: tuple[str, ...] = ()  #: mandatory custom fields besides the IMEI

    @property
    def orderable(self) -> bool:
        """Whether an IMEI alone is enough to order it."""
        return not self.required_fields


class PlacedOrder(NamedTuple):
    """An order that the provider named in its answer to placeorder."""

    id: str
    imei: str
    status: str = OrderStatus.PENDING


@dataclass(frozen=True, slots=True)
class PlacementAnswer(Mapping[str, tuple[Any, ...]]):
    """The provider's readable answer to one placeorder call; answer["orders"] is answer.orders."""

    orders: tuple[PlacedOrder, ...] = ()
    duplicates: tuple[str, ...] = ()  #: IMEIs that it named as already known
    errors: tuple[tuple[str, str], ...] = ()  #: (IMEI, the provider's words)

    def __getitem__(self, name: str) -> tuple[Any, ...]:
        return {"orders": self.orders, "duplicates": self.duplicates, "errors": self.errors}[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("orders", "duplicates", "errors"))

    def __len__(self) -> int:
        return 3


@dataclass(frozen=True, slots=True)
class IMEIOrder:
    """An order as getimeis lists it."""

    id: str
    imei: str
    status: str  #: one of OrderStatus where known, else the provider's own word
    code: str = ""  #: the result text, raw
    service_id: str = ""  #: the provider's <package>, as it came
    requested_at: str = ""  #: the provider's text, without a time zone
    replied_at: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """What accountinfo says."""

    credits: float | None  #: None where no number could be read
    text: str  #: the provider's words, such as "$ 150.00 USD"

    @property
    def has_cents(self) -> bool:
        """Whether the words have cents, so that balances differ to the cent; "$ 150" may be rounded."""
        return re.search(r"\d[.,]\d\d(?![.,]?\d)", self.text) is not None


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The service list as we know it."""

    services: tuple[ServiceInfo, ...]
    refreshed_at: float  #: Unix time, 0 for never
    stale: bool  #: older than it should be, because the provider did not answer
    error: str  #: why the last question failed, or ""

    @property
    def orderable(self) -> int:
        """How many can be ordered by IMEI alone."""
        return sum(service.orderable for service in self.services)

    def find(self, service_id: str) -> ServiceInfo | None:
        """The listed service with this id."""
        return next((service for service in self.services if service.package_id == service_id), None)


@dataclass(frozen=True, slots=True)
class Balance:
    """The account's credits as they were last read."""

    credits: float | None  #: US dollars; None where unknown
    text: str  #: the provider's words
    at: float  #: Unix time, 0 for never
    trusted: bool  #: young enough to refuse a batch that costs more
    is_outdated: bool = False  #: orders were sent since: it may be less by now


class Item(NamedTuple):
    """One IMEI of a batch."""

    item_id: int
    imei: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Up to 100 IMEIs of one batch that travel in one call."""

    chunk_id: int
    batch_id: int
    service_id: str
    attempt: int  #: 1 for the first call, counted when the intent is written
    attempt_id: int  #: the attempt that says when it was sent; of a chunk in doubt, the one that may have placed orders
    items: tuple[Item, ...]
    doubt_attempt: int | None = None  #: the earlier attempt that may have placed these IMEIs, which this chunk repeats
    cleared: bool = False  #: a person says that the earlier attempt placed nothing
    account: str = MAIN_ACCOUNT  #: the provider account that alone sends, looks and settles it

    @property
    def first_attempt(self) -> int:
        """The first attempt that may have placed these IMEIs."""
        return self.doubt_attempt or self.attempt_id


class ItemOutcome(NamedTuple):
    """What one answer means for one item."""

    item_id: int
    imei: str
    outcome: Outcome
    order_id: str | None = None
    status: str = OrderStatus.PENDING
    message: str = ""


@dataclass(frozen=True, slots=True)
class BatchNames:
    """What the user calls a batch."""

    name: str  #: the file's name where nobody gave another
    customer: str = ""  #: customer or purchase order
    note: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """A batch at one moment, as every page, stream and command shows it."""

    batch_id: int
    label: str
    state: BatchState
    service_id: str
    service_name: str
    unit_price: float  #: US dollars an IMEI that is ordered from now on
    total: int
    outcomes: dict[Outcome, int]  #: one entry an outcome; the values sum to total
    chunks: dict[ChunkState, int]  #: one entry a state
    revision: int  #: grows with every change
    spent: float  #: US dollars of its orders: what each cost when it was placed
    results: int = 0  #: orders that are completed or rejected, or whose result the provider withholds
    pending: int = 0  #: orders whose result is still to come
    withheld: int = 0  #: orders whose result the provider does not give; among the results
    verdicts: VerdictCounts = NO_VERDICTS  #: of its orders
    notice: str = ""  #: why it is paused or slow, in the provider's or our words
    resumes_itself: bool = False  #: paused until the provider's maintenance ends
    created_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    source: str = ""  #: "scan" for a phone of scan mode, which lists of batches leave out
    customer: str = ""  #: customer or purchase order
    note: str = ""
    ordered_by: str = ""  #: the user or token; "" for a batch from before users

    @property
    def names(self) -> BatchNames:
        """What the user calls it."""
        return BatchNames(self.label, self.customer, self.note)

    @property
    def done(self) -> int:
        """IMEIs whose outcome is no longer waiting."""
        return sum(n for outcome, n in self.outcomes.items() if outcome is not Outcome.WAITING)

    @property
    def handled(self) -> int:
        """IMEIs that were sent, or needed no sending: neither waiting nor cancelled."""
        return self.done - self.outcomes[Outcome.CANCELLED]

    @property
    def stage(self) -> BatchStage:
        """Where it stands for a person. A pause that ends by itself counts as sending; doubt is settled first."""
        if self.state is BatchState.RUNNING or self.resumes_itself:
            return BatchStage.SENDING
        if self.state is BatchState.PAUSED or self.outcomes[Outcome.IN_DOUBT]:
            return BatchStage.NEEDS_YOU
        if self.outcomes[Outcome.CANCELLED]:
            return BatchStage.STOPPED
        return BatchStage.WAITING if self.pending else BatchStage.COMPLETE

    @property
    def reason(self) -> str:
        """Why it needs a person, in a sentence; "" where it does not."""
        if self.stage is not BatchStage.NEEDS_YOU:
            return ""
        return self.notice or f"{self.outcomes[Outcome.IN_DOUBT]:,} in doubt."

    @property
    def is_settled(self) -> bool:
        """Whether nothing of it will change any more: all is sent, nothing is in doubt, no result is to come."""
        return self.stage in (BatchStage.COMPLETE, BatchStage.STOPPED) and not self.pending

    @property
    def expected(self) -> int:
        """Results that there will be: those of its orders, and of IMEIs that may still become orders."""
        return self.results + self.pending + self.outcomes[Outcome.WAITING] + self.outcomes[Outcome.IN_DOUBT]

    @property
    def result_percent(self) -> int:
        """Whole percent of the expected results that are here."""
        return 100 * self.results // self.expected if self.expected else 100

    @property
    def percent(self) -> int:
        """Whole percent of the IMEIs that were handled, 100 only when all were."""
        return 100 * self.handled // self.total if self.total else 100

    @property
    def cost(self) -> float:
        """US dollars if everything that waits or is in doubt is ordered too, at the price of now."""
        return self.spent + self.unit_price * (self.outcomes[Outcome.WAITING] + self.outcomes[Outcome.IN_DOUBT])

    @property
    def at_stake(self) -> float:
        """US dollars that may have been charged for items in doubt."""
        return self.unit_price * self.outcomes[Outcome.IN_DOUBT]


@dataclass(frozen=True, slots=True)
class SubmissionResult:
    """What became of the IMEIs of one call of submit_batch."""

    total: int
    successful: int  #: ordered
    failed: int  #: refused or cancelled
    duration: float  #: seconds
    batch_id: int
    duplicates: int
    in_doubt: int  #: sent, and may have been charged; not settled yet
    throughput: float  #: IMEIs a second
    waiting: int = 0  #: not sent yet, because the batch is paused
    state: str = BatchState.FINISHED.value
    notice: str = ""  #: why it is paused
    orders: tuple[dict[str, object], ...] = field(default=(), repr=False)
    errors: tuple[dict[str, str], ...] = field(default=(), repr=False)

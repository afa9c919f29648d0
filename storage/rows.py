"""The frozen types of what is read whole from the database: one `from_row` each, and no dicts beyond this room.

They are named tuples in the order of their SELECT: a page or an export makes thousands of them, and a tuple costs a
third of a frozen dataclass.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from sqlalchemy import Column, Row

from orders import OrderStatus
from schema import orders

#: Characters of a result text that a line about an earlier order may show.
WORDS = 160
#: Why an order, or an IMEI in doubt, can be disputed.
ABOUT_ANOTHER, NOT_ANSWERED = "The result is about IMEI ", "Sent, and no answer says whether it was placed"
#: Rows that a walk reads at a time.
WALKED_AT_ONCE = 2000
#: Digits of a number that no row has; SQLite cannot compare much longer ones.
BEYOND_IDS = 19


def read_id(text: str) -> int | None:
    """Return the id of a row that a text is; None for any other text."""
    return int(text) if text.isdecimal() and len(text) < BEYOND_IDS else None


class Numbered(Protocol):
    """A row with a number of its own."""

    @property
    def id(self) -> int:
        """The number."""


NumberedRow = TypeVar("NumberedRow", bound=Numbered)


def walked(page: Callable[[int | None, int], Sequence[NumberedRow]]) -> Iterator[NumberedRow]:
    """Yield all rows, page by page, each page after the id of the last row. No transaction is held between two pages.

    page: returns the rows after an id, or the first ones, up to a limit.
    """
    rows = page(None, WALKED_AT_ONCE)
    while rows:
        yield from rows
        rows = page(rows[-1].id, WALKED_AT_ONCE)


class Order(NamedTuple):
    """One row of the orders table. Times are UTC."""

    id: int  #: row id, which grows with each stored order
    order_id: str | None  #: the provider's; None where it came from a file that names none
    service_name: str | None
    service_id: str | None
    imei: str
    imei2: str | None
    credits: float | None  #: US dollars
    status: str | None  #: one of OrderStatus where known, else the provider's own word
    order_date: datetime | None
    carrier: str | None
    simlock: str | None
    model: str | None
    fmi: str | None
    result_code: str | None  #: the result text as the provider sent it, untrusted
    result_code_display: str | None  #: the result text without markup
    notes: str | None
    raw_response: str | None  #: the provider's record that placed the order, as JSON
    created_at: datetime | None
    updated_at: datetime | None
    blacklist: str | None
    serial: str | None
    warranty: str | None
    batch_id: int | None  #: None for an order of no batch of ours
    attempt_id: int | None  #: the call that placed it
    other_imei: str | None  #: the IMEI that the result is about, if not the ordered one
    existed: bool  #: the provider had it before our call, so it cost nothing
    verdict: str | None  #: a word of grading.Verdict; None while there is no result
    verdict_rule: int | None  #: the line of these rules that decided, from 1
    rules_version: int | None  #: the rules that graded it
    account: str  #: the provider account that has it

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of `select(orders)`."""
        return cls._make(row)

    @property
    def words(self) -> str:
        """The beginning of its result text."""
        return (self.result_code_display or "")[:WORDS]


class FoundOrder(NamedTuple):
    """An order of a list of IMEIs that somebody looked up."""

    order: Order
    place: int  #: of its IMEI in the list, from 0

    @classmethod
    def from_row(cls, row: Row[Any]) -> Self:
        """Make one of a row of the columns of an order and its place."""
        return cls(Order.from_row(row[:-1]), row[-1])


class OrderedItem(NamedTuple):
    """One IMEI of a batch, with the columns of its order; all of these are None where it has none. Times are UTC."""

    item_id: int
    imei: str
    outcome: str  #: a word of Outcome
    message: str | None  #: why the outcome is what it is
    order_id: str | None
    status: str | None
    credits: float | None  #: US dollars
    order_date: datetime | None
    carrier: str | None
    simlock: str | None
    model: str | None
    fmi: str | None
    blacklist: str | None
    imei2: str | None
    result_code_display: str | None
    service_name: str | None
    serial: str | None
    warranty: str | None
    batch_id: int | None
    created_at: datetime | None
    updated_at: datetime | None
    verdict: str | None  #: a word of grading.Verdict; None while there is no result
    other_imei: str | None  #: the IMEI that the result is about, if not the ordered one

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of its columns, in this order."""
        return cls._make(row)

    @classmethod
    def order_columns(cls) -> list[Column[Any]]:
        """Return the columns that the order gives."""
        return [orders.c[name] for name in cls._fields[4:]]


class DoubtfulItem(NamedTuple):
    """One IMEI that was sent and has no clear answer."""

    item_id: int
    imei: str
    message: str | None  #: what is known about this IMEI alone
    chunk_id: int
    cleared: bool  #: a person says that it was not placed
    batch_id: int
    label: str  #: of its batch
    service_name: str
    unit_price: float  #: US dollars that may have been charged
    sent_at: datetime | None  #: UTC; the last time

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of its columns, in this order."""
        return cls._make(row)


class EarlierOrder(NamedTuple):
    """What a preview shows of an order that an IMEI has already."""

    imei: str
    order_id: str | None
    status: str | None
    order_date: datetime | None  #: UTC
    changed_at: datetime | None  #: UTC; when it, or its result, was stored
    carrier: str | None
    simlock: str | None
    model: str | None
    fmi: str | None
    blacklist: str | None
    service_name: str | None
    verdict: str | None  #: a word of grading.Verdict; None while there is no result
    words: str  #: the beginning of its result text
    id: int  #: row id of the order
    second_of: str  #: the IMEI that was ordered, where its result names this one as the second of the phone; else ""

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of its columns, in this order."""
        return cls._make(row)


class DisputableOrder(NamedTuple):
    """What can be disputed with the provider: an order, or an IMEI in doubt, which has no order id."""

    id: int  #: row id of the order, or of the item in doubt
    order_id: str | None
    imei: str
    service_name: str | None
    credits: float | None  #: US dollars that were, or may have been, charged
    order_date: datetime | None  #: UTC; when an IMEI in doubt was sent the last time
    status: str | None
    batch_id: int | None
    other_imei: str | None  #: the IMEI that the result is about, if not the ordered one
    said: str | None  #: the provider's words

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of its columns, in this order."""
        return cls._make(row)

    @property
    def why(self) -> str:
        """Why it is listed, in a sentence."""
        if self.other_imei:
            return ABOUT_ANOTHER + self.other_imei
        return "Rejected" if self.status == OrderStatus.REJECTED else NOT_ANSWERED


class Dispute(NamedTuple):
    """What a person disputes with the provider. Times are UTC."""

    id: int
    kind: str  #: a word of orders.DisputeKind
    state: str  #: a word of orders.DisputeState
    order_row: int | None  #: the row of the order; None for an item in doubt
    item_id: int | None  #: the item in doubt; None for an order
    order_id: str | None
    imei: str
    service_name: str
    price: float  #: US dollars that were, or may have been, charged
    ordered_at: datetime | None  #: when an item in doubt was sent the last time
    batch_id: int | None
    reason: str  #: a sentence
    said: str  #: the beginning of the provider's words
    note: str  #: the newest note
    refund: float  #: US dollars that the provider paid back
    refunded_on: str | None  #: UTC day, such as 2026-11-25
    opened_at: datetime
    changed_at: datetime

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of `select(disputes)`."""
        return cls._make(row)

    @property
    def text(self) -> str:
        """What the provider is asked to read: the note, else the provider's own words."""
        return self.note or self.said


class DisputeEvent(NamedTuple):
    """One entry of the history of a dispute."""

    at: datetime  #: UTC
    person: str
    state: str  #: a word of orders.DisputeState: from now on
    refund: float  #: US dollars from now on
    note: str

    @classmethod
    def from_row(cls, row: Iterable[Any]) -> Self:
        """Make one of a row of its columns, in this order."""
        return cls._make(row)

"""A list of refunds as the provider sends it, an order id and an amount in each line, and what it means. Pure."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from amounts import exceeds
from orders import DisputeState
from storage.dispute_store import COMES_FROM
from storage.rows import Dispute

#: Most lines of one list.
MOST_LINES = 5000
SEPARATOR = re.compile(r"[\t;]+|,\s*|\s+")
AMOUNT = re.compile(r"-?\$?\s*(\d{1,7}(?:[.,]\d{1,4})?)\s*(?:\$|USD)?")

UNREADABLE = "Not an order id and an amount"
UNKNOWN = "No dispute of this order"
REPEATED = "The order is in the list before"
EXCEEDS = "More than the price"


@dataclass(frozen=True, slots=True)
class RefundLine:
    """One line of the list."""

    number: int  #: from 1
    text: str  #: as it was pasted
    order_id: str = ""
    amount: float = 0.0  #: US dollars
    dispute: Dispute | None = None
    problem: str = ""  #: why it is not recorded; "" where it is

    @property
    def is_recorded(self) -> bool:
        """Whether the refund will be recorded."""
        return self.dispute is not None and not self.problem


def read_dollars(text: str) -> float | None:
    """Return an amount such as 1.25, 1,25 or $1.25; None for anything else."""
    found = AMOUNT.fullmatch(text.strip())
    return float(found[1].replace(",", ".")) if found and not text.strip().startswith("-") else None


def read_day(text: str) -> date | None:
    """Return a UTC day such as 2026-11-25; None for anything else."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return None


def read_lines(text: str) -> list[RefundLine]:
    """Return the lines that are not empty; a line that cannot be read has a problem. A heading is left out."""
    found = [_read_line(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    is_heading = bool(found) and bool(found[0].problem) and not any(sign.isdigit() for sign in found[0].text)
    return found[1:] if is_heading else found


def _read_line(number: int, line: str) -> RefundLine:
    order_id, _, rest = SEPARATOR.sub("\t", line, count=1).partition("\t")
    amount = read_dollars(rest)
    if amount is None or not order_id.isalnum():
        return RefundLine(number, line[:80], problem=UNREADABLE)
    return RefundLine(number, line[:80], order_id, amount)


def matched(lines: Iterable[RefundLine], known: Mapping[str, Dispute], may_exceed: bool) -> list[RefundLine]:
    """Return the lines with their disputes, and the problem of each that is not recorded. known: by order id."""
    found: list[RefundLine] = []
    seen: set[str] = set()
    for line in lines:
        dispute = known.get(line.order_id)
        problem = line.problem or _problem(line, dispute, line.order_id in seen, may_exceed)
        found.append(replace(line, dispute=dispute, problem=problem))
        seen.add(line.order_id)
    return found


def _problem(line: RefundLine, dispute: Dispute | None, is_repeated: bool, may_exceed: bool) -> str:
    if dispute is None:
        return UNKNOWN
    if is_repeated:
        return REPEATED
    if dispute.state == DisputeState.REFUNDED or dispute.state not in COMES_FROM[DisputeState.REFUNDED]:
        return f"The dispute is {dispute.state} already"
    if not line.amount:
        return "The amount is 0"
    return EXCEEDS if exceeds(line.amount, dispute.price) and not may_exceed else ""


def mark_of(lines: Iterable[RefundLine]) -> str:
    """Return a name for exactly these refunds, so that nothing else is recorded than what a page showed."""
    recorded = [(line.dispute.id, line.amount) for line in lines if line.is_recorded and line.dispute]
    return hashlib.sha256(repr(recorded).encode()).hexdigest()[:32]

"""What the report of a batch shows, on its own page and behind a link. No routes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from database import IMEIDatabase, utc_now
from grading import VerdictCounts
from orders import Outcome, Progress
from storage import batch_queries, order_filters, order_queries, order_reports
from storage.kept_sums import FINDINGS
from storage.order_reports import FindingCount

#: Most values of each finding on the report.
PRINTED = 12


@dataclass(frozen=True, slots=True)
class BatchSummary:
    """The report of one batch."""

    batch: Progress
    now: datetime  #: UTC
    results: dict[str, int]  #: status → orders
    fields: Sequence[tuple[str, list[FindingCount]]]  #: finding → its values, the most frequent first
    errors: list[tuple[Outcome, str, int]]  #: outcome, reason → IMEIs that were not ordered
    mismatched: int  #: results about another IMEI
    verdicts: VerdictCounts
    shown: int = PRINTED  #: values of each finding


def summary_of(database: IMEIDatabase, batch: Progress) -> BatchSummary:
    """Return the report of a batch."""
    with database.read() as connection:
        found = order_reports.finding_summary(connection, batch.batch_id)
        mismatched = order_filters.mismatched_count(connection, batch.batch_id)
    return BatchSummary(
        batch=batch,
        now=utc_now(),
        results=order_queries.status_counts(database, batch.batch_id),
        fields=[(name, [row for row in found if row.field == name]) for name in FINDINGS],
        errors=batch_queries.batch_errors(database, batch.batch_id),
        mismatched=mismatched,
        verdicts=batch.verdicts,
    )

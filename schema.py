"""The tables, as SQLAlchemy sees them. Migrations make them; nothing here touches a connection.

Times are UTC. `orders` keeps the column names of the specification. `sums()` is what orders add up to.
"""

from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import (
    REAL,
    TIMESTAMP,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Subquery,
    Table,
    Text,
    cast,
    func,
    literal_column,
    select,
    text,
    union_all,
)

from orders import BatchState, ChunkState, Outcome, RequestState

metadata = MetaData()

#: US dollars in the unit of the totals.
MILLIONTH = 1e-6


def _one_of(column: str, states: type[StrEnum]) -> CheckConstraint:
    words = ", ".join(f"'{state}'" for state in states)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_is_known")


orders = Table(
    "orders",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("order_id", Text, unique=True),
    Column("service_name", Text),
    Column("service_id", Text),
    Column("imei", Text, nullable=False),
    Column("imei2", Text),
    Column("credits", REAL),
    Column("status", Text),
    Column("order_date", TIMESTAMP),
    Column("carrier", Text),
    Column("simlock", Text),
    Column("model", Text),
    Column("fmi", Text),
    Column("result_code", Text),
    Column("result_code_display", Text),
    Column("notes", Text),
    Column("raw_response", Text),
    Column("created_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("updated_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("blacklist", Text),
    Column("serial", Text),
    Column("warranty", Text),
    Column("batch_id", Integer, ForeignKey("batches.id")),
    Column("attempt_id", Integer),
    Column("other_imei", Text),
    Column("existed", Boolean, nullable=False, server_default=text("0")),  #: the provider had it before our call
    Column("verdict", Text),  #: a word of grading.Verdict; NULL while there is no result
    Column("verdict_rule", Integer),  #: the line of these rules that decided, from 1
    Column("rules_version", Integer, ForeignKey("rule_versions.id")),  #: the rules that graded it
    sqlite_autoincrement=True,
)
Index("idx_imei", orders.c.imei)
Index("idx_order_id", orders.c.order_id)
Index("idx_order_date", orders.c.order_date.desc())
Index("idx_status", orders.c.status)
Index("idx_orders_batch", orders.c.batch_id)
Index("idx_orders_service", orders.c.service_id)
#: The condition of the index of pending orders; a query must contain exactly these words to use it.
NOT_FINAL = text("status NOT IN ('Completed', 'Rejected')")
Index("idx_orders_pending", orders.c.order_date, sqlite_where=NOT_FINAL)
# Empty when an order is placed: partial indexes, so that placing an order does not pay for them.
_FILLED_LATER = (
    "imei2", "other_imei", "carrier", "simlock", "fmi", "blacklist", "model", "serial", "verdict",
)  # fmt: skip
for _name in _FILLED_LATER:
    Index(f"idx_orders_{_name}", orders.c[_name], sqlite_where=orders.c[_name].is_not(None))
for _finding in (orders.c.simlock, orders.c.fmi, orders.c.blacklist):
    _both = orders.c.verdict.is_not(None) & _finding.is_not(None)
    Index(f"idx_orders_verdict_{_finding.name}", orders.c.verdict, _finding, sqlite_where=_both)
#: Orders with a result that nobody has graded, in the words of the index: none, except after an upgrade.
UNGRADED = text("verdict IS NULL AND status IN ('Completed', 'Rejected')")
Index("idx_orders_ungraded", orders.c.verdict, sqlite_where=UNGRADED)

#: The condition of the index of rejected orders, which holds the columns that filters test. coalesce() keeps it apart
#: from idx_status, which answers a filter by "Rejected" alone, newest first.
IS_REJECTED = text("coalesce(status, '') = 'Rejected'")
_TESTED = (
    "id", "order_date", "imei", "service_id", "batch_id", "carrier", "simlock", "fmi", "order_id", "blacklist", "model",
    "serial", "verdict",
)  # fmt: skip
Index("idx_orders_rejected", *(orders.c[name] for name in _TESTED), sqlite_where=IS_REJECTED)

#: The user's grading rules; the newest version is the one in force.
rule_versions = Table(
    "rule_versions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("rules", Text, nullable=False),  #: JSON, as grading.rules_to_json writes it
    Column("author", Text, nullable=False, server_default=""),  #: who saved it; "" for the rules we came with
    sqlite_autoincrement=True,
)

#: What the orders up to a row id add up to, so that nobody counts millions of them; storage/kept_sums.py says how.
order_totals = Table(
    "order_totals",
    metadata,
    Column("batch_id", Integer, primary_key=True),  #: 0 for orders of no batch
    Column("day", Text, primary_key=True),  #: UTC, such as 2026-11-25; "" where it is unknown
    Column("service_name", Text, primary_key=True),
    Column("status", Text, primary_key=True),
    Column("verdict", Text, primary_key=True),  #: "" where there is none
    Column("orders", Integer, nullable=False),
    Column("millionths", Integer, nullable=False),  #: of a US dollar: whole numbers add up exactly
    sqlite_with_rowid=False,
)
Index("idx_order_totals_day", order_totals.c.day)

totals_mark = Table("totals_mark", metadata, Column("upto", Integer, nullable=False))  #: one row: the last row id

status_changes = Table(
    "status_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("order_row", Integer, ForeignKey("orders.id"), nullable=False),
    Column("old", Text),
    Column("new", Text, nullable=False),
    Column("changed_at", TIMESTAMP, nullable=False),
)
Index("idx_status_changes_order", status_changes.c.order_row)

#: Orders without a result for which the provider, asked for one alone, gives none.
withheld_results = Table(
    "withheld_results",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("since", TIMESTAMP, nullable=False),
    Column("asked_at", TIMESTAMP, nullable=False),
    Column("times", Integer, nullable=False),  #: how often it was asked for alone
    Column("answer", Text, nullable=False),  #: what the provider answered, in its words or ours
    Column("spoils_lists", Boolean, nullable=False),  #: a list with it is unreadable or refused
)

import_history = Table(
    "import_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("filename", Text, nullable=False),
    Column("imported_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("rows_read", Integer, nullable=False, default=0),
    Column("rows_new", Integer, nullable=False, default=0),
    Column("rows_updated", Integer, nullable=False, default=0),
    Column("rows_unchanged", Integer, nullable=False, default=0),
    Column("rows_failed", Integer, nullable=False, default=0),
    Column("undone_at", TIMESTAMP),
)

import_changes = Table(
    "import_changes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("import_id", Integer, ForeignKey("import_history.id"), nullable=False),
    Column("order_row", Integer, nullable=False),
    Column("before", Text),
    Column("after", Text, nullable=False),
)
Index("idx_import_changes_import", import_changes.c.import_id)
Index("idx_import_changes_order", import_changes.c.order_row)

batches = Table(
    "batches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("label", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("service_id", Text, nullable=False),
    Column("service_name", Text, nullable=False),
    Column("unit_price", REAL, nullable=False),
    Column("total", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("notice", Text, nullable=False, server_default=""),
    Column("resumes_itself", Boolean, nullable=False, server_default=text("0")),
    Column("confirm_token", Text, unique=True),
    Column("fingerprint", Text, nullable=False, server_default=""),
    Column("revision", Integer, nullable=False, server_default=text("0")),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("started_at", TIMESTAMP),
    Column("finished_at", TIMESTAMP),
    Column("tally", Text),  #: counts of a finished batch as JSON, true while its revision is tally_revision
    Column("tally_revision", Integer),
    Column("is_judged", Boolean, nullable=False, server_default=text("0")),  #: by the stop-loss: once for each batch
    Column("customer", Text, nullable=False, server_default=""),  #: or purchase order, in the user's words
    Column("note", Text, nullable=False, server_default=""),
    _one_of("state", BatchState),
    sqlite_autoincrement=True,
)
Index("idx_batches_state", batches.c.state)
#: The condition of the index of batches that lists show: scan mode makes a batch for each phone, listed by session.
IS_LISTED = text("source != 'scan'")
Index("idx_batches_listed", batches.c.id, sqlite_where=IS_LISTED)
Index("idx_batches_fingerprint", batches.c.fingerprint)
#: The condition of the index of finished batches whose tally is missing or outdated.
UNTALLIED = text("state = 'finished' AND tally_revision IS NOT revision")
Index("idx_batches_untallied", batches.c.state, sqlite_where=UNTALLIED)

chunks = Table(
    "chunks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", Integer, ForeignKey("batches.id"), nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempt", Integer, nullable=False, server_default=text("0")),
    Column("message", Text, nullable=False, server_default=""),
    #: The earlier attempt that may have placed these IMEIs: such a chunk is sent right after a look at the list only.
    Column("doubt_attempt", Integer),
    Column("cleared", Boolean, nullable=False, server_default=text("0")),  #: a person says that nothing was placed
    _one_of("state", ChunkState),
    sqlite_autoincrement=True,
)
Index("idx_chunks_batch", chunks.c.batch_id, chunks.c.state)
#: Calls that are on the wire or in doubt. Literals: SQLite uses a partial index only for exactly its words.
OPEN_CALL = chunks.c.state.in_([literal_column("'sending'"), literal_column("'in_doubt'")])
Index("idx_chunks_open", chunks.c.state, sqlite_where=OPEN_CALL)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("chunk_id", Integer, ForeignKey("chunks.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("imeis", Integer, nullable=False),
    Column("ended_before", Integer, nullable=False, server_default=text("0")),
    Column("after_order", Integer, nullable=False, server_default=text("0")),  #: the newest row id of orders by then
    Column("first_list", Text, nullable=False, server_default=""),  #: fingerprint of the first list seen in doubt
    Column("sent_at", TIMESTAMP, nullable=False),
    Column("ended_at", TIMESTAMP),
    Column("result", Text),
    Column("message", Text, nullable=False, server_default=""),
    sqlite_autoincrement=True,
)
Index("idx_attempts_chunk", attempts.c.chunk_id)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("batch_id", Integer, ForeignKey("batches.id"), nullable=False),
    Column("chunk_id", Integer, ForeignKey("chunks.id")),
    Column("service_id", Text, nullable=False),
    Column("imei", Text, nullable=False),
    Column("source_row", Integer),
    Column("outcome", Text, nullable=False),
    Column("message", Text),
    _one_of("outcome", Outcome),
)
Index("idx_items_chunk", items.c.chunk_id)
Index("idx_items_batch", items.c.batch_id, items.c.outcome)
# Only items with a message: a clean batch has none.
Index(
    "idx_items_message", items.c.batch_id, items.c.outcome, items.c.message, sqlite_where=items.c.message.is_not(None)
)
#: Items that may still be ordered, in the words of the index.
UNDECIDED = items.c.outcome.in_([literal_column("'waiting'"), literal_column("'in_doubt'")])
Index(
    "idx_items_one_in_flight",
    items.c.service_id,
    items.c.imei,
    unique=True,
    sqlite_where=UNDECIDED,
)

uploads = Table(
    "uploads",
    metadata,
    Column("token", Text, primary_key=True),
    Column("label", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("service_id", Text, nullable=False),
    Column("choice", Text, nullable=False, server_default="{}"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("customer", Text, nullable=False, server_default=""),
    Column("note", Text, nullable=False, server_default=""),
)

#: One scan of a phone in scan mode; the same phone scanned twice in a session is one row.
scans = Table(
    "scans",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session", Text, nullable=False),  #: a random name
    Column("imei", Text, nullable=False),
    Column("service_id", Text, nullable=False),
    Column("scanned_at", TIMESTAMP, nullable=False),
    Column("batch_id", Integer, ForeignKey("batches.id")),  #: the batch that checks it, of this scan or an earlier one
    Column("order_row", Integer),  #: the row of the order with the known result, where nothing is checked
    Column("is_new", Boolean, nullable=False),  #: whether this scan made its batch, so that the session pays for it
    sqlite_autoincrement=True,
)
Index("idx_scans_session", scans.c.session)

saved_searches = Table(
    "saved_searches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("imeis", Text, nullable=False),  # a JSON list, in the order of the paste
    Column("rejected", Integer, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_saved_searches_created", saved_searches.c.created_at)  # long lists before this column are slow to skip

services = Table(
    "services",
    metadata,
    Column("service_id", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("price", REAL, nullable=False),
    Column("previous_price", REAL),
    Column("category", Text, nullable=False, server_default=""),
    Column("delivery", Text, nullable=False, server_default=""),
    Column("must_read", Text, nullable=False, server_default=""),
    Column("required_fields", Text, nullable=False, server_default="[]"),
    Column("listed", Boolean, nullable=False, server_default=text("1")),
    Column("refreshed_at", REAL, nullable=False),
    Column("favourite", Boolean, nullable=False, server_default=text("0")),  #: the user's; the provider knows none
)

#: Answers to accountinfo at moments when no call was on the wire.
balance_readings = Table(
    "balance_readings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("read_at", TIMESTAMP, nullable=False),
    Column("credits", REAL, nullable=False),  #: US dollars
    Column("before_attempt", Integer, nullable=False),  #: attempts with a smaller id had ended, the others not begun
    Column("after_order", Integer, nullable=False),  #: the newest row id of orders by then
    sqlite_autoincrement=True,
)
Index("idx_balance_readings_before", balance_readings.c.before_attempt)

#: One row: which process may record intents, by a number that grows with each change of hands.
leases = Table(
    "leases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("place", Text, nullable=False),  #: path and inode of the database file when the lease was taken
    Column("taken_at", TIMESTAMP, nullable=False),
)

list_proofs = Table(
    "list_proofs",
    metadata,
    Column("service_id", Text, primary_key=True),
    Column("longest", Integer, nullable=False),
    Column("proven_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
)

#: What pages and commands ask of the leader, the one process that calls the provider. Times are Unix time.
provider_requests = Table(
    "provider_requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("argument", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked_at", REAL, nullable=False),
    Column("answered_at", REAL),
    Column("error", Text, nullable=False, server_default=""),  #: why there is no answer, as a sentence
    Column("failure", Text, nullable=False, server_default=""),  #: the kind of error, by which it is raised again
    _one_of("state", RequestState),
    sqlite_autoincrement=True,
)
#: Requests without an answer, in the words of the index. Identical ones are joined.
OPEN_REQUEST = text("state IN ('waiting', 'asking')")
Index(
    "idx_provider_requests_open",
    provider_requests.c.kind,
    provider_requests.c.argument,
    unique=True,
    sqlite_where=OPEN_REQUEST,
)
#: Requests that are over, in the words of the index.
FINISHED_REQUEST = text("state IN ('answered', 'failed')")
Index("idx_provider_requests_finished", provider_requests.c.kind, sqlite_where=FINISHED_REQUEST)

#: The orders that the provider's answer to a request lists.
listed_orders = Table(
    "listed_orders",
    metadata,
    Column("request_id", Integer, ForeignKey("provider_requests.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("order_id", Text, nullable=False),
    Column("imei", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("service", Text, nullable=False),  #: the provider's word for it
    Column("requested_at", Text, nullable=False),  #: the provider's text, without a time zone
    sqlite_with_rowid=False,
)

stored_settings = Table(
    "settings",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


@cache
def sums() -> Subquery:
    """batch_id, day, service_name, status, verdict, orders and millionths of a dollar: every order exactly once."""
    mark = select(totals_mark.c.upto).scalar_subquery()
    newer: Any = select(
        func.coalesce(orders.c.batch_id, 0).label("batch_id"),
        func.coalesce(func.date(orders.c.order_date), "").label("day"),
        func.coalesce(orders.c.service_name, "").label("service_name"),
        func.coalesce(orders.c.status, "").label("status"),
        func.coalesce(orders.c.verdict, "").label("verdict"),
        literal_column("1").label("orders"),
        millionths().label("millionths"),
    ).where(orders.c.id > mark)
    return union_all(select(*order_totals.c), newer).subquery("sums")


def millionths() -> ColumnElement[int]:
    """The price of an order in millionths of a US dollar, so that sums are exact."""
    return cast(func.round(func.coalesce(orders.c.credits, 0) * 1_000_000), Integer)

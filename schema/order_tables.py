"""Orders, what they add up to, and what files changed. `orders` keeps the column names of the specification."""

from functools import cache
from typing import Any

from sqlalchemy import (
    TIMESTAMP,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Subquery,
    Table,
    and_,
    cast,
    false,
    func,
    literal_column,
    select,
    text,
    union_all,
)

from schema.columns import INTEGER, REAL, TEXT, metadata, only
from settings import MAIN_ACCOUNT

#: US dollars in the unit of the totals.
MILLIONTH = 1e-6

orders = Table(
    "orders",
    metadata,
    Column("id", INTEGER, primary_key=True, autoincrement=True),
    Column("order_id", TEXT, unique=True),
    Column("service_name", TEXT),
    Column("service_id", TEXT),
    Column("imei", TEXT, nullable=False),
    Column("imei2", TEXT),
    Column("credits", REAL),
    Column("status", TEXT),
    Column("order_date", TIMESTAMP),
    Column("carrier", TEXT),
    Column("simlock", TEXT),
    Column("model", TEXT),
    Column("fmi", TEXT),
    Column("result_code", TEXT),
    Column("result_code_display", TEXT),
    Column("notes", TEXT),
    Column("raw_response", TEXT),
    Column("created_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("updated_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("blacklist", TEXT),
    Column("serial", TEXT),
    Column("warranty", TEXT),
    Column("batch_id", INTEGER, ForeignKey("batches.id")),
    Column("attempt_id", INTEGER),
    Column("other_imei", TEXT),
    Column("existed", Boolean, nullable=False, server_default=false()),  #: the provider had it before our call
    Column("verdict", TEXT),  #: a word of grading.Verdict; NULL while there is no result
    Column("verdict_rule", INTEGER),  #: the line of these rules that decided, from 1
    Column("rules_version", INTEGER, ForeignKey("rule_versions.id")),  #: the rules that graded it
    Column("account", TEXT, nullable=False, server_default=MAIN_ACCOUNT),  #: the provider account that has it
    sqlite_autoincrement=True,
)
Index("idx_imei", orders.c.imei)
Index("idx_order_id", orders.c.order_id)
Index("idx_order_date", orders.c.order_date.desc())
Index("idx_status", orders.c.status)
Index("idx_orders_batch", orders.c.batch_id)
Index("idx_orders_service", orders.c.service_id)
#: The condition of the index of orders of other accounts than the main one: empty where there is one account.
OF_MORE_ACCOUNTS = text("orders.account != 'main'")
Index("idx_orders_account", orders.c.account, orders.c.id, **only(OF_MORE_ACCOUNTS))
#: The condition of the index of pending orders; a query must contain exactly these words to use it.
NOT_FINAL = text("status NOT IN ('Completed', 'Rejected')")
Index("idx_orders_pending", orders.c.order_date, **only(NOT_FINAL))
#: Orders without a final status, in that index. What is said of the date keeps SQLite from idx_status.
PENDING_BY_DATE = and_(NOT_FINAL, func.has_any_value(orders.c.order_date))
# Empty when an order is placed: partial indexes, so that placing an order does not pay for them.
_FILLED_LATER = (
    "imei2", "other_imei", "carrier", "simlock", "fmi", "blacklist", "model", "serial", "verdict",
)  # fmt: skip
for _name in _FILLED_LATER:
    Index(f"idx_orders_{_name}", orders.c[_name], **only(orders.c[_name].is_not(None)))
for _finding in (orders.c.simlock, orders.c.fmi, orders.c.blacklist):
    _both = orders.c.verdict.is_not(None) & _finding.is_not(None)
    Index(f"idx_orders_verdict_{_finding.name}", orders.c.verdict, _finding, **only(_both))
#: Orders with a result that nobody has graded, in the words of the index: none, except after an upgrade.
UNGRADED = text("verdict IS NULL AND status IN ('Completed', 'Rejected')")
Index("idx_orders_ungraded", orders.c.verdict, **only(UNGRADED))

#: The condition of the index of rejected orders, which holds the columns that filters test. coalesce() keeps it apart
#: from idx_status, which answers a filter by "Rejected" alone, newest first.
IS_REJECTED = text("coalesce(status, '') = 'Rejected'")
_TESTED = (
    "id", "order_date", "imei", "service_id", "batch_id", "carrier", "simlock", "fmi", "order_id", "blacklist", "model",
    "serial", "verdict",
)  # fmt: skip
Index("idx_orders_rejected", *(orders.c[name] for name in _TESTED), **only(IS_REJECTED))

#: The user's grading rules; the newest version is the one in force.
rule_versions = Table(
    "rule_versions",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("rules", TEXT, nullable=False),  #: JSON, as grading.rules_to_json writes it
    Column("author", TEXT, nullable=False, server_default=""),  #: who saved it; "" for the rules we came with
    sqlite_autoincrement=True,
)

#: What the orders up to a row id add up to, so that nobody counts millions of them; storage/kept_sums.py says how.
order_totals = Table(
    "order_totals",
    metadata,
    Column("batch_id", INTEGER, primary_key=True),  #: 0 for orders of no batch
    Column("day", TEXT, primary_key=True),  #: UTC, such as 2026-11-25; "" where it is unknown
    Column("service_name", TEXT, primary_key=True),
    Column("status", TEXT, primary_key=True),
    Column("verdict", TEXT, primary_key=True),  #: "" where there is none
    Column("orders", INTEGER, nullable=False),
    Column("millionths", INTEGER, nullable=False),  #: of a US dollar: whole numbers add up exactly
    sqlite_with_rowid=False,
)
Index("idx_order_totals_day", order_totals.c.day)

totals_mark = Table("totals_mark", metadata, Column("upto", INTEGER, nullable=False))  #: one row: the last row id

status_changes = Table(
    "status_changes",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("order_row", INTEGER, ForeignKey("orders.id"), nullable=False),
    Column("old", TEXT),
    Column("new", TEXT, nullable=False),
    Column("changed_at", TIMESTAMP, nullable=False),
)
Index("idx_status_changes_order", status_changes.c.order_row)

#: Which orders were rejected, in the order in which that was recorded. Triggers write it, whoever changes an order.
rejections = Table(
    "rejections",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("order_row", INTEGER, nullable=False),
    sqlite_autoincrement=True,
)

#: Orders without a result for which the provider, asked for one alone, gives none.
withheld_results = Table(
    "withheld_results",
    metadata,
    Column("order_id", TEXT, primary_key=True),
    Column("since", TIMESTAMP, nullable=False),
    Column("asked_at", TIMESTAMP, nullable=False),
    Column("times", INTEGER, nullable=False),  #: how often it was asked for alone
    Column("answer", TEXT, nullable=False),  #: what the provider answered, in its words or ours
    Column("spoils_lists", Boolean, nullable=False),  #: a list with it is unreadable or refused
)

import_history = Table(
    "import_history",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("filename", TEXT, nullable=False),
    Column("imported_at", TIMESTAMP, server_default=func.current_timestamp()),
    Column("rows_read", INTEGER, nullable=False, default=0),
    Column("rows_new", INTEGER, nullable=False, default=0),
    Column("rows_updated", INTEGER, nullable=False, default=0),
    Column("rows_unchanged", INTEGER, nullable=False, default=0),
    Column("rows_failed", INTEGER, nullable=False, default=0),
    Column("undone_at", TIMESTAMP),
)

import_changes = Table(
    "import_changes",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("import_id", INTEGER, ForeignKey("import_history.id"), nullable=False),
    Column("order_row", INTEGER, nullable=False),
    Column("before", TEXT),
    Column("after", TEXT, nullable=False),
)
Index("idx_import_changes_import", import_changes.c.import_id)
Index("idx_import_changes_order", import_changes.c.order_row)

saved_searches = Table(
    "saved_searches",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("imeis", TEXT, nullable=False),  # a JSON list, in the order of the paste
    Column("rejected", INTEGER, nullable=False),
    Column("created_at", TIMESTAMP, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_saved_searches_created", saved_searches.c.created_at)  # long lists before this column are slow to skip


@cache
def sums() -> Subquery:
    """batch_id, day, service_name, status, verdict, orders and millionths of a dollar: every order exactly once."""
    mark = select(totals_mark.c.upto).scalar_subquery()
    newer: Any = select(
        func.coalesce(orders.c.batch_id, 0).label("batch_id"),
        func.coalesce(func.day_of(orders.c.order_date), "").label("day"),
        func.coalesce(orders.c.service_name, "").label("service_name"),
        func.coalesce(orders.c.status, "").label("status"),
        func.coalesce(orders.c.verdict, "").label("verdict"),
        literal_column("1").label("orders"),
        millionths().label("millionths"),
    ).where(orders.c.id > mark)
    return union_all(select(*order_totals.c), newer).subquery("sums")


def millionths() -> ColumnElement[int]:
    """The price of an order in millionths of a US dollar, so that sums are exact."""
    return cast(func.round(func.coalesce(orders.c.credits, 0) * 1_000_000), INTEGER)

"""Disputes, links to reports, what services have cost and taken, counts of results, and models of phones by TAC."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false, text

from orders import DisputeKind, DisputeState
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of
from schema.order_tables import orders

#: What a person disputes with the provider: one row for an order, or for an item in doubt, which has no order id.
#: The columns are what was claimed at that time; the order may get another result, or go with the import it came from.
disputes = Table(
    "disputes",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("order_row", INTEGER, unique=True),  #: the row of the order; NULL for an item in doubt
    Column("item_id", INTEGER, unique=True),  #: the item in doubt; NULL for an order
    Column("order_id", TEXT),
    Column("imei", TEXT, nullable=False),
    Column("service_name", TEXT, nullable=False, server_default=""),
    Column("price", REAL, nullable=False, server_default=text("0")),  #: US dollars that were, or may have been, charged
    Column("ordered_at", TIMESTAMP),  #: when an item in doubt was sent the last time
    Column("batch_id", INTEGER),
    Column("reason", TEXT, nullable=False, server_default=""),  #: a sentence
    Column("said", TEXT, nullable=False, server_default=""),  #: the beginning of the provider's words
    Column("note", TEXT, nullable=False, server_default=""),  #: the newest note
    Column("refund", REAL, nullable=False, server_default=text("0")),  #: US dollars that the provider paid back
    Column("refunded_on", TEXT),  #: UTC day, such as 2026-11-25
    Column("opened_at", TIMESTAMP, nullable=False),
    Column("changed_at", TIMESTAMP, nullable=False),
    one_of("kind", DisputeKind),
    one_of("state", DisputeState),
    sqlite_autoincrement=True,
)
Index("idx_disputes_state", disputes.c.state, disputes.c.id)
Index("idx_disputes_order_id", disputes.c.order_id)

#: The history of disputes.
dispute_events = Table(
    "dispute_events",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("dispute_id", INTEGER, ForeignKey("disputes.id"), nullable=False),
    Column("at", TIMESTAMP, nullable=False),
    Column("person", TEXT, nullable=False),  #: the name of the user or token at that time
    Column("state", TEXT, nullable=False),  #: from now on
    Column("refund", REAL, nullable=False, server_default=text("0")),  #: US dollars from now on
    Column("note", TEXT, nullable=False, server_default=""),
)
Index("idx_dispute_events_dispute", dispute_events.c.dispute_id)

#: Links that show the report of a batch without a login. The link itself is shown once and never stored.
report_links = Table(
    "report_links",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("batch_id", INTEGER, ForeignKey("batches.id"), nullable=False),
    Column("token_hash", TEXT, nullable=False, unique=True),  #: SHA-256
    Column("has_prices", Boolean, nullable=False, server_default=false()),
    Column("has_imeis", Boolean, nullable=False, server_default=false()),
    Column("has_csv", Boolean, nullable=False, server_default=false()),
    Column("created_at", TIMESTAMP, nullable=False),
    Column("created_by", TEXT, nullable=False),  #: the name of the user or token at that time
    Column("expires_at", TIMESTAMP, nullable=False),
    Column("revoked_at", TIMESTAMP),
    Column("opened_at", TIMESTAMP),  #: the last time
    Column("opens", INTEGER, nullable=False, server_default=text("0")),
    sqlite_autoincrement=True,
)
Index("idx_report_links_batch", report_links.c.batch_id)

#: What each service has cost since when. Times are Unix time.
service_prices = Table(
    "service_prices",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("since", REAL, primary_key=True),
    Column("price", REAL, nullable=False),  #: US dollars
)

#: How long orders of a service took until their result was stored, counted by the day of the order.
turnarounds = Table(
    "turnarounds",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("day", TEXT, primary_key=True),  #: UTC, such as 2026-11-25
    Column("step", INTEGER, primary_key=True),  #: of the scale in storage/service_figure_store.py
    Column("orders", INTEGER, nullable=False),
    sqlite_with_rowid=False,
)

#: What our orders say about a service. Computed in the background; storage/service_figure_store.py says how.
service_figures = Table(
    "service_figures",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("days", INTEGER, primary_key=True),  #: of the newest orders; 0: all
    Column("completed", INTEGER, nullable=False),
    Column("rejected", INTEGER, nullable=False),
    Column("spent", REAL, nullable=False),  #: US dollars
    Column("refunded", REAL, nullable=False),  #: US dollars that disputes brought back
    Column("timed", INTEGER, nullable=False),  #: orders of which it is known how long they took
    Column("median", REAL),  #: seconds; NULL where no order is timed
    Column("slow", REAL),  #: seconds within which nine of ten orders got a result
    Column("computed_at", REAL, nullable=False),  #: Unix time
)

#: What results are counted by. Texts are cut (migration 0018): the provider's may have any length, a key may not.
RESULT_FIELDS = ("service_name", "model", "carrier", "simlock", "fmi", "blacklist", "verdict")

#: Results that came, changed or went, not yet in result_counts. Triggers of orders write it.
result_changes = Table(
    "result_changes",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("batch_id", INTEGER, nullable=False),  #: 0 for an order of no batch
    Column("day", TEXT, nullable=False),  #: of the order, UTC, such as 2026-11-25; "" where it is unknown
    *(Column(name, TEXT, nullable=False) for name in RESULT_FIELDS),  #: "" where the result does not say
    Column("orders", INTEGER, nullable=False),  #: how many more results say this; negative: fewer
)

#: Counts of results in several grains; a grain adds up what it does not tell apart.
result_counts = Table(
    "result_counts",
    metadata,
    Column("grain", TEXT, primary_key=True),
    Column("batch_id", INTEGER, primary_key=True),  #: 0 in a grain that does not tell batches apart
    Column("period", TEXT, primary_key=True),  #: a day as above, or a month such as 2026-11
    *(Column(name, TEXT, primary_key=True) for name in RESULT_FIELDS),  #: "" also where the grain leaves it out
    Column("orders", INTEGER, nullable=False),
    sqlite_with_rowid=False,
)

#: How many completed results about phones of a TAC name a model; the first 8 digits of an IMEI are the TAC of its model
#: (3GPP TS 23.003). Triggers on orders keep the counts exact, whoever changes an order.
tac_models = Table(
    "tac_models",
    metadata,
    Column("tac", TEXT, primary_key=True),
    Column("model", TEXT, primary_key=True),  #: its first 100 characters
    Column("orders", INTEGER, nullable=False),
    sqlite_with_rowid=False,
)
tac_models.add_is_dependent_on(orders)  # a text that cannot be copied is named with the order that it came from

#: The list that an administrator imported.
imported_models = Table(
    "imported_models",
    metadata,
    Column("tac", TEXT, primary_key=True),
    Column("brand", TEXT, nullable=False),  #: as the file has it; "" where it has none
    Column("model", TEXT, nullable=False),  #: "" where the file names only the brand
    Column("imported_at", TIMESTAMP, nullable=False),
    sqlite_with_rowid=False,
)

"""What is known of the provider: services, balances, requests to the leader and their answers; and stored settings."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false, func, text, true

from orders import RequestState
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of, only

services = Table(
    "services",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("position", INTEGER, nullable=False),
    Column("title", TEXT, nullable=False),
    Column("price", REAL, nullable=False),
    Column("previous_price", REAL),
    Column("category", TEXT, nullable=False, server_default=""),
    Column("delivery", TEXT, nullable=False, server_default=""),
    Column("must_read", TEXT, nullable=False, server_default=""),
    Column("required_fields", TEXT, nullable=False, server_default="[]"),
    Column("listed", Boolean, nullable=False, server_default=true()),
    Column("refreshed_at", REAL, nullable=False),
    Column("favourite", Boolean, nullable=False, server_default=false()),  #: the user's; the provider knows none
)

#: Answers to accountinfo at moments when no call was on the wire.
balance_readings = Table(
    "balance_readings",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("read_at", TIMESTAMP, nullable=False),
    Column("credits", REAL, nullable=False),  #: US dollars
    Column("before_attempt", INTEGER, nullable=False),  #: attempts with a smaller id had ended, the others not begun
    Column("after_order", INTEGER, nullable=False),  #: the newest row id of orders by then
    sqlite_autoincrement=True,
)
Index("idx_balance_readings_before", balance_readings.c.before_attempt)

#: One row: which process may record intents, by a number that grows with each change of hands.
leases = Table(
    "leases",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("number", INTEGER, nullable=False),
    Column("holder", TEXT, nullable=False),
    Column("place", TEXT, nullable=False),  #: path and inode of the database file when the lease was taken
    Column("taken_at", TIMESTAMP, nullable=False),
)

list_proofs = Table(
    "list_proofs",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("longest", INTEGER, nullable=False),
    Column("proven_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
)

#: What pages and commands ask of the leader, the one process that calls the provider. Times are Unix time.
provider_requests = Table(
    "provider_requests",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("kind", TEXT, nullable=False),
    Column("argument", TEXT, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("asked_at", REAL, nullable=False),
    Column("answered_at", REAL),
    Column("error", TEXT, nullable=False, server_default=""),  #: why there is no answer, as a sentence
    Column("failure", TEXT, nullable=False, server_default=""),  #: the kind of error, by which it is raised again
    one_of("state", RequestState),
    sqlite_autoincrement=True,
)
#: Requests without an answer, in the words of the index. Identical ones are joined.
OPEN_REQUEST = text("state IN ('waiting', 'asking')")
Index(
    "idx_provider_requests_open",
    provider_requests.c.kind,
    provider_requests.c.argument,
    unique=True,
    **only(OPEN_REQUEST),
)
#: Requests that are over, in the words of the index.
FINISHED_REQUEST = text("state IN ('answered', 'failed')")
Index("idx_provider_requests_finished", provider_requests.c.kind, **only(FINISHED_REQUEST))

#: The orders that the provider's answer to a request lists.
listed_orders = Table(
    "listed_orders",
    metadata,
    Column("request_id", INTEGER, ForeignKey("provider_requests.id", ondelete="CASCADE"), primary_key=True),
    Column("position", INTEGER, primary_key=True),
    Column("order_id", TEXT, nullable=False),
    Column("imei", TEXT, nullable=False),
    Column("status", TEXT, nullable=False),
    Column("service", TEXT, nullable=False),  #: the provider's word for it
    Column("requested_at", TEXT, nullable=False),  #: the provider's text, without a time zone
    sqlite_with_rowid=False,
)

stored_settings = Table(
    "settings",
    metadata,
    Column("key", TEXT, primary_key=True),
    Column("value", TEXT, nullable=False),
)

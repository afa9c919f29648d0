"""What is known of the provider: services, balances, requests to the leader and their answers; and stored settings."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false, func, text, true

from orders import RequestState
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of, only
from settings import MAIN_ACCOUNT

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
    Column("account", TEXT, nullable=False, server_default=MAIN_ACCOUNT),
    Column("rejections", INTEGER),  #: the newest row id of rejections when it was asked for; NULL: by an older version
    sqlite_autoincrement=True,
)
Index("idx_balance_readings_before", balance_readings.c.before_attempt)

#: One row for each account: which process may record intents, by a number that grows with each change of hands.
leases = Table(
    "leases",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("number", INTEGER, nullable=False),
    Column("holder", TEXT, nullable=False),
    Column("place", TEXT, nullable=False),  #: path and inode of the database file when the lease was taken
    Column("taken_at", TIMESTAMP, nullable=False),
    Column("account", TEXT, nullable=False, server_default=MAIN_ACCOUNT),
)
Index("idx_leases_account", leases.c.account, unique=True)

#: Not used any more: it stays for the version before this one, which may run beside it.
list_proofs = Table(
    "list_proofs",
    metadata,
    Column("service_id", TEXT, primary_key=True),
    Column("longest", INTEGER, nullable=False),
    Column("proven_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
)

#: How long a comma list of a service may be, as an answer to each account has proven it.
account_list_proofs = Table(
    "account_list_proofs",
    metadata,
    Column("account", TEXT, primary_key=True),
    Column("service_id", TEXT, primary_key=True),
    Column("longest", INTEGER, nullable=False),
    Column("proven_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
)

#: The accounts at the provider, once there are several: who leads writes a row for each. No credentials are here.
provider_accounts = Table(
    "provider_accounts",
    metadata,
    Column("name", TEXT, primary_key=True),
    Column("place", INTEGER, nullable=False),  #: in the order of the settings
    Column("absence", TEXT, nullable=False, server_default=""),  #: why no process can call with it; "" where one does
    Column("rate_limit", INTEGER),  #: calls a minute that an admin has set, 0: no limit; NULL: as in the settings
    Column("daily_budget", REAL),  #: US dollars a UTC day that an admin has set; NULL: as in the settings
    Column("is_off", Boolean, nullable=False, server_default=false()),  #: an admin has switched it off
    Column("stop", TEXT, nullable=False, server_default=""),  #: the refusal after which it sends nothing
    Column("goes_on_at", REAL),  #: Unix time when it tries again after a stop by itself; NULL: a person must let it
    Column("shortage", TEXT, nullable=False, server_default=""),  #: why its money does not suffice for some batch now
    Column("dollars_left", REAL),  #: US dollars that it may still send; NULL where they suffice for every batch
    Column("until_midnight", Boolean, nullable=False, server_default=false()),  #: the shortage ends with the UTC day
    Column("let_at", REAL, nullable=False, server_default=text("0")),  #: Unix time when a person last let it go on
)

#: Services that cost more through an account than the list of services says.
account_prices = Table(
    "account_prices",
    metadata,
    Column("account", TEXT, primary_key=True),
    Column("service_id", TEXT, primary_key=True),
    Column("price", REAL, nullable=False),  #: US dollars an IMEI
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
    Column("account", TEXT, nullable=False, server_default=MAIN_ACCOUNT),  #: whose client asks
    one_of("state", RequestState),
    sqlite_autoincrement=True,
)
#: Requests without an answer, in the words of the index. Identical ones are joined.
OPEN_REQUEST = text("state IN ('waiting', 'asking')")
Index(
    "idx_provider_requests_open",
    provider_requests.c.kind,
    provider_requests.c.argument,
    provider_requests.c.account,
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

"""Batches with their chunks, attempts and items, the uploads that they are made of, and the scans of scan mode."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false, func, literal_column, text

from orders import BatchState, ChunkState, Outcome
from schema.columns import INTEGER, REAL, TEXT, metadata, one_of, only
from settings import MAIN_ACCOUNT

batches = Table(
    "batches",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("label", TEXT, nullable=False),
    Column("source", TEXT, nullable=False),
    Column("service_id", TEXT, nullable=False),
    Column("service_name", TEXT, nullable=False),
    Column("unit_price", REAL, nullable=False),
    Column("total", INTEGER, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("notice", TEXT, nullable=False, server_default=""),
    Column("resumes_itself", Boolean, nullable=False, server_default=false()),
    Column("confirm_token", TEXT, unique=True),
    Column("fingerprint", TEXT, nullable=False, server_default=""),
    Column("revision", INTEGER, nullable=False, server_default=text("0")),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("started_at", TIMESTAMP),
    Column("finished_at", TIMESTAMP),
    Column("tally", TEXT),  #: counts of a finished batch as JSON, true while its revision is tally_revision
    Column("tally_revision", INTEGER),
    Column("is_judged", Boolean, nullable=False, server_default=false()),  #: by the stop-loss: once for each batch
    Column("customer", TEXT, nullable=False, server_default=""),  #: or purchase order, in the user's words
    Column("note", TEXT, nullable=False, server_default=""),
    Column("ordered_by", TEXT, nullable=False, server_default=""),  #: the name of the user or token at that time
    Column("user_id", INTEGER, ForeignKey("users.id")),
    Column("token_id", INTEGER, ForeignKey("api_tokens.id")),
    Column("announced", TEXT, nullable=False, server_default=""),  #: the kind of its last event, while it is true
    Column("is_stopped", Boolean, nullable=False, server_default=false()),  #: a person cancelled what was not sent
    one_of("state", BatchState),
    sqlite_autoincrement=True,
)
Index("idx_batches_state", batches.c.state)
#: The condition of the index of batches that lists show: scan mode makes a batch for each phone, listed by session.
IS_LISTED = text("source != 'scan'")
Index("idx_batches_listed", batches.c.id, **only(IS_LISTED))
Index("idx_batches_fingerprint", batches.c.fingerprint)
Index("idx_batches_person", batches.c.ordered_by)
#: The condition of the index of batches that name a customer.
HAS_CUSTOMER = text("customer != ''")
Index("idx_batches_customer", batches.c.customer, **only(HAS_CUSTOMER))
#: The condition of the index of finished batches whose tally is missing or outdated.
UNTALLIED = (batches.c.state == literal_column("'finished'")) & batches.c.tally_revision.is_distinct_from(
    batches.c.revision
)
Index("idx_batches_untallied", batches.c.state, **only(UNTALLIED))

chunks = Table(
    "chunks",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("batch_id", INTEGER, ForeignKey("batches.id"), nullable=False),
    Column("size", INTEGER, nullable=False),
    Column("state", TEXT, nullable=False),
    Column("attempt", INTEGER, nullable=False, server_default=text("0")),
    Column("message", TEXT, nullable=False, server_default=""),
    #: The earlier attempt that may have placed these IMEIs: such a chunk is sent right after a look at the list only.
    Column("doubt_attempt", INTEGER),
    Column("cleared", Boolean, nullable=False, server_default=false()),  #: a person says that nothing was placed
    #: The provider account that alone may send it; NULL: any may claim it. A call without one was made by the main one.
    Column("account", TEXT),
    one_of("state", ChunkState),
    sqlite_autoincrement=True,
)
Index("idx_chunks_batch", chunks.c.batch_id, chunks.c.state)
#: Calls that are on the wire or in doubt. Literals: SQLite uses a partial index only for exactly its words.
OPEN_CALL = chunks.c.state.in_([literal_column("'sending'"), literal_column("'in_doubt'")])
Index("idx_chunks_open", chunks.c.state, **only(OPEN_CALL))

attempts = Table(
    "attempts",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("chunk_id", INTEGER, ForeignKey("chunks.id"), nullable=False),
    Column("number", INTEGER, nullable=False),
    Column("imeis", INTEGER, nullable=False),
    Column("ended_before", INTEGER, nullable=False, server_default=text("0")),
    Column("after_order", INTEGER, nullable=False, server_default=text("0")),  #: the newest row id of orders by then
    Column("first_list", TEXT, nullable=False, server_default=""),  #: fingerprint of the first list seen in doubt
    Column("sent_at", TIMESTAMP, nullable=False),
    Column("ended_at", TIMESTAMP),
    Column("result", TEXT),
    Column("message", TEXT, nullable=False, server_default=""),
    Column("taken_by", TEXT),  #: where jobs make the calls: who has begun this one, or that nobody may
    Column("begun_at", REAL),  #: then, in Unix seconds by the clock of the database
    Column("account", TEXT, nullable=False, server_default=MAIN_ACCOUNT),  #: through which it was sent
    sqlite_autoincrement=True,
)
Index("idx_attempts_chunk", attempts.c.chunk_id)
Index("idx_attempts_account", attempts.c.account, attempts.c.id)

items = Table(
    "items",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("batch_id", INTEGER, ForeignKey("batches.id"), nullable=False),
    Column("chunk_id", INTEGER, ForeignKey("chunks.id")),
    Column("service_id", TEXT, nullable=False),
    Column("imei", TEXT, nullable=False),
    Column("source_row", INTEGER),
    Column("outcome", TEXT, nullable=False),
    Column("message", TEXT),
    one_of("outcome", Outcome),
)
Index("idx_items_chunk", items.c.chunk_id)
Index("idx_items_batch", items.c.batch_id, items.c.outcome)
# Only items with a message: a clean batch has none.
Index("idx_items_message", items.c.batch_id, items.c.outcome, items.c.message, **only(items.c.message.is_not(None)))
#: Items that may still be ordered, in the words of the index.
UNDECIDED = items.c.outcome.in_([literal_column("'waiting'"), literal_column("'in_doubt'")])
Index(
    "idx_items_one_in_flight",
    items.c.service_id,
    items.c.imei,
    unique=True,
    **only(UNDECIDED),
)

uploads = Table(
    "uploads",
    metadata,
    Column("token", TEXT, primary_key=True),
    Column("label", TEXT, nullable=False),
    Column("path", TEXT, nullable=False),
    Column("kind", TEXT, nullable=False),
    Column("service_id", TEXT, nullable=False),
    Column("choice", TEXT, nullable=False, server_default="{}"),
    Column("created_at", TIMESTAMP, nullable=False, server_default=func.current_timestamp()),
    Column("customer", TEXT, nullable=False, server_default=""),
    Column("note", TEXT, nullable=False, server_default=""),
)

#: One scan of a phone in scan mode; the same phone scanned twice in a session is one row.
scans = Table(
    "scans",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("session", TEXT, nullable=False),  #: a random name
    Column("imei", TEXT, nullable=False),
    Column("service_id", TEXT, nullable=False),
    Column("scanned_at", TIMESTAMP, nullable=False),
    Column("batch_id", INTEGER, ForeignKey("batches.id")),  #: the batch that checks it, of this scan or an earlier one
    Column("order_row", INTEGER),  #: the row of the order with the known result, where nothing is checked
    Column("is_new", Boolean, nullable=False),  #: whether this scan made its batch, so that the session pays for it
    Column("scanned_by", TEXT, nullable=False, server_default=""),  #: the name of the user at that time
    sqlite_autoincrement=True,
)
Index("idx_scans_session", scans.c.session)
Index("idx_scans_person", scans.c.scanned_by)

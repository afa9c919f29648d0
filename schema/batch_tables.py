"""Batches with their chunks, attempts and items, the uploads that they are made of, and the scans of scan mode."""

from sqlalchemy import (
    REAL,
    TIMESTAMP,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    func,
    literal_column,
    text,
)

from orders import BatchState, ChunkState, Outcome
from schema.columns import metadata, one_of

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
    Column("ordered_by", Text, nullable=False, server_default=""),  #: the name of the user or token at that time
    Column("user_id", Integer, ForeignKey("users.id")),
    Column("token_id", Integer, ForeignKey("api_tokens.id")),
    Column("announced", Text, nullable=False, server_default=""),  #: the kind of its last event, while it is true
    one_of("state", BatchState),
    sqlite_autoincrement=True,
)
Index("idx_batches_state", batches.c.state)
#: The condition of the index of batches that lists show: scan mode makes a batch for each phone, listed by session.
IS_LISTED = text("source != 'scan'")
Index("idx_batches_listed", batches.c.id, sqlite_where=IS_LISTED)
Index("idx_batches_fingerprint", batches.c.fingerprint)
Index("idx_batches_person", batches.c.ordered_by)
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
    one_of("state", ChunkState),
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
    one_of("outcome", Outcome),
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
    Column("scanned_by", Text, nullable=False, server_default=""),  #: the name of the user at that time
    sqlite_autoincrement=True,
)
Index("idx_scans_session", scans.c.session)
Index("idx_scans_person", scans.c.scanned_by)

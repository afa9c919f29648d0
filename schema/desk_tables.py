"""What people keep to work faster: saved filters, preferences of pages, tags, and what is known of a customer."""

from sqlalchemy import TIMESTAMP, Boolean, Column, ForeignKey, Index, Table, false

from schema.columns import INTEGER, TEXT, metadata

#: Filters of the history, by the name that a person gave them.
saved_filters = Table(
    "saved_filters",
    metadata,
    Column("id", INTEGER, primary_key=True),
    Column("person", TEXT, nullable=False),  #: who saved it, as batches.ordered_by names people
    Column("name", TEXT, nullable=False),
    Column("query", TEXT, nullable=False),  #: as the URL of the history has it, such as "verdict=fail&since=7d"
    Column("is_shared", Boolean, nullable=False, server_default=false()),  #: everybody sees it
    Column("saved_at", TIMESTAMP, nullable=False),
    sqlite_autoincrement=True,
)
Index("idx_saved_filters_name", saved_filters.c.person, saved_filters.c.name, unique=True)

#: What one person chose on pages, such as the columns of a table.
preferences = Table(
    "preferences",
    metadata,
    Column("person", TEXT, primary_key=True),  #: as batches.ordered_by names people
    Column("name", TEXT, primary_key=True),  #: of the preference
    Column("value", TEXT, nullable=False),  #: JSON
)

#: A short word that people put on batches and orders.
tags = Table(
    "tags",
    metadata,
    Column("key", TEXT, primary_key=True),  #: the word without regard to capitals
    Column("word", TEXT, nullable=False),  #: as it was written first
)

batch_tags = Table(
    "batch_tags",
    metadata,
    Column("tag", TEXT, ForeignKey("tags.key"), primary_key=True),
    Column("batch_id", INTEGER, ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("idx_batch_tags_batch", batch_tags.c.batch_id)

order_tags = Table(
    "order_tags",
    metadata,
    Column("tag", TEXT, ForeignKey("tags.key"), primary_key=True),
    Column("order_row", INTEGER, ForeignKey("orders.id", ondelete="CASCADE"), primary_key=True),
    sqlite_with_rowid=False,
)
Index("idx_order_tags_order", order_tags.c.order_row)

#: What is kept of a customer whom batches name.
customers = Table(
    "customers",
    metadata,
    Column("key", TEXT, primary_key=True),  #: the name without regard to capitals
    Column("service_id", TEXT, nullable=False),  #: the one that is suggested for a new batch
)

"""What people keep to work faster: preferences of pages, tags, and what is known of a customer."""

from sqlalchemy import Column, ForeignKey, Index, Table

from schema.columns import INTEGER, TEXT, metadata

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

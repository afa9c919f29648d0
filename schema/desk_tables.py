"""What people keep to work faster: preferences of pages."""

from sqlalchemy import Column, Table

from schema.columns import TEXT, metadata

#: What one person chose on pages, such as the columns of a table.
preferences = Table(
    "preferences",
    metadata,
    Column("person", TEXT, primary_key=True),  #: as batches.ordered_by names people
    Column("name", TEXT, primary_key=True),  #: of the preference
    Column("value", TEXT, nullable=False),  #: JSON
)

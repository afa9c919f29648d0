"""Phone models by TAC: the first 8 digits of an IMEI, which each model gets (3GPP TS 23.003)."""

from sqlalchemy import TIMESTAMP, Column, Table

from schema.columns import INTEGER, TEXT, metadata
from schema.order_tables import orders

#: How many completed results about phones of a TAC name a model. Triggers on orders keep it exact, whoever changes one.
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

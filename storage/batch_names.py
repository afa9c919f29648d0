"""What the user calls a batch: name, customer and note. They change nothing that is ordered."""

from sqlalchemy import update

from database import IMEIDatabase
from orders import BatchNames
from schema import batches


def rename_batch(database: IMEIDatabase, batch_id: int, names: BatchNames) -> bool:
    """Store other names of a batch. Returns whether there is such a batch."""
    values = {"label": names.name, "customer": names.customer, "note": names.note}
    with database.write() as connection:
        return connection.execute(update(batches).where(batches.c.id == batch_id).values(**values)).rowcount == 1

"""Which services the user marked as favourites, and which the newest batches used."""

from sqlalchemy import func, select, update

from database import IMEIDatabase
from schema import batches, services

#: Batches whose services count as recent, and services that are shown as recent at most.
LOOKED_AT, MOST_RECENT = 500, 5


def favourites(database: IMEIDatabase) -> frozenset[str]:
    """Return the ids of the favourite services."""
    with database.read() as connection:
        return frozenset(connection.execute(select(services.c.service_id).where(services.c.favourite)).scalars())


def mark_favourite(database: IMEIDatabase, service_id: str, is_favourite: bool) -> bool:
    """Mark a service as a favourite, or not. Returns whether it is known."""
    marked = update(services).where(services.c.service_id == service_id).values(favourite=is_favourite)
    with database.write() as connection:
        return connection.execute(marked).rowcount == 1


def recent_services(database: IMEIDatabase) -> list[str]:
    """Return the ids of the services that the newest batches used, the last one first."""
    newest = select(batches.c.id, batches.c.service_id).order_by(batches.c.id.desc()).limit(LOOKED_AT).subquery()
    used = select(newest.c.service_id).group_by(newest.c.service_id).order_by(func.max(newest.c.id).desc())
    with database.read() as connection:
        return list(connection.execute(used.limit(MOST_RECENT)).scalars())

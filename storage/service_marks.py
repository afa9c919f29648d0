"""Which services the user marked as favourites, and which the newest batches used."""

from sqlalchemy import func, select, update

from database import IMEIDatabase
from schema import batches, services

#: Batches whose services count as recent, and services that are shown as recent at most.
LOOKED_AT, MOST_RECENT = 500, 5
#: What each form with a list of services reads, made once: making a statement takes longer than running it.
FAVOURITES = select(services.c.service_id).where(services.c.favourite)
NEWEST = select(batches.c.id, batches.c.service_id).order_by(batches.c.id.desc()).limit(LOOKED_AT).subquery()
RECENT = (
    select(NEWEST.c.service_id).group_by(NEWEST.c.service_id).order_by(func.max(NEWEST.c.id).desc()).limit(MOST_RECENT)
)


def favourites(database: IMEIDatabase) -> frozenset[str]:
    """Return the ids of the favourite services."""
    with database.read() as connection:
        return frozenset(connection.execute(FAVOURITES).scalars())


def mark_favourite(database: IMEIDatabase, service_id: str, is_favourite: bool) -> bool:
    """Mark a service as a favourite, or not. Returns whether it is known."""
    marked = update(services).where(services.c.service_id == service_id).values(favourite=is_favourite)
    with database.write() as connection:
        return connection.execute(marked).rowcount == 1


def recent_services(database: IMEIDatabase) -> list[str]:
    """Return the ids of the services that the newest batches used, the last one first."""
    with database.read() as connection:
        return list(connection.execute(RECENT).scalars())

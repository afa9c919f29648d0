"""What other moves of the database do to automations: they are turned off, or follow removed results."""

from sqlalchemy import func, select, update

from database import Transaction
from schema import automations, status_changes


def turn_all_off(connection: Transaction, why: str) -> None:
    """Let no automation order anything by itself before a person turns it on again."""
    values = {"is_on": False, "notice": why, "due_at": None, "revision": automations.c.revision + 1}
    connection.execute(update(automations).where(automations.c.is_on).values(values))


def follow_removed_changes(connection: Transaction) -> None:
    """Lower marks to the newest status change that is left: SQLite gives the ids of removed ones again."""
    newest = select(func.coalesce(func.max(status_changes.c.id), 0)).scalar_subquery()
    connection.execute(update(automations).where(automations.c.after_change > newest).values(after_change=newest))

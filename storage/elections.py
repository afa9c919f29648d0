"""Who leads where no lock file reaches all machines: a row that ends by the clock of the database unless it is renewed.

Each change is one guarded statement. For PostgreSQL.
"""

from sqlalchemy import Connection, text

from storage.handed_calls import NOW

TAKE = text(
    f"INSERT INTO elections AS e (name, holder, expires_at) VALUES (:name, :holder, {NOW} + :seconds)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at"
    f" WHERE e.expires_at < {NOW} OR e.holder = excluded.holder RETURNING e.name"
)
RENEW = text(f"UPDATE elections SET expires_at = {NOW} + :seconds WHERE name = :name AND holder = :holder")
IS_HELD = text(f"SELECT 1 FROM elections WHERE name = :name AND expires_at > {NOW}")


def take(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Become the leader for these seconds, unless there is another one. Returns whether this holder leads."""
    values = {"name": name, "holder": holder, "seconds": seconds}
    return connection.execute(TAKE, values).scalar() is not None


def renew(connection: Connection, name: str, holder: str, seconds: float) -> bool:
    """Lead for these seconds from now on; 0: no longer. Returns False where another one has taken over."""
    values = {"name": name, "holder": holder, "seconds": seconds}
    return connection.execute(RENEW, values).rowcount == 1


def is_held(connection: Connection, name: str) -> bool:
    """Return whether there is a leader now."""
    return connection.execute(IS_HELD, {"name": name}).scalar() is not None

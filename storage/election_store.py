"""Who leads, and who works, where no lock file reaches all machines: rows that end by the clock of the database.

A row ends unless it is renewed. Each change is one guarded statement. For PostgreSQL.
"""

from sqlalchemy import Connection, text

from engines import read_prepared
from storage.handed_calls import NOW

#: A row that ends later than it can was written before the clock of the server was set back.
TAKE = text(
    f"INSERT INTO elections AS e (name, holder, expires_at) VALUES (:name, :holder, {NOW} + :seconds)"
    " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at"
    f" WHERE e.expires_at < {NOW} OR e.expires_at > {NOW} + 2 * :seconds OR e.holder = excluded.holder"
    " RETURNING e.name"
)
RENEW = text(f"UPDATE elections SET expires_at = {NOW} + :seconds WHERE name = :name AND holder = :holder")
IS_HELD = text(f"SELECT 1 FROM elections WHERE name = :name AND expires_at > {NOW}")
#: How the names of the rows of workers begin; the others are accounts.
WORKER = "worker "
WORKERS = text(f"SELECT count(*) FROM elections WHERE name LIKE '{WORKER}%' AND expires_at > {NOW}")
FORGET = text(f"DELETE FROM elections WHERE name LIKE '{WORKER}%' AND expires_at < {NOW} - 600")


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
    return read_prepared(connection, IS_HELD, {"name": name}).scalar() is not None


def count_workers(connection: Connection) -> int:
    """Return how many worker processes are alive."""
    return int(connection.execute(WORKERS).scalar_one())


def forget_workers(connection: Connection) -> None:
    """Delete the rows of workers that ended long ago."""
    connection.execute(FORGET)

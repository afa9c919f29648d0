"""The mark under which a database was last known to hold every commit: the history of its server. For PostgreSQL.

A server that lost commits has another history than the mark says (migrations/shared/0020_history.py). A dump that was
put back into the same tables has the same one: so the mark ends with the number of the transaction that wrote it, which
its row keeps as long as nobody writes it again. Reads and writes only; submission/lost_commits.py decides.
"""

from dataclasses import dataclass

from sqlalchemy import Boolean, Connection, literal_column, text

from database import Transaction, write_setting

#: The name in the settings table. A database without it was never led by a version that knows it.
HISTORY = "history"
#: The name in the settings table under which the sentence is kept until the orders were restored.
OLDER_COPY = "older_copy"
NOW = "hammer_history()"
IS_OTHER = f"key = '{HISTORY}' AND value <> {NOW} || ' ' || CAST(xmin AS text)"
#: Whether calls may begin: the mark fits, and nobody waits for lost orders to be restored (submission/older_copy.py).
IS_WHOLE = f"NOT EXISTS (SELECT 1 FROM settings WHERE {IS_OTHER} OR key = '{OLDER_COPY}' AND value <> '')"
#: Whether the mark does not fit, for a SELECT of something else: it is asked with every intent.
STORED = literal_column(f"EXISTS (SELECT 1 FROM settings WHERE {IS_OTHER})", Boolean).label("is_other_history")
#: The name in the settings table under which the leader notes whether the servers were synchronous.
CONFIRMED = "commits_confirmed"
#: Whether each commit waits until a standby has it on its disk, and whether the server was recovered to a chosen point.
IS_SYNCHRONOUS = (
    "current_setting('synchronous_standby_names') <> ''"
    " AND current_setting('synchronous_commit') IN ('on', 'remote_apply')"
)
HAS_TARGET = (
    "EXISTS (SELECT 1 FROM pg_settings WHERE setting <> '' AND name IN ('recovery_target', 'recovery_target_lsn',"
    " 'recovery_target_name', 'recovery_target_time', 'recovery_target_xid'))"
)
READ = text(
    f"SELECT {NOW} AS now, s.value AS marked, CAST(s.xmin AS text) AS written_by,"
    f" {IS_SYNCHRONOUS} AS is_synchronous, coalesce(c.value, '') <> '' AS was_synchronous, {HAS_TARGET} AS has_target"
    f" FROM (VALUES (1)) one LEFT JOIN settings s ON s.key = '{HISTORY}' LEFT JOIN settings c ON c.key = '{CONFIRMED}'"
)
WRITE = text(
    f"INSERT INTO settings (key, value) VALUES ('{HISTORY}',"
    f" {NOW} || ' ' || CAST(CAST(pg_current_xact_id() AS xid) AS text))"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


@dataclass(frozen=True, slots=True)
class History:
    """Where the tables are now, beside where they were when they were known to be whole."""

    now: str  #: system identifier, number of the database and timeline; "-" for what the server does not tell
    marked: str | None  #: what `now` was, and the number of the transaction that wrote it; None before the first time
    written_by: str | None  #: the number of the transaction that wrote the mark, as its row has it
    is_synchronous: bool  #: each commit waits until a standby has it
    was_synchronous: bool  #: each commit waited so when a leader last wrote the mark
    has_target: bool  #: the server was recovered to a chosen point

    @property
    def fits(self) -> bool:
        """Whether nothing shows that commits were lost."""
        return self.marked == f"{self.now} {self.written_by}"

    @property
    def is_confirmed(self) -> bool:
        """Whether only the timeline changed, and a standby confirmed each commit: it is the one that took over."""
        (*marked, _, first), (*now, _) = (self.marked or "- -").split(), self.now.split()
        return (marked, first) == (now, self.written_by) and self.was_synchronous and not self.has_target


def read_history(connection: Connection) -> History:
    """Return the history of the server and the mark."""
    return History(*connection.execute(READ).one())


def write_mark(connection: Transaction, is_synchronous: bool) -> None:
    """Mark the database as whole where it is now, and note whether a standby confirms each commit."""
    connection.execute(WRITE)
    write_setting(connection, CONFIRMED, "1" if is_synchronous else "")

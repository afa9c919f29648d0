"""A database of an older version on a server: migrated step by step while that version runs beside the new one."""

from collections.abc import Mapping
from typing import NamedTuple

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from order_tables import NUMBER
from postgresql_cluster import Cluster
from sqlalchemy import Connection, create_engine

from database import IMEIDatabase
from engines.migrations import MIGRATIONS, revisions, scripts
from schema import metadata

POSTGRESQL = "postgresql"
FIRST = revisions(POSTGRESQL)[0]
COLUMNS = (
    "SELECT table_name, column_name, data_type, is_nullable = 'YES' AS is_nullable, column_default IS NOT NULL"
    " OR is_identity = 'YES' FROM information_schema.columns WHERE table_schema = 'public'"
    " AND table_name NOT LIKE 'procrastinate%%'"
)
ORDER = f"INSERT INTO orders (order_id, imei, status) VALUES ('77', '{NUMBER}', 'Pending')"
#: What a later version has removed, after no version that can still run used it (contract): "table.column".
REMOVED = frozenset[str]()


class Column(NamedTuple):
    """A column as an older version sees it."""

    kind: str
    is_nullable: bool
    is_filled: bool  #: without a value: it has a default


Tables = Mapping[str, Mapping[str, Column]]


def test_a_migration_only_adds_what_an_older_version_does_not_need(cluster: Cluster) -> None:
    """That version goes on reading and writing its columns: what is there stays, and what is new needs no value."""
    with cluster.empty() as address:
        engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            _upgrade(connection, FIRST)
            connection.exec_driver_sql(ORDER)
        for revision in revisions(POSTGRESQL)[1:]:
            with engine.begin() as connection:
                before = _tables(connection)
                _upgrade(connection, revision)
                assert _what_breaks(before, _tables(connection)) == [], revision
                connection.exec_driver_sql(ORDER.replace("77", f"77{revision}"))
        engine.dispose()
        with IMEIDatabase(address) as database:
            assert database.count_orders() == len(revisions(POSTGRESQL))
            assert [order["imei"] for order in database.get_orders_by_imei(NUMBER)] == [
                NUMBER
            ] * database.count_orders()


def test_migrations_and_schema_say_the_same_on_a_server(server_database: IMEIDatabase) -> None:
    """Some indexes end with the id on a server; in a file, each does so without a word.

    There one index serves the constraint of order ids and searches, and triggers check the batch of an order.
    """
    with server_database.read() as connection:
        found = compare_metadata(MigrationContext.configure(connection, opts={"include_name": _is_ours}), metadata)
    others = {(kind, *part.columns.keys()) for kind, part in found if kind not in ("add_index", "remove_index")}
    assert others == {("remove_constraint", "order_id"), ("add_fk", "batch_id")}
    on_server, in_words = (
        {index.name: [str(part) for part in index.expressions] for kind, index in found if kind == wanted}
        for wanted in ("remove_index", "add_index")
    )
    assert in_words.pop("idx_order_id")
    assert on_server == {name: [*parts, f"{parts[0].partition('.')[0]}.id"] for name, parts in in_words.items()}


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or name in metadata.tables


def _upgrade(connection: Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", "\n".join(map(str, scripts(POSTGRESQL))))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _tables(connection: Connection) -> Tables:
    found: dict[str, dict[str, Column]] = {}
    for table, name, *rest in connection.exec_driver_sql(COLUMNS):
        found.setdefault(table, {})[name] = Column(*rest)
    return found


def _what_breaks(before: Tables, after: Tables) -> list[str]:
    """Return the columns that an older version misses, cannot write as before, or would have to fill."""
    broken = []
    for table, columns in before.items():
        now = after.get(table, {})
        for name, column in columns.items():
            found = now.get(name)
            if found is None or found.kind != column.kind or (column.is_nullable, found.is_nullable) == (True, False):
                broken.append(f"{table}.{name}")
        broken += [
            f"{table}.{name}" for name in now.keys() - columns if not (now[name].is_nullable or now[name].is_filled)
        ]
    return [name for name in broken if name not in REMOVED]

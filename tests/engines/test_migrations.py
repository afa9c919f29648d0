"""The revisions of the tables: their names, their order, and that only those are run that a database lacks."""

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from database import IMEIDatabase
from engines import migrations
from engines.migrations import MIGRATIONS, revisions, scripts


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_the_name_of_a_migration_begins_with_its_revision(dialect: str) -> None:
    """The database learns the newest revision from these names, which are read much faster than the scripts."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("version_locations", "\n".join(map(str, scripts(dialect))))
    config.set_main_option("path_separator", "newline")
    newest_first = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert revisions(dialect)[::-1] == newest_first


def test_both_databases_have_the_same_newest_revision() -> None:
    """So a database can be moved from one to the other."""
    assert revisions("sqlite")[-1] == revisions("postgresql")[-1]
    assert revisions("sqlite") == sorted(set(revisions("sqlite")))


def test_a_database_of_the_newest_revision_runs_no_script(
    file_database: IMEIDatabase, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgraded: list[Connection] = []
    monkeypatch.setattr(migrations, "upgrade", upgraded.append)
    for database in (file_database, server_database):
        with IMEIDatabase(database.address):
            assert upgraded == []


@pytest.mark.parametrize("is_file", [True, False])
def test_an_older_database_is_brought_to_the_newest_revision_in_one_transaction(
    file_database: IMEIDatabase, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch, is_file: bool
) -> None:
    """What fails on the way leaves it as it was."""
    database = file_database if is_file else server_database
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")

    def fail(connection: Connection) -> None:
        connection.exec_driver_sql("DELETE FROM alembic_version")
        raise RuntimeError

    monkeypatch.setattr(migrations, "upgrade", fail)
    with pytest.raises(RuntimeError):
        IMEIDatabase(database.address)
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "0001"

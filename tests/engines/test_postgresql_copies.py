"""Dumps of a database on a server: verified, restorable, without sessions; refused where the programs are missing."""

import subprocess
from dataclasses import replace
from datetime import time
from pathlib import Path

import pytest
from click import ClickException
from postgresql_cluster import Cluster
from web_client import SERVICES, Browser, Provider, make_app, words

from commands.backups import restore
from database import IMEIDatabase
from engines import postgresql_copies
from schema import login_failures, orders
from settings import Settings
from storage.backups import NightlyBackup, backup_files, make_backup, needs_server_backups


def test_a_dump_can_be_restored_without_the_rows_that_it_leaves_out(
    server_database: IMEIDatabase, cluster: Cluster
) -> None:
    with server_database.write() as connection:
        texts = [{"imei": str(n), "notes": f"a\n{chr(92)}.\nCOPY {n}"} for n in range(5000)]
        connection.execute(orders.insert(), texts)
        failure = {"subject": "anna", "failures": 1, "last_at": 1.0, "until_at": 2.0}
        connection.execute(login_failures.insert().values(failure))
    copy = server_database.write_copy(server_database.backup_folder)
    assert (copy.orders, copy.batches, copy.path.stat().st_mode & 0o777) == (5000, 0, 0o600)
    with cluster.empty() as address:
        subprocess.run(["pg_restore", "--no-owner", f"--dbname={address}", str(copy.path)], check=True)
        with IMEIDatabase(address) as restored:
            assert restored.count_orders() == 5000
            with restored.read() as connection:
                assert connection.execute(login_failures.select()).all() == []


def test_a_dump_that_lacks_rows_is_not_kept(server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    server_database.insert_order({"order_id": "1", "imei": "x"})
    monkeypatch.setattr(postgresql_copies, "LEFT_OUT", ("orders",))
    with pytest.raises(OSError, match="the dump has 0 of 1 rows of orders"):
        make_backup(server_database)
    assert list(server_database.backup_folder.iterdir()) == []


def test_without_the_programs_the_page_says_that_the_backups_of_the_server_are_needed(
    settings: Settings, server_database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(make_app(settings, server_database, Provider(list(SERVICES))))
    assert "use pg_restore" in words(browser.get("/database"))
    browser.post("/database/backup")
    assert len(backup_files(server_database)) == 1
    monkeypatch.setenv("PATH", "")
    assert needs_server_backups(server_database)
    assert "Make sure that the database server is backed up." in words(browser.get("/database"))
    assert not NightlyBackup(server_database, time(3), lambda: 9e9).is_due()
    with pytest.raises(OSError, match="not installed here"):
        make_backup(server_database)
    browser.client.application.extensions["stopping"].set()


def test_flask_restore_says_how_a_dump_is_restored(settings: Settings, server_url: str) -> None:
    app = make_app(settings, IMEIDatabase(server_url, settings.data_dir), Provider([]))
    app.extensions["settings"] = replace(settings, database_url=server_url)
    with app.app_context(), pytest.raises(ClickException, match="pg_restore --clean"):
        restore.callback.__wrapped__(settings.data_dir, True)  # type: ignore[union-attr]


def test_a_dump_is_written_at_an_address_with_blanks(server_url: str, data_dir: Path) -> None:
    """Of the password, and of the options, which SQLAlchemy writes with a plus."""
    with IMEIDatabase(f"{server_url}?options=-c%20work_mem%3D7MB&application_name=our%20app", data_dir) as database:
        assert make_backup(database).is_file()

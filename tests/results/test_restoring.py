"""A restore: what is refused, what it leaves of the old database, and that nothing is lost or paid twice after it."""

import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from batch_checks import new_batch
from older_copies import browser_on, restore_orders
from planted_kills import CHUNK
from simulated_provider import SERVICE, Knobs, Simulator, imeis, judge, settings_at, system
from web_client import words

from database import IMEIDatabase
from results.restoring import RestoreError, prepare_restore, put_in_place
from settings import Settings
from sqlite_file import SPARE
from storage.audit_log import AuditFilter, page
from submission import account_objection, older_copy
from submission.older_copy import RESTORED, SENTENCE

pytestmark = pytest.mark.usefixtures("quick_looks")
MANY = 4 * CHUNK


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(Knobs(history=1, duplicates="never")) as running:
        yield running


def restore(file: Path, settings: Settings) -> list[Path]:
    return put_in_place(prepare_restore(file, settings, "command line"), settings)


def left_over(settings: Settings) -> set[str]:
    return {path.name for path in settings.data_dir.glob("*.db*")}


@pytest.mark.parametrize("later", ["the same batch", "a newer batch", "nothing"])
def test_after_a_restore_nothing_is_ordered_before_the_orders_are_completed(
    simulator: Simulator, settings: Settings, later: str
) -> None:
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        first = new_batch(database, MANY, CHUNK)
        if later != "the same batch":
            assert running.run_batch(first).successful == MANY
        backup = database.backup()
        if later == "the same batch":
            assert running.run_batch(first).successful == MANY
        elif later == "a newer batch":
            assert running.run_batch(new_batch(database, MANY, CHUNK, first=MANY)).successful == MANY
    charged = len(simulator.charges())
    (kept,) = restore(backup, settings)
    with IMEIDatabase(settings.database_path) as database, system(simulator, database, chunk_size=CHUNK) as running:
        browser = browser_on(database, settings)
        sentence = older_copy.older_copy_objection(database)
        assert sentence == (RESTORED if later == "nothing" else SENTENCE)
        assert sentence in words(browser.get("/status"))
        if later == "the same batch":
            page_of_batch = browser.led_back(browser.post(f"/batches/{first}/resume", {"price": "0.08"}))
            assert sentence in words(page_of_batch)
            running.run_batch(first)
        assert len(simulator.charges()) == charged
        assert restore_orders(running, database)
        again = running.submit_batch([*imeis(2 * MANY)], SERVICE)
        assert (again.duplicates, again.successful) == (charged, 2 * MANY - charged)
        assert judge(simulator, database) == (0, 0)
    with IMEIDatabase(kept) as old:
        assert old.count_orders() == charged + 1  # the planted one


def test_the_restored_database_has_no_session_and_an_entry_in_its_audit_log(
    settings: Settings, database: IMEIDatabase
) -> None:
    with database.write() as connection:
        connection.exec_driver_sql(
            "INSERT INTO users (name, role, password_hash, created_at, password_at)"
            " VALUES ('anna', 'admin', 'x', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )
        connection.exec_driver_sql(
            "INSERT INTO sessions (id_hash, user_id, created_at, seen_at, proved_at, address) VALUES"
            " ('x', 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2026-01-01 00:00:00', '127.0.0.1')"
        )
    database.close()
    raw = settings.data_dir / "by hand.db"
    shutil.copyfile(settings.database_path, raw)
    prepared = prepare_restore(raw, settings, "command line (anna)")
    assert prepared.users == ("anna (admin)",)
    put_in_place(prepared, settings)
    assert not (settings.data_dir / "restoring").exists()
    with IMEIDatabase(settings.database_path) as restored:
        with restored.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM sessions").scalar_one() == 0
        (entry,) = page(restored, AuditFilter(), None, 10)
        assert (entry.actor, entry.action, entry.subject) == ("command line (anna)", "restore", "by hand.db")


def written(path: Path, *statements: str) -> Path:
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ("text", "cannot be used"),
        ("cut", "cannot be used"),
        ("schema", "cannot be used"),
        ("empty", "no database of HAMMER-API"),
        ("other", "no database of HAMMER-API"),
        ("newer", "newer version"),
        ("account", "another user name"),
    ],
)
def test_a_file_that_is_no_sound_backup_of_this_account_is_refused_and_changes_nothing(
    simulator: Simulator, settings: Settings, damage: str, reason: str
) -> None:
    real = settings_at(simulator, settings)
    with IMEIDatabase(real.database_path) as database:
        new_batch(database, 3, CHUNK)
        assert account_objection(database, real) == ""
        backup = database.backup()
    match damage:
        case "text":
            backup.write_text("notes")
        case "cut":
            backup.write_bytes(backup.read_bytes()[: backup.stat().st_size // 2])
        case "schema":
            backup.write_bytes(backup.read_bytes().replace(b"CREATE TABLE ", b"CREATE T\xa6BLE "))
        case "empty":
            backup.write_bytes(b"")
        case "other":
            backup.unlink()
            written(backup, "CREATE TABLE notes (note)")
        case "newer":
            written(backup, "UPDATE alembic_version SET version_num = '9999'")
        case "account":
            real = replace(real, username="someone else")
    before = real.database_path.read_bytes()
    with pytest.raises(RestoreError, match=reason):
        restore(backup, real)
    assert real.database_path.read_bytes() == before
    assert not (real.data_dir / "replaced").exists()


def test_a_lost_database_is_restored_and_a_backup_stays_where_it_is(settings: Settings, database: IMEIDatabase) -> None:
    new_batch(database, 3, CHUNK)
    backup = database.backup()
    content = backup.read_bytes()
    database.close()
    settings.database_path.unlink()
    assert restore(backup, settings) == []
    assert backup.read_bytes() == content
    with IMEIDatabase(settings.database_path) as restored, restored.read() as connection:
        assert connection.exec_driver_sql("SELECT total FROM batches").scalars().all() == [3]
    assert left_over(settings) == {"imei_orders.db"}


def test_a_disk_without_room_for_two_copies_is_named_before_anything_is_written(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = database.backup()
    database.close()
    needed = 2 * backup.stat().st_size + SPARE
    before = settings.database_path.read_bytes()
    for free in (needed - 1, needed):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        if free < needed:
            with pytest.raises(RestoreError, match="too little free space"):
                prepare_restore(backup, settings, "command line")
            assert list((settings.data_dir / "restoring").iterdir()) == []
        else:
            assert prepare_restore(backup, settings, "command line").orders == 0
    assert settings.database_path.read_bytes() == before

"""Copies: whole, counted, private, without a byte of a secret; and no copy at all where something is wrong."""

import os
import re
import sqlite3
import stat
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from order_tables import ORDER

from database import IMEIDatabase
from schema import metadata
from sqlite_file import SECRETS, SPARE, copying, damage, rotate, write_copy

NOW = datetime(2026, 3, 12, 3)
#: Columns with such names hold a secret or its hash; what a copy does with each is decided here.
SECRET_COLUMNS = re.compile(r"secret|hash|token|password|cookie")
DECIDED = {
    "users.password_hash": "kept: users log in with their passwords after a restore",
    "users.password_at": "kept: a time",
    "users.totp_secret": "removed",
    "recovery_codes.code_hash": "removed",
    "sessions.id_hash": "removed",
    "api_tokens.token_hash": "kept: of 256 random bits; the token itself is revoked",
    "report_links.token_hash": "kept: of 256 random bits; the link itself is revoked",
    "webhooks.secret": "removed",
    "webhooks.old_secret": "removed",
    "webhooks.old_secret_until": "removed",
    "idempotency_keys.body_hash": "kept: a repeated request must not order again after a restore",
    "batches.token_id": "kept: a number",
    "batches.confirm_token": "kept: of a batch that was confirmed; another use is refused",
    "uploads.token": "kept: the name of a preview",
    "raw_answers.token": "kept: the name of one call; a file has no such rows",
}
PLANTED = "PLANTED5ecret"


def plant(database: IMEIDatabase) -> None:
    """Write a secret wherever a copy must not have it, and change rows so that old pages hold more of it."""
    now = NOW.isoformat(" ")
    statements = (
        ("INSERT INTO users (name, role, password_hash, totp_secret, created_at, password_at)"
         " VALUES ('anna', 'admin', '$argon2id$x', ?, ?, ?)", (PLANTED + "totp", now, now)),
        ("INSERT INTO recovery_codes (user_id, code_hash) VALUES (1, ?)", (PLANTED + "code",)),
        ("INSERT INTO sessions (id_hash, user_id, created_at, seen_at, proved_at, address)"
         " VALUES (?, 1, ?, ?, ?, '203.0.113.9')", (PLANTED + "session", now, now, now)),
        ("INSERT INTO webhooks (url, events, secret, old_secret, created_at)"
         " VALUES ('https://example.com', 'x', ?, ?, ?)", (f"whsec_{PLANTED}", f"whsec_{PLANTED}old" * 400, now)),
        ("INSERT INTO api_tokens (name, token_hash, hint, role, scopes, created_at)"
         " VALUES ('shop', 'abc', 'c', 'viewer', 'read', ?)", (now,)),
        ("INSERT INTO settings VALUES ('secret_key', ?)", (PLANTED + "key",)),
    )  # fmt: skip
    with database.write() as connection:
        for statement, values in statements:
            connection.exec_driver_sql(statement, values)
    for number in range(50):
        with database.write() as connection:
            connection.exec_driver_sql("UPDATE sessions SET id_hash = ?", (f"{PLANTED}session{number}" * 40,))
            connection.exec_driver_sql("UPDATE users SET totp_secret = ?", (f"{PLANTED}totp{number}",))


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def test_a_copy_is_whole_counted_private_and_one_file(database: IMEIDatabase, tmp_path: Path) -> None:
    database.insert_order(ORDER)
    copy = write_copy(database.path, tmp_path / "copies", NOW)
    assert (copy.orders, copy.batches, copy.size) == (1, 0, copy.path.stat().st_size)
    assert copy.path.name == "imei_orders-20260312T030000-000000Z.db"
    assert rows(copy.path, "SELECT order_id FROM orders") == [(ORDER["order_id"],)]
    assert damage(copy.path) == ""
    assert stat.S_IMODE(copy.path.stat().st_mode) == 0o600
    assert list(copy.path.parent.iterdir()) == [copy.path]


def test_no_byte_of_a_secret_is_in_a_copy_and_users_can_still_log_in(database: IMEIDatabase, tmp_path: Path) -> None:
    plant(database)
    copy = write_copy(database.path, tmp_path, NOW).path
    content = copy.read_bytes().lower()
    assert PLANTED.lower().encode() not in content
    assert PLANTED[:8].lower().encode() not in content
    assert rows(copy, "SELECT name, password_hash FROM users") == [("anna", "$argon2id$x")]
    assert rows(copy, "SELECT secret, disabled_at IS NULL FROM webhooks") == [("", 0)]
    assert rows(copy, "SELECT name, revoked_at IS NULL FROM api_tokens") == [("shop", 0)]
    assert database.get_setting("secret_key") == PLANTED + "key"


def test_it_is_decided_for_every_secret_column_what_a_copy_does_with_it() -> None:
    columns = {f"{table.name}.{column.name}" for table in metadata.tables.values() for column in table.columns}
    found = {name for name in columns if SECRET_COLUMNS.search(name.partition(".")[2])}
    assert found == DECIDED.keys()
    statements = dict(SECRETS)
    for name, decision in DECIDED.items():
        table, _, column = name.partition(".")
        if decision == "removed":
            assert column in statements[table] or statements[table] == f"DELETE FROM {table}"


def test_rows_that_come_while_it_is_copied_are_no_fault_and_missing_ones_are(
    database: IMEIDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.insert_order(ORDER)
    database.insert_order({**ORDER, "order_id": "2"})
    remove = copying.remove_secrets

    def while_copying(change: str) -> None:
        def changing(path: Path) -> None:
            remove(path)
            with sqlite3.connect(path if "DELETE" in change else database.path) as connection:
                connection.execute(change)
            connection.close()

        monkeypatch.setattr(copying, "remove_secrets", changing)

    while_copying("INSERT INTO orders (order_id, imei) VALUES ('3', '353000000000003')")
    assert write_copy(database.path, tmp_path, NOW).orders == 2
    while_copying("DELETE FROM orders WHERE order_id = '15000001'")
    with pytest.raises(OSError, match=r"of \d rows of orders"):
        write_copy(database.path, tmp_path, NOW + timedelta(seconds=1))
    assert len(list(tmp_path.glob("*.db*"))) == 1


def test_a_damaged_copy_is_not_kept(database: IMEIDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove = copying.remove_secrets

    def tearing(path: Path) -> None:
        remove(path)
        with path.open("r+b") as file:
            file.seek(8192)
            file.write(os.urandom(8192))

    monkeypatch.setattr(copying, "remove_secrets", tearing)
    with pytest.raises(OSError, match=r"damaged|malformed"):
        write_copy(database.path, tmp_path / "copies", NOW)
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_copy_never_fills_the_disk(database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    free = database.path.stat().st_size + SPARE - 1
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=10 * free, used=9 * free, free=free))
    with pytest.raises(OSError, match="No space left"):
        database.backup()
    assert list(database.backup_folder.iterdir()) == []


def test_rotation_deletes_copies_of_this_database_only(tmp_path: Path) -> None:
    copies = [tmp_path / f"imei_orders-{NOW + timedelta(minutes=n):%Y%m%dT%H%M%S-%f}Z.db" for n in range(6)]
    others = [
        tmp_path / name for name in ("before-the-move.db", "imei_orders.db", "notes.txt", "other" + copies[0].name)
    ]
    for path in (*copies, *others):
        path.touch()
    rotate(tmp_path, "imei_orders")
    assert [path.exists() for path in copies] == [False] * 3 + [True] * 3
    assert all(path.exists() for path in others)


def test_what_a_kill_left_unfinished_is_removed_after_a_day(database: IMEIDatabase, tmp_path: Path) -> None:
    old, new = tmp_path / "imei_orders-1.db.part", tmp_path / "imei_orders-2.db.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    write_copy(database.path, tmp_path, NOW)
    assert (old.exists(), new.exists()) == (False, True)


def test_in_a_folder_of_the_user_every_copy_is_kept(database: IMEIDatabase, tmp_path: Path) -> None:
    copies = [database.backup(tmp_path / "mine") for _ in range(5)]
    assert all(copy.exists() for copy in copies)

"""The audit log on disk: append-only, one chain for several writers, small and clean entries, filters."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import date

import pytest
from sqlalchemy.exc import IntegrityError

from database import IMEIDatabase
from storage.audit_chain import GENESIS, verify
from storage.audit_log import LONGEST_TEXT, AuditFilter, NewEntry, append, counted, page, used, walk

ENTRY = NewEntry("anna", "192.0.2.7", "batch.pause", "batch 7", {"imeis": 20}, "abc")


def write(database: IMEIDatabase, *new: NewEntry) -> None:
    with database.write() as connection:
        for one in new:
            append(connection, one)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE OR REPLACE audit_entries SET id = 2 WHERE id = 1",
        "REPLACE INTO audit_entries SELECT * FROM audit_entries WHERE id = 1",
        "INSERT OR REPLACE INTO audit_entries SELECT * FROM audit_entries WHERE id = 2",
        "INSERT OR IGNORE INTO audit_entries (id, at, actor, address, action, previous, digest)"
        " SELECT 9, at, 'eve', address, action, previous, digest FROM audit_entries WHERE id = 1",
    ],
)
def test_triggers_refuse_the_replacements_of_sqlite(file_database: IMEIDatabase, statement: str) -> None:
    check_refused(file_database, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'eve'",
        "UPDATE audit_entries SET id = 9 WHERE id = 2",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE id = 2",
        "INSERT INTO audit_entries (id, at, actor, address, action, previous, digest)"
        " SELECT 9, at, 'eve', address, action, previous, digest FROM audit_entries WHERE id = 1",
        "INSERT INTO audit_entries SELECT * FROM audit_entries WHERE id = 2"
        " ON CONFLICT (id) DO UPDATE SET actor = 'eve'",
        "INSERT INTO audit_entries (at, actor, address, action, previous, digest)"
        " SELECT at, 'eve', address, action, digest, digest FROM audit_entries WHERE id = 2",
        "INSERT INTO audit_entries (id, at, actor, address, action, previous, digest)"
        " SELECT -4, at, 'eve', address, action, digest, digest FROM audit_entries WHERE id = 2",
    ],
)
def test_triggers_refuse_all_but_a_next_entry(database: IMEIDatabase, statement: str) -> None:
    check_refused(database, statement)


def test_triggers_refuse_to_empty_the_table_of_a_server(server_database: IMEIDatabase) -> None:
    check_refused(server_database, "TRUNCATE audit_entries")


def test_triggers_refuse_a_program_that_is_not_ours(file_database: IMEIDatabase) -> None:
    write(file_database, ENTRY, ENTRY)
    with closing(sqlite3.connect(file_database.path)) as plain, pytest.raises(sqlite3.IntegrityError, match="audit"):
        plain.execute("DELETE FROM audit_entries")


def check_refused(database: IMEIDatabase, statement: str) -> None:
    write(database, ENTRY, ENTRY)
    before = page(database, AuditFilter(), None, 9)
    with pytest.raises(IntegrityError, match="audit log"), database.write() as connection:
        connection.exec_driver_sql(statement)
    assert page(database, AuditFilter(), None, 9) == before


def test_an_entry_of_a_transaction_that_fails_is_gone_and_leaves_no_gap(database: IMEIDatabase) -> None:
    write(database, ENTRY)
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        append(connection, ENTRY)
        _ = 1 / 0
    write(database, ENTRY)
    assert [entry.number for entry in walk(database, AuditFilter())] == [2, 1]
    assert verify(database).broken is None


def test_two_writers_at_once_make_one_chain(database: IMEIDatabase, rival: IMEIDatabase) -> None:
    both = threading.Barrier(2)

    def fill(mine: IMEIDatabase, actor: str) -> None:
        both.wait()
        for _ in range(40):
            write(mine, replace(ENTRY, actor=actor))

    threads = [threading.Thread(target=fill, args=given) for given in ((database, "anna"), (rival, "ben"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(database).checked == 80
    assert verify(database).problem == ""
    assert counted(database, AuditFilter(actor="ben")).found == 40


def test_an_entry_comes_back_as_it_was_written(database: IMEIDatabase) -> None:
    with database.write() as connection:
        written = append(connection, ENTRY)
    assert page(database, AuditFilter(), None, 9) == [written]
    assert (written.number, written.previous, written.at) == (1, GENESIS, ENTRY.at)
    assert (written.actor, written.address, written.action) == ("anna", "192.0.2.7", "batch.pause")
    assert (written.subject, written.detail, written.request_id) == ("batch 7", {"imeis": 20}, "abc")
    assert written.line == (
        f'1 {ENTRY.at} anna from 192.0.2.7: batch.pause batch 7 {{"imeis":20}} request=abc digest={written.link.digest}'
    )


def test_an_entry_is_small_has_no_line_break_and_no_value_of_a_secret_name(database: IMEIDatabase) -> None:
    imeis = [f"35{number:013}" for number in range(500)]
    detail = {"new_password": "open sesame", "api_key": "K", "file": "a\r\nb" + "x" * 900, "imeis": imeis, "day": None}
    with database.write() as connection:
        written = append(connection, replace(ENTRY, actor="an\nna\ud800", subject="\x1b[1m" + "y" * 900, detail=detail))
    assert written.detail["new_password"] == written.detail["api_key"] == "removed"
    assert len(written.detail["file"]) == LONGEST_TEXT
    assert written.detail["imeis"][8:] == ["and 492 more"]
    assert written.detail["day"] is None
    assert written.actor == "an na "
    assert len(written.subject) == 200
    assert written.line.isprintable()
    assert verify(database).problem == ""


def test_the_six_signs_of_an_escaped_nul_are_no_change_of_an_entry(database: IMEIDatabase) -> None:
    """They were stored in another way than the digest covers them, so that the log seemed to be forged for ever."""
    signs = r'["\u0000", "\\\u0000"]'
    with database.write() as connection:
        written = append(connection, replace(ENTRY, actor=signs, subject=signs, detail={signs: signs, "all": [signs]}))
    assert page(database, AuditFilter(), None, 9) == [written]
    assert written.subject == r'["\0", "\\\0"]'
    assert verify(database).problem == ""


MANY = (
    replace(ENTRY, at="2026-11-01T23:59:59.999999Z", action="login", subject=""),
    replace(ENTRY, at="2026-11-02T00:00:00.000000Z", action="login.refused", actor="ben"),
    replace(ENTRY, at="2026-11-02T08:00:00.000000Z", action="batch.pause.refused", address="192.0.2.8"),
    replace(ENTRY, at="2026-11-02T09:00:00.000000Z", action="batch.resume", subject="batch 8"),
    replace(ENTRY, at="2026-11-03T00:00:00.000000Z", action="batches.failed"),
)


@pytest.mark.parametrize(
    ("chosen", "numbers"),
    [
        (AuditFilter(), [5, 4, 3, 2, 1]),
        (AuditFilter(actor="ben"), [2]),
        (AuditFilter(action="batch"), [4, 3]),
        (AuditFilter(action="batch.pause"), [3]),
        (AuditFilter(action="login"), [2, 1]),
        (AuditFilter(subject="batch 8"), [4]),
        (AuditFilter(address="192.0.2.8"), [3]),
        (AuditFilter(refused=True), [5, 3, 2]),
        (AuditFilter(since=date(2026, 11, 2), until=date(2026, 11, 2)), [4, 3, 2]),
    ],
)
def test_a_filter_chooses_entries_newest_first(database: IMEIDatabase, chosen: AuditFilter, numbers: list[int]) -> None:
    write(database, *MANY)
    assert [entry.number for entry in walk(database, chosen)] == numbers
    assert counted(database, chosen).found == len(numbers)
    first = page(database, chosen, None, 1)
    rest = page(database, chosen, first[0].number, 9)
    assert [entry.number for entry in [*first, *rest]] == numbers


def test_the_values_of_a_column_are_listed_once(database: IMEIDatabase) -> None:
    write(database, *MANY)
    assert used(database, "actor", 9) == ["anna", "ben"]
    assert used(database, "action", 2) == ["batch.pause.refused", "batch.resume"]

"""The chain of the audit log: how a digest is made, and that each kind of tampering is found and named."""

import hashlib
import json

import pytest

from database import IMEIDatabase
from storage import audit_chain
from storage.audit_chain import GENESIS, Link, remember, verified, verify
from storage.audit_log import AuditEntry, NewEntry, append

#: The statements around a change that the triggers would refuse, and what holds the highest number that was given.
UNLOCK = {
    "sqlite": "DROP TRIGGER audit_entries_no_update; DROP TRIGGER audit_entries_no_delete;"
    "DROP TRIGGER audit_entries_at_the_end;{}",
    "postgresql": "ALTER TABLE audit_entries DISABLE TRIGGER USER;{};ALTER TABLE audit_entries ENABLE TRIGGER USER",
}
RESET = {
    "sqlite": "UPDATE sqlite_sequence SET seq = {} WHERE name = 'audit_entries'",
    "postgresql": "UPDATE audit_counter SET given = {}",
}


@pytest.fixture
def five(database: IMEIDatabase) -> list[AuditEntry]:
    with database.write() as connection:
        return [append(connection, NewEntry("anna", "192.0.2.7", "batch.pause", f"batch {n}")) for n in range(1, 6)]


def tamper(database: IMEIDatabase, script: str) -> None:
    """Change the table as a person with write access to the database can."""
    with database.engine.begin() as connection:
        for statement in UNLOCK[database.dialect].format(script).split(";"):
            connection.exec_driver_sql(statement)


def test_the_digest_can_be_computed_from_its_description(database: IMEIDatabase, five: list[AuditEntry]) -> None:
    with database.read() as connection:
        rows = [row._asdict() for row in connection.exec_driver_sql("SELECT * FROM audit_entries ORDER BY id")]
    previous = "0" * 64
    for row in rows:
        digest = row.pop("digest")
        assert row["previous"] == previous
        text = json.dumps(row, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode("utf-8")).hexdigest()
        assert digest == previous


@pytest.mark.parametrize("read_at_once", [2, 5000])
def test_an_untouched_chain_is_in_order(
    database: IMEIDatabase, five: list[AuditEntry], monkeypatch: pytest.MonkeyPatch, read_at_once: int
) -> None:
    monkeypatch.setattr(audit_chain, "READ_AT_ONCE", read_at_once)
    report = verify(database, noted=[five[1].link])
    assert (report.checked, report.last, report.broken, report.problem) == (5, five[-1].link, None, "")
    assert verify(database, five[2].link).checked == 2


def test_an_empty_log_is_in_order(database: IMEIDatabase) -> None:
    assert verify(database) == audit_chain.ChainReport(0, Link(0, GENESIS))


@pytest.mark.parametrize(
    ("script", "broken", "words"),
    [
        ("UPDATE audit_entries SET actor = 'eve' WHERE id = 3", 3, "was changed"),
        ("UPDATE audit_entries SET detail = '{\"a\": 1}' WHERE id = 1", 1, "was changed"),
        ("UPDATE audit_entries SET previous = digest WHERE id = 4", 4, "was changed"),
        ("DELETE FROM audit_entries WHERE id = 2", 2, "were removed"),
        ("DELETE FROM audit_entries WHERE id = 1", 1, "were removed"),
        (
            "UPDATE audit_entries SET id = 9 WHERE id = 2; UPDATE audit_entries SET id = 2 WHERE id = 3;"
            "UPDATE audit_entries SET id = 3 WHERE id = 9",
            2,
            "was changed",
        ),
        (
            "UPDATE audit_entries SET id = id + 10 WHERE id > 2; UPDATE audit_entries SET id = id - 9 WHERE id > 2;"
            "INSERT INTO audit_entries SELECT 3, at, 'eve', address, action, subject, detail, request_id, previous,"
            " digest FROM audit_entries WHERE id = 2",
            3,
            "was changed",
        ),
        ("DELETE FROM audit_entries WHERE id > 3", 4, "cut off"),
        ("DELETE FROM audit_entries", 1, "cut off"),
    ],
)
def test_tampering_is_found_at_the_first_entry(
    database: IMEIDatabase, five: list[AuditEntry], script: str, broken: int, words: str
) -> None:
    tamper(database, script)
    report = verify(database)
    assert report.broken == broken
    assert words in report.problem


def test_entries_after_a_cut_do_not_hide_it(database: IMEIDatabase, five: list[AuditEntry]) -> None:
    tamper(database, "DELETE FROM audit_entries WHERE id > 3")
    with database.write() as connection:
        later = append(connection, NewEntry("anna", "192.0.2.7", "logout"))
    assert later.number == 6
    assert verify(database).broken == 4


def forge(database: IMEIDatabase, first: int) -> None:
    """Replace the entries from first on by others with right digests, and reset the counter."""
    tamper(database, f"DELETE FROM audit_entries WHERE id >= {first};{RESET[database.dialect].format(first - 1)}")
    with database.write() as connection:
        for _ in range(first, 6):
            append(connection, NewEntry("eve", "192.0.2.9", "logout"))


def test_a_new_chain_is_found_by_a_digest_that_was_noted_elsewhere(
    database: IMEIDatabase, five: list[AuditEntry]
) -> None:
    forge(database, 4)
    assert verify(database).broken is None  # cannot be seen from inside
    assert verify(database, noted=[five[2].link]).broken is None
    report = verify(database, noted=[five[4].link])
    assert (report.broken, "noted before" in report.problem) == (5, True)
    report = verify(database, noted=[Link(7, "ab")])
    assert (report.broken, "cut off" in report.problem) == (6, True)


def test_the_newest_check_is_remembered(database: IMEIDatabase, five: list[AuditEntry]) -> None:
    assert verified(database) is None
    remember(database, five[3].link)
    found = verified(database)
    assert found is not None
    assert found.last == five[3].link

"""The commands of the audit log, and the entries that other commands leave."""

import sqlite3

import pytest
from click.testing import Result
from flask import Flask

from commands.audit_log import record, system_user
from database import IMEIDatabase
from storage.audit_chain import verified
from storage.audit_log import AuditEntry, AuditFilter, page


@pytest.fixture
def entry(app: Flask, database: IMEIDatabase) -> AuditEntry:
    record(database, "import.confirm", "import 3", file="export.csv")
    return page(database, AuditFilter(), None, 1)[0]


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=["audit-log", *arguments])


def test_the_entry_of_a_command_names_the_user_of_the_system(entry: AuditEntry) -> None:
    assert (entry.actor, entry.address) == (f"command line ({system_user()})", "local")
    assert (entry.action, entry.subject, entry.detail) == ("import.confirm", "import 3", {"file": "export.csv"})


def test_a_user_without_a_name_is_named_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    assert system_user() == "987654"


def test_commands_that_change_or_hand_out_something_are_recorded(
    app: Flask, database: IMEIDatabase, tmp_path: object
) -> None:
    runner = app.test_cli_runner()
    assert runner.invoke(args=["backup", str(tmp_path)]).exit_code == 0
    assert runner.invoke(args=["reparse"]).exit_code == 0
    added = runner.invoke(args=["users", "add", "Vera", "--role", "viewer"], input="a long enough secret phrase\n")
    assert added.exit_code == 0
    runner.invoke(args=["undo-import", "99"])  # refused: it changed nothing
    found = page(database, AuditFilter(), None, 9)
    assert [(one.action, one.subject) for one in found] == [
        ("user.add", "user vera"),
        ("results.reparse", ""),
        ("backup", ""),
    ]
    assert "a long enough" not in "".join(one.line for one in found)


def test_verify_names_the_last_entry_and_remembers_it(app: Flask, database: IMEIDatabase, entry: AuditEntry) -> None:
    result = run(app, "verify")
    number, digest = entry.link
    assert (result.exit_code, result.output) == (0, f"1 entry in order. The last one is {number}:{digest}\n")
    found = verified(database)
    assert found is not None
    assert found.last == entry.link
    assert run(app, "verify", "--noted", f"1:{digest}").exit_code == 0


def test_verify_ends_with_1_for_a_broken_chain(app: Flask, database: IMEIDatabase, entry: AuditEntry) -> None:
    assert run(app, "verify", "--noted", f"2:{'0' * 64}").output.startswith("Broken at entry 2. The end of the log")
    with sqlite3.connect(database.path) as connection:
        connection.execute("DROP TRIGGER audit_entries_no_update")
        connection.execute("UPDATE audit_entries SET action = 'login'")
    connection.close()
    result = run(app, "verify")
    assert (result.exit_code, result.output) == (
        1,
        "Broken at entry 1. Entry 1 was changed: its digest does not fit.\n",
    )
    assert verified(database) is None


def test_a_log_that_was_emptied_after_a_check_is_broken(app: Flask, database: IMEIDatabase, entry: AuditEntry) -> None:
    run(app, "verify")
    with sqlite3.connect(database.path) as connection:
        connection.execute("DROP TRIGGER audit_entries_no_delete")
        connection.execute("DELETE FROM audit_entries")
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'audit_entries'")
    connection.close()
    assert run(app, "verify").exit_code == 1


def test_what_was_noted_must_be_readable(app: Flask) -> None:
    for wrong in ("1", "x:ab", f"-1:{'0' * 64}", "1:abc"):
        assert run(app, "verify", "--noted", wrong).exit_code == 2


def test_show_prints_entries_that_match(app: Flask, database: IMEIDatabase, entry: AuditEntry) -> None:
    record(database, "backup")
    assert run(app, "show", "--action", "import").output == f"{entry.line}\n"
    assert [line.split()[0] for line in run(app, "show").output.splitlines()] == ["1", "2"]


def test_a_command_says_that_it_could_not_be_recorded(
    app: Flask, database: IMEIDatabase, rival: IMEIDatabase, capsys: pytest.CaptureFixture[str]
) -> None:
    database.engine.dispose()
    with pytest.MonkeyPatch.context() as patch, rival.write():
        patch.setattr("engines.sqlite_engine.BUSY_TIMEOUT_MS", 1)
        record(database, "backup")
    assert "no entry about this command" in capsys.readouterr().err

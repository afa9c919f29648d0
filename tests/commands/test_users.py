"""The commands `flask users …`."""

import pytest
from click.testing import Result
from flask import Flask
from login_client import log_in

from access.users import all_users
from database import IMEIDatabase
from storage.audit_log import AuditFilter, walk

PASSWORD = "four plain words here"


def run(app: Flask, *args: str, password: str = PASSWORD) -> Result:
    return app.test_cli_runner().invoke(args=["users", *args], input=password + "\n")


def test_users_are_added_listed_and_changed_without_a_password_in_the_arguments(
    app: Flask, database: IMEIDatabase
) -> None:
    assert run(app, "add", "Anna", "--role", "admin").output == "Added anna as admin.\n"
    assert run(app, "add", "berta", "--role", "operator", "--daily-limit", "250").exit_code == 0
    assert run(app, "set-role", "berta", "viewer").output == "berta is viewer.\n"
    assert run(app, "set-limit", "anna", "12.5").output == "anna may order for $12.50 a day.\n"
    assert run(app, "set-limit", "anna", "").output == "anna may order without a limit.\n"
    assert run(app, "set-limit", "anna", "many").exit_code != 0
    assert run(app, "disable", "berta").exit_code == 0
    listed = run(app, "list").output.splitlines()
    assert listed[0] == "anna\tadmin\tno limit\tno second factor\tactive"
    assert listed[1] == "berta\tviewer\t$250.00\tno second factor\tdisabled"
    assert run(app, "enable", "berta").exit_code == 0
    assert run(app, "set-password", "berta", password="four other words here").exit_code == 0
    assert [user.disabled_at for user in all_users(database)] == [None, None]
    far = {"REMOTE_ADDR": "203.0.113.9"}
    client = app.test_client()
    client.environ_base.update(far)
    assert log_in(client, "four other words here", "berta").status_code == 303


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (("add", "anna", "--role", "viewer"), "There is a user anna already."),
        (("add", "carla", "--role", "viewer", "--daily-limit", "much"), "is not a number of US dollars"),
        (("set-role", "nobody", "viewer"), "There is no user nobody."),
        (("set-role", "anna", "viewer"), "This is the last admin."),
        (("disable", "anna"), "This is the last admin."),
    ],
)
def test_a_refusal_is_a_sentence_and_exit_code_1(app: Flask, args: tuple[str, ...], sentence: str) -> None:
    run(app, "add", "anna", "--role", "admin")
    refused = run(app, *args)
    assert refused.exit_code == 1
    assert "Nothing was changed." in refused.output
    assert sentence in refused.output


def test_every_change_has_an_entry_in_the_audit_log(app: Flask, database: IMEIDatabase) -> None:
    run(app, "add", "anna", "--role", "admin")
    run(app, "add", "berta", "--role", "viewer")
    for change in ("set-role berta operator", "set-password berta", "disable berta", "enable berta", "reset-2fa berta"):
        assert run(app, *change.split()).exit_code == 0
    found = [entry.action for entry in walk(database, AuditFilter(subject="user berta"))]
    assert found == ["user.reset_factor", "user.enable", "user.disable", "user.password", "user.change", "user.add"]


def test_a_weak_password_is_refused(app: Flask, database: IMEIDatabase) -> None:
    assert "too short" in run(app, "add", "anna", "--role", "admin", password="short").output
    assert all_users(database) == []

"""The page of the audit log: filters, pages, words, links, the file, and the check of the chain."""

import json
import re
import sqlite3
from collections.abc import Sequence

import pytest
from web_client import Browser, words
from web_scenes import csv_rows

from database import IMEIDatabase
from people import Actor, Role
from storage.audit_chain import digest_of, verified
from storage.audit_log import NewEntry, append
from web.audit_log import action_words, detail_words
from web.context import PAGE

PATH = "/settings/audit-log"
#: What is written between one digest and the next, as other programs see it.
COLUMNS = {
    "id": "NUMBER",
    "at": "TIME (UTC)",
    "actor": "PERSON",
    "address": "ADDRESS",
    "action": "ACTION",
    "subject": "SUBJECT",
    "detail": "DETAILS",
    "request_id": "REQUEST",
    "previous": "PREVIOUS DIGEST",
}


def write(database: IMEIDatabase, new: Sequence[NewEntry]) -> None:
    with database.write() as connection:
        for one in new:
            append(connection, one)


@pytest.fixture
def written(database: IMEIDatabase) -> None:
    write(
        database,
        [
            NewEntry("anna", "192.0.2.7", "batch.confirm", "batch 12", {"imeis": 1500, "cost": "$120.00"}),
            NewEntry("ben", "192.0.2.8", "batch.pause.refused", "batch 12", {"refused": "It was not running."}),
            NewEntry("ben", "192.0.2.8", "user.change", "user vera", {"old": "viewer", "new": "operator"}),
            NewEntry("command line (root)", "local", "backup", "", {"size": 4096, "file": "a.db"}),
        ],
    )


def numbers(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<td class="num" title="Request [^"]*">([\d,]+)</td>', page)]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [4, 3, 2, 1]),
        ("actor=ben", [3, 2]),
        ("action=batch", [2, 1]),
        ("action=batch.pause", [2]),
        ("subject=batch 12", [2, 1]),
        ("address=local", [4]),
        ("refused=1", [2]),
        ("since=2020-01-01&until=2020-12-31", []),
        ("until=9999-12-31", [4, 3, 2, 1]),
        ("actor=ben&refused=1", [2]),
        ("actor=nobody", []),
    ],
)
def test_the_filter_of_the_address_chooses_entries(browser: Browser, query: str, expected: list[int]) -> None:
    page = browser.get(f"{PATH}?{query}").text
    assert numbers(page) == expected
    assert [int(row["NUMBER"]) for row in csv_rows(browser.get(f"{PATH}/entries.csv?{query}"))] == expected


@pytest.mark.usefixtures("written")
def test_entries_are_in_words_with_links(browser: Browser) -> None:
    answer = browser.get(PATH)
    text = words(answer)
    assert "anna Batch confirm batch 12 IMEIs: 1,500 · cost: $120.00 192.0.2.7" in text
    assert "ben Batch pause refused batch 12 reason: It was not running." in text
    assert "User change user vera changed: viewer → operator" in text
    assert "command line (root) Backup – size: 4.1 kB · file: a.db local" in text
    assert '<a href="/batches/12">batch 12</a>' in answer.text
    assert '<a href="/settings/users">user vera</a>' in answer.text
    assert "4 entries Entry Time" in text


def test_pages_follow_each_other_without_gap(browser: Browser, database: IMEIDatabase) -> None:
    write(database, [NewEntry("anna", "192.0.2.7", "logout")] * (PAGE + 3))
    first = browser.get(f"{PATH}?actor=anna").text
    older = re.search(r'rel="next" href="([^"]+)"', first)
    assert older
    rest = browser.get(older[1].replace("&amp;", "&")).text
    assert numbers(first) + numbers(rest) == [*range(PAGE + 3, 0, -1)]


def test_a_day_that_cannot_be_read_is_an_error(browser: Browser) -> None:
    assert browser.get(f"{PATH}?since=soon").status_code == 400


def test_the_file_has_what_the_digests_are_made_of_and_no_formula(browser: Browser, database: IMEIDatabase) -> None:
    write(database, [NewEntry("anna", "192.0.2.7", "upload", "stock ü.csv", {"service": "269", "size": 12})])
    write(database, [NewEntry("anna", "192.0.2.7", "upload", "=1+1")])
    changed, row = csv_rows(browser.get(f"{PATH}/entries.csv"))
    values = {column: row[title] for column, title in COLUMNS.items()} | {"id": int(row["NUMBER"])}
    assert digest_of(values) == row["DIGEST"]
    assert changed["SUBJECT"] == "'=1+1"
    export = csv_rows(browser.get(f"{PATH}/entries.csv?action=export"))[0]
    assert json.loads(export["DETAILS"])["rows"] == 2


@pytest.mark.usefixtures("written")
def test_the_page_shows_how_far_the_chain_is_verified(browser: Browser, database: IMEIDatabase) -> None:
    assert "Not verified yet." in words(browser.get(PATH))
    browser.post(f"{PATH}/check")
    found = verified(database)
    assert found is not None
    assert found.last.number == 4
    text = words(browser.get(PATH))
    assert "Verified up to entry 4 on" in text
    assert "there is no newer entry" in text
    write(database, [NewEntry("anna", "192.0.2.7", "logout")])
    assert "1 newer entry is not verified yet" in words(browser.get(PATH))


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("script", ["UPDATE audit_entries SET actor = 'eve' WHERE id = 5", "DELETE FROM audit_entries"])
def test_the_page_tells_that_the_chain_is_broken(browser: Browser, database: IMEIDatabase, script: str) -> None:
    browser.post(f"{PATH}/check")
    write(database, [NewEntry("anna", "192.0.2.7", "logout")])
    with sqlite3.connect(database.path) as connection:
        for trigger in ("no_update", "no_delete"):
            connection.execute(f"DROP TRIGGER audit_entries_{trigger}")
        connection.execute(script)
    connection.close()
    browser.post(f"{PATH}/check")
    assert "The audit log was changed outside the program." in words(browser.get(PATH))


def test_only_an_admin_sees_the_log(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.auth.DEMO_USER", Actor("olaf", Role.OPERATOR))
    assert browser.get(PATH).status_code == 403
    assert browser.get(f"{PATH}/entries.csv").status_code == 403


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("login", ("Login", "")),
        ("doubt.not_placed", ("Doubt not placed", "")),
        ("batch.pause.refused", ("Batch pause", "refused")),
        ("backup.failed", ("Backup", "failed")),
    ],
)
def test_an_action_is_put_into_words(action: str, expected: tuple[str, str]) -> None:
    assert action_words(action) == expected


def test_details_are_put_into_words() -> None:
    detail = {"daily_limit": None, "complete": True, "filter": ["status Completed", "verdict fail"], "rows": 12000}
    assert detail_words(detail) == (
        ("daily limit", "–"),
        ("complete", "yes"),
        ("filter", "status Completed, verdict fail"),
        ("rows", "12,000"),
    )

"""Grading rules are edited, tried and saved without a script; verdicts are filters, badges and numbers on pages."""

import re
from collections.abc import Sequence
from typing import Any

import pytest
from simulated_provider import imeis
from sqlalchemy import insert, select, update
from web_client import Browser, answer_chunks, words
from werkzeug.test import TestResponse

from database import IMEIDatabase, utc_now
from grading import DEFAULT_RULES, Condition, Verdict, checked_rule
from schema import orders, rule_versions
from storage import regrading, stop_loss, verdict_store

LOCKED_FAILS = ("fail", "locked", "", "")
DEFAULT = [(str(rule.verdict), str(rule.condition), rule.value, rule.service_id) for rule in DEFAULT_RULES]


@pytest.fixture
def checked(database: IMEIDatabase) -> list[str]:
    """30 phones: 10 pass, 15 are locked, 5 have Find My iPhone on."""
    numbers = imeis(30, 500)
    rows = [
        {
            "imei": imei,
            "order_id": f"55{n}",
            "status": "Completed",
            "service_id": "1739",
            "service_name": "FMI",
            "fmi": "ON" if n < 5 else "OFF",
            "simlock": "Locked" if 5 <= n < 20 else "Unlocked",
            "order_date": utc_now(),
        }
        for n, imei in enumerate(numbers)
    ]
    with database.write() as connection:
        connection.execute(insert(orders), [*rows, {**rows[0], "order_id": "99", "status": "Pending", "fmi": None}])
    regrading.regrade(database)
    return numbers


def press(browser: Browser, action: str, rules: Sequence[tuple[str, ...]], tried: str = "") -> TestResponse:
    """Press a button of the form with these rules in it."""
    names = ("verdict", "condition", "value", "service")
    fields: dict[str, Any] = {name: [rule[place] for rule in rules] for place, name in enumerate(names)}
    return browser.post("/settings/rules", {"action": action, "tried": tried, **fields})


def form_of(page: str) -> list[tuple[str, ...]]:
    """The rules in the form of a page."""
    rows = re.findall(r'<li>\s*<select name="verdict".*?</li>', page, re.DOTALL)
    chosen = [re.findall(r'<option value="(\w*)" selected', row) for row in rows]
    typed = [re.findall(r'<input name="\w+" value="([^"]*)"', row) for row in rows]
    return [(row[0], row[1] if len(row) > 1 else "", *texts) for row, texts in zip(chosen, typed, strict=True)]


def tried(page: str) -> str:
    found = re.search(r'name="tried" value="(\w*)"', page)
    assert found
    return found[1]


def versions(database: IMEIDatabase) -> int:
    with database.read() as connection:
        return len(connection.execute(select(rule_versions)).all())


def test_buttons_of_the_form_edit_the_list_and_write_nothing(browser: Browser, database: IMEIDatabase) -> None:
    page = browser.get("/settings").text
    assert form_of(page) == DEFAULT
    longer = form_of(press(browser, "add", DEFAULT).text)
    assert longer == [*DEFAULT, ("review", "", "", "")]
    assert form_of(press(browser, "remove:0", DEFAULT).text) == DEFAULT[1:]
    assert form_of(press(browser, "up:1", DEFAULT).text) == [DEFAULT[1], DEFAULT[0], *DEFAULT[2:]]
    assert form_of(press(browser, "down:0", DEFAULT).text) == [DEFAULT[1], DEFAULT[0], *DEFAULT[2:]]
    for nothing in ("up:0", f"down:{len(DEFAULT) - 1}", "remove:99", "remove", "remove:-1", "down:x", "dance:1"):
        assert form_of(press(browser, nothing, DEFAULT).text) == DEFAULT
    assert form_of(press(browser, "default", [LOCKED_FAILS]).text) == DEFAULT
    assert versions(database) == 1


@pytest.mark.usefixtures("checked")
def test_rules_are_tried_before_they_are_saved_as_one_version(browser: Browser, database: IMEIDatabase) -> None:
    new = [LOCKED_FAILS, *DEFAULT]
    answer = press(browser, "save", new)
    assert "The rules were not saved: look at what they change, then save them." in words(answer)
    assert "15 of the last 30 results would change: 15 review → fail." in words(answer)
    assert "Fail if it is SIM locked" in words(answer)
    assert versions(database) == 1
    saved = press(browser, "save", new, tried(answer.text))
    assert saved.status_code == 303
    page = words(browser.get(saved.location))
    assert "Version 2 is saved. Results are graded again in the background." in page
    assert "0 of 31 orders follow version 2 of the rules." in page
    again = press(browser, "save", new, tried(answer.text))
    assert "in force already" in words(browser.get(again.location))
    assert versions(database) == 2
    regrading.regrade(database)
    page = words(browser.get("/settings"))
    assert "follow version" not in page
    assert "2 (in force)" in page
    order = words(browser.get("/orders/5510"))
    assert "Rule 1: Fail if it is SIM locked. Rules of" in order
    assert "(version 2)" in order


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (("fail", "carrier_contains", "", ""), "Enter a text of 1 to 80 characters to compare with."),
        (("review", "older", "soon", ""), "Enter a whole number of days from 1 to 3,650."),
        (("pass", "rejected", "", ""), "A phone without a result of its own cannot pass; choose review or fail."),
        (("fail", "", "", ""), "Choose a condition."),
        (("fail", "locked", "", "no-such-service"), "Choose a service id of the list, or leave it blank."),
        (DEFAULT[0], "Two rules are the same. Remove one of them."),
    ],
)
def test_a_rule_that_is_not_valid_is_named_and_nothing_is_saved(
    browser: Browser, database: IMEIDatabase, rule: tuple[str, ...], sentence: str
) -> None:
    answer = press(browser, "save", [*DEFAULT, rule])
    assert sentence in words(answer)
    assert "Save rules" not in answer.text
    assert versions(database) == 1
    too_many = press(browser, "try", [("fail", "carrier_is", f"c{n}", "") for n in range(51)])
    assert "A list holds at most 50 rules." in words(too_many)


def test_a_rule_can_be_for_one_service(browser: Browser, checked: list[str], database: IMEIDatabase) -> None:
    rule = ("fail", "locked", "", "1739")
    answer = press(browser, "try", [rule, *DEFAULT])
    assert "15 review → fail." in words(answer)
    other = press(browser, "try", [("fail", "locked", "", "102"), *DEFAULT])
    assert "None of the last 30 results would change." in words(other)
    assert press(browser, "save", [rule, *DEFAULT], tried(answer.text)).status_code == 303
    with database.read() as connection:
        first = verdict_store.rules_in_force(connection).rules[0]
    assert first == checked_rule(Verdict.FAIL, Condition.LOCKED, service_id="1739")


@pytest.mark.parametrize(("verdict", "count"), [("pass", 10), ("review", 15), ("fail", 5), ("pending", 1)])
def test_a_verdict_is_a_filter_with_its_count_everywhere(
    browser: Browser, checked: list[str], verdict: str, count: int
) -> None:
    history = browser.get(f"/history?verdict={verdict}")
    assert history.text.count("<tr data-order=") == count
    assert f'<option value="{verdict}" selected>{verdict.capitalize()} ({count})</option>' in history.text
    assert history.text.count(f'class="badge verdict-{verdict}"') == (0 if verdict == "pending" else count)
    search = browser.post("/history/search", {"imeis": "\n".join(checked)}).location
    assert browser.get(f"{search}?verdict={verdict}").text.count("<tr data-order=") == count
    rows = browser.get(f"/history.csv?format=extended&verdict={verdict}").text.splitlines()
    assert len(rows) == count + 1
    *_, found, tags = rows[1].split(",")
    assert (found, tags) == ("" if verdict == "pending" else verdict.capitalize(), "")
    assert "VERDICT" not in browser.get(f"/history.csv?verdict={verdict}").text


def test_an_unknown_verdict_is_an_error(browser: Browser) -> None:
    answer = browser.get("/history?verdict=green")
    assert answer.status_code == 400
    assert "“green” is not a verdict. Choose one of pass, review, fail, pending." in words(answer)


@pytest.mark.usefixtures("checked")
def test_reports_count_verdicts_and_lead_to_their_orders(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(3, 900))
    with database.write() as connection:
        connection.execute(update(orders).values(batch_id=batch_id))
    today = f"{utc_now():%Y-%m-%d}"
    page = browser.get("/reports").text
    assert f'href="/history?verdict=fail&amp;since={today}&amp;until={today}">5</a>' in page
    page = browser.get("/reports?by=batch&month=all").text
    assert f'href="/history?verdict=review&amp;batch={batch_id}">15</a>' in page
    for path in ("findings", "report"):
        page = browser.get(f"/batches/{batch_id}/{path}").text
        assert f'href="/history?verdict=pass&amp;batch={batch_id}">10</a>' in page
    assert len(re.findall("<tr data-order=", browser.get(f"/history?verdict=pending&batch={batch_id}").text)) == 1


def test_the_files_of_a_batch_have_the_verdict_of_each_phone(browser: Browser, database: IMEIDatabase) -> None:
    batch_id = browser.start(imeis(3, 900))
    answer_chunks(database)
    with database.write() as connection:
        done = {"status": "Completed", "model": "iPhone 12", "simlock": "Unlocked"}
        connection.execute(update(orders).where(orders.c.imei == imeis(1, 900)[0]).values(done | {"fmi": "ON"}))
    regrading.regrade(database)
    rows = browser.get(f"/batches/{batch_id}/results.csv?format=extended").text.splitlines()
    assert [row.split(",")[-2] for row in rows] == ["VERDICT", "Fail", "", ""]


def test_the_stop_loss_is_off_until_it_is_set(browser: Browser, database: IMEIDatabase) -> None:
    assert "Off: no batch is paused because of its results." in words(browser.get("/settings"))
    refused = browser.post("/settings/stop-loss", {"percent": "0", "first": "100"})
    assert "not changed: enter a whole number of percent" in words(browser.get(refused.location.partition("#")[0]))
    assert stop_loss.stored(database) is None
    saved = browser.post("/settings/stop-loss", {"percent": "30", "first": "100"})
    sentence = "A batch is paused when more than 30 % of its first 100 results fail or are rejected."
    assert sentence in words(browser.get(saved.location))
    assert sentence in words(browser.get("/settings"))
    browser.post("/settings/stop-loss", {"percent": "", "first": ""})
    assert stop_loss.stored(database) is None

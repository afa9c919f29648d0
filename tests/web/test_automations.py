"""Pages of automations: made from a filter, tried, confirmed, turned on with a tick, changed; what re-checks found."""

import re
from dataclasses import replace
from typing import Any

import pytest
from automation_scene import SECOND, Scene
from flask import Flask
from simulated_provider import imeis
from stored_people import act_as, add_user
from web_client import Browser, Provider, fields_of, make_app, words

from database import IMEIDatabase
from orders import AutomationKind
from people import Role
from settings import Settings

FIELDS = {"name": "Second stage", "service_id": SECOND, "max_price": "", "daily_limit": "25"}
SCHEDULE = {"every_days": "7", "hour": "8", "time_zone": "Europe/Berlin", "first_day": "2026-12-06"}


@pytest.fixture
def scene(app: Flask, database: IMEIDatabase, provider: Provider) -> Scene:
    return Scene(database, app.extensions["backend"], provider)


def press(browser: Browser, page: str, action: str, **more: str) -> Any:
    """Press the button of one form of a page, and return the page that follows."""
    return browser.led_back(browser.post(action, fields_of(browser.get(page).text, action) | more))


def make(browser: Browser, query: str = "fmi=OFF", **more: str) -> str:
    """Save an automation from the history; return the address of its page."""
    form = fields_of(browser.get(f"/automations/new?{query}").text, "/automations")
    answer = browser.post("/automations", form | FIELDS | more)
    assert answer.status_code == 303, words(answer)
    return str(answer.location)


def test_from_a_filter_to_a_running_follow_up_and_its_log(browser: Browser, scene: Scene) -> None:
    scene.check(imeis(3))
    assert "/automations/new?fmi=OFF" in browser.get("/history?fmi=OFF").text
    assert "/automations/new" not in browser.get("/history").text
    page = make(browser)
    assert "Orders “T-Mobile USA - Status Check” for each phone with a new result where Find My is OFF." in words(
        browser.get(page)
    )
    tried = words(press(browser, page, f"{page}/trial"))
    assert "3 IMEIs, $0.30 of 3 phones" in tried
    assert all(imei in tried for imei in imeis(3))
    assert scene.sent(1) == []
    assert "Not turned on: tick" in words(press(browser, page, f"{page}/on"))
    assert "It is on." in words(press(browser, page, f"{page}/on", sure="on"))
    scene.check(imeis(2, 50))
    scene.turn()
    assert scene.sent(1) == imeis(2, 50)
    listed = words(browser.get("/automations"))
    assert "Second stage" in listed
    assert "$0.20 $25.00" in listed
    assert "By itself: 2 IMEIs" in listed
    assert "rule Second stage" in browser.get("/history?person=rule+Second+stage").text
    assert "It is off." in words(press(browser, page, f"{page}/off"))
    scene.check(imeis(2, 60))
    scene.turn()
    assert scene.sent(1) == imeis(2, 50)
    with scene.database.read() as connection:
        actions = set(connection.exec_driver_sql("SELECT action FROM audit_entries").scalars())
    assert {"automation.create", "automation.trial", "automation.on", "automation.off"} <= actions


def test_a_trial_is_confirmed_once_with_its_count(
    settings: Settings, database: IMEIDatabase, provider: Provider
) -> None:
    app = make_app(replace(settings, confirm_above=0.05), database, provider)
    browser, scene = Browser(app), Scene(database, app.extensions["backend"], provider)
    scene.check(imeis(3))
    page = make(browser)
    press(browser, page, f"{page}/trial")
    form = fields_of(browser.get(page).text, f"{page}/run")
    assert "to confirm, type the number of IMEIs, 3" in words(press(browser, page, f"{page}/run", typed="2"))
    first, second = (browser.post(f"{page}/run", form | {"typed": "3"}) for _ in range(2))
    assert first.location == second.location == "/batches/2"
    assert scene.sent(1) == imeis(3)
    assert "This trial was confirmed before" in words(browser.get(second.location))
    other = make(browser, name="Other")
    assert browser.post(f"{other}/run", form).status_code == 400


def test_a_change_turns_it_off_and_an_outdated_page_changes_nothing(browser: Browser, scene: Scene) -> None:
    page = make(browser)
    old = fields_of(browser.get(page).text, page)
    press(browser, page, f"{page}/on", sure="on")
    assert browser.post(page, old | {"daily_limit": "1000000"}).status_code == 409
    changed = words(press(browser, page, page, daily_limit="30"))
    assert "Saved. It is off" in changed
    assert "Changed by demo" in changed
    found = scene.get(1)
    assert (found.is_on, found.terms.daily_limit, found.terms.filter) == (False, 30.0, "fmi=OFF")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "  "}, "Enter a name"),
        ({"name": "a\u202eb"}, "Enter a name"),
        ({"service_id": "5"}, "does not list a service 5"),
        ({"service_id": "102"}, "needs more than an IMEI"),
        ({"max_price": "0.05"}, "costs $0.10, more than your highest price"),
        ({"daily_limit": "-1"}, "Enter the daily limit"),
        ({"daily_limit": "nan"}, "Enter the daily limit"),
        ({"daily_limit": ""}, "Enter the daily limit"),
        ({"every_days": "0"}, "whole number from 1 to 365"),
        ({"hour": "24"}, "whole number from 0 to 23"),
        ({"time_zone": "../etc/passwd"}, "is not a time zone"),
        ({"first_day": "9999-12-31"}, "Enter the first day"),
    ],
)
def test_what_cannot_be_saved_is_said_and_what_was_typed_stays(
    browser: Browser, scene: Scene, wrong: dict[str, str], sentence: str
) -> None:
    form = fields_of(browser.get("/automations/new?fmi=OFF&kind=recheck").text, "/automations")
    back = browser.led_back(browser.post("/automations", form | FIELDS | SCHEDULE | wrong))
    assert sentence in words(back)
    assert 'value="25"' in back.text or "daily_limit" in wrong


@pytest.mark.parametrize("query", ["", "status=Pending", "status=Rejected", "verdict=pending", "fmi=perhaps"])
def test_a_filter_that_selects_no_results_makes_no_automation(browser: Browser, query: str) -> None:
    answer = browser.get(f"/automations/new?{query}")
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/history")
    form = {"kind": "follow_up", "filter": query, "csrf_token": browser.token()} | FIELDS
    assert browser.post("/automations", form).status_code == 400


def test_a_name_is_taken_once(browser: Browser) -> None:
    make(browser)
    form = fields_of(browser.get("/automations/new?fmi=ON").text, "/automations")
    assert "There is an automation named “Second stage” already" in words(
        browser.led_back(browser.post("/automations", form | FIELDS))
    )


def test_it_orders_for_who_turned_it_on(monkeypatch: pytest.MonkeyPatch, browser: Browser, scene: Scene) -> None:
    page = make(browser)
    act_as(monkeypatch, add_user(scene.database, "berta", daily_limit=0.1))
    press(browser, page, f"{page}/on", sure="on")
    scene.check(imeis(3))
    scene.turn()
    assert (scene.get(1).ordered_by, len(scene.sent(1))) == ("berta", 1)
    act_as(monkeypatch, add_user(scene.database, "victor", Role.VIEWER))
    shown = browser.get(page).text
    assert "/on" not in shown
    assert "/trial" not in shown
    assert browser.post(f"{page}/off").status_code == 403


def test_a_recheck_shows_and_exports_what_changed(browser: Browser, scene: Scene) -> None:
    scene.check(imeis(60), service_id=SECOND)
    page = make(browser, "fmi=OFF&kind=recheck", **SCHEDULE)
    assert "again for each phone where Find My is OFF, every 7 days at 08:00 Europe/Berlin" in words(browser.get(page))
    press(browser, page, f"{page}/on", sure="on")
    assert scene.get(1).kind is AutomationKind.RECHECK
    due = scene.get(1).due_at
    assert due
    scene.turn(due)
    run_id = scene.log(1)[-1].run_id
    assert "0 of 60 results are here" in words(browser.get(f"/automations/runs/{run_id}"))
    scene.answer(fmi="ON")
    scene.turn(due)
    beyond = browser.get(f"/automations/runs/{run_id}?after=9999999999999999999")
    assert beyond.status_code == 200
    shown = browser.get(f"/automations/runs/{run_id}")
    assert "60 of 60 phones changed" in words(shown)
    assert "Find My OFF → ON 60" in words(shown)
    following = re.search(r'rel="next" href="([^"]+)"', shown.text)
    assert following
    rest = browser.get(following[1]).text
    assert [imei in shown.text for imei in imeis(60)] == [imei not in rest for imei in imeis(60)]
    lines = browser.get(f"/automations/runs/{run_id}/changes.csv?bom=0").text.splitlines()
    assert len(lines) == 121
    assert lines[1].startswith(f"{imeis(1)[0]},")
    assert browser.get("/automations/runs/99").status_code == browser.get("/automations/99").status_code == 404

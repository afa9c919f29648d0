"""The form of the columns of a list: each person has their own, and the IMEI stays the first."""

import pytest
from stored_people import act_as
from web_client import Browser
from web_scenes import choose_columns, headings, ordered

from database import IMEIDatabase
from people import Actor, Role
from storage import audit_log
from storage.audit_log import AuditFilter


def test_columns_are_chosen_moved_and_forgotten_by_each_person(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 3)
    usual = headings(browser.get("/history").text)
    assert usual[:3] == ["IMEI", "Order", "Status"]
    assert choose_columns(browser, ["model", "nonsense", "updated", "model"]) == "/history?fmi=ON"
    assert headings(browser.get("/history").text) == ["IMEI", "Model", "Updated"]
    assert choose_columns(browser, ["model", "updated"], action="up:updated") == "/history?fmi=ON&columns=open"
    assert headings(browser.get("/history").text) == ["IMEI", "Updated", "Model"]
    choose_columns(browser, ["updated", "model"], action="up:updated")
    assert headings(browser.get("/history").text) == ["IMEI", "Updated", "Model"], "the IMEI stays the first"
    act_as(monkeypatch, Actor("vera", Role.VIEWER))
    assert headings(browser.get("/history").text) == usual
    act_as(monkeypatch, Actor("demo", Role.ADMIN))
    choose_columns(browser, [], action="reset")
    assert headings(browser.get("/history").text) == usual
    assert browser.post("/history/columns", {"list": "nonsense"}).status_code == 400
    assert choose_columns(browser, ["model"], next="//elsewhere.example/") == "/"


def test_the_form_leads_back_to_its_page_open_while_columns_are_moved(browser: Browser, database: IMEIDatabase) -> None:
    """Whatever the address of the page was; columns that do not exist are left out."""
    ordered(database, 1)
    move = {"action": "down:model", "next": "/history?columns=open&fmi=ON&tag=a+b"}
    assert choose_columns(browser, ["model", "fmi"], **move) == "/history?fmi=ON&tag=a+b&columns=open"
    assert headings(browser.get("/history").text) == ["IMEI", "Find My", "Model"]
    last = move | {"next": "/batches/1"}
    assert choose_columns(browser, ["fmi", "model"], **last) == "/batches/1?columns=open"
    assert headings(browser.get("/history").text) == ["IMEI", "Find My", "Model"], "the last one stays the last"
    assert choose_columns(browser, ["fmi"], action="up:imei") == "/history?fmi=ON&columns=open"
    assert choose_columns(browser, ["fmi"], action="up:colour") == "/history?fmi=ON&columns=open"
    assert headings(browser.get("/history").text) == ["IMEI", "Find My"]


def test_the_audit_log_names_the_columns_that_were_chosen_or_that_they_are_the_usual_ones(
    browser: Browser, database: IMEIDatabase
) -> None:
    choose_columns(browser, ["fmi", "colour"])
    choose_columns(browser, ["fmi"], which="batch", action="reset")
    found = [(entry.subject, entry.detail["columns"]) for entry in audit_log.walk(database, AuditFilter())]
    assert found == [("columns of batch", "usual"), ("columns of history", ["imei", "fmi"])]

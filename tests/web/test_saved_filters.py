"""Filters are saved under a name, are a link above the history, and mean the day when they are used."""

import re
from html import unescape

import pytest
from stored_people import act_as
from web_client import Browser, words
from web_scenes import ordered

from database import IMEIDatabase, utc_now
from people import Actor, Role
from storage.saved_filter_store import save_filter

VIEWER, OPERATOR = Actor("vera", Role.VIEWER), Actor("otto", Role.OPERATOR)


def chips(page: str) -> dict[str, tuple[str, bool]]:
    """Name → (address, whether it is the filter of the page)."""
    found = re.findall(r'<a class="chip" href="([^"]+)"( aria-current="true")?[^>]*>([^<]+)</a>', page)
    return {unescape(name): (unescape(url), bool(current)) for url, current, name in found}


def saved(browser: Browser, query: str, name: str, **form: str) -> str:
    """Save a filter; return the page that follows."""
    answer = browser.post(f"/history/filters?{query}", {"name": name, **form})
    assert answer.status_code == 303
    return browser.get(answer.location).text


def test_a_saved_filter_is_a_link_with_its_sort_and_a_later_one_of_its_name_replaces_it(
    browser: Browser, database: IMEIDatabase
) -> None:
    ordered(database, 30)
    page = saved(browser, "carrier=AT%26T&sort=-price", "AT&T by price")
    assert "Saved filter “AT&T by price”." in words(browser.get("/history")) + unescape(page)
    assert chips(page) == {"AT&T by price": ("/history?carrier=AT%26T&sort=-price", True)}
    saved(browser, "fmi=ON", "AT&T by price")
    assert chips(browser.get("/history").text) == {"AT&T by price": ("/history?fmi=ON", False)}
    for query, name in (("", "All"), ("fmi=maybe", "Bad"), ("fmi=ON", " ")):
        assert "The filter was not saved." in unescape(saved(browser, query, name))
    assert len(chips(browser.get("/history").text)) == 1


def test_days_by_a_word_stay_words_and_are_read_as_days(browser: Browser, database: IMEIDatabase) -> None:
    numbers = ordered(database, 3)
    database.insert_order({"order_id": "9", "imei": "353000000000003", "order_date": utc_now(), "status": "Pending"})
    page = saved(browser, "since=7d&until=today", "This week")
    assert chips(page) == {"This week": ("/history?since=7d&until=today", True)}
    assert 'type="text" id="since" name="since"' in page
    assert 'value="7d"' in page
    for days in ("today", "7d", "month", "MONTH"):
        found = browser.get(f"/history.csv?since={days}").text
        assert "353000000000003" in found, days
        assert numbers[0] not in found, days
    assert numbers[0] in browser.get("/history.csv?since=9999d").text
    for wrong in ("0d", "7 days", "99999d", "months"):
        assert browser.get(f"/history?since={wrong}").status_code == 400, wrong


def test_an_operator_shares_and_only_the_owner_or_an_admin_changes(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(monkeypatch, OPERATOR)
    saved(browser, "status=Rejected", "Mine")
    saved(browser, "fmi=ON", "For all", shared="1")
    act_as(monkeypatch, VIEWER)
    assert list(chips(browser.get("/history").text)) == ["For all"]
    assert "Only operators and admins share filters." in words(
        browser.post("/history/filters?fmi=OFF", {"name": "x", "shared": "1"})
    )
    assert browser.post("/history/filters/1", {"name": "x"}).status_code == 404
    assert browser.post("/history/filters/2/delete").status_code == 403
    saved(browser, "fmi=OFF", "Vera's")
    act_as(monkeypatch, OPERATOR)
    assert browser.post("/history/filters/2", {"name": "Locked by owner", "shared": "1"}).status_code == 303
    assert "already" in words(browser.led_back(browser.post("/history/filters/1", {"name": "Locked by owner"})))
    assert list(chips(browser.get("/history").text)) == ["Locked by owner", "Mine"]
    act_as(monkeypatch, Actor("ada", Role.ADMIN))
    assert "by otto" in words(browser.get("/history/filters"))
    assert "was deleted" in words(browser.led_back(browser.post("/history/filters/2/delete")))
    assert chips(browser.get("/history").text) == {}


def test_a_filter_that_has_become_invalid_says_why(browser: Browser, database: IMEIDatabase) -> None:
    save_filter(database, "demo", "Gone", "status=Waiting", is_shared=False)
    assert "No longer valid: “Waiting” is not a status." in words(browser.get("/history/filters"))
    [(url, _)] = chips(browser.get("/history").text).values()
    answer = browser.get(url)
    assert answer.status_code == 400
    assert "“Waiting” is not a status." in words(answer)

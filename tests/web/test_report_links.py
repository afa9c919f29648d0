"""The forms of links to reports: how long a link lasts, what is ticked, and who may make and revoke it."""

import re
from datetime import timedelta

import pytest
from simulated_provider import imeis
from stored_people import act_as
from web_client import Browser, order_batch, words

from database import IMEIDatabase, utc_now
from people import Actor, Role
from storage import link_store
from storage.link_store import ReportLink
from web.report_links import DAYS


@pytest.fixture(autouse=True)
def two_batches(database: IMEIDatabase) -> None:
    """Batches 1 and 2, both ordered."""
    for first in (0, 10):
        order_batch(database, imeis(2, first))


def create(browser: Browser, batch_id: int = 1, **form: str) -> str:
    """Send the form of a link; return the text of the page."""
    answer = browser.post(f"/batches/{batch_id}/links", {"days": "7", **form})
    assert answer.status_code == 200
    return answer.text


def links(database: IMEIDatabase) -> list[ReportLink]:
    return sorted(link_store.listed(database), key=lambda link: link.id)


def test_a_link_is_shown_once_and_lasts_as_long_as_was_chosen(browser: Browser, database: IMEIDatabase) -> None:
    made = [re.findall(r"http://localhost/shared/hrl_[\w-]{43}", create(browser, days=str(days))) for days in DAYS]
    assert [len(found) for found in made] == [1] * len(DAYS)
    assert len({found[0] for found in made}) == len(DAYS)
    rest = [link.expires_at - utc_now() for link in links(database)]
    assert [round(left / timedelta(days=1)) for left in rest] == list(DAYS)
    assert all(left <= timedelta(days=days) for left, days in zip(rest, DAYS, strict=True))
    assert "/shared/hrl_" not in browser.get("/batches/1/report").text


@pytest.mark.parametrize("days", ["", "0", "2", "-7", "7.0", "x", "99999999999"])
def test_another_time_makes_no_link(browser: Browser, database: IMEIDatabase, days: str) -> None:
    answer = browser.post("/batches/1/links", {"days": days})
    assert answer.status_code == 400
    assert "A link expires after 1, 7, 30, 90 days." in words(answer)
    assert links(database) == []


def test_a_link_shows_what_was_ticked_and_who_made_it(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(monkeypatch, Actor("otto", Role.OPERATOR))
    create(browser)
    create(browser, batch_id=2, prices="1", csv="1")
    create(browser, batch_id=2, imeis="1")
    assert [(one.batch_id, one.has_prices, one.has_imeis, one.has_csv) for one in links(database)] == [
        (1, False, False, False),
        (2, True, False, True),
        (2, False, True, False),
    ]
    assert {one.created_by for one in links(database)} == {"otto"}


def test_a_link_is_revoked_once_and_by_way_of_its_own_batch(browser: Browser, database: IMEIDatabase) -> None:
    create(browser)
    for path, said in (
        ("/batches/2/links/1/revoke", "There is no link 1 that can be revoked."),
        ("/batches/1/links/2/revoke", "There is no link 2 that can be revoked."),
        ("/batches/1/links/1/revoke", "Link 1 is revoked."),
        ("/batches/1/links/1/revoke", "There is no link 1 that can be revoked."),
    ):
        before = links(database)[0].revoked_at
        answer = browser.post(path)
        assert answer.location.endswith("/report#links")
        assert said in words(browser.get(answer.location))
        assert (links(database)[0].revoked_at == before) == ("is revoked" not in said)
    assert browser.post("/batches/9/links/1/revoke").status_code == 404
    assert browser.post("/batches/1/links/1/revoke", {"listing": "1"}).location == "/settings/links"


def test_an_admin_sees_the_links_of_all_batches_and_others_do_not(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(browser)
    create(browser, batch_id=2)
    listed = browser.get("/settings/links").text
    assert all(f"/batches/{batch_id}/links/{batch_id}/revoke" in listed for batch_id in (1, 2))
    assert "/batches/2/links" not in browser.get("/batches/1/report").text
    act_as(monkeypatch, Actor("otto", Role.OPERATOR))
    assert browser.get("/settings/links").status_code == 403
    act_as(monkeypatch, Actor("vera", Role.VIEWER))
    assert browser.post("/batches/1/links", {"days": "7"}).status_code == 403
    assert browser.post("/batches/1/links/1/revoke").status_code == 403

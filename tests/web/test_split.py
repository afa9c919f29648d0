"""A mixed upload is sent in parts: what is shown is ordered, each IMEI once, and all of it or nothing."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import insert, select
from web_client import CARRIER, MAIL, Browser, Provider, answer_chunks, confirm_fields, make_app, words
from web_scenes import aged

from database import IMEIDatabase
from imei import luhn_check_digit
from orders import ServiceInfo
from schema import batches, items, orders
from settings import Settings

SAMSUNG = ServiceInfo("300", "Samsung Info", 0.2, "Instant", "Samsung")
ANY = ServiceInfo("269", "T-Mobile USA - Status Check", 0.1, category="Network")
APPLE_TAC, SAMSUNG_TAC, UNKNOWN_TAC = "35337008", "35123456", "35999999"


def imeis(tac: str, count: int) -> list[str]:
    bodies = [f"{tac}{number:06d}" for number in range(count)]
    return [body + luhn_check_digit(body) for body in bodies]


IPHONES, GALAXIES, OTHERS = imeis(APPLE_TAC, 6), imeis(SAMSUNG_TAC, 3), imeis(UNKNOWN_TAC, 2)


@pytest.fixture(name="provider")
def provider_fixture() -> Provider:
    return Provider([CARRIER, MAIL, SAMSUNG, ANY])


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase, provider: Provider) -> Iterator[Flask]:
    """An app that knows a model of Apple and one of Samsung, by orders of other phones."""
    known = [(APPLE_TAC, "iPhone 14", CARRIER), (SAMSUNG_TAC, "Galaxy S21", SAMSUNG)]
    with database.write() as connection:
        for number, (tac, model, service) in enumerate(known):
            values = {"imei": f"{tac}9999999", "model": model, "status": "Completed", "order_id": str(number)}
            connection.execute(insert(orders).values(**values, service_id=service.package_id))
    made = make_app(settings, database, provider)
    yield made
    made.extensions["stopping"].set()


@pytest.fixture(name="preview")
def preview_fixture(browser: Browser) -> str:
    return browser.paste([*IPHONES, *GALAXIES, *OTHERS])


def sent(database: IMEIDatabase) -> dict[str, list[str]]:
    """Service → the IMEIs that wait to be sent to it."""
    query = select(items.c.service_id, items.c.imei).where(items.c.outcome == "waiting").order_by(items.c.id)
    found: dict[str, list[str]] = {}
    with database.read() as connection:
        for service_id, imei in connection.execute(query):
            found.setdefault(service_id, []).append(imei)
    return found


def names(database: IMEIDatabase) -> list[str]:
    with database.read() as connection:
        return list(connection.execute(select(batches.c.label).order_by(batches.c.id)).scalars())


def confirm(browser: Browser, preview: str, **more: str) -> Any:
    return browser.post(f"{preview}/split", confirm_fields(browser.get(f"{preview}/split").text) | more)


def test_a_preview_shows_how_many_own_results_name_the_model(
    browser: Browser, database: IMEIDatabase, preview: str
) -> None:
    with database.write() as connection:
        for number, model in enumerate(["iPhone 14", "iPhone 14", "iPhone 14 Pro"]):
            values = {"imei": f"{APPLE_TAC}999{number:04d}", "model": model, "status": "Completed"}
            connection.execute(insert(orders).values(**values, order_id=f"more-{number}"))
    assert "6 iPhone 14 (3 of 4 results) 3 Galaxy S21 (1 result)" in words(browser.get(preview))


def test_a_preview_shows_the_lot_by_brand_and_warns_of_other_brands(browser: Browser, preview: str) -> None:
    page = words(browser.get(preview))
    assert "6 iPhone 3 Samsung 2 unknown" in page
    assert "6 iPhone 14 (1 result)" in page
    warning = "3 IMEIs are Samsung phones. This service is for Apple. The provider will probably reject them."
    assert warning in page
    form = confirm_fields(browser.get(preview).text)
    left = words(browser.post(f"{preview}/options", form | {"fitting_only": "on"}, follow_redirects=True))
    assert "8 ready to send" in left
    assert "3 of other brands, left out" in left
    assert warning not in left
    assert GALAXIES[0] in browser.get(f"{preview}/rejects.csv").text
    other = form | {"service_id": ANY.package_id}
    assert "will probably reject" not in words(browser.post(f"{preview}/options", other, follow_redirects=True))


def test_one_click_sends_each_part_to_its_own_service_once(
    browser: Browser, database: IMEIDatabase, preview: str
) -> None:
    page = words(browser.get(f"{preview}/split"))
    assert "6 iPhone" in page
    assert "Confirm and send 11 IMEIs · $1.24" in page
    form = confirm_fields(browser.get(f"{preview}/split").text)
    barrier, answers = threading.Barrier(4), list[int]()
    clients = [Browser(browser.client.application) for _ in range(4)]
    tokens = [client.token() for client in clients]

    def click(client: Browser, token: str) -> None:
        barrier.wait()
        answers.append(client.client.post(f"{preview}/split", data=form | {"csrf_token": token}).status_code)

    threads = [threading.Thread(target=click, args=each) for each in zip(clients, tokens, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [303] * 4
    assert sent(database) == {CARRIER.package_id: [*IPHONES, *OTHERS], SAMSUNG.package_id: GALAXIES}
    label = "Pasted IMEIs"
    assert names(database) == [f"{label} · iPhone", f"{label} · Samsung", f"{label} · unknown"]
    assert browser.post(f"{preview}/split", form).location == f"{preview}/split"  # Back, and the button once more
    assert browser.get(preview).location == browser.confirm(preview).location == f"{preview}/split"
    assert len(names(database)) == 3
    answer_chunks(database)
    sheets = [browser.get(f"/batches/{batch}/sheet", follow_redirects=True).status_code for batch in (1, 2, 3)]
    assert sheets == [200] * 3


def test_a_part_may_wait_and_is_sent_later(browser: Browser, database: IMEIDatabase, preview: str) -> None:
    form = confirm_fields(browser.get(f"{preview}/split").text)
    refused = browser.led_back(browser.post(f"{preview}/split", form | {"s-1": "", "s-2": ANY.package_id}))
    assert "the services were changed" in words(refused)
    assert names(database) == []
    browser.post(f"{preview}/split", confirm_fields(refused.text))
    assert sent(database) == {CARRIER.package_id: IPHONES, ANY.package_id: OTHERS}
    page = words(browser.get(f"{preview}/split"))
    assert "Confirm and send 3 IMEIs · $0.60" in page
    confirm(browser, preview)
    assert sent(database)[SAMSUNG.package_id] == GALAXIES
    assert "Confirm and send" not in words(browser.get(f"{preview}/split"))


def test_a_changed_price_or_brand_sends_nothing(
    browser: Browser, database: IMEIDatabase, provider: Provider, preview: str
) -> None:
    form = confirm_fields(browser.get(f"{preview}/split").text)
    provider.services[2] = replace(SAMSUNG, price=0.3)
    aged(database, 60)
    refused = browser.led_back(browser.post(f"{preview}/split", form))
    assert "rose from $0.20 to $0.30" in words(refused)
    form = confirm_fields(refused.text)
    with database.write() as connection:  # a result arrives: the unknown phones are of Samsung too
        values = {"imei": OTHERS[0], "model": "Galaxy A52", "status": "Completed", "order_id": "new"}
        connection.execute(insert(orders).values(**values))
    assert "have changed since" in words(browser.led_back(browser.post(f"{preview}/split", form)))
    assert names(database) == []


def test_an_upload_without_imeis_or_beyond_a_lowered_limit_has_no_parts(
    settings: Settings, browser: Browser, database: IMEIDatabase, provider: Provider, preview: str
) -> None:
    mistyped = IPHONES[0][:-1] + str((int(IPHONES[0][-1]) + 1) % 10)
    none = browser.upload(f"IMEI\n{mistyped}\n".encode()).location
    assert browser.get(f"{none}/split").location == none
    lowered = Browser(make_app(replace(settings, max_batch_imeis=5), database, provider))
    answer = lowered.get(f"{preview}/split")
    assert (answer.status_code, answer.location) == (303, "/batch")


@pytest.mark.parametrize("limit", ["balance", "budget", "typed"])
def test_money_holds_for_the_sum_of_the_parts(
    settings: Settings, database: IMEIDatabase, provider: Provider, app: Flask, limit: str
) -> None:
    """Each part alone would be within the limit."""
    changes: dict[str, Any] = {"budget": {"daily_budget": 1.0}, "typed": {"confirm_above": 1.0}}.get(limit, {})
    provider.credits = 1.0 if limit == "balance" else provider.credits
    browser = Browser(make_app(replace(settings, **changes), database, provider))
    preview = browser.paste([*IPHONES, *GALAXIES, *OTHERS])
    page = browser.get(f"{preview}/split")
    said = {"balance": "the account holds $1.00", "budget": "of today's budget is left", "typed": "type the number"}
    assert said[limit] in words(page)
    form = confirm_fields(page.text.replace('class="panel cost"', 'data-confirm class="panel cost"'))
    assert said[limit] in words(browser.led_back(browser.post(f"{preview}/split", form)))
    assert names(database) == []


def test_a_part_that_the_day_does_not_hold_leaves_no_other_part_behind(
    settings: Settings, database: IMEIDatabase, provider: Provider, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at the budget and the transaction another batch has taken the day's money."""
    browser = Browser(make_app(replace(settings, daily_budget=1.0), database, provider))
    monkeypatch.setattr("web.split.objections_of_parts", lambda plans, objection: ())
    preview = browser.paste([*IPHONES, *GALAXIES, *OTHERS])
    refused = browser.led_back(confirm(browser, preview))
    assert "Another batch has taken what was left of today's budget." in words(refused)
    assert names(database) == []


def test_a_click_in_another_tab_while_the_first_is_planned_orders_no_part_from_a_second_service(
    browser: Browser, database: IMEIDatabase, preview: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other tab has another service for Samsung; both pages were shown before anything was sent."""
    here = confirm_fields(browser.get(f"{preview}/split").text)
    other = browser.led_back(browser.post(f"{preview}/split", here | {"s-1": ANY.package_id}))
    client, clicks = Browser(browser.client.application), list[threading.Thread]()
    there = confirm_fields(other.text) | {"csrf_token": client.token()}

    def plan_slowly(plans: Any, objection: str) -> tuple[str, ...]:
        if not clicks:
            clicks.append(
                threading.Thread(target=client.client.post, args=[f"{preview}/split"], kwargs={"data": there})
            )
            clicks[0].start()
            clicks[0].join()
        return ()

    monkeypatch.setattr("web.split.objections_of_parts", plan_slowly)
    browser.post(f"{preview}/split", here)
    assert sent(database) == {CARRIER.package_id: [*IPHONES, *OTHERS], ANY.package_id: GALAXIES}
    assert len(names(database)) == 3

"""Scan mode: what one scan says, when it is ordered, and what its card shows. Orders are counted in the database."""

import re
from datetime import timedelta
from typing import Any

import pytest
from simulated_provider import imeis
from stored_people import act_as
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, words

from database import IMEIDatabase, utc_now
from orders import OrderStatus, Outcome
from people import DEMO_USER, Actor, Role
from results.importing import import_orders, undo_import
from schema import orders
from spreadsheets.order_rows import ImportRow
from storage import scan_store
from storage.batch_creation import NewBatch, create_batch
from web.scan import read_scan

FIRST, SECOND = imeis(2)
RESULT = {"status": OrderStatus.COMPLETED, "model": "iPhone 14", "simlock": "Unlocked", "verdict": "pass"}


def scan(browser: Browser, text: str, **more: str) -> dict[str, Any]:
    """Send one scan as the script does; return the answer."""
    price = f"{CARRIER.package_id}:{CARRIER.price:.6f}"
    form = {"imei": text, "service_id": CARRIER.package_id, "session": "desk", "prices": price} | more
    answer = browser.post("/scan/check.json", form)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.get_json()
    return found


def batches(database: IMEIDatabase) -> list[tuple[str, int]]:
    with database.read() as connection:
        return [tuple(row) for row in connection.exec_driver_sql("SELECT source, total FROM batches ORDER BY id")]


def finish(database: IMEIDatabase) -> None:
    """Order what is planned, and give every order a result."""
    answer_chunks(database)
    with database.write() as connection:
        connection.execute(orders.update().values(**RESULT, updated_at=utc_now()))


@pytest.mark.parametrize(
    ("text", "imei"),
    [
        (FIRST, FIRST),
        (f"]C1{FIRST}", FIRST),
        (f"IMEI: {FIRST}", FIRST),
        (f"0{FIRST}", FIRST),
        (f"IMEI1:{FIRST} IMEI2:{SECOND}", FIRST),
        (f"{FIRST},{SECOND}", FIRST),
        (FIRST + SECOND, FIRST),
        (f"{FIRST[:2]}-{FIRST[2:8]}-{FIRST[8:14]}-{FIRST[14]}", FIRST),
    ],
)
def test_what_scanners_send_is_read_as_one_imei(text: str, imei: str) -> None:
    read = read_scan(text)
    assert (read.imei, read.problem) == (imei, "")
    assert (SECOND in read.note) == (SECOND in text)


@pytest.mark.parametrize(
    ("text", "title"),
    [
        (FIRST[:-1] + str((int(FIRST[-1]) + 1) % 10), "Wrong check digit"),
        ("A0000012345678", "Not an IMEI"),
        (FIRST[:14], "Not a whole IMEI"),
        (FIRST[:9], "Not an IMEI"),
        ("89014103211118510720", "Not an IMEI"),
        ("111111111111111", "Not an IMEI"),
        ("hello", "Not an IMEI"),
    ],
)
def test_what_is_no_imei_sends_nothing_and_says_why(
    browser: Browser, database: IMEIDatabase, provider: Provider, text: str, title: str
) -> None:
    card = scan(browser, text)["card"]
    assert (card["id"], card["tone"], card["word"]) == (None, "problem", title)
    assert "Nothing was sent." in card["html"]
    assert (batches(database), provider.asked) == ([], 0)


def test_a_scan_is_one_order_however_often_it_is_sent(browser: Browser, database: IMEIDatabase) -> None:
    """The same token after a lost answer, the same phone again, and again after its result."""
    first = scan(browser, FIRST, token="a-token")
    assert first["card"]["is_open"]
    again = [scan(browser, FIRST, token="a-token"), scan(browser, f"]C1{FIRST}")]
    finish(database)
    again += [scan(browser, FIRST, token="a-token"), scan(browser, FIRST)]
    assert {answer["card"]["id"] for answer in again} == {first["card"]["id"]}
    assert batches(database) == [("scan", 1)]
    assert (again[-1]["card"]["word"], again[-1]["card"]["tone"]) == ("Pass", "pass")
    assert "Scanned twice" in again[-1]["card"]["html"]
    assert again[-1]["totals"] == "1 scanned · $0.08 spent"


def test_the_second_imei_of_a_known_phone_is_shown_as_that_phone(browser: Browser, database: IMEIDatabase) -> None:
    scan(browser, FIRST)
    finish(database)
    with database.write() as connection:
        connection.execute(orders.update().values(imei2=SECOND))
    found = scan(browser, SECOND)
    assert (found["card"]["tone"], found["totals"]) == ("pass", "2 scanned · $0.08 spent")
    assert f"This is IMEI 2 of {FIRST}." in found["card"]["html"]
    assert not scan(browser, SECOND, again="1")["card"]["is_open"]  # it names no result
    assert scan(browser, SECOND, again="1", seen="1")["card"]["is_open"]  # paid again, as asked
    assert batches(database) == [("scan", 1), ("scan", 1)]


def test_a_phone_of_another_brand_is_ordered_only_when_that_is_asked_for(
    browser: Browser, database: IMEIDatabase
) -> None:
    values = {"imei": f"{FIRST[:8]}9999999", "status": "Completed", "service_id": "9"}
    with database.write() as connection:
        connection.execute(orders.insert().values(**values, model="Galaxy S21"))
    found = scan(browser, FIRST)["card"]
    assert (found["id"], found["tone"], found["word"]) == (None, "problem", "Other brand")
    assert "This is a Galaxy S21 (known from 1 result). This service is for Apple." in found["html"]
    assert batches(database) == []
    form = dict(re.findall(r'name="(\w+)" value="([^"]*)"', found["html"]))
    assert (form.pop("imei"), "again" in form) == (FIRST, False)
    anyway = scan(browser, FIRST, **form)["card"]
    assert (anyway["is_open"], batches(database)) == (True, [("scan", 1)])
    assert "Galaxy S21" in anyway["html"]
    told = words(browser.led_back(browser.post("/scan", {"imei": SECOND, "service_id": CARRIER.package_id})))
    assert "To check it anyway, use “Check a few”." in told
    shown = browser.get(f"/submit/known.json?imei={SECOND}&service_id={CARRIER.package_id}").get_json()
    warning = "This service is for Apple. The provider will probably reject it."
    assert shown == [{"imei": SECOND, "model": "Galaxy S21 (known from 1 result)", "warning": warning}]
    [shown] = browser.get(f"/submit/known.json?imei={SECOND}&service_id=269").get_json()
    assert shown["warning"] == ""


def test_a_known_phone_is_shown_at_once_without_paying_and_without_asking_the_provider(
    browser: Browser, database: IMEIDatabase, provider: Provider
) -> None:
    scan(browser, FIRST)
    finish(database)
    provider.down, asked = True, provider.asked
    found = scan(browser, FIRST, session="evening")
    assert found["card"]["tone"] == "pass"
    assert "Already checked" in found["card"]["html"]
    assert found["totals"] == "1 scanned · $0.00 spent"
    assert (batches(database), provider.asked) == ([("scan", 1)], asked)


def test_check_again_is_one_more_order_however_often_it_is_pressed(browser: Browser, database: IMEIDatabase) -> None:
    scan(browser, FIRST)
    finish(database)
    card = scan(browser, FIRST, session="evening")["card"]["html"]
    assert "Check again · $0.08" in card
    fields = dict(re.findall(r'name="(again|seen|token|imei|service_id|prices)" value="([^"]*)"', card))
    found = scan(browser, fields.pop("imei"), **fields | {"session": "evening"})
    assert found["card"]["is_open"]
    finish(database)
    scan(browser, FIRST, **{name: fields[name] for name in ("again", "seen", "token")} | {"session": "evening"})
    assert batches(database) == [("scan", 1)] * 2


def test_check_again_pays_nothing_where_another_desk_has_checked_since(
    browser: Browser, database: IMEIDatabase
) -> None:
    """The button names the result that the card shows: a newer one is shown first, and can then be paid again."""

    def press(card: str, desk: str) -> dict[str, Any]:
        fields = dict(re.findall(r'name="(again|seen|token)" value="([^"]*)"', card))
        found: dict[str, Any] = scan(browser, FIRST, **fields, session=desk)["card"]
        return found

    scan(browser, FIRST)
    finish(database)
    morning, evening = (scan(browser, FIRST, session=desk)["card"]["html"] for desk in ("morning", "evening"))
    assert press(morning, "morning")["is_open"]
    finish(database)
    newer = press(evening, "evening")["html"]
    assert "Nothing was paid" in newer
    assert len(batches(database)) == 2
    assert press(newer, "evening")["is_open"]
    assert len(batches(database)) == 3


def test_a_scan_that_is_sent_again_late_is_counted_once(browser: Browser, database: IMEIDatabase) -> None:
    scan(browser, FIRST, token="lost-answer")
    finish(database)
    scan(browser, FIRST, token="second-check", again="1", seen="1")
    finish(database)
    assert scan(browser, FIRST, token="lost-answer")["totals"] == "2 scanned · $0.16 spent"


@pytest.mark.parametrize("price", [0.07, 0.09])
def test_another_price_than_the_one_on_the_page_sends_nothing(
    browser: Browser, database: IMEIDatabase, price: float
) -> None:
    card = scan(browser, FIRST, prices=f"{CARRIER.package_id}:{price}")["card"]
    assert (card["id"], card["word"], batches(database)) == (None, "Not sent", [])
    assert "Check the new cost" in card["html"]


def test_without_money_or_prices_nothing_is_sent(browser: Browser, database: IMEIDatabase, provider: Provider) -> None:
    provider.credits = 0.05
    assert "the account holds $0.05" in scan(browser, FIRST)["card"]["html"]
    assert "does not list a service 7" in scan(browser, FIRST, service_id="7")["card"]["html"]
    assert "needs more than an IMEI" in scan(browser, FIRST, service_id="102")["card"]["html"]
    assert batches(database) == []


def test_a_phone_in_another_batch_is_followed_there(browser: Browser, database: IMEIDatabase) -> None:
    new = NewBatch("stock", "upload", CARRIER.package_id, CARRIER.title, 0.08, [(n, None) for n in (FIRST, SECOND)])
    create_batch(database, new)
    assert scan(browser, FIRST)["card"]["is_open"]
    finish(database)
    card = browser.get("/scan/cards.json?session=desk&id=1").get_json()["cards"][0]
    assert (card["word"], batches(database)) == ("Pass", [("upload", 2)])


@pytest.mark.parametrize(("outcome", "label"), [(Outcome.REFUSED, "Refused"), (Outcome.IN_DOUBT, "In doubt")])
def test_a_card_says_what_became_of_an_order(
    browser: Browser, database: IMEIDatabase, outcome: Outcome, label: str
) -> None:
    """A refused phone may be scanned again; one in doubt is never ordered twice."""
    scan(browser, FIRST)
    answer_chunks(database, lambda imei: (outcome, "the provider's reason"))
    card = browser.get("/scan/cards.json?session=desk&id=1").get_json()["cards"][0]
    assert (card["word"], "The provider&#39;s reason." in card["html"]) == (label, True)
    scan(browser, FIRST)
    assert len(batches(database)) == (2 if outcome is Outcome.REFUSED else 1)


def test_lists_of_batches_leave_scans_out_and_sessions_list_them(browser: Browser, database: IMEIDatabase) -> None:
    scan(browser, FIRST)
    scan(browser, SECOND)
    answer_chunks(database)
    assert "No batches yet" in words(browser.get("/batches"))
    assert f"Scan {FIRST}" not in words(browser.get("/"))
    assert "2 $0.16" in words(browser.get("/scan/sessions"))
    page = browser.get("/scan?session=desk").text
    assert page.index(SECOND) < page.index(FIRST)


def test_a_user_sees_the_own_sessions_and_an_admin_those_of_all(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, session, imei in (("anna", "A", FIRST), ("bob", "B", SECOND)):
        act_as(monkeypatch, Actor(name, Role.OPERATOR))
        scan(browser, imei, session=session)
    assert [name in words(browser.get("/scan/sessions")) for name in ("anna", "bob")] == [False, True]
    act_as(monkeypatch, DEMO_USER)
    assert [name in words(browser.get("/scan/sessions")) for name in ("anna", "bob")] == [True, True]


def test_without_a_script_the_page_takes_a_scan_and_shows_its_card(browser: Browser, database: IMEIDatabase) -> None:
    page = browser.get("/scan").text
    fields = dict(re.findall(r'<input type="hidden" name="(session|token|prices)" value="([^"]*)"', page))
    form = fields | {"service_id": CARRIER.package_id, "imei": FIRST}
    shown = browser.led_back(browser.post("/scan", form))
    assert FIRST in shown.text
    assert 'http-equiv="refresh"' in shown.text
    browser.post("/scan", form)  # Back, and sent again
    assert batches(database) == [("scan", 1)]
    assert "Wrong check digit" in words(browser.led_back(browser.post("/scan", form | {"imei": "353370080000012"})))


def test_a_token_orders_each_phone_that_is_sent_with_it(browser: Browser, database: IMEIDatabase) -> None:
    """After Back, a page without a script sends the next phone, or another service, with the token of the first."""
    scan(browser, FIRST, token="a-token")
    assert scan(browser, SECOND, token="a-token")["card"]["is_open"]
    other = scan(browser, FIRST, token="a-token", service_id="269", prices="269:0.1")
    assert "Sending the order" in other["card"]["html"]
    assert (batches(database), other["totals"][:9]) == ([("scan", 1)] * 3, "3 scanned")


def test_a_scan_shows_the_newest_result_of_a_phone_that_was_scanned_before(
    browser: Browser, database: IMEIDatabase
) -> None:
    """Another desk checks the phone again and it fails: the first desk must not see its old result."""
    scan(browser, FIRST)
    finish(database)
    assert scan(browser, FIRST)["card"]["word"] == "Pass"
    scan(browser, FIRST, session="evening", again="1", seen="1")
    answer_chunks(database)
    with database.write() as connection:
        failed = orders.update().where(orders.c.id == 2)
        connection.execute(failed.values(status=OrderStatus.COMPLETED, verdict="fail", updated_at=utc_now()))
    assert scan(browser, FIRST)["card"]["word"] == "Fail"


def test_a_scan_shows_the_newest_result_though_a_file_brought_an_older_one_later(
    browser: Browser, database: IMEIDatabase
) -> None:
    scan(browser, FIRST)
    finish(database)
    with database.write() as connection:
        connection.execute(orders.update().values(verdict="fail"))
        old = {"imei": FIRST, "service_id": CARRIER.package_id, "order_id": "old", "verdict": "pass"}
        day = utc_now() - timedelta(days=400)
        connection.execute(orders.insert().values(**old, status=OrderStatus.COMPLETED, order_date=day))
    assert scan(browser, FIRST, session="evening")["card"]["word"] == "Fail"


def test_a_scan_whose_answer_came_from_a_file_that_was_undone_asks_to_be_repeated(
    browser: Browser, database: IMEIDatabase
) -> None:
    """Its card said only "Unknown"."""
    row = {"imei": FIRST, "service_name": CARRIER.title, "order_id": "77", "status": OrderStatus.COMPLETED}
    database.store_services(SERVICES, 0.0)
    imported, _ = import_orders(database, [ImportRow(1, row)], "export.csv")
    assert "Nothing was paid" in scan(browser, FIRST)["card"]["html"]
    undo_import(database, imported)
    assert "undone. Scan the phone again." in words(browser.get("/scan?session=desk"))
    assert scan(browser, FIRST)["card"]["is_open"]
    assert batches(database) == [("scan", 1)]


def test_ids_that_no_scan_has_show_no_cards(browser: Browser, database: IMEIDatabase) -> None:
    scan(browser, FIRST)
    assert browser.get(f"/scan/cards.json?session=desk&id={10**30}&id=-1&id=x").get_json()["cards"] == []
    assert browser.get("/scan/cards.json?session=other&id=1").get_json()["cards"] == []


def test_the_same_phone_at_two_desks_at_once_is_one_order_of_one_of_them(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan(browser, FIRST, session="evening")
    monkeypatch.setattr(scan_store, "known", lambda *_: None)  # both desks have looked before one of them ordered
    assert scan(browser, FIRST)["card"]["is_open"]
    answer_chunks(database)
    assert batches(database) == [("scan", 1)]
    assert browser.get("/scan/cards.json?session=desk").get_json()["totals"] == "1 scanned · $0.00 spent"

"""The preview before money is spent: what is left out, what it costs, and a price that has changed."""

import io
import re
import time
from dataclasses import replace

import pytest
from flask import Flask
from simulated_provider import imeis
from stored_orders import all_orders
from stored_people import act_as, add_user
from web_client import CARRIER, SERVICES, Browser, Provider, answer_chunks, confirm_fields, make_app, words
from web_scenes import aged, batch_count, csv_of, with_settings

from access.users import disable
from backend import Backend
from database import IMEIDatabase
from orders import ServiceInfo
from settings import Settings
from storage import batch_queries


@pytest.fixture
def backend(app: Flask) -> Backend:
    found: Backend = app.extensions["backend"]
    return found


@pytest.mark.parametrize(
    ("form", "file", "sentence"),
    [
        ({"imeis": "353370080089458"}, None, "Choose a service first."),
        ({"imeis": "353370080089458", "service_id": "404"}, None, "does not list a service 404"),
        ({"imeis": "353370080089458", "service_id": "102"}, None, "needs more than an IMEI (Email)"),
        ({"service_id": "1739"}, None, "Choose a file or paste IMEIs."),
        ({"service_id": "1739", "imeis": "no numbers at all"}, None, "no IMEI"),
        ({"service_id": "1739"}, b"%PDF-1.7 stuff", "PDF"),
        ({"service_id": "1739"}, b"", "empty"),
        ({"service_id": "1739"}, b"a,b\n1,2\n", "no IMEI"),
        ({"service_id": "1739"}, b"PK\x03\x04broken", "damaged"),
        ({"service_id": "1739", "imeis": "1"}, b"x", "one of them at a time"),
    ],
)
def test_a_bad_upload_gets_a_sentence_and_leaves_nothing(
    browser: Browser, backend: Backend, form: dict[str, str], file: bytes | None, sentence: str
) -> None:
    sent = {} if file is None else {"file": (io.BytesIO(file), "list.csv")}
    page = browser.led_back(browser.post("/batch", form | sent))
    said = re.search(r'<p class="flash error" role="alert">([^<]+)</p>', page.text)
    assert said
    assert sentence.lower() in said[1].replace("&#39;", "'").lower()
    pasted = form.get("imeis", "")
    assert f">{pasted}</textarea>" in page.text  # what was pasted is there again
    kept = [path.read_text() for path in backend.uploads.glob("*")]
    assert kept == ([pasted] if pasted else [])


def test_an_upload_over_the_limit_is_refused_with_the_number(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, max_batch_imeis=20)
    page = browser.led_back(browser.upload(csv_of(imeis(30))))
    said = re.search(r'<p class="flash error" role="alert">([^<]+)</p>', page.text)
    assert said
    assert "20" in said[1]
    assert batch_count(database) == 0


def test_wrong_check_digits_are_left_out_until_they_are_ticked(browser: Browser) -> None:
    good, bad = imeis(2)
    bad = bad[:-1] + str((int(bad[-1]) + 1) % 10)
    preview = browser.upload(csv_of([good, bad])).location
    assert "IMEIs to send 1" in words(browser.get(preview))
    browser.post(preview + "/options", {"include_luhn": "on"})
    assert "IMEIs to send 2" in words(browser.get(preview))
    browser.post(preview + "/options")
    assert "IMEIs to send 1" in words(browser.get(preview))


def test_another_column_can_be_chosen(browser: Browser) -> None:
    one, two = imeis(5), imeis(5, first=100)
    table = "IMEI,IMEI 2\n" + "".join(f"{a},{b}\n" for a, b in zip(one, two, strict=True))
    preview = browser.upload(table.encode()).location
    page = browser.get(preview).text
    was = re.search(r'name="was_column" value="(-?\d+)"', page)
    assert was
    browser.post(preview + "/options", {"was_column": was[1], "column": "1"})
    assert browser.confirm(preview).status_code == 303
    answer = browser.get("/batches/1/results.csv?bom=0").text
    assert two[0] in answer
    assert one[0] not in answer


def test_a_column_without_imeis_cannot_be_confirmed(browser: Browser) -> None:
    preview = browser.upload(csv_of(imeis(4))).location
    browser.post(preview + "/options", {"was_column": "0", "column": "1"})
    assert "There is no IMEI to send" in words(browser.get(preview))
    assert browser.confirm(preview).location == preview
    assert browser.post(preview, {"price": "0.080000", "count": "0"}).location == preview


@pytest.mark.parametrize("column", ["9", "x"])
def test_an_impossible_choice_is_not_kept(browser: Browser, column: str) -> None:
    preview = browser.upload(csv_of(imeis(4))).location
    browser.post(preview + "/options", {"was_column": "0", "column": column})
    assert "IMEIs to send 4" in words(browser.get(preview))


def test_the_rejects_can_be_taken_away(browser: Browser) -> None:
    preview = browser.upload(csv_of([*imeis(2), "3.5337E+14", "=cmd()"]), "büro liste.csv").location
    answer = browser.get(preview + "/rejects.csv")
    assert answer.status_code == 200
    assert "3.5337E+14" in answer.text
    assert "attachment" in answer.headers["Content-Disposition"]


def test_an_unknown_preview_is_a_404(browser: Browser) -> None:
    assert browser.get("/batch/preview/nothing").status_code == 404
    assert browser.post("/batch/preview/nothing").status_code == 404


def test_what_was_checked_is_left_out_unless_ticked(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    for order in all_orders(database):
        database.update_order_status(order["order_id"], "Completed", {"carrier": "Verizon"})
    preview = browser.paste(imeis(5))
    text = words(browser.get(preview))
    assert "3 already checked" in text
    assert "Verizon" in text
    assert "IMEIs to send 2" in text
    browser.post(preview + "/options", {"recheck": "on"})
    assert "IMEIs to send 5" in words(browser.get(preview))


def test_a_pending_order_is_never_checked_again(browser: Browser, database: IMEIDatabase) -> None:
    browser.start(imeis(3))
    answer_chunks(database)
    preview = browser.paste(imeis(3))
    browser.post(preview + "/options", {"recheck": "on"})
    refused = browser.led_back(browser.confirm(preview))
    assert "Nothing is left to send" in words(refused)
    assert batch_count(database) == 1


def test_a_batch_dearer_than_the_balance_is_refused(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    provider.credits = 1.0
    preview = browser.paste(imeis(20))
    refused = browser.led_back(browser.confirm(preview))
    assert "This costs $1.60, but the account holds $1.00." in words(refused)
    assert batch_count(database) == 0


def test_what_running_batches_may_spend_is_not_spent_twice(browser: Browser, provider: Provider) -> None:
    provider.credits = 2.0
    browser.start(imeis(20))
    refused = browser.led_back(browser.confirm(browser.paste(imeis(20, first=100))))
    assert "$1.60 is promised to unfinished batches" in words(refused)


def test_an_unknown_balance_stops_nobody(browser: Browser, provider: Provider) -> None:
    provider.credits = None
    assert browser.confirm(browser.paste(imeis(20))).status_code == 303


def test_the_daily_budget_counts_what_was_spent_and_promised(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, daily_budget=2.0)
    browser.start(imeis(20))
    answer_chunks(database)
    refused = browser.led_back(browser.confirm(browser.paste(imeis(10, first=50))))
    assert "$0.40 of today's budget is left" in words(refused)
    assert browser.confirm(browser.paste(imeis(5, first=50))).status_code == 303


def test_the_daily_limit_of_a_user_is_shown_and_kept(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    act_as(monkeypatch, add_user(database, "anna", daily_limit=1.0))
    batch_id = browser.start(imeis(10))
    preview = browser.paste(imeis(5, first=50))
    refusal = "This costs $0.40. Your daily limit is $1.00; $0.80 of it is used."
    assert "Left of the daily limit of anna $0.20" in words(browser.get(preview))
    assert refusal in words(browser.get(preview))
    assert refusal in words(browser.led_back(browser.confirm(preview)))
    assert batch_count(database) == 1
    browser.post(f"/batches/{batch_id}/pause")
    assert browser.confirm(browser.paste(imeis(10))).location == f"/batches/{batch_id}"  # continued: nothing is added


def test_a_user_who_is_disabled_while_the_price_is_asked_for_orders_nothing(
    settings: Settings, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = add_user(database, "anna")
    act_as(monkeypatch, anna)
    gone: list[int] = []

    class Slow(Provider):
        def list_services(self) -> list[ServiceInfo]:
            for user_id in gone:
                disable(database, user_id)
            return super().list_services()

    app = make_app(settings, database, Slow([*SERVICES]))
    browser = Browser(app)
    preview = browser.paste(imeis(5))
    shown = confirm_fields(browser.get(preview).text)
    aged(database, 60)
    gone.append(anna.user_id or 0)
    assert "Nothing was sent. The user anna is disabled." in words(browser.led_back(browser.post(preview, shown)))
    assert batch_count(database) == 0
    app.extensions["stopping"].set()


def test_a_dear_batch_wants_its_number_typed(app: Flask, database: IMEIDatabase) -> None:
    browser = with_settings(app, confirm_above=1.0)
    preview = browser.paste(imeis(20))
    for typed in ("", "19", "yes"):
        refused = browser.led_back(browser.confirm(preview, typed=typed))
        assert "type the number of IMEIs, 20" in words(refused)
    assert batch_count(database) == 0
    assert browser.confirm(preview, typed="20").status_code == 303


def test_a_price_that_changed_shows_the_preview_again(browser: Browser, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(4))
    fields = confirm_fields(browser.get(preview).text)
    database.store_services([replace(CARRIER, price=0.5), *SERVICES[1:]], time.time())
    refused = browser.led_back(browser.post(preview, fields))
    assert f"The price of “{CARRIER.title}” rose from $0.08 to $0.50. Check the new cost" in words(refused)
    assert "Cost $2.00" in words(refused)
    assert browser.confirm(preview).status_code == 303


def test_a_price_that_rose_within_the_age_of_the_list_is_seen_before_anything_is_charged(
    browser: Browser, provider: Provider, database: IMEIDatabase
) -> None:
    """The list was two minutes old: 105 IMEIs that the page showed for $8.40 would have cost $50.40."""
    preview = browser.paste(imeis(105))
    aged(database, 120)
    assert "Cost $8.40" in words(browser.get(preview))
    provider.services = [replace(CARRIER, price=0.48), *SERVICES[1:]]
    refused = browser.led_back(browser.confirm(preview))
    assert "rose from $0.08 to $0.48. Check the new cost and confirm again." in words(refused)
    assert "Cost $50.40" in words(refused)
    assert batch_count(database) == 0
    assert browser.post(preview, confirm_fields(refused.text)).status_code == 303
    with database.read() as connection:
        assert batch_queries.unfinished_batches(connection)[0].unit_price == 0.48


def test_a_price_that_fell_is_shown_again_too(browser: Browser, provider: Provider, database: IMEIDatabase) -> None:
    preview = browser.paste(imeis(5))
    aged(database, 60)
    provider.services = [replace(CARRIER, price=0.05), *SERVICES[1:]]
    assert "fell from $0.08 to $0.05." in words(browser.led_back(browser.confirm(preview)))
    assert batch_count(database) == 0


def test_a_young_list_is_not_asked_for_again(browser: Browser, provider: Provider) -> None:
    browser.start(imeis(5))
    browser.start(imeis(5, first=50))
    assert provider.asked == 1


@pytest.mark.parametrize(("age", "enough"), [(240.0, True), (320.0, False)])
def test_without_an_answer_a_list_of_less_than_five_minutes_is_good_enough(
    browser: Browser, provider: Provider, database: IMEIDatabase, age: float, enough: bool
) -> None:
    preview = browser.paste(imeis(5))
    fields = confirm_fields(browser.get(preview).text)
    aged(database, age)
    provider.down = True
    answer = browser.led_back(browser.post(preview, fields))
    assert batch_count(database) == enough
    if not enough:
        assert "The price could not be checked, so nothing was ordered." in words(answer)
        assert "The provider is in maintenance." in words(answer)


def test_a_service_chosen_in_another_tab_shows_the_preview_again(browser: Browser, database: IMEIDatabase) -> None:
    """Also where it costs the same: what was confirmed is what is ordered."""
    database.store_services([CARRIER, replace(CARRIER, package_id="1740", title="Another")], time.time())
    preview = browser.paste(imeis(4))
    fields = confirm_fields(browser.get(preview).text)
    del fields["options"], fields["service_id"]  # as from a page of the program before this one
    browser.post(f"{preview}/options", {"service_id": "1740"})
    refused = browser.led_back(browser.post(preview, fields))
    assert "have changed since" in words(refused)
    assert batch_count(database) == 0

"""Who ordered: on the pages of batches and orders, in filters, and in reports."""

import pytest
from simulated_provider import imeis
from stored_orders import all_orders
from stored_people import act_as, add_token, add_user
from web_client import CARRIER, Browser, answer_chunks, words
from web_scenes import csv_rows

from database import IMEIDatabase


@pytest.fixture
def ordered(browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders of batch 1, by anna, of batch 2, by a token of hers, and of batch 3, from before users."""
    anna = add_user(database, "anna")
    headers = {"Authorization": f"Bearer {add_token(database, 'sync', maker=anna)}"}
    with monkeypatch.context() as patched:
        act_as(patched, anna)
        browser.start(imeis(3))
    form = {"imei": imeis(1, first=10)[0], "service_id": CARRIER.package_id}
    assert browser.client.post("/submit-stream", data=form, headers=headers).status_code == 200
    browser.start(imeis(2, first=20))
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET ordered_by = '' WHERE id = 3")
    answer_chunks(database)


@pytest.mark.usefixtures("ordered")
def test_pages_name_who_ordered(browser: Browser, database: IMEIDatabase) -> None:
    for page in ("/", "/batches"):
        text = words(browser.get(page))
        assert (text.count("by anna"), text.count("by token sync")) == (1, 1)
    for batch_id, name in ((1, "by anna"), (2, "by token sync")):
        order = next(row for row in all_orders(database) if row["batch_id"] == batch_id)
        assert name in words(browser.get(f"/batches/{batch_id}"))
        assert name in words(browser.get(f"/orders/{order['order_id']}"))
    assert "Ordered by anna" in words(browser.get("/batches/1/report"))
    assert "Ordered by" not in words(browser.get("/batches/3/report"))


@pytest.mark.usefixtures("ordered")
def test_batches_and_orders_are_found_by_who_ordered(browser: Browser) -> None:
    assert [f"#{batch}" in words(browser.get("/batches?person=anna")) for batch in (1, 2, 3)] == [True, False, False]
    assert "No batch of carl is listed." in words(browser.get("/batches?person=carl"))
    found = [len(csv_rows(browser.get(f"/history.csv{query}"))) for query in ("", "?person=anna", "?person=token+sync")]
    assert found == [6, 3, 1]
    assert '<option value="anna" selected>' in browser.get("/history?person=anna").text
    refused = browser.get("/history?person=carl")
    assert refused.status_code == 400
    assert "Nobody named “carl” has ordered." in words(refused)


@pytest.mark.usefixtures("ordered")
def test_spend_is_summed_up_by_person(browser: Browser) -> None:
    rows = csv_rows(browser.get("/reports/spend.csv?by=person"))
    assert [(row["PERSON"], row["ORDERS"], row["SPENT"]) for row in rows] == [
        ("anna", "3", "$0.24"), ("", "2", "$0.16"), ("token sync", "1", "$0.08")]  # fmt: skip
    assert "Unknown 2" in words(browser.get("/reports?by=person"))

"""Columns of lists are chosen for each person; headings sort; selected rows are exported and checked again."""

import re
from html import unescape

import pytest
from simulated_provider import imeis
from stored_people import act_as
from web_client import CARRIER, Browser, answer_chunks, words
from web_scenes import choose_columns, csv_rows, headings, ordered

from database import IMEIDatabase
from people import Actor, Role
from storage import order_pages


def links(page: str) -> dict[str, str]:
    """Heading → the address that it leads to."""
    return {words: unescape(url) for url, words in re.findall(r'<th [^>]+><a href="([^"]+)">([^<]+)</a>', page)}


def rows(page: str) -> list[str]:
    return re.findall(r'name="row" value="(\d+)"', page)


def test_files_and_new_cells_have_the_chosen_columns(browser: Browser, database: IMEIDatabase) -> None:
    batch = browser.start(imeis(2))
    answer_chunks(database)
    choose_columns(browser, ["serial", "price"])
    choose_columns(browser, ["verdict"], "batch")
    for url, expected in (
        ("/history.csv?format=shown", ["IMEI", "Serial", "Price"]),
        (f"/history.csv?format=shown&list=batch&batch={batch}", ["IMEI", "Verdict"]),
        (f"/batches/{batch}/results.csv?format=shown", ["IMEI", "Verdict"]),
    ):
        assert list(csv_rows(browser.get(url))[0]) == expected, url
    assert headings(browser.get(f"/batches/{batch}").text) == ["IMEI", "Verdict"]
    row = browser.get("/history/rows?seen=1:Completed").text
    assert re.findall(r'data-part="(\w+)"', row) == ["imei", "serial", "price"]


def test_headings_sort_and_turn_round(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 120)
    page = browser.get("/history").text
    assert 'aria-sort="descending"><a href="/history?sort=oldest">Ordered</a>' in page
    assert links(page)["Carrier"] == "/history?sort=carrier"
    url, seen = "/history?sort=carrier", []
    while url:
        page = browser.get(url).text
        assert 'aria-sort="ascending"><a href="/history?sort=-carrier">Carrier</a>' in page
        seen += re.findall(r'data-part="carrier"[^>]*>([^<]+)<', page)
        following = re.search(r'rel="next" href="([^"]+)"', page)
        url = unescape(following[1]) if following else ""
    assert len(seen) == 120
    assert seen == sorted(seen)
    monkeypatch.setattr(order_pages, "MOST_SORTED", 10)
    assert links(browser.get("/history").text).keys() == {"IMEI", "Ordered"}


def test_headings_sort_the_results_of_a_batch(browser: Browser, database: IMEIDatabase) -> None:
    batch = browser.start(imeis(3))
    answer_chunks(database)
    page = browser.get(f"/batches/{batch}?sort=-imei").text
    assert links(page)["IMEI"] == f"/batches/{batch}?sort=imei"
    assert rows(page) == ["3", "2", "1"]
    assert links(page)["Verdict"] == f"/batches/{batch}"


def test_selected_rows_are_exported_and_checked_again_and_no_others(browser: Browser, database: IMEIDatabase) -> None:
    """The filter of the list does not count for them: a result may have come meanwhile."""
    numbers = ordered(database, 120)
    selected = "chosen=1&status=Pending&row=3&row=1"
    assert {row["IMEI NO."] for row in csv_rows(browser.get(f"/history.csv?{selected}"))} == {numbers[0], numbers[2]}
    assert rows(browser.get(f"/history?{selected}").text) == ["3", "1"]
    page = browser.get(f"/history/recheck?{selected}")
    assert "The IMEIs of 2 orders" in words(page)
    action = re.search(r'<form method="post" action="(/history/recheck[^"]+)"', page.text)
    assert action
    preview = browser.post(unescape(action[1]), {"service_id": CARRIER.package_id}).location
    assert "2 IMEIs" in words(browser.get(preview))
    everything = csv_rows(browser.get("/history.csv?chosen=1&row=3&all=1&fmi=ON"))
    assert {row["FMI"] for row in everything} == {"ON"}
    assert len(everything) > 2


@pytest.mark.parametrize("selected", ["chosen=1", "chosen=1&row=x", "row=9&row=-1", "&".join(["row=1"] * 101)])
def test_a_selection_that_is_none_exports_and_orders_nothing(
    browser: Browser, database: IMEIDatabase, selected: str
) -> None:
    ordered(database, 3)
    for url in ("/history.csv", "/history.xlsx", "/history/recheck", "/history"):
        assert browser.get(f"{url}?{selected}").status_code == 400, url
    assert browser.post(f"/history/recheck?{selected}", {"service_id": CARRIER.package_id}).status_code == 400


def test_selected_rows_get_a_tag_and_the_list_keeps_its_filter(browser: Browser, database: IMEIDatabase) -> None:
    ordered(database, 3)
    page = browser.get("/history?fmi=ON").text
    action = re.search(r'formmethod="post" data-rows-only\s+formaction="([^"]+)"', page)
    assert action
    answer = browser.post(unescape(action[1]), {"row": ["2"], "tag": "the filter's", "add_tag": "sold"})
    assert answer.location == "/history?fmi=ON"
    assert rows(browser.get("/history?tag=sold").text) == ["2"]


def test_a_list_offers_what_its_person_may_do(
    browser: Browser, database: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(database, 60)
    page = browser.get("/history?fmi=ON").text
    assert 'formaction="/history/recheck"' in page
    assert "All 60 orders" in words(browser.get("/history"))
    assert "that match" not in page.split("data-selection")[1], "all of them are on the page"
    act_as(monkeypatch, Actor("vera", Role.VIEWER))
    assert "/history/recheck" not in browser.get("/history").text

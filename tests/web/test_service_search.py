"""How services are found by words, and which ones a picker lists first."""

import pytest
from simulated_provider import imeis
from web_client import CARRIER, SERVICES, Browser

from orders import ServiceInfo
from web.service_search import find_services

TITLES = (
    "Apple Find My iPhone ON/OFF",
    "Apple Carrier + SimLock + FMI",
    "GSMA Blacklist Worldwide",
    "T-Mobile USA - Status Check",
    "Orange Spain (Yoigo) - Información",
)
FMI, LOCK, GSMA, TMO, YOIGO = range(5)
LISTED = [ServiceInfo(str(1000 + place), title, 0.1, "Instant") for place, title in enumerate(TITLES)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [FMI, LOCK, GSMA, TMO, YOIGO]),
        ("icloud", [FMI, LOCK]),
        ("activation lock", [FMI, LOCK]),
        ("network-lock", [LOCK]),
        ("sim lock", [LOCK]),
        ("blocklist", [GSMA]),
        ("blaklist wordlwide", [GSMA]),
        ("tmobile", [TMO]),
        ("STATUS t mobile", [TMO]),
        ("informacion españa", []),
        ("informacion spain", [YOIGO]),
        ("1003", [TMO]),
        ("1093", []),
        ("instant apple", [FMI, LOCK]),
        ("nothing", []),
    ],
)
def test_services_are_found_with_errors_accents_and_synonyms(query: str, found: list[int]) -> None:
    assert find_services(LISTED, query) == [LISTED[place] for place in found]


def test_a_picker_lists_favourites_and_recent_services_first_and_chooses_the_last_one(browser: Browser) -> None:
    assert "Favourite and recent" not in browser.get("/batch").text
    browser.start(imeis(1))
    browser.post("/favourites", {"mark": "269"})
    page = browser.get("/batch").text
    assert page.index('value="269"') < page.index(f'value="{CARRIER.package_id}"') < page.index("All others")
    assert f'data-mark="recent" selected>{CARRIER.title}' in page
    assert browser.post("/favourites", {"mark": "7"}).status_code == 404
    browser.post("/favourites", {"unmark": "269"})
    page = browser.get("/submit").text
    assert page.index("All others") < page.index('value="269"')
    assert len(SERVICES) == page.count("<option") - 1

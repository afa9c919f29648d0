"""How services are found by words."""

import pytest

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

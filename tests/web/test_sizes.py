"""Pages stay small however much there is: HTML under 150 KB, our CSS and JavaScript under 60 KB together."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from simulated_provider import imeis
from web_client import CARRIER, Browser, Provider, make_app

from database import IMEIDatabase
from orders import ServiceInfo
from schema import orders
from settings import Settings
from storage import order_searches
from storage.batch_creation import NewBatch, create_batch

MOST_HTML, MOST_STATIC = 150_000, 60_000
STATIC = Path(__file__).parents[2] / "static"
LONG = {"model": "iPhone 14 Pro Max 1TB Space Black (A2894)", "carrier": "US T-Mobile/Sprint Locked Policy"}


@pytest.fixture(name="app")
def app_fixture(settings: Settings, database: IMEIDatabase) -> Iterator[Flask]:
    services = [
        ServiceInfo(str(n), f"{n} - Apple iPhone Carrier and Simlock, premium {n}", 0.1, "1-24 Hours", "Apple")
        for n in range(500)
    ]
    made = make_app(settings, database, Provider([CARRIER, *services], credits=None))
    yield made
    made.extensions["stopping"].set()


def size(app: Flask, url: str) -> int:
    answer = Browser(app).get(url)
    assert answer.status_code == 200
    return len(answer.data)


def test_our_css_and_javascript_are_small_together() -> None:
    files = [path.read_bytes() for path in STATIC.iterdir() if path.suffix in (".css", ".js")]
    assert len(files) >= 4
    assert sum(len(gzip.compress(content)) for content in files) < MOST_STATIC


def test_a_live_page_of_more_calls_than_its_map_has_cells_is_small(app: Flask, database: IMEIDatabase) -> None:
    numbers = [(imei, None) for imei in imeis(5000)]
    new = NewBatch("stock.csv", "upload", CARRIER.package_id, CARRIER.title, CARRIER.price, numbers)
    batch_id = create_batch(database, new, chunk_size=1)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE chunks SET state = 'in_doubt'")
    assert size(app, f"/batches/{batch_id}") < MOST_HTML


def test_a_preview_with_20_000_rejects_and_many_earlier_results_is_small(app: Flask, database: IMEIDatabase) -> None:
    known = imeis(2000)
    with database.write() as connection:
        rows = [{"imei": imei, "order_id": imei, "service_id": "1739", "status": "Completed", **LONG} for imei in known]
        connection.execute(orders.insert(), rows)
    wrong = [f"{imei[:-1]}{(int(imei[-1]) + 1) % 10}" for imei in imeis(5000, first=50_000)]
    text = ["IMEI", *known, *imeis(100, first=90_000) * 50, *wrong, *(f"not-a-number-{n}" for n in range(10_000))]
    preview = Browser(app).upload("\r\n".join(text).encode()).location
    assert size(app, preview) < MOST_HTML


def test_full_pages_of_orders_and_of_services_are_small(app: Flask, database: IMEIDatabase) -> None:
    numbers = imeis(700)
    long = LONG | {"simlock": "Unlocked", "fmi": "OFF", "service_name": CARRIER.title, "status": "Rejected"}
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": imei, "order_id": imei, **long} for imei in numbers])
    search = order_searches.save_search(database, [*numbers, *imeis(600, first=5000)], 0)
    found = f"/history/search/{search}"
    for url in ("/history", found, f"{found}?show=missing", "/services", "/batch", f"/orders/{numbers[0]}"):
        assert size(app, url) < MOST_HTML, url

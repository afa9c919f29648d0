"""Wordings of findings: a finding finds every wording that means it, by its index."""

import pytest
from order_tables import NUMBER, plan

from database import IMEIDatabase
from schema import orders
from storage import order_counts, order_filters, order_wordings
from storage.order_counts import Count
from storage.order_filters import guide, page_query
from storage.order_terms import OrderFilter


def test_a_finding_finds_every_wording_that_means_it(database: IMEIDatabase) -> None:
    """ "ON" is also On, Enabled and Lost Mode; a sentence is found by itself; "Not found" is no finding."""
    words = ["ON", "On", "Enabled", "Lost Mode", "OFF", "Not active", "Not found", None]
    rows = [{"imei": NUMBER, "order_id": str(n), "batch_id": None, "fmi": word} for n, word in enumerate(words)]
    with database.write() as connection:
        connection.execute(orders.insert(), rows)

    def found(fmi: str) -> list[str]:
        return [row.fmi or "" for row in order_filters.walk(database, OrderFilter(fmi=fmi, q=NUMBER))]

    assert sorted(found("ON")) == sorted(found("on")) == ["Enabled", "Lost Mode", "ON", "On"]
    assert sorted(found("OFF")) == ["Not active", "OFF"]
    assert found("Enabled") == ["Enabled"]
    assert found("Unknown") == []
    assert order_filters.count(database, OrderFilter(fmi="ON")) == 4


@pytest.mark.parametrize("name", order_wordings.MEANT)
def test_the_wordings_of_a_finding_are_looked_up_in_its_index(file_database: IMEIDatabase, name: str) -> None:
    words = plan(file_database, order_wordings.stored_words(name))
    assert f"idx_orders_{name}" in words
    assert "SCAN orders" not in words


CARRIERS = ["US Verizon", "Verizon Wireless", "VERIZON", "T-Mobile USA", "AT&T", "Seattle Mobile", None]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("verizon", ["US Verizon", "VERIZON", "Verizon Wireless"]),
        ("Verizon  us", ["US Verizon"]),
        ("tmobile", ["T-Mobile USA"]),
        ("t-mobile", ["T-Mobile USA"]),
        ("att", ["Seattle Mobile"]),
        ("at&t", ["AT&T"]),
        ("mobile", ["Seattle Mobile", "T-Mobile USA"]),
        ("%", []),
        ("O2", []),
    ],
)
@pytest.mark.parametrize("name", order_wordings.NAMES)
def test_a_name_is_found_wherever_it_stands(database: IMEIDatabase, name: str, asked: str, found: list[str]) -> None:
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, name: carrier} for carrier in CARRIERS])
    chosen = OrderFilter(carrier=asked) if name == "carrier" else OrderFilter(model=asked)
    assert sorted(getattr(row, name) for row in order_filters.walk(database, chosen)) == found
    assert order_counts.counted(database, chosen) == Count(len(found), is_all=True)


@pytest.mark.parametrize("name", order_wordings.NAMES)
def test_a_name_is_looked_up_in_its_index(file_database: IMEIDatabase, name: str) -> None:
    """By the plan of SQLite; test_query_plans_postgresql.py reads those of PostgreSQL."""
    with file_database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, name: carrier} for carrier in CARRIERS])
    chosen = OrderFilter(carrier="verizon") if name == "carrier" else OrderFilter(model="verizon")
    with file_database.read() as connection:
        words = plan(file_database, page_query(chosen, guide(connection, chosen), None, 101))
    assert f"idx_orders_{name}" in words
    assert "SCAN orders" not in words


def test_blacklisted_is_found_in_every_wording(database: IMEIDatabase) -> None:
    words = ["Clean", "CLEAN", "Not blacklisted", "Blacklisted", "Reported stolen", "Not found", None]
    with database.write() as connection:
        connection.execute(orders.insert(), [{"imei": NUMBER, "blacklist": word} for word in words])

    def found(blacklist: str) -> list[str]:
        return sorted(row.blacklist or "" for row in order_filters.walk(database, OrderFilter(blacklist=blacklist)))

    assert found("Clean") == ["CLEAN", "Clean", "Not blacklisted"]
    assert found("Blacklisted") == ["Blacklisted", "Reported stolen"]
    with database.read() as connection:
        counted = order_wordings.suggestions(connection)
    assert order_wordings.finding_counts("blacklist", counted["blacklist"]) == {
        "Clean": 3,
        "Blacklisted": 2,
        "Unknown": 1,
    }
    assert counted["blacklist"][0][1] == 1
    assert counted["carrier"] == []

"""Counts of models by TAC are exact whatever happens to orders; the majority of own results names a model."""

import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from database import IMEIDatabase
from schema import orders, tac_models
from storage.model_store import (
    Imported,
    PhoneModel,
    TacCounts,
    TacRow,
    forget_imported,
    import_models,
    imported_row,
    models_of,
    named_models,
    services_ordered,
    tac_counts,
)

IPHONE, GALAXY, UNKNOWN = "35337008", "35123456", "86999999"


def imei(tac: str, number: int) -> str:
    return f"{tac}{number:07d}"


def result(tac: str, number: int, model: str | None, **more: Any) -> dict[str, Any]:
    return {"imei": imei(tac, number), "model": model, "status": "Completed", "service_id": "269", **more}


def store(database: IMEIDatabase, *rows: dict[str, Any]) -> None:
    with database.write() as connection:
        for row in rows:
            connection.execute(insert(orders).values(**row))


def kept(database: IMEIDatabase) -> dict[tuple[str, str], int]:
    with database.read() as connection:
        return {(row.tac, row.model): row.orders for row in connection.execute(select(tac_models))}


def counted(database: IMEIDatabase) -> dict[tuple[str, str], int]:
    """By reading every order."""
    with database.read() as connection:
        rows = connection.execute(select(orders)).all()
    named = (row for row in rows if row.status == "Completed" and row.model and row.other_imei is None)
    return dict(Counter((row.imei[:8], row.model[:100]) for row in named))


def test_counts_are_exact_after_any_insert_update_and_delete(database: IMEIDatabase) -> None:
    chance = random.Random(3)

    def values() -> dict[str, Any]:
        return {
            "imei": imei(chance.choice([IPHONE, GALAXY]), chance.randrange(3)),
            "status": chance.choice(["Completed", "Completed", "Pending", "Rejected", None]),
            "model": chance.choice(["iPhone 11", "Galaxy S21", "x" * 5000, "", None]),
            "other_imei": chance.choice([None, None, None, "?"]),
        }

    for _ in range(150):
        with database.write() as connection:
            ids = connection.execute(select(orders.c.id)).scalars().all()
            kind = chance.choice(["insert", "insert", "update", "update", "part", "delete"])
            some = orders.c.id.in_(chance.sample(ids, min(len(ids), 3)))
            changed = values()
            if kind == "insert":
                connection.execute(insert(orders), [values() for _ in range(3)])
            elif kind == "delete":
                connection.execute(delete(orders).where(some))
            else:
                names = list(changed) if kind == "update" else [chance.choice(list(changed))]
                connection.execute(update(orders).where(some).values({name: changed[name] for name in names}))
        assert kept(database) == counted(database)
    assert kept(database)


def test_an_order_that_is_placed_counts_nothing_until_its_result(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "1", "imei": imei(IPHONE, 1), "status": "Pending"})
    assert kept(database) == {}
    database.update_order_status("1", "Completed", {"model": "iPhone 11"})
    assert kept(database) == {(IPHONE, "iPhone 11"): 1}


def test_the_majority_of_own_results_wins_and_then_the_imported_list(database: IMEIDatabase) -> None:
    names = ["iPhone 12", "iPhone 11", "iPhone 11", "iPhone 12", "iPhone 13"]
    store(database, *(result(IPHONE, place, name) for place, name in enumerate(names)))
    import_models(database, [TacRow(IPHONE, "Samsung", "Galaxy"), TacRow(GALAXY, "SAMSUNG", "S21")])
    found = models_of(database, [imei(IPHONE, 77), imei(GALAXY, 5), imei(GALAXY, 6), imei(UNKNOWN, 1)])
    assert found == {
        IPHONE: PhoneModel(IPHONE, "Apple", "iPhone 11", 2, 5),
        GALAXY: PhoneModel(GALAXY, "Samsung", "S21", 0, 0),
    }
    assert named_models(database, IPHONE) == [("iPhone 11", 2), ("iPhone 12", 2), ("iPhone 13", 1)]
    assert tac_counts(database) == TacCounts(1, 2)


@pytest.mark.parametrize(
    ("named", "brand", "model", "expected"),
    [
        ({"S21": 3}, "Samsung Korea", "", "Samsung"),  # the model of our results names no brand
        ({"Galaxy S21": 3}, "Apple", "", "Samsung"),
        ({}, "", "Moto G", "Motorola"),
        ({}, "Palm", "Pre", "Palm"),
        ({"Pre": 1}, "", "", ""),
    ],
)
def test_the_brand_is_that_of_the_model_or_of_the_list(
    named: dict[str, int], brand: str, model: str, expected: str
) -> None:
    assert PhoneModel.from_words(IPHONE, named, brand, model).brand == expected


def test_a_list_is_imported_over_an_earlier_one_and_deleted(database: IMEIDatabase) -> None:
    first = [TacRow(f"35{number:06d}", "LG", f"K{number}") for number in range(30_000)]
    assert import_models(database, first) == Imported(30_000, 0, 0)
    second = [*first[:10], TacRow(first[10].tac, "LG", "K10 2018"), TacRow(UNKNOWN, "", "Mi 11")]
    assert import_models(database, second) == Imported(1, 1, 10)
    assert imported_row(database, first[10].tac) == TacRow(first[10].tac, "LG", "K10 2018")
    assert forget_imported(database) == 30_001
    assert imported_row(database, UNKNOWN) is None


def test_the_services_of_a_tac_are_those_of_its_orders_alone(database: IMEIDatabase) -> None:
    used = [(IPHONE, "1"), (IPHONE, "1"), (IPHONE, "2"), (GALAXY, "3"), (UNKNOWN, None)]
    store(database, *(result(tac, place, None, service_id=service) for place, (tac, service) in enumerate(used)))
    found = services_ordered(database, [IPHONE, UNKNOWN, "35000000"])
    assert {tac: sorted(services) for tac, services in found.items()} == {
        IPHONE: ["1", "1", "2"],
        UNKNOWN: [],
        "35000000": [],
    }
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(orders)).scalar() == len(used)

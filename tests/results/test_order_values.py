"""What the provider reports becomes values of an order's row: never less than before, and never of another device."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from simulated_provider import imeis
from stored_orders import all_orders

from database import IMEIDatabase, utc_now
from devices import MAX_VALUE
from orders import IMEIOrder
from results import order_values
from results.order_values import TEXT_PATIENCE, believed_status, reparse, report_values, result_values


def row_of(status: str = "Pending", text: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(status=status, result_code=text, imei=imeis(1)[0], order_date=utc_now())


@pytest.mark.parametrize(
    ("stored", "listed"),
    [
        (("Completed", "Model: A"), ("Pending", "")),
        (("Completed", "Model: A"), ("In Process", "Model: A")),
        (("Completed", "Model: A"), ("Rejected", "")),
        (("Rejected", "Not found"), ("Completed", "")),
        (("Pending", ""), ("Pending", "")),
    ],
)
def test_a_final_result_is_never_overwritten_with_less(stored: tuple[str, str], listed: tuple[str, str]) -> None:
    row = SimpleNamespace(status=stored[0], result_code=stored[1], imei=imeis(1)[0], order_date=utc_now())
    assert result_values(IMEIOrder("1", row.imei, listed[0], listed[1]), row) == {}


def test_completed_without_a_text_is_asked_for_again_until_the_order_is_old() -> None:
    bare = IMEIOrder("1", imeis(1)[0], "Completed")
    placed_at = utc_now() - timedelta(hours=23)
    row = SimpleNamespace(status="Pending", result_code=None, imei=bare.imei, order_date=placed_at)
    assert result_values(bare, row) == {"status": "In Process"}
    row.status = "In Process"
    assert result_values(bare, row) == {}
    row.order_date -= timedelta(hours=2)
    assert result_values(bare, row) == {"status": "Completed"}
    assert result_values(IMEIOrder("1", bare.imei, "Rejected"), row) == {"status": "Rejected"}


@pytest.mark.parametrize("status", ["Completed", "Rejected"])
def test_a_final_order_without_a_raw_text_stays_final(status: str) -> None:
    """From a file, say, that has its columns but not the provider's text."""
    row = SimpleNamespace(status=status, result_code=None, imei=imeis(1)[0], order_date=utc_now())
    assert result_values(IMEIOrder("1", row.imei, status), row) == {}
    assert result_values(IMEIOrder("1", row.imei, "Completed"), row).get("status", "Completed") == "Completed"


def test_a_result_about_another_imei_is_flagged(database: IMEIDatabase) -> None:
    ordered, other = imeis(2)
    row = SimpleNamespace(status="Pending", result_code=None, imei=ordered, order_date=utc_now())
    answer = IMEIOrder("1", ordered, "Completed", f"IMEI: {other}<br>Model: iPhone 12")
    assert result_values(answer, row)["other_imei"] == other
    assert result_values(IMEIOrder("1", ordered, "Completed", f"IMEI: {ordered}"), row)["other_imei"] is None


@pytest.mark.parametrize(
    ("age", "told"),
    [
        (TEXT_PATIENCE - timedelta(minutes=1), "In Process"),
        (TEXT_PATIENCE, "Completed"),
        (None, "Completed"),
        (timedelta(hours=-5), "In Process"),  # of another time zone
        (timedelta(days=-9999), "Completed"),  # no date of an order
    ],
)
def test_completed_without_a_text_is_believed_of_an_order_that_is_a_day_old(
    monkeypatch: pytest.MonkeyPatch, age: timedelta | None, told: str
) -> None:
    now = utc_now()
    monkeypatch.setattr(order_values, "utc_now", lambda: now)
    placed_at = None if age is None else now - age
    assert believed_status(IMEIOrder("1", "", "Completed"), placed_at) == told


@pytest.mark.parametrize(("status", "code"), [("Completed", "Model: A"), ("Rejected", ""), ("Pending", "")])
def test_any_other_status_is_believed_of_a_young_order(status: str, code: str) -> None:
    assert believed_status(IMEIOrder("1", "", status, code), utc_now()) == status


def test_a_new_text_of_a_final_order_is_taken_and_its_status_stays() -> None:
    row = row_of("Completed", "Model: A")
    assert result_values(IMEIOrder("1", row.imei, "Completed", "Model: B"), row)["model"] == "B"
    assert result_values(IMEIOrder("1", row.imei, "Completed", "Model: A"), row) == {}
    assert result_values(IMEIOrder("1", row.imei, "Rejected", "Model: A"), row) == {"status": "Rejected"} | (
        report_values("Model: A", row.imei)
    )


def test_an_order_that_is_listed_as_it_is_but_without_its_text_stays_untouched() -> None:
    row = row_of("In Process", "Model: A")
    assert result_values(IMEIOrder("1", row.imei, "In Process"), row) == {}


def test_a_text_that_names_only_a_second_imei_of_another_device_is_flagged_without_a_number() -> None:
    ordered, other = imeis(2)
    assert report_values(f"IMEI2: {other}<br>Model: iPhone 12", ordered)["other_imei"] == "?"


def test_a_text_makes_completed_believed_at_once() -> None:
    row = row_of("In Process", "Model: A")
    assert result_values(IMEIOrder("1", row.imei, "Completed"), row) == {"status": "Completed"}


def test_an_order_that_is_listed_with_another_imei_is_flagged_unless_only_its_check_digit_differs() -> None:
    row = row_of()
    other = imeis(2)[1]
    assert result_values(IMEIOrder("1", other, "Rejected"), row) == {"status": "Rejected", "other_imei": other}
    for same in (row.imei[:14], row.imei[:14] + "x", ""):
        assert result_values(IMEIOrder("1", same, "Rejected"), row) == {"status": "Rejected"}


def test_a_text_fills_every_column_and_what_it_does_not_say_is_none() -> None:
    ordered, second = imeis(2)
    lines = (
        f"IMEI: {ordered}",
        f"IMEI2: {second}",
        "Model: iPhone 12",
        "Carrier: T-Mobile USA",
        "SIM Lock: Locked",
        "FMI: ON",
        "Blacklist: Clean",
        "Serial: F17XK0ABCDEF",
        "Warranty: Expired",
    )
    text = "<br>".join(lines)
    values = report_values(text, ordered)
    assert values.pop("result_code_display")
    assert values == {
        "result_code": text,
        "imei2": second,
        "model": "iPhone 12",
        "carrier": "T-Mobile USA",
        "simlock": "Locked",
        "fmi": "ON",
        "blacklist": "Clean",
        "serial": "F17XK0ABCDEF",
        "warranty": "Expired",
        "other_imei": None,
    }
    empty = report_values("Nothing here", ordered)
    assert {name for name, value in empty.items() if value} == {"result_code", "result_code_display"}
    assert all(value is None for name, value in empty.items() if not name.startswith("result_code"))


def test_reparse_applies_the_parser_to_stored_texts(database: IMEIDatabase) -> None:
    text = "Model: iPhone 12<br>Carrier: T-Mobile USA<br>SIM Lock: Locked"
    for n, imei in enumerate(imeis(3)):
        database.insert_order({"order_id": str(n), "imei": imei, "status": "Completed", "result_code": text})
    database.insert_order({"order_id": "9", "imei": imeis(1)[0], "status": "Completed", "carrier": "kept"})
    assert reparse(database) == (3, 3)
    assert reparse(database) == (3, 0)
    assert {row["model"] for row in all_orders(database) if row["result_code"]} == {"iPhone 12"}
    kept = database.get_order("9")
    assert kept
    assert kept["carrier"] == "kept"


def test_reparse_keeps_the_beginning_of_a_long_finding_without_a_text(database: IMEIDatabase) -> None:
    """Earlier versions imported them; an index of PostgreSQL does not take all."""
    words, signs = "T-Mobile " * 50, "\u00e9" * 190
    for name, value in (("carrier", words), ("blacklist", f"Clean; {signs}; blacklisted")):
        database.insert_order({"order_id": name, "imei": imeis(1)[0], "status": "Completed", name: value})
    database.insert_order({"order_id": "9", "imei": imeis(1)[0], "status": "Completed", "carrier": "kept"})
    assert reparse(database) == (0, 2)
    assert reparse(database) == (0, 0)
    rows = {row["order_id"]: row for row in all_orders(database)}
    assert rows["carrier"]["carrier"] == words[:MAX_VALUE]
    assert (rows["blacklist"]["blacklist"], rows["9"]["carrier"]) == ("Blacklisted", "kept")

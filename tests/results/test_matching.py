"""Rows without order ids: matched one to one with our orders, whatever the time zone, and never added beside them."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from import_rows import CLOCK, SECOND, fates, hours, money, ours, planned, results, theirs
from simulated_provider import SERVICE, imeis
from stored_orders import all_orders

from database import IMEIDatabase
from orders import ServiceInfo
from results.importing import Fate, import_orders, plan_import, undo_import
from spreadsheets.order_rows import ImportRow, read_orders
from spreadsheets.writing import PROVIDER_COLUMNS, write_csv
from storage.import_store import past_imports


def test_the_providers_export_of_our_own_orders_adds_neither_orders_nor_money(ordering: IMEIDatabase) -> None:
    numbers = imeis(20, 100)
    for n, imei in enumerate(numbers):
        ours(ordering, str(n), imei)
    before = money(ordering)
    rows = [theirs(n, imei, after=-5 + n / 3600) for n, imei in enumerate(numbers, 2)]
    _, plan = import_orders(ordering, rows, "export.csv")
    assert (plan.count(Fate.NEW), plan.matched, plan.count(Fate.UPDATED)) == (0, 20, 20)
    assert money(ordering) == before == (20, 1.6)
    assert {(row["status"], row["model"]) for row in all_orders(ordering)} == {("Completed", "iPhone 12")}
    assert {row["order_date"] for row in all_orders(ordering)} == {CLOCK}
    _, again = import_orders(ordering, rows, "export.csv")
    assert again.summary == "0 new, 0 updated, 20 unchanged, 0 not understood; 20 found by IMEI, service and time"


@pytest.mark.parametrize("shift", [-36, -13, -5, -4, 0, 1, 5.5, 14, 24, 36])
def test_any_two_time_zones_are_bridged(ordering: IMEIDatabase, shift: float) -> None:
    ours(ordering, "1")
    assert planned(ordering, theirs(2, after=shift)) == {2: ("updated", "1")}


@pytest.mark.parametrize("shift", [-40, -36.01, 36.01, 40])
def test_a_row_more_than_36_hours_from_our_orders_is_history(ordering: IMEIDatabase, shift: float) -> None:
    ours(ordering, "1")
    assert planned(ordering, theirs(2, after=shift)) == {2: ("new", "")}


@pytest.mark.parametrize("shift", [-36, -13, -5, 5, 14, 36])
def test_rechecks_keep_their_order_in_time(ordering: IMEIDatabase, shift: float) -> None:
    """Thirteen hours back, the second row is nearer to the first order than to its own."""
    ours(ordering, "1")
    ours(ordering, "2", after=24)
    rows = [theirs(2, after=24 + shift, model="second"), theirs(3, after=shift, model="first")]
    assert planned(ordering, *rows) == {2: ("updated", "2"), 3: ("updated", "1")}
    import_orders(ordering, rows, "export.csv")
    assert results(ordering) == {"1": "first", "2": "second"}


def test_a_row_at_the_very_second_of_another_order_does_not_get_that_orders_result(ordering: IMEIDatabase) -> None:
    """Two orders as far apart as the two clocks are."""
    ours(ordering, "1")
    ours(ordering, "2", after=5)
    rows = [theirs(2, after=-5), theirs(3, after=0)]
    assert planned(ordering, *rows) == {2: ("updated", "1"), 3: ("updated", "2")}


def test_rechecks_on_both_sides_of_summer_time_keep_their_order(ordering: IMEIDatabase) -> None:
    for n in range(6):
        ours(ordering, str(n), after=20 * n)
    rows = [theirs(n, after=20 * n - (4 if n < 3 else 5)) for n in range(6)]
    assert planned(ordering, *reversed(rows)) == {n: ("updated", str(n)) for n in range(6)}


def test_a_row_too_many_is_named_and_not_added(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    ours(ordering, "2", SECOND)
    before = money(ordering)
    rows = [theirs(2, after=-5), theirs(3, SECOND, after=-5), theirs(4, after=-9, model="other")]
    for _ in range(2):
        _, plan = import_orders(ordering, rows, "export.csv")
        [left] = plan.left_out
        assert (left.number, left.fate, plan.count(Fate.UNMATCHED)) == (4, Fate.UNMATCHED, 1)
        assert left.reason == "Our orders of this IMEI and service within 36 hours of it are matched with row 2."
    assert plan.summary.startswith("0 new, 0 updated, 2 unchanged, 0 not understood, 1 not matched; 2 found")
    assert money(ordering) == before
    assert results(ordering) == {"1": "iPhone 12", "2": "iPhone 12"}
    done = past_imports(ordering)[0]
    assert (done.rows_read, done.rows_unchanged, done.rows_failed) == (3, 2, 1)


def test_a_row_too_many_at_the_end_of_the_36_hours_is_not_added(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    assert planned(ordering, theirs(2), theirs(3, after=36)) == {2: ("updated", "1"), 3: ("not matched", "")}


def test_a_row_too_many_between_two_orders_names_the_rows_of_both(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    ours(ordering, "2", after=24)
    rows = [theirs(7, after=25), theirs(8, after=12), theirs(9, after=1)]
    plan = plan_import(ordering, rows)
    assert [row.order_row for row in plan.rows] == [2, None, 1]
    assert plan.rows[1].reason.endswith("within 36 hours of it are matched with rows 7, 9.")


def test_where_orders_outnumber_rows_the_nearest_gets_the_row(ordering: IMEIDatabase) -> None:
    """As in a part of an export, or in one of ours that was filtered."""
    for n in range(3):
        ours(ordering, str(n), after=24 * n)
    assert planned(ordering, theirs(2, after=24), theirs(3, after=43)) == {2: ("updated", "1"), 3: ("updated", "2")}


def test_what_is_near_together_is_paired_apart_from_what_is_far_away(ordering: IMEIDatabase) -> None:
    """A row too many next week does not change how the rechecks of this week are paired, nor does history between."""
    for order_id, after in (("1", 0), ("2", 20), ("3", 40), ("4", 200)):
        ours(ordering, order_id, after=after)
    week = [theirs(2, after=-13), theirs(3, after=7), theirs(4, after=27)]
    assert planned(ordering, *week, theirs(5, after=100), theirs(6, after=199), theirs(7, after=202)) == {
        2: ("updated", "1"),
        3: ("updated", "2"),
        4: ("updated", "3"),
        5: ("new", ""),
        6: ("updated", "4"),
        7: ("not matched", ""),
    }


def test_between_two_rows_as_near_the_one_that_agrees_is_taken(ordering: IMEIDatabase) -> None:
    ours(ordering, "1", status="Completed", model="known")
    rows = [theirs(2, after=-1, model="other"), theirs(3, after=1, model="known")]
    assert planned(ordering, *rows) == {2: ("not matched", ""), 3: ("unchanged", "1")}
    rows = [theirs(2, after=1, model="other"), theirs(3, after=-1, model="another")]
    assert planned(ordering, *rows) == {2: ("not matched", ""), 3: ("unchanged", "1")}


def test_as_many_rows_as_orders_too_far_apart_in_turn_are_paired_by_nearness(ordering: IMEIDatabase) -> None:
    """The second order's row is not in the file; the third order's row and one of somebody else are."""
    for order_id, after in (("1", 0), ("2", 1), ("3", 40)):
        ours(ordering, order_id, after=after)
    rows = [theirs(2, after=35), theirs(3, after=70), theirs(4, after=75)]
    found = planned(ordering, *rows)
    assert found == {2: ("updated", "3"), 3: ("not matched", ""), 4: ("not matched", "")}


def test_our_orders_of_one_second_get_the_rows_that_agree_with_them(ordering: IMEIDatabase) -> None:
    """The provider charged one IMEI twice within a second; our own export of both is imported again."""
    ours(ordering, "1", status="Completed", model="first", result_code_display="x")
    ours(ordering, "2", status="Completed", model="second", result_code_display="y")
    data = b"".join(write_csv(all_orders(ordering), PROVIDER_COLUMNS))
    rows = list(read_orders(data))
    assert [row.values["model"] for row in rows] == ["second", "first"]
    assert planned(ordering, *rows) == {2: ("unchanged", "2"), 3: ("unchanged", "1")}


def test_equal_rows_are_two_orders_only_where_two_were_placed_within_a_second(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    ours(ordering, "2", after=24)
    rows = [theirs(2, after=-5), theirs(3, after=-5)]
    assert planned(ordering, *rows) == {2: ("updated", "1"), 3: ("not matched", "")}
    assert plan_import(ordering, rows).rows[1].reason == "It repeats row 2, which is matched with an order of ours."
    ours(ordering, "3", service_id="270", service_name="Other")
    assert planned(ordering, *rows)[3] == ("not matched", "")
    ours(ordering, "4")
    assert planned(ordering, *rows, theirs(4, after=-5)) == {
        2: ("updated", "1"),
        3: ("updated", "4"),
        4: ("not matched", ""),
    }
    history = [theirs(8, after=200), theirs(9, after=200)]
    assert planned(ordering, *history, *rows)[3] == ("updated", "4")


@pytest.mark.parametrize(
    ("stored", "title", "fate"),
    [
        ({}, "T-Mobile", "updated"),
        ({}, " t-mobile ", "updated"),
        ({}, SERVICE, "updated"),  # the id stands for the title
        ({"service_name": "its title of last year"}, "T-Mobile", "updated"),
        ({"service_name": "its title of last year"}, "Its title of last year", "updated"),
        ({"service_id": None}, "T-Mobile", "updated"),
        ({"service_id": "270"}, "T-Mobile", "new"),  # another service that had the same title
        ({}, "Other check", "new"),
        ({"service_id": None, "service_name": None}, "T-Mobile", "new"),
    ],
)
def test_the_service_is_compared_by_id_where_the_title_is_known(
    ordering: IMEIDatabase, stored: dict[str, Any], title: str, fate: str
) -> None:
    ours(ordering, "1", **stored)
    assert planned(ordering, theirs(2, after=-5, service_name=title))[2][0] == fate


def test_an_order_is_matched_once_though_rows_call_its_service_by_two_titles(ordering: IMEIDatabase) -> None:
    ours(ordering, "1", service_name="Old title")
    rows = [theirs(2, after=-5), theirs(3, after=-6, service_name="Old title")]
    assert planned(ordering, *rows) == {2: ("updated", "1"), 3: ("not matched", "")}


def test_the_rows_of_one_service_leave_the_orders_of_another_alone(ordering: IMEIDatabase) -> None:
    ordering.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo("270", "Other", 0.1)], 0.0)
    ours(ordering, "1")
    ours(ordering, "2", service_id="270", service_name="Other")
    rows = [theirs(2, after=-5, service_name="Other", model="b"), theirs(3, after=-5, model="a")]
    assert planned(ordering, *rows) == {2: ("updated", "2"), 3: ("updated", "1")}
    assert planned(ordering, *rows, theirs(4, service_name="Third"))[4] == ("new", "")


@pytest.mark.parametrize(("row_date", "order_date"), [(None, CLOCK), (CLOCK, None)])
def test_without_a_date_on_both_sides_a_row_is_not_added_beside_our_order(
    ordering: IMEIDatabase, row_date: datetime | None, order_date: datetime | None
) -> None:
    ours(ordering, "1", order_date=order_date)
    plan = plan_import(ordering, [theirs(2, order_date=row_date), theirs(3, SECOND, order_date=row_date)])
    assert [row.fate for row in plan.rows] == [Fate.UNMATCHED, Fate.NEW]
    assert plan.rows[0].reason == (
        "We have an order of this IMEI and service, and one of the two has no date: they may be the same."
    )
    assert planned(ordering, theirs(2, service_name="Other", order_date=row_date)) == {2: ("new", "")}


def test_a_row_and_an_order_that_both_have_no_date_are_matched(ordering: IMEIDatabase) -> None:
    ours(ordering, "1", order_date=None)
    values = {name: value for name, value in theirs(2).values.items() if name != "order_date"}
    assert planned(ordering, ImportRow(2, values)) == {2: ("updated", "1")}


def test_dates_at_the_ends_of_the_calendar_are_compared_too(ordering: IMEIDatabase) -> None:
    first, last = datetime.min + hours(1), datetime.max.replace(microsecond=0)
    ours(ordering, "1", order_date=last)
    assert planned(ordering, theirs(2, order_date=first), theirs(3, order_date=last - hours(1))) == {
        2: ("new", ""),
        3: ("updated", "1"),
    }
    import_orders(ordering, [theirs(2, SECOND, order_date=first), theirs(3, SECOND, order_date=last)], "odd.csv")
    assert planned(ordering, theirs(4, SECOND, order_date=first + hours(1)))[4][0] == "unchanged"


# Rows with and without order ids, and history


def test_an_order_that_a_row_names_by_its_id_is_not_taken_for_another_row(ordering: IMEIDatabase) -> None:
    ours(ordering, "1", status="Completed", model="iPhone 12")
    rows = [theirs(2, order_id="1"), theirs(3, after=-5)]
    assert planned(ordering, *rows) == {2: ("unchanged", "1"), 3: ("new", "")}


def test_a_row_with_an_id_that_we_do_not_know_is_another_order(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    assert planned(ordering, theirs(2, after=-5, order_id="9"), theirs(3, after=-5)) == {
        2: ("new", ""),
        3: ("updated", "1"),
    }


def test_a_recheck_of_history_in_one_file_with_it_is_history_too(ordering: IMEIDatabase) -> None:
    ours(ordering, "1", SECOND)
    import_orders(ordering, [theirs(2)], "one.csv")
    assert planned(ordering, theirs(2), theirs(3, after=1)) == {2: ("unchanged", ""), 3: ("new", "")}


def test_history_that_is_imported_again_is_known_by_its_date(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    rows = [theirs(2, after=100), theirs(3, after=200), theirs(4, after=-5)]
    import_orders(ordering, rows, "one.csv")
    again = plan_import(ordering, rows)
    assert [row.fate for row in again.rows] == [Fate.UNCHANGED] * 3
    assert [row.by_time for row in again.rows] == [False, False, True]


@pytest.mark.parametrize("before", [-20, -2])
def test_history_beside_our_orders_stays_what_it_is(ordering: IMEIDatabase, before: float) -> None:
    """A check from before this program, and its recheck by this program a few hours later."""
    old, new = theirs(2, after=before, model="old"), theirs(3, after=-5, model="new")
    import_orders(ordering, [old], "before.csv")
    ours(ordering, "1")
    assert fates(ordering, [old, new, old]) == ["unchanged", "updated", "unchanged"]


def test_history_in_another_time_zone_is_not_added_twice(ordering: IMEIDatabase) -> None:
    """The account's time zone was changed between two exports, or summer time began."""
    numbers = imeis(3, 400)
    first = [theirs(n, imei, after=n / 60) for n, imei in enumerate(numbers)]
    import_orders(ordering, first, "winter.csv")
    before = money(ordering)
    for shift in (1, -5.5, 23.75, -23.75):
        shifted = [theirs(n, imei, after=n / 60 + shift) for n, imei in enumerate(numbers)]
        _, plan = import_orders(ordering, shifted, "summer.csv")
        assert (plan.matched, plan.count(Fate.UNCHANGED)) == (3, 3)
    assert money(ordering) == before


def test_a_row_near_our_order_is_not_taken_for_history_in_another_time_zone(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [theirs(2, after=-4)], "one.csv")
    ours(ordering, "1")
    assert planned(ordering, theirs(2, after=-5)) == {2: ("updated", "1")}


def test_a_row_that_contradicts_history_in_another_time_zone_is_not_added(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [theirs(2)], "winter.csv")
    plan = plan_import(ordering, [theirs(2, after=1), theirs(3, after=1, model="other")])
    assert [(row.fate, row.reason) for row in plan.rows] == [
        (Fate.UNCHANGED, ""),
        (Fate.NOT_UNDERSTOOD, "It contradicts row 2."),
    ]


@pytest.mark.parametrize("shift", [0.1, 5.01, 24, -24, 36])
def test_another_date_that_no_time_zone_explains_is_another_order(ordering: IMEIDatabase, shift: float) -> None:
    """The export of one month, and that of the next with a recheck."""
    import_orders(ordering, [theirs(2)], "one.csv")
    assert planned(ordering, theirs(2, after=shift)) == {2: ("new", "")}


def test_of_two_rows_of_one_key_that_differ_one_is_the_order_that_is_known(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [theirs(2, model="known")], "one.csv")
    plan = plan_import(ordering, [theirs(2, model="other"), theirs(3, model="known")])
    assert [(row.fate, row.reason) for row in plan.rows] == [
        (Fate.NOT_UNDERSTOOD, "It contradicts row 3."),
        (Fate.UNCHANGED, ""),
    ]


def test_history_is_known_again_when_its_title_belongs_to_another_service(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [theirs(2)], "one.csv")
    ordering.store_services([ServiceInfo("300", "T-Mobile", 0.1), ServiceInfo(SERVICE, "Renamed", 0.1)], 0.0)
    assert planned(ordering, theirs(2)) == {2: ("unchanged", "")}
    assert planned(ordering, theirs(2, service_name="Renamed")) == {2: ("unchanged", "")}


def test_history_of_one_service_is_not_taken_for_a_row_of_another_at_the_same_second(ordering: IMEIDatabase) -> None:
    """Both files have no order ids; the row of the other service is another order."""
    import_orders(ordering, [theirs(2)], "one.csv")
    assert planned(ordering, theirs(2, service_name="Other check")) == {2: ("new", "")}
    assert planned(ordering, theirs(2, service_name="Other check"), theirs(3)) == {
        2: ("new", ""),
        3: ("unchanged", ""),
    }


def test_a_row_is_known_again_as_one_order_only(ordering: IMEIDatabase) -> None:
    """History has two orders of one second; the file names one of them."""
    import_orders(ordering, [theirs(2, model="a")], "one.csv")
    ours(ordering, "", order_date=CLOCK, model="b", status="Completed")
    with ordering.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET order_id = NULL")
    plan = plan_import(ordering, [theirs(2, model="a")])
    assert [(row.fate, row.order_row) for row in plan.rows] == [(Fate.UNCHANGED, 1)]


def test_what_neither_states_counts_as_agreement(ordering: IMEIDatabase) -> None:
    """Of two rows as near to an order without a model, the one without a model is taken."""
    ours(ordering, "1", status="Completed")
    silent = theirs(3, after=1)
    silent = ImportRow(3, {name: value for name, value in silent.values.items() if name != "model"})
    assert planned(ordering, theirs(2, after=-1), silent) == {2: ("not matched", ""), 3: ("unchanged", "1")}


@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("b", "a")])
def test_rows_of_one_second_are_told_apart_by_what_they_state(ordering: IMEIDatabase, first: str, second: str) -> None:
    """As many orders as rows; their orders are some seconds apart."""
    ours(ordering, "1", status="Completed", model="a")
    ours(ordering, "2", status="Completed", model="b", after=0.01)
    rows = [theirs(2, after=-5, model=first), theirs(3, after=-5, model=second)]
    matched = {2: ("unchanged", "1"), 3: ("unchanged", "2")}
    assert planned(ordering, *rows) == (matched if first == "a" else {2: matched[3], 3: matched[2]})


GRID = st.tuples(st.integers(0, 1), st.integers(-60, 60), st.sampled_from(["a", "b"]))


@given(st.lists(GRID, max_size=6), st.lists(GRID, max_size=8), st.lists(GRID, max_size=8))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_imported_each_order_gets_one_row_and_a_second_time_changes_nothing(
    ordering: IMEIDatabase, placed: Any, earlier: Any, given_rows: Any
) -> None:
    with ordering.write() as connection:
        for table in ("import_changes", "import_history", "status_changes", "orders"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    for n, (device, after, model) in enumerate(placed):
        final = {"status": "Completed", "result_code": "raw", "model": model} if n % 2 else {}
        ours(ordering, f"o{n}", imeis(2)[device], after, **final)
    import_orders(ordering, [theirs(n, imeis(2)[d], h, m) for n, (d, h, m) in enumerate(earlier)], "earlier.csv")
    before, spent = all_orders(ordering), money(ordering)[1]
    rows = [theirs(n, imeis(2)[d], h, m) for n, (d, h, m) in enumerate(given_rows)]
    import_id, plan = import_orders(ordering, rows, "export.csv")
    about = [row.order_row for row in plan.rows if row.order_row]
    assert len(about) == len(set(about))
    assert sum(plan.count(fate) for fate in Fate) == len(rows) and all(row.reason for row in plan.left_out)
    assert money(ordering)[1] == pytest.approx(spent + 0.08 * plan.count(Fate.NEW))
    stored = all_orders(ordering)
    _, again = import_orders(ordering, rows, "export.csv")
    assert not again.count(Fate.NEW) and not again.count(Fate.UPDATED)
    assert all_orders(ordering) == stored
    assert undo_import(ordering, import_id)[1] == 0
    assert [r | {"updated_at": 0} for r in all_orders(ordering)] == [r | {"updated_at": 0} for r in before]

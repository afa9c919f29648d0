"""Files of orders coming back: what they say, what they change, and that they never do it twice."""

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from handmade_calls import QUIET, answered, call, listed, look, outcome, record_outcomes, unanswered
from import_rows import FIRST, SECOND, THIRD, fates, ours, planned, theirs
from imported_rows import TITLES, line, rows_of, site_row
from simulated_provider import SERVICE, imeis
from sqlalchemy import event
from stored_orders import all_orders

from database import IMEIDatabase, utc_now
from orders import BatchState, ItemOutcome, NotPossibleError, Outcome, ServiceInfo
from results.importing import Fate, PlannedRow, changed_values, import_orders, plan_import, undo_import
from spreadsheets.order_rows import ImportRow, read_orders
from spreadsheets.writing import EXTENDED_COLUMNS, PROVIDER_COLUMNS, write_csv, write_xlsx
from storage import call_queries, chunk_moves, kept_sums
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import batch_failures, batch_state
from storage.call_records import write_intents
from storage.import_store import past_imports
from storage.rows import Order
from submission.settlement import Settler


def test_a_row_of_the_providers_export_becomes_an_order(database: IMEIDatabase) -> None:
    import_orders(database, rows_of(line()), "export.csv")
    [order] = database.get_orders_by_imei(FIRST)
    assert order["order_date"] == datetime(2025, 11, 14, 3, 33)
    assert order["credits"] == 0.08
    assert (order["status"], order["carrier"], order["fmi"]) == ("Completed", "T-Mobile", "ON")
    assert order["order_id"] is None


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (line(imei="3.5337E+14"), "Shortened"),
        (line(imei=""), "no IMEI"),
        (line(imei="hello"), "not an IMEI"),
        (line(status=""), "no status"),
        (line(date="14/11/2025"), "not a date"),
        (line(date="2025-13-45"), "not a date"),
        (line().replace("$0.08", "a lot"), "not a price"),
        (line(status="Refused", date=""), "No order was placed"),
        (line(status="In doubt", date=""), "No order was placed"),
    ],
)
def test_a_row_that_is_not_understood_says_why_and_is_left_out(database: IMEIDatabase, bad: str, reason: str) -> None:
    rows = rows_of(bad, line(SECOND))
    assert reason in rows[0].failure
    assert fates(database, rows) == [Fate.NOT_UNDERSTOOD, Fate.NEW]
    import_orders(database, rows, "export.csv")
    assert [row["imei"] for row in all_orders(database)] == [SECOND]


def test_a_dry_run_writes_nothing(database: IMEIDatabase) -> None:
    assert fates(database, rows_of(line())) == [Fate.NEW]
    assert database.count_orders() == 0
    assert past_imports(database) == []


def test_importing_twice_changes_nothing(database: IMEIDatabase) -> None:
    rows = rows_of(line(), line(SECOND), line(date="2025-11-15"), line())
    import_orders(database, rows, "export.csv")
    before = all_orders(database)
    assert len(before) == 3
    _, again = import_orders(database, rows, "export.csv")
    assert {row.fate for row in again.rows} == {Fate.UNCHANGED}
    assert all_orders(database) == before
    assert [(done.rows_new, done.rows_unchanged) for done in past_imports(database)] == [(0, 4), (3, 1)]


def test_two_rows_with_one_key_that_differ_are_not_guessed_about(database: IMEIDatabase) -> None:
    assert fates(database, rows_of(line(), line(model="iPhone 13"))) == [Fate.NEW, Fate.NOT_UNDERSTOOD]


def test_a_result_fills_a_pending_order_and_is_timed(database: IMEIDatabase) -> None:
    import_orders(database, rows_of(line(status="Pending")), "one.csv")
    _, plan = import_orders(database, rows_of(line(model="iPhone 13")), "two.csv")
    assert plan.summary == "0 new, 1 updated, 0 unchanged, 0 not understood"
    assert database.get_orders_by_imei(FIRST)[0]["model"] == "iPhone 13"


def test_an_import_never_makes_a_final_order_less() -> None:
    stored = {"status": "Completed", "result_code": "raw", "carrier": "T-Mobile", "model": None}
    assert changed_values(stored_order(**stored), {"status": "Pending", "carrier": "AT&T"}) == {}
    assert changed_values(stored_order(**stored), {"status": "Completed", "carrier": "AT&T", "model": "iPhone"}) == {
        "model": "iPhone"
    }


def test_an_order_id_is_the_key_where_there_is_one(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending"})
    titles = f"{TITLES},ORDER ID"
    assert fates(database, rows_of(line() + ",77", titles=titles)) == [Fate.UPDATED]
    assert fates(database, rows_of(line(SECOND) + ",77", titles=titles)) == [Fate.NOT_UNDERSTOOD]
    assert fates(database, rows_of(line() + ",78", titles=titles)) == [Fate.NEW]


def hostile_orders(database: IMEIDatabase) -> None:
    texts = ["=1+1", "'quoted", "+49", "-", "@x", "line\r\nline", " padded ", 'a,b;c\t"d"', "\x07bell", "ü–漢", "'=x"]
    for n, (imei, text) in enumerate(zip(imeis(len(texts), 50), texts, strict=True)):
        order: dict[str, Any] = {
            "order_id": str(1000 + n),
            "imei": imei,
            "status": "Completed" if n % 2 else "Pending",
            "service_name": text,
            "credits": 0.085 if n % 3 else None,
            "order_date": datetime(2026, 1, 2, 3, 4, n, 123456),
            "result_code_display": text * 3,
            "carrier": text,
            "warranty": text,
        }
        database.insert_order(order)


@pytest.mark.parametrize("columns", [PROVIDER_COLUMNS, EXTENDED_COLUMNS])
@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_we_export_and_import_again_is_the_same(database: IMEIDatabase, columns: Any, kind: str) -> None:
    hostile_orders(database)
    if kind == "csv":
        data = b"".join(write_csv(all_orders(database), columns))
    else:
        file = BytesIO()
        write_xlsx(all_orders(database), file, columns)
        data = file.getvalue()
    rows = list(read_orders(data))
    assert len(rows) == database.count_orders()
    assert {(row.fate, row.reason) for row in plan_import(database, rows).rows} == {(Fate.UNCHANGED, "")}


def test_an_export_restores_an_empty_database(database: IMEIDatabase, tmp_path: Path) -> None:
    hostile_orders(database)
    file = BytesIO()
    write_xlsx(all_orders(database), file, EXTENDED_COLUMNS)
    with IMEIDatabase(tmp_path / "other.db") as other:
        import_orders(other, read_orders(file.getvalue()), "orders.xlsx")
        assert {row["order_id"] for row in all_orders(other)} == {r["order_id"] for r in all_orders(database)}


def test_an_import_can_be_undone_once(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending", "model": "old"})
    before = database.get_order("77")
    rows = rows_of(line() + ",77", line(SECOND) + ",", titles=f"{TITLES},ORDER ID")
    import_id, _ = import_orders(database, rows, "export.csv")
    assert database.count_orders() == 2
    assert undo_import(database, import_id) == (2, 0)
    after = database.get_order("77")
    assert before
    assert after
    assert after | {"updated_at": 0} == before | {"updated_at": 0}
    assert database.get_orders_by_imei(SECOND) == []
    with pytest.raises(NotPossibleError, match="could be undone"):
        undo_import(database, import_id)


def test_undoing_keeps_what_has_changed_since(database: IMEIDatabase) -> None:
    import_id, _ = import_orders(database, rows_of(line(status="Pending")), "export.csv")
    later, _ = import_orders(database, rows_of(line()), "later.csv")
    assert undo_import(database, import_id) == (0, 1)
    assert database.get_orders_by_imei(FIRST)[0]["status"] == "Completed"
    assert undo_import(database, later) == (1, 0)
    assert database.get_orders_by_imei(FIRST)[0]["status"] == "Pending"


def test_a_failing_import_leaves_nothing(database: IMEIDatabase) -> None:
    rows = [*rows_of(line()), ImportRow(9, {"imei": SECOND, "status": "Completed", "carrier": object()})]
    with pytest.raises(Exception, match=r"object|unsupported type"):
        import_orders(database, rows, "export.csv")
    assert database.count_orders() == 0
    assert past_imports(database) == []


def test_an_order_that_is_in_doubt_is_left_to_its_batch(ordering: IMEIDatabase) -> None:
    """Once imported it would count as known, so its IMEI as not placed, and it would be paid again."""
    known = answered(ordering, call(ordering, [FIRST]), 1)
    doubtful = call(ordering, [SECOND])
    unanswered(ordering, doubtful)
    settler, shown = Settler(QUIET), [*known, listed("9", SECOND)]
    look(ordering, settler, known, 1000.0)
    _, plan = import_orders(ordering, [site_row("9", SECOND)], "site.csv")
    assert plan.rows[0].fate is Fate.NOT_UNDERSTOOD and "Batch 2" in plan.rows[0].reason
    look(ordering, settler, shown, 1000.0 + QUIET)
    proof = answered(ordering, call(ordering, [THIRD]), 30)
    look(ordering, settler, [*shown, *proof], 1000.0 + 2 * QUIET)
    assert outcome(ordering, doubtful) == [("ordered", "9")]


def test_an_order_that_a_file_brings_is_not_paid_again_by_a_batch_that_has_not_sent_it_yet(
    ordering: IMEIDatabase,
) -> None:
    wanted = [(imei, None) for imei in (FIRST, SECOND, THIRD)]
    batch_id = create_batch(ordering, NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, wanted), chunk_size=2)
    import_orders(ordering, [site_row("9", SECOND), site_row("10", THIRD)], "site.csv")
    assert {(row["imei"], row["error"]) for row in batch_failures(ordering, batch_id)} == {
        (SECOND, "ordered already: order 9, from a file"),
        (THIRD, "ordered already: order 10, from a file"),
    }
    with ordering.write() as connection:
        planned = call_queries.planned_chunks(connection, batch_id, 9)
        [chunk] = write_intents(connection, [chunk_id for chunk_id, _ in planned])
    assert [item.imei for item in chunk.items] == [FIRST]
    assert [size for _, size in planned] == [1]
    answered(ordering, chunk, 77)
    assert batch_state(ordering, batch_id)[0] is BatchState.FINISHED


@pytest.mark.parametrize("status", ["Pending", "Completed"])
def test_a_batch_whose_last_imeis_a_file_brings_is_finished(ordering: IMEIDatabase, status: str) -> None:
    batch_id = create_batch(ordering, NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, [(FIRST, None)]))
    import_orders(ordering, [site_row("9", FIRST, status)], "site.csv")
    assert batch_state(ordering, batch_id)[0] is BatchState.FINISHED


@pytest.mark.parametrize("order_id", ["9", ""])
def test_undoing_an_import_lets_what_it_left_out_be_sent_again(ordering: IMEIDatabase, order_id: str) -> None:
    wanted = [(FIRST, None), (SECOND, None)]
    batch_id = create_batch(ordering, NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, wanted))
    import_id, _ = import_orders(ordering, [site_row(order_id, SECOND)], "site.csv")
    [left_out] = batch_failures(ordering, batch_id)
    assert (left_out["imei"], left_out["outcome"]) == (SECOND, "duplicate")
    assert undo_import(ordering, import_id) == (1, 0)
    [undone] = batch_failures(ordering, batch_id)
    assert (undone["imei"], undone["outcome"]) == (SECOND, "cancelled")
    assert undone["error"] == "not sent because of an order from a file, whose import was undone"


def test_an_old_order_from_a_file_does_not_put_off_a_check_that_was_asked_for_again(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [site_row("7", FIRST, "Completed")], "site.csv")
    again = NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, [(FIRST, None)], recheck=True)
    batch_id = create_batch(ordering, again)
    import_orders(ordering, [site_row("3", FIRST, "Completed")], "older.csv")
    assert batch_failures(ordering, batch_id) == []
    assert len(planned_of(ordering, batch_id)) == 1


def test_a_check_by_another_service_is_sent_though_a_file_brings_an_order_of_the_imei(ordering: IMEIDatabase) -> None:
    batch_id = create_batch(ordering, NewBatch("b", "upload", "270", "Other", 0.1, [(FIRST, None)]))
    import_orders(ordering, [site_row("9", FIRST)], "site.csv")
    assert batch_failures(ordering, batch_id) == []
    assert len(planned_of(ordering, batch_id)) == 1


def test_an_order_that_is_under_way_puts_off_a_check_that_was_asked_for_again(ordering: IMEIDatabase) -> None:
    import_orders(ordering, [site_row("7", FIRST, "Completed")], "site.csv")
    again = NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, [(FIRST, None)], recheck=True)
    batch_id = create_batch(ordering, again)
    import_orders(ordering, [site_row("8", FIRST, "Pending")], "newer.csv")
    assert [row["error"] for row in batch_failures(ordering, batch_id)] == ["ordered already: order 8, from a file"]


def planned_of(database: IMEIDatabase, batch_id: int) -> list[tuple[int, int]]:
    with database.write() as connection:
        return call_queries.planned_chunks(connection, batch_id, 9)


def test_a_row_without_an_order_id_waits_for_a_call_on_the_wire_too(ordering: IMEIDatabase) -> None:
    chunk = call(ordering, [FIRST])
    assert fates(ordering, [site_row("", FIRST)]) == ["not understood"]
    with ordering.write() as connection:
        chunk_moves.release(connection, chunk, "not sent")
    import_orders(ordering, [site_row("", FIRST)], "site.csv")
    assert batch_failures(ordering, chunk.batch_id)[0]["error"] == "ordered already, as a file says"


def test_a_row_waits_for_calls_of_its_service_only_and_for_any_where_its_title_is_unknown(
    ordering: IMEIDatabase,
) -> None:
    ordering.store_services([ServiceInfo(SERVICE, "T-Mobile", 0.1), ServiceInfo("270", "Other", 0.1)], 0.0)
    call(ordering, [FIRST])
    titles = {"T-Mobile": "not understood", "Other": "new", "Never heard of": "not understood"}
    for title, fate in titles.items():
        assert fates(ordering, [theirs(2, service_name=title)]) == [fate]
        assert fates(ordering, [theirs(2, SECOND, service_name=title)]) == ["new"]


def test_many_rows_take_no_longer_for_a_batch_that_waits(ordering: IMEIDatabase) -> None:
    """The look at what is planned is one statement."""
    numbers = imeis(3_000, first=700_000)
    create_batch(ordering, NewBatch("b", "upload", SERVICE, "T-Mobile", 0.1, [(FIRST, None)]))
    asked: list[str] = []
    event.listen(ordering.engine, "before_cursor_execute", lambda _c, _k, statement, *_: asked.append(statement))
    import_orders(ordering, [site_row(str(n), imei) for n, imei in enumerate(numbers, 100)], "site.csv")
    assert len(asked) < 60


def test_undoing_an_import_keeps_what_a_call_on_the_wire_has_placed(ordering: IMEIDatabase) -> None:
    flying = call(ordering, [SECOND])
    import_id, _ = import_orders(ordering, [site_row("9", SECOND)], "site.csv")
    item_outcome = ItemOutcome(flying.items[0].item_id, SECOND, Outcome.ORDERED, "9", "Pending")
    with ordering.write() as connection:
        record_outcomes(connection, flying, [item_outcome])
    undo_import(ordering, import_id)
    assert outcome(ordering, flying) == [("ordered", "9")]


def test_an_old_order_from_a_file_does_not_hide_one_that_waits_from_a_recheck(ordering: IMEIDatabase) -> None:
    answered(ordering, call(ordering, [FIRST]), 1)
    import_orders(ordering, [site_row("0", FIRST, "Completed", order_date=datetime(2025, 1, 1))], "old.csv")
    new = NewBatch("again", "command", SERVICE, "T-Mobile", 0.1, [(FIRST, None)], recheck=True)
    [left_out] = batch_failures(ordering, create_batch(ordering, new))
    assert (left_out["outcome"], left_out["error"]) == ("duplicate", "ordered already: order 1")


def test_a_batch_that_is_counted_while_an_import_changes_it_is_counted_anew(
    ordering: IMEIDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunk = call(ordering, [FIRST])
    answered(ordering, chunk, 1)
    count = kept_sums._count_findings

    def overtaken(connection: Any, batch_id: int) -> Any:
        found = count(connection, batch_id)
        import_orders(ordering, [site_row("1", FIRST, "Completed", carrier="AT&T")], "site.csv")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(kept_sums, "_count_findings", overtaken)
        kept_sums.tally_finished(ordering)
    with ordering.read() as connection:
        assert kept_sums.findings(connection, chunk.batch_id)["carrier"] == {"AT&T": 1}


SYNCED = {"status": "Completed", "result_code": "raw text", "model": "by the sync"}


@pytest.mark.parametrize(
    ("stored", "row", "brought"),
    [
        ({}, {"credits": 9.0, "notes": "n", "imei2": "2"}, {"status", "model", "imei2"}),
        ({}, {"service_name": "t-mobile"}, {"status", "model"}),
        ({}, {"status": "Rejected", "model": ""}, {"status"}),
        ({}, {"status": "In Process"}, set()),
        ({}, {"status": "Completed", "model": ""}, set()),  # no result yet: the sync goes on asking
        (SYNCED, {"model": "", "carrier": "AT&T"}, set()),
        (SYNCED, {"model": "other"}, set()),
        (SYNCED, {"status": "Pending"}, set()),
        ({"status": "Completed", "model": "from a file"}, {"model": "other", "carrier": "AT&T"}, {"carrier"}),
        ({"status": "Completed", "model": ""}, {}, {"model"}),
        ({"status": "Rejected"}, {"status": "Completed"}, set()),
        ({"status": "In Process", "model": "early"}, {}, {"status", "model"}),
    ],
)
def test_a_matched_row_brings_a_result_where_there_is_none_and_nothing_else(
    ordering: IMEIDatabase, stored: dict[str, Any], row: dict[str, Any], brought: set[str]
) -> None:
    ours(ordering, "1", **stored)
    values = {name: value for name, value in theirs(2, after=-5, **row).values.items() if value != ""}
    [decided] = plan_import(ordering, [ImportRow(2, values)]).rows
    assert (set(decided.values), decided.by_time) == (brought, True)
    assert decided.fate is (Fate.UPDATED if brought else Fate.UNCHANGED)


def test_undoing_takes_matched_results_back(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    before = ordering.get_order("1")
    import_id, _ = import_orders(ordering, [theirs(2, after=-5), theirs(3, after=-7)], "export.csv")
    assert undo_import(ordering, import_id) == (1, 0)
    after = ordering.get_order("1")
    assert before and after
    assert after | {"updated_at": 0} == before | {"updated_at": 0}


def test_a_row_waits_where_it_may_be_about_a_call_without_an_answer(ordering: IMEIDatabase) -> None:
    """Its order may be the one of the call, and not the older one that it is near to."""
    answered(ordering, call(ordering, [FIRST]), 1)
    ordering.update_order_status("1", "Rejected")
    unanswered(ordering, call(ordering, [FIRST], recheck=True))
    [stored] = ordering.get_orders_by_imei(FIRST)
    near = theirs(2, status="Rejected", order_date=stored["order_date"], model="news")
    [decided] = plan_import(ordering, [near]).rows
    assert decided.fate is Fate.NOT_UNDERSTOOD
    assert decided.reason == "Batch 2 has ordered this IMEI and has no answer yet: import it when that is settled."
    silent = theirs(2, status="Pending", order_date=stored["order_date"])
    assert planned(ordering, silent) == {2: ("unchanged", "1")}


def test_two_order_ids_are_two_orders_though_all_else_is_equal(database: IMEIDatabase) -> None:
    """A check that the provider charged twice within a second."""
    rows = [theirs(2, order_id="1"), theirs(3, order_id="2")]
    assert fates(database, rows) == ["new", "new"]
    import_orders(database, rows, "export.csv")
    assert fates(database, rows) == ["unchanged", "unchanged"]


def test_checks_of_two_services_within_a_second_are_two_orders(database: IMEIDatabase) -> None:
    rows = [theirs(2), theirs(3, service_name="Other")]
    assert fates(database, rows) == ["new", "new"]
    import_orders(database, rows, "export.csv")
    assert fates(database, rows) == ["unchanged", "unchanged"]


def test_an_order_id_that_comes_twice_counts_once(database: IMEIDatabase) -> None:
    plan = plan_import(database, [theirs(2, order_id="1"), theirs(3, order_id="1"), theirs(4, SECOND, order_id="1")])
    assert [(row.fate, row.reason) for row in plan.rows] == [
        (Fate.NEW, ""),
        (Fate.UNCHANGED, ""),
        (Fate.NOT_UNDERSTOOD, "It contradicts row 2."),
    ]


def test_an_order_id_of_another_imei_is_named_with_both(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending"})
    [row] = plan_import(database, [theirs(2, SECOND, order_id="77")]).rows
    assert (row.fate, row.imei) == (Fate.NOT_UNDERSTOOD, SECOND)
    assert row.reason == f"Order 77 is about IMEI {FIRST}."


def test_a_plan_counts_and_shows_the_rows_of_each_fate(ordering: IMEIDatabase) -> None:
    ours(ordering, "1")
    bad = ImportRow(5, {}, "It has no IMEI.")
    rows = [theirs(2, after=-5), theirs(3, after=-6), theirs(4, SECOND), bad]
    _, plan = import_orders(ordering, rows, "export.csv")
    assert {fate: [row.number for row in plan.of(fate)] for fate in Fate} == {
        "new": [4],
        "updated": [2],
        "unchanged": [],
        "not understood": [5],
        "not matched": [3],
    }
    assert [row.number for row in plan.left_out] == [3, 5]
    assert plan.rows[3] == PlannedRow(5, Fate.NOT_UNDERSTOOD, reason="It has no IMEI.")
    assert [row.imei for row in plan.rows] == [FIRST, FIRST, SECOND, ""]
    assert [row.order_row for row in plan.rows] == [1, None, None, None]
    assert plan.summary == (
        "1 new, 1 updated, 0 unchanged, 1 not understood, 1 not matched; 1 found by IMEI, service and time"
    )
    [done] = past_imports(ordering)
    counts = (done.rows_read, done.rows_new, done.rows_updated, done.rows_unchanged, done.rows_failed)
    assert counts == (4, 1, 1, 0, 2)
    assert (done.import_id, done.filename, done.undone_at) == (1, "export.csv", None)
    assert abs((done.imported_at - utc_now()).total_seconds()) < 60


def test_a_new_order_has_the_service_that_its_title_names_and_the_time_of_the_import(ordering: IMEIDatabase) -> None:
    start = utc_now()
    import_orders(ordering, [theirs(2, notes="n"), theirs(3, SECOND, service_name="Unknown title")], "export.csv")
    found = {row["imei"]: row for row in all_orders(ordering)}
    assert (found[FIRST]["service_id"], found[SECOND]["service_id"]) == (SERVICE, None)
    assert (found[FIRST]["notes"], found[SECOND]["notes"]) == ("n", None)
    for row in found.values():
        assert start <= row["created_at"] == row["updated_at"] <= utc_now()


def test_an_updated_order_has_the_time_of_the_import(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending", "updated_at": datetime(2025, 1, 1)})
    start = utc_now()
    import_id, _ = import_orders(database, [theirs(2, order_id="77")], "export.csv")
    changed = database.get_order("77")
    assert changed and start <= changed["updated_at"] <= utc_now()
    undo_import(database, import_id)
    restored = database.get_order("77")
    assert restored and changed["updated_at"] <= restored["updated_at"]


def stored_order(**values: Any) -> Order:
    """An order with these columns and nothing else."""
    return Order(**{**dict.fromkeys(Order._fields), **values})


@pytest.mark.parametrize(
    ("stored", "given_values", "changes"),
    [
        ({"status": "Pending"}, {"status": "In Process"}, {"status": "In Process"}),
        ({"status": "Completed"}, {"status": "Pending", "carrier": "A"}, {}),
        ({"status": "Completed", "carrier": "A"}, {"status": "Completed", "carrier": "B"}, {"carrier": "B"}),
        ({"status": "Completed", "carrier": "A", "result_code": "raw"}, {"status": "Completed", "carrier": "B"}, {}),
        ({"status": "Completed", "result_code": "raw"}, {"status": "Completed", "carrier": "B"}, {"carrier": "B"}),
        (
            {"status": "Completed", "carrier": "", "result_code": "raw"},
            {"status": "Completed", "carrier": "B"},
            {"carrier": "B"},
        ),
        ({"status": "Pending", "service_name": "A"}, {"status": "Pending", "service_name": "B"}, {}),
        ({"status": "Pending"}, {"status": "Pending", "service_name": "B"}, {"service_name": "B"}),
        ({"status": "Pending", "credits": 0.08}, {"status": "Pending", "credits": 0.1}, {"credits": 0.1}),
        (
            {"status": "Pending", "result_code": "raw", "credits": 0.08},
            {"status": "Pending", "credits": 0.1},
            {"credits": 0.1},
        ),
    ],
)
def test_a_row_with_an_order_id_changes_what_it_states_and_no_final_result(
    stored: dict[str, Any], given_values: dict[str, Any], changes: dict[str, Any]
) -> None:
    assert changed_values(stored_order(**stored), given_values) == changes


@pytest.mark.parametrize(
    "name", ["result_code_display", "imei2", "carrier", "simlock", "model", "fmi", "blacklist", "serial", "warranty"]
)
def test_no_column_that_the_raw_text_filled_is_overwritten(name: str) -> None:
    stored = {"status": "Completed", "result_code": "raw", name: "by the text"}
    assert changed_values(stored_order(**stored), {"status": "Completed", name: "by the file"}) == {}

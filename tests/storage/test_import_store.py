"""Stored imports: what undoing one takes back, and what has changed since and stays."""

from datetime import datetime

from handmade_calls import answered, call
from import_rows import FIRST, SECOND, theirs
from imported_rows import line, rows_of, site_row
from sqlalchemy import delete, select
from stored_orders import all_orders

from database import IMEIDatabase, utc_now
from results.importing import import_orders, undo_import
from schema import orders, status_changes
from spreadsheets.order_rows import ImportRow
from storage.import_store import past_imports


def test_an_imported_order_stays_when_its_status_has_moved_since(database: IMEIDatabase) -> None:
    """Even if the status is back where it was: the order has a history of its own by then."""
    import_id, _ = import_orders(database, rows_of(line(status="Pending")), "export.csv")
    later, _ = import_orders(database, rows_of(line()), "later.csv")
    assert undo_import(database, later) == (1, 0)
    assert undo_import(database, import_id) == (0, 1)
    assert database.count_orders() == 1


def test_an_imported_order_stays_while_a_later_import_has_added_to_it(database: IMEIDatabase) -> None:
    bare = ImportRow(2, {"imei": FIRST, "status": "Completed", "order_date": datetime(2025, 1, 1)})
    more = ImportRow(2, {**bare.values, "carrier": "AT&T"})
    import_id, _ = import_orders(database, [bare], "one.csv")
    import_orders(database, [more], "two.csv")
    assert undo_import(database, import_id) == (0, 1)
    assert database.get_orders_by_imei(FIRST)[0]["carrier"] == "AT&T"


def test_imports_are_undone_one_after_the_other_from_the_newest(database: IMEIDatabase) -> None:
    bare = ImportRow(2, {"imei": FIRST, "status": "Completed", "order_date": datetime(2025, 1, 1)})
    more = ImportRow(2, {**bare.values, "carrier": "AT&T"})
    import_id, _ = import_orders(database, [bare], "one.csv")
    later, _ = import_orders(database, [more], "two.csv")
    assert undo_import(database, later) == (1, 0)
    assert database.get_orders_by_imei(FIRST)[0]["carrier"] is None
    assert undo_import(database, import_id) == (1, 0)
    assert database.count_orders() == 0
    assert [done.undone_at is None for done in past_imports(database)] == [False, False]


def test_undoing_leaves_an_order_that_something_else_has_changed_since(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending"})
    rows = [theirs(2, order_id="77", status="Pending", carrier="A"), theirs(3, SECOND, order_id="78", carrier="A")]
    import_id, _ = import_orders(database, rows, "export.csv")
    for order_id, status in (("77", "Pending"), ("78", "Completed")):
        database.update_order_status(order_id, status, {"carrier": "B"})
    assert undo_import(database, import_id) == (0, 2)
    assert [row["carrier"] for row in all_orders(database)] == ["B", "B"]


def test_an_order_that_is_gone_is_not_restored(database: IMEIDatabase) -> None:
    import_id, _ = import_orders(database, rows_of(line(), line(SECOND)), "export.csv")
    with database.write() as connection:
        connection.execute(delete(orders).where(orders.c.imei == FIRST))
    assert undo_import(database, import_id) == (1, 1)


def test_each_change_of_status_by_an_import_and_its_undoing_is_timed(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending"})
    row = ImportRow(2, {"order_id": "77", "imei": FIRST, "status": "Completed"})
    start = utc_now()
    import_id, _ = import_orders(database, [row], "export.csv")
    undo_import(database, import_id)
    import_orders(database, [ImportRow(2, {**row.values, "status": "Pending", "model": "X"})], "other.csv")
    with database.read() as connection:
        moves = connection.execute(select(status_changes).order_by(status_changes.c.id)).all()
    assert [(move.order_row, move.old, move.new) for move in moves] == [
        (1, "Pending", "Completed"),
        (1, "Completed", "Pending"),
    ]
    assert all(start <= move.changed_at <= utc_now() for move in moves)


def test_an_order_without_a_status_has_none_again_after_undoing(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST})
    import_id, _ = import_orders(database, [theirs(2, order_id="77")], "export.csv")
    assert undo_import(database, import_id) == (1, 0)
    assert [row["status"] for row in all_orders(database)] == [None]


def test_an_undone_import_restores_times_as_times(database: IMEIDatabase) -> None:
    database.insert_order({"order_id": "77", "imei": FIRST, "status": "Pending", "order_date": datetime(2025, 1, 2, 3)})
    row = {"order_id": "77", "imei": FIRST, "status": "Pending", "order_date": datetime(2025, 5, 6, 7)}
    import_id, _ = import_orders(database, [ImportRow(2, row)], "export.csv")
    moved = database.get_order("77")
    assert moved and moved["order_date"] == datetime(2025, 5, 6, 7)
    undo_import(database, import_id)
    back = database.get_order("77")
    assert back and back["order_date"] == datetime(2025, 1, 2, 3)


def test_a_batch_page_is_refreshed_when_an_import_of_its_order_is_undone(ordering: IMEIDatabase) -> None:
    chunk = call(ordering, [FIRST])
    answered(ordering, chunk, 1)

    def revision() -> int:
        with ordering.read() as connection:
            return int(connection.exec_driver_sql("SELECT revision FROM batches").scalar_one())

    before = revision()
    import_id, _ = import_orders(ordering, [site_row("1", FIRST, "Completed")], "site.csv")
    assert (between := revision()) > before
    undo_import(ordering, import_id)
    assert revision() > between


def test_past_imports_are_the_newest_first_and_as_many_as_asked_for(database: IMEIDatabase) -> None:
    for n in range(22):
        import_orders(database, [], f"{n}.csv")
    assert [done.filename for done in past_imports(database, 2)] == ["21.csv", "20.csv"]
    assert len(past_imports(database)) == 20

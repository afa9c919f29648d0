"""A move to PostgreSQL: what is refused, what goes on there, and that no order can be paid by both databases."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moved_data import rows_of, used_file_fixture, used_fixture
from simulated_provider import imeis
from sqlalchemy import text

from database import IMEIDatabase, UnusableDatabaseError
from orders import Chunk
from results import MoveError, MoveReport, move, moving, plan_move, undo_move
from settings import Settings
from storage import audit_chain, lease, move_marks
from submission import RESTORED, Checkpoints, accept_older_copy, newest_stop, older_copy_objection, recognise_older_copy

__all__ = ["used_file_fixture", "used_fixture"]


@pytest.fixture
def checkpoints(settings: Settings) -> Checkpoints:
    return Checkpoints(settings.data_dir / "checkpoints")


def moved(source: IMEIDatabase, target: IMEIDatabase, checkpoints: Checkpoints) -> MoveReport:
    return move(source, target, plan_move(source, target, checkpoints), lambda _: None)


@contextmanager
def opened(database: IMEIDatabase) -> Iterator[IMEIDatabase]:
    """The same database, although it was moved."""
    with IMEIDatabase(database.address, even_if_moved=True) as found:
        yield found


def test_the_server_goes_on_where_the_file_stopped(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    with used.read() as connection:
        before = rows_of(connection, "settings", "leases")
    report = moved(used, server_database, checkpoints)
    assert report.audit_problem == ""
    assert audit_chain.verify(server_database).problem == ""
    with server_database.read() as connection:
        assert rows_of(connection, "settings", "leases") == before
        move_there = move_marks.read_move(connection)
    with server_database.write() as connection:
        taken = lease.take(connection, "process 1", server_database.engines.place)
    assert not taken.moved
    assert server_database.install_id() == used.install_id()
    with opened(used) as again:
        done = plan_move(again, server_database, checkpoints).done
    assert done == move_there is not None


def test_a_moved_file_cannot_be_opened(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    moved(used, server_database, checkpoints)
    with pytest.raises(UnusableDatabaseError, match=r"was moved to 127\.0\.0\.1.*: set DATABASE_URL"):
        IMEIDatabase(used.path)


def test_chunks_that_are_being_sent_are_refused(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    with used.write() as connection:
        connection.execute(text("UPDATE chunks SET state = 'sending' WHERE id IN (1, 2)"))
    with pytest.raises(MoveError, match="2 chunks are being sent, without a recorded end"):
        plan_move(used, server_database, checkpoints)


def test_answers_that_the_file_has_not_recorded_are_refused(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    """A kept answer to a later call than the file knows: the leader records it when it starts."""
    with used.write() as connection:
        connection.execute(text("UPDATE batches SET state = 'paused' WHERE id = 1"))
        connection.execute(text("UPDATE chunks SET state = 'planned' WHERE id = 1"))
    plan_move(used, server_database, checkpoints)
    checkpoints.keep(Chunk(1, 1, "269", 2, 1, ()), b"<result></result>")
    with pytest.raises(MoveError, match="Answers are kept beside the file that it has not recorded"):
        plan_move(used, server_database, checkpoints)


def test_a_file_that_is_older_than_its_answers_is_refused(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    used.set_setting("older_copy", "Run rebuild-from-provider.")
    with pytest.raises(MoveError, match="rebuild-from-provider"):
        plan_move(used, server_database, checkpoints)


def test_what_the_server_would_lose_is_counted_and_replaced(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    server_database.insert_order({"order_id": "1", "imei": imeis(1)[0], "status": "Pending"})
    server_database.set_setting("of the server", "x")
    plan = plan_move(used, server_database, checkpoints)
    assert (plan.lost, plan.done) == ({"orders": 1}, None)
    server_database.insert_order({"order_id": "2", "imei": imeis(1)[0], "status": "Pending"})
    with pytest.raises(MoveError, match="has changed meanwhile"):
        move(used, server_database, plan, lambda _: None)
    moved(used, server_database, checkpoints)
    assert server_database.get_setting("of the server") is None
    with opened(used) as source:
        assert server_database.count_orders() == source.count_orders()


def test_a_move_back_stops_the_server_and_waits_for_the_orders_that_it_placed(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    with pytest.raises(MoveError, match="was not moved"):
        undo_move(used, server_database, checkpoints)
    moved(used, server_database, checkpoints)
    with opened(used) as source:
        assert undo_move(source, server_database, checkpoints)
    with IMEIDatabase(used.path) as back:
        assert "rebuild-from-provider" in older_copy_objection(back)
    with pytest.raises(UnusableDatabaseError, match="was moved back to the file"):
        IMEIDatabase(server_database.address)


def test_a_move_back_from_a_server_without_the_copy_needs_nothing_else(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill between the two commits leaves such a file."""
    with monkeypatch.context() as patch:
        patch.setattr(moving, "note_completed", lambda _: None)
        moved(used, server_database, checkpoints)
    with server_database.write() as connection:
        move_marks.forget_move(connection)
    with opened(used) as source:
        assert not undo_move(source, server_database, checkpoints)
    with IMEIDatabase(used.path) as back:
        assert older_copy_objection(back) == ""


def test_a_move_back_from_a_server_that_was_emptied_since_waits_for_the_orders_that_it_placed(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    """Nothing on it tells that it has ordered."""
    moved(used, server_database, checkpoints)
    with server_database.write() as connection:
        move_marks.forget_move(connection)
    with opened(used) as source:
        assert undo_move(source, server_database, checkpoints)
    with IMEIDatabase(used.path) as back:
        assert "rebuild-from-provider" in older_copy_objection(back)
        assert back.get_setting(move_marks.COMPLETED) is None


def test_a_copy_of_the_file_from_before_the_move_orders_nothing_before_its_orders_are_restored(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    """It does not know of the move, and what the server has ordered is not kept beside it."""
    copy = used.backup(used.folder / "put back")
    moved(used, server_database, checkpoints)
    assert not recognise_older_copy(server_database, checkpoints)
    assert older_copy_objection(server_database) == ""
    beside = Checkpoints(copy.parent / "checkpoints")
    shutil.copytree(checkpoints.folder, beside.folder, dirs_exist_ok=True)
    with IMEIDatabase(copy) as older:
        recognise_older_copy(older, beside)
        assert older_copy_objection(older) == RESTORED
        accept_older_copy(older, newest_stop(older))
        recognise_older_copy(older, beside)
        assert older_copy_objection(older) == ""


def test_after_a_move_back_the_file_is_no_copy_of_one_that_was_moved(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    moved(used, server_database, checkpoints)
    with opened(used) as source:
        undo_move(source, server_database, checkpoints)
        source.set_setting("older_copy", "")
        recognise_older_copy(source, checkpoints)
        assert older_copy_objection(source) == ""


def test_a_move_back_names_the_server_that_the_file_was_moved_to(
    used: IMEIDatabase, server_database: IMEIDatabase, checkpoints: Checkpoints
) -> None:
    moved(used, server_database, checkpoints)
    with opened(used) as source:
        move_there = json.loads(source.get_setting(move_marks.MOVE) or "")
        source.set_setting(move_marks.MOVE, json.dumps({**move_there, "place": "elsewhere/hammer#1"}))
        with pytest.raises(MoveError, match="The file was moved to elsewhere/hammer#1, and not to 127"):
            undo_move(source, server_database, checkpoints)

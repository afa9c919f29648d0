"""What a move leaves behind: the note in both databases, the one that may not be used, and what would be missed."""

import pytest
from handmade_calls import call, planned
from plain_sql import run
from simulated_provider import imeis
from sqlalchemy import insert, select

from database import MOVED_AWAY, IMEIDatabase, UnusableDatabaseError, utc_now
from schema import rule_versions, saved_searches
from storage import lease, move_marks
from storage.move_marks import MISSED, MOVE, STORED, Move

NOTED = Move("7f3a", "127.0.0.1/orders", "2026-11-25T10:00:00")


def test_a_move_is_read_as_it_was_noted_until_it_is_forgotten(database: IMEIDatabase) -> None:
    with database.write() as connection:
        assert move_marks.read_move(connection) is None
        move_marks.write_move(connection, NOTED)
        assert move_marks.read_move(connection) == NOTED
        assert connection.execute(select(STORED)).scalar() is None
        move_marks.leave(connection, "It was moved.")
        assert connection.execute(select(STORED)).scalar() == "It was moved."
    database.set_setting("another", "stays")
    with database.write() as connection:
        move_marks.forget_move(connection)
        assert move_marks.read_move(connection) is None
        assert connection.execute(select(STORED)).scalar() is None
    assert [database.get_setting(key) for key in (MOVE, MOVED_AWAY, "another")] == [None, None, "stays"]


def test_a_database_that_was_left_opens_only_to_look_at_it(database: IMEIDatabase) -> None:
    with database.write() as connection:
        move_marks.leave(connection, "It was moved.")
    with pytest.raises(UnusableDatabaseError, match=r"^It was moved\.$"):
        IMEIDatabase(database.address)
    with IMEIDatabase(database.address, even_if_moved=True) as found, found.write() as connection:
        move_marks.forget_move(connection)
    IMEIDatabase(database.address).close()


def test_a_leader_at_the_new_place_does_not_take_the_database_for_a_copy(database: IMEIDatabase) -> None:
    """Of no account."""
    with database.write() as connection:
        for account in ("main", "b"):
            lease.take(connection, "first", "the file", account)
        move_marks.go_on_at(connection, "the server")
        taken = [lease.take(connection, "second", "the server", account).moved for account in ("main", "b")]
        assert lease.take(connection, "third", "the file").moved
    assert taken == [False, False]


def test_only_calls_without_a_recorded_end_stop_a_move(database: IMEIDatabase) -> None:
    _, [_, cancelled, answered] = planned(database, 6)
    call(database, imeis(2, 10))
    call(database, imeis(2, 20))
    with database.write() as connection:
        run(connection, "UPDATE chunks SET state = 'cancelled' WHERE id = ?", cancelled)
        run(connection, "UPDATE chunks SET state = 'answered' WHERE id = ?", answered)
        assert move_marks.sending(connection) == 2
        run(connection, "UPDATE chunks SET state = 'in_doubt' WHERE state = 'sending'")
        assert move_marks.sending(connection) == 0


def test_what_the_program_writes_by_itself_is_not_missed(database: IMEIDatabase) -> None:
    """The first rules are there from the beginning."""
    database.set_setting("install_id", "x")
    with database.write() as connection:
        assert move_marks.missed(connection) == {}
        connection.execute(insert(rule_versions).values(rules="[]"))
        connection.execute(insert(saved_searches).values(imeis="[]", rejected=0, created_at=utc_now()))
    planned(database, 4)
    database.insert_order({"order_id": "1", "imei": imeis(1)[0]})
    with database.read() as connection:
        assert move_marks.missed(connection) == {"orders": 1, "batches": 1, "saved_searches": 1, "rule_versions": 1}
    assert {"api_tokens", "webhooks", "audit_entries"} < {table.name for table in MISSED}

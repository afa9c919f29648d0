"""The mark of a database names no user, and what adopting the database means is counted."""

import pytest
from handmade_calls import call, planned, unanswered
from simulated_provider import imeis
from sqlalchemy import select

from database import IMEIDatabase
from settings import Settings
from storage import account_mark
from storage.account_mark import LIVE, AccountMark, adoption
from submission.account_guard import account_objection, mark_of


def test_the_mark_does_not_tell_the_user_name(database: IMEIDatabase, live: Settings) -> None:
    account_objection(database, live)
    assert "wholesaler" not in (database.get_setting(account_mark.ACCOUNT) or "")
    assert mark_of(live, "a").user != mark_of(live, "b").user


def test_what_an_adoption_means_is_told_in_numbers(database: IMEIDatabase, live: Settings) -> None:
    account_objection(database, live)
    planned(database, 3)
    unanswered(database, call(database, imeis(2, first=50)))
    database.insert_order({"order_id": "1", "imei": imeis(1)[0], "status": "Pending", "credits": 0.5})
    found = adoption(database)
    assert (found.orders, found.cost, found.pending, found.in_doubt) == (1, 0.5, 1, 2)
    assert (found.waiting, round(found.waiting_cost, 4)) == (3, 0.3)
    assert found.sentences == (
        "It holds 1 order of the other account, $0.50 in all.",
        "Results still missing: 1. This account cannot fetch them.",
        "Not sent: 3 IMEIs. Their batches are paused; to resume them costs this account $0.30.",
        "In doubt: 2 IMEIs. They can only be settled by hand.",
    )


OURS, THEIRS = (AccountMark(LIVE, "https://a.example", user) for user in ("1f", "2e"))


def test_each_account_has_a_mark_and_is_found_under_its_other_name(database: IMEIDatabase) -> None:
    """An account that was renamed must not be taken for a new one: it would order again what it has ordered."""
    with database.write() as connection:
        assert account_mark.read_mark(connection) is None
        account_mark.write_mark(connection, OURS)
        account_mark.write_mark(connection, THEIRS, "b")
        account_mark.write_mark(connection, OURS)
        assert [account_mark.read_mark(connection, name) for name in ("main", "b", "c")] == [OURS, THEIRS, None]
        stored = [connection.execute(select(account_mark.stored(name))).scalar() for name in ("main", "b", "c")]
        assert list(map(account_mark.parse_mark, stored)) == [OURS, THEIRS, None]
        found = [
            account_mark.other_name_of(connection, *given) for given in ((THEIRS, "c"), (OURS, "c"), (THEIRS, "b"))
        ]
        assert found == ["b", "main", ""]
        stranger = AccountMark(LIVE, "https://b.example", "1f")
        assert account_mark.other_name_of(connection, stranger, "c") == ""


@pytest.mark.parametrize("what", ["nothing", "a batch", "an order"])
def test_a_database_is_used_that_holds_a_batch_or_an_order(database: IMEIDatabase, what: str) -> None:
    if what == "a batch":
        planned(database, 1)
    elif what == "an order":
        database.insert_order({"order_id": "1", "imei": imeis(1)[0]})
    with database.read() as connection:
        assert account_mark.is_used(connection) is (what != "nothing")


def test_the_calls_of_the_account_before_are_remembered_for_the_one_that_adopts(database: IMEIDatabase) -> None:
    """Later calls, and those of another account, are not among them."""
    before = call(database, imeis(1))
    with database.write() as connection:
        assert account_mark.adopted_after(connection, "main") == 0
        account_mark.write_adoption(connection)
    call(database, imeis(1, 10))
    with database.read() as connection:
        assert account_mark.adopted_after(connection, "main") == before.attempt_id
        assert account_mark.adopted_after(connection, "b") == 0

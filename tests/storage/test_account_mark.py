"""The mark of a database names no user, and what adopting the database means is counted."""

from handmade_calls import call, planned, unanswered
from simulated_provider import imeis

from database import IMEIDatabase
from settings import Settings
from storage import account_mark
from storage.account_mark import adoption
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

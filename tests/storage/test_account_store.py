"""The accounts at the provider: which may send, what stops each, and the batches with which none can go on."""

import pytest
from handmade_calls import one, planned

from database import IMEIDatabase, Transaction
from storage import account_store
from storage.account_store import AccountState
from storage.batch_states import state_of

MAIN, SECOND, THIRD = "main", "b", "c"


def names(database: IMEIDatabase) -> list[str]:
    with database.read() as connection:
        return [account.name for account in account_store.accounts(connection)]


def state(database: IMEIDatabase, name: str) -> AccountState:
    with database.read() as connection:
        return next(account for account in account_store.accounts(connection) if account.name == name)


def pin(connection: Transaction, chunk_id: int, account: str) -> None:
    connection.exec_driver_sql(f"UPDATE chunks SET account = '{account}' WHERE id = {chunk_id}")


def test_one_account_needs_no_rows_and_stops_no_batch(database: IMEIDatabase) -> None:
    planned(database, 2)
    account_store.register(database, {MAIN: ""})
    assert names(database) == []
    with database.write() as connection:
        assert not account_store.stop(connection, MAIN, "refused")
        assert account_store.stuck(connection) == []


def test_an_account_that_is_not_in_the_settings_any_more_stays_known_and_cannot_be_asked(
    database: IMEIDatabase,
) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    account_store.register(database, {MAIN: ""})
    assert names(database) == [MAIN, SECOND]
    assert "not in the settings" in state(database, SECOND).obstacle
    with database.read() as connection:
        assert account_store.names_to_ask(connection) == [MAIN]
    account_store.register(database, {MAIN: "", SECOND: ""})
    assert state(database, SECOND).obstacle == ""


def test_what_an_admin_sets_outlives_a_start_and_a_stop_ends_when_a_person_lets_it(database: IMEIDatabase) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    with database.write() as connection:
        assert account_store.change(connection, SECOND, 60, 12.5)
        assert account_store.switch(connection, SECOND, off=True)
        assert account_store.stop(connection, MAIN, "The provider refused: no credit")
    account_store.register(database, {MAIN: "", SECOND: ""})
    second = state(database, SECOND)
    assert (second.rate_limit, second.daily_budget, second.obstacle) == (60, 12.5, "it is switched off")
    with database.write() as connection:
        account_store.let_go_on(connection, 99.0, MAIN)
    assert (state(database, MAIN).obstacle, state(database, MAIN).let_at) == ("", 99.0)


def test_a_batch_pauses_only_where_no_account_can_go_on_and_resumes_by_itself_after_a_maintenance(
    database: IMEIDatabase,
) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    batch_id, _ = planned(database, 4)
    with database.write() as connection:
        account_store.stop(connection, MAIN, "in maintenance", goes_on_at=5.0)
        assert account_store.stuck(connection) == []
        account_store.switch(connection, SECOND, off=True)
        account_store.update_pauses(connection)
        assert state_of(connection, batch_id) == "paused"
    words = "Account main cannot send: in maintenance. Account b cannot send: it is switched off."
    assert one(database, "SELECT notice, resumes_itself FROM batches") == (words, True)
    with database.write() as connection:
        account_store.try_again(connection, MAIN)
        account_store.update_pauses(connection)
        assert state_of(connection, batch_id) == "running"


def test_imeis_of_an_account_that_cannot_send_wait_for_it_and_for_no_other(database: IMEIDatabase) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    _, chunk_ids = planned(database, 4)
    with database.write() as connection:
        for chunk_id in chunk_ids:
            pin(connection, chunk_id, SECOND)
        account_store.stop(connection, SECOND, "Invalid user")
        [stuck] = account_store.stuck(connection)
        assert not stuck.ends_by_itself
        assert stuck.words.startswith("The IMEIs that are left belong to an account that has ordered them before.")
        pin(connection, chunk_ids[0], MAIN)
        assert account_store.stuck(connection) == []


@pytest.mark.parametrize(("left", "is_stuck"), [(0.09, True), (0.1, False)])
def test_an_account_without_the_money_for_one_imei_cannot_go_on(
    database: IMEIDatabase, left: float, is_stuck: bool
) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    planned(database, 4)
    with database.write() as connection:
        account_store.stop(connection, SECOND, "no credit")
        account_store.write_shortage(connection, MAIN, "too little is left", left, until_midnight=True)
        found = account_store.stuck(connection)
    assert [stuck.ends_by_itself for stuck in found] == [True] * is_stuck


def test_an_account_to_which_a_service_costs_more_does_not_order_it_until_that_is_confirmed(
    database: IMEIDatabase,
) -> None:
    account_store.register(database, {MAIN: "", SECOND: ""})
    batch_id, chunk_ids = planned(database, 2)
    with database.write() as connection:
        account_store.write_prices(connection, SECOND, {"269": 0.3})
        assert account_store.stuck(connection) == []
        assert account_store.price_for(connection, batch_id, "269", 0.1) == 0.1
        pin(connection, chunk_ids[0], SECOND)
        [stuck] = account_store.stuck(connection)
        assert "one IMEI costs $0.30 through it, and $0.10 was confirmed" in stuck.words
        assert account_store.price_for(connection, batch_id, "269", 0.1) == 0.3

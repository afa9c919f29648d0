"""Several accounts at the provider: every IMEI is charged once in all, each by one account, whatever happens."""

import json
import os
import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from forked_command import ForkedCommand, short_waits
from simulated_provider import SERVICE, imeis
from two_accounts import MAIN, PRICE, SECOND, Accounts, clients, run, two_accounts

from database import IMEIDatabase, utc_now
from results import OrderSync, last_audit, last_sync, run_audit
from storage import account_chunks, account_store
from storage.batch_creation import Funds, resume_batch
from storage.result_store import count_pending
from submission import ownership


@pytest.fixture(params=[False, True], ids=["", "loops begin late"])
def begins_late(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop may begin when the other one has started the batch: then another process may have ordered it."""
    if request.param:
        monkeypatch.setattr(ownership, "JUST_NOW", -1.0)


@pytest.fixture
def accounts(database: IMEIDatabase) -> Iterator[Accounts]:
    with two_accounts(database) as made:
        yield made


def switch(accounts: Accounts, name: str, off: bool) -> None:
    with accounts.database.write() as connection:
        account_store.switch(connection, name, off)


def ordered(accounts: Accounts, of_main: list[str], of_second: list[str]) -> None:
    """Let each account order these, and every order have its result."""
    for numbers, idle in ((of_main, SECOND), (of_second, MAIN)):
        switch(accounts, idle, off=True)
        assert run(accounts, accounts.batch(numbers)).successful == len(numbers)
        switch(accounts, idle, off=False)
    assert accounts.mistakes() == []
    with accounts.database.write() as connection:
        connection.exec_driver_sql("UPDATE orders SET status = 'Completed'")


def test_two_accounts_share_a_batch_and_every_imei_is_charged_once(accounts: Accounts) -> None:
    accounts.main.set(latency=0.15)
    result = run(accounts, accounts.batch(imeis(300)))
    assert (result.successful, result.in_doubt) == (300, 0)
    assert accounts.mistakes() == []
    assert min(accounts.attempts()[name] for name in (MAIN, SECOND)) >= 2


def test_what_an_account_has_ordered_is_checked_again_through_it(accounts: Accounts) -> None:
    of_main, of_second, new = imeis(30), imeis(30, 30), imeis(30, 60)
    ordered(accounts, of_main, of_second)
    mixed = [imei for three in zip(of_main, new, of_second, strict=True) for imei in three]
    assert run(accounts, accounts.batch(mixed, recheck=True)).successful == 90
    charged = accounts.charged()
    assert [charged[MAIN][imei] for imei in of_main] == [2] * 30
    assert [charged[SECOND][imei] for imei in of_second] == [2] * 30
    assert not set(charged[MAIN]) & set(charged[SECOND])


def test_results_are_asked_for_and_audited_with_the_account_of_each_order(accounts: Accounts) -> None:
    of_main, of_second = imeis(20), imeis(20, 20)
    for numbers, idle in ((of_main, SECOND), (of_second, MAIN)):
        switch(accounts, idle, off=True)
        run(accounts, accounts.batch(numbers))
        switch(accounts, idle, off=False)
    with clients(accounts) as (main, second):
        assert (OrderSync(accounts.database, main, 0, MAIN).sync().asked, count_pending(accounts.database)) == (20, 20)
        report = OrderSync(accounts.database, second, 0, SECOND).sync()
        assert (report.asked, report.updated, report.error, count_pending(accounts.database)) == (20, 20, "", 0)
        for client, name in ((main, MAIN), (second, SECOND)):
            audit = run_audit(accounts.database, client, utc_now() - timedelta(days=1), name)
            assert (audit.ours, audit.theirs, audit.differences, audit.unexplained) == (20, 20, 0, 0.0), audit
    assert last_audit(accounts.database, SECOND) is not None
    both = last_sync(accounts.database)
    assert both is not None
    assert (both.asked, both.updated) == (40, 40)


@pytest.mark.parametrize("rule", ["at the creation", "at the claim"])
def test_each_of_the_two_checks_is_enough(accounts: Accounts, monkeypatch: pytest.MonkeyPatch, rule: str) -> None:
    ordered(accounts, imeis(50), imeis(50, 50))
    forget(monkeypatch, creation=rule == "at the claim", claim=rule == "at the creation")
    run(accounts, accounts.batch(imeis(100), recheck=True))
    assert accounts.mistakes(times=2) == []


def test_without_the_rule_an_imei_goes_through_two_accounts_and_this_test_sees_it(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    ordered(accounts, imeis(50), imeis(50, 50))
    forget(monkeypatch, creation=True, claim=True)
    run(accounts, accounts.batch(imeis(100), recheck=True))
    assert accounts.mistakes(times=2) != []


def forget(monkeypatch: pytest.MonkeyPatch, creation: bool, claim: bool) -> None:
    """Remove the rule that an IMEI stays with its account, where chunks are cut and where they are claimed."""
    if creation:
        monkeypatch.setattr(account_chunks, "homes", lambda *_: {})
    if claim:
        monkeypatch.setattr(account_chunks, "send_home", lambda *_: set())


def test_an_account_without_credit_stops_alone_and_the_batch_goes_on(accounts: Accounts, begins_late: None) -> None:
    accounts.leave(SECOND, 41)
    result = run(accounts, accounts.batch(imeis(200)))
    assert (result.successful, result.state) == (200, "finished")
    assert accounts.mistakes() == []
    assert len(accounts.second.charges()) <= 41


def test_where_no_account_has_money_left_the_batch_pauses_with_both_reasons_and_goes_on_after_a_top_up(
    accounts: Accounts, begins_late: None
) -> None:
    accounts.leave(MAIN, 45)
    accounts.leave(SECOND, 25)
    batch_id = accounts.batch(imeis(100))
    result = run(accounts, batch_id)
    assert result.state == "paused"
    assert "Account main cannot send" in result.notice
    assert "Account b cannot send" in result.notice
    assert accounts.mistakes() == []
    accounts.main.set(credit=100 * PRICE)
    accounts.second.set(credit=100 * PRICE)
    with accounts.database.write() as connection:
        assert resume_batch(connection, batch_id, PRICE, Funds())
    result = run(accounts, batch_id)
    assert (result.state, result.successful) == ("finished", 100)
    assert accounts.mistakes() == []


def test_a_daily_budget_is_kept_to_the_cent(accounts: Accounts) -> None:
    result = run(accounts, accounts.batch(imeis(200)), of_second={"budget": 33.5 * PRICE, "workers": 4})
    assert (result.successful, result.state) == (200, "finished")
    assert len(accounts.second.charges()) <= 33
    assert accounts.mistakes() == []


def test_an_account_that_is_switched_off_sends_nothing_and_its_own_imeis_wait_for_it(accounts: Accounts) -> None:
    ordered(accounts, imeis(20), imeis(20, 20))
    switch(accounts, SECOND, off=True)
    batch_id = accounts.batch(imeis(60), recheck=True)
    result = run(accounts, batch_id)
    assert (result.state, result.successful, result.waiting) == ("paused", 40, 20)
    assert result.notice.startswith("The IMEIs that are left belong to an account that has ordered them before.")
    assert "it is switched off" in result.notice
    switch(accounts, SECOND, off=False)
    with accounts.database.write() as connection:
        resume_batch(connection, batch_id, PRICE, Funds())
    assert run(accounts, batch_id).state == "finished"
    charged = accounts.charged()
    assert not set(charged[MAIN]) & set(charged[SECOND])


def test_a_call_in_doubt_is_settled_by_the_list_of_its_own_account(accounts: Accounts, quick_looks: None) -> None:
    accounts.second.set(fault="reset", fault_when="after", fault_calls=(2,))
    accounts.main.set(fault="reset", fault_when="before", fault_calls=(3,))
    result = run(accounts, accounts.batch(imeis(300)), patience=20.0)
    assert (result.successful, result.in_doubt) == (300, 0)
    assert accounts.mistakes() == []


def test_refused_credentials_stop_one_account(accounts: Accounts) -> None:
    accounts.main.set(latency=0.2)
    accounts.second.set(fault="auth")
    result = run(accounts, accounts.batch(imeis(100)))
    assert (result.state, result.successful) == ("paused", 100 - result.waiting)
    assert "belong to an account" in result.notice
    assert result.waiting == 10 * accounts.attempts()[SECOND] > 0
    assert not accounts.second.charges()
    assert accounts.mistakes() == []


def test_killed_again_and_again_no_imei_is_paid_by_two_accounts_or_lost(
    database: IMEIDatabase, data_dir: Path, tmp_path: Path
) -> None:
    upload, moments, total = tmp_path / "phones.csv", random.Random(11), 3000
    upload.write_text("IMEI\n" + "\n".join(imeis(total)) + "\n")
    with two_accounts(database, latency=0.4, jitter=0.1) as accounts:
        second = {"name": SECOND, "username": "second", "api_key": "DEMO-KEY", "workers": 2}
        second["base_url"] = accounts.second.base_url
        database.close()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GSM_", "RAILWAY_"))},
            "GSM_FUSION_API_KEY": "DEMO-KEY",
            "GSM_FUSION_USERNAME": "demo",
            "DATA_DIR": str(data_dir),
            "GSM_FUSION_BASE_URL": accounts.main.base_url,
            "GSM_FUSION_ACCOUNTS": json.dumps([second]),
            "SETTLE_QUIET": "0.3",
            "GSM_FUSION_TIMEOUT": "5",
            "WORKERS": "2",
            "LOG_LEVEL": "WARNING",
        }
        command = ("submit", str(upload), "--service", SERVICE, "--yes", "--json")
        for _ in range(3):
            process = ForkedCommand(tmp_path, environment, *command, before=short_waits).process
            process.join(moments.uniform(0.8, 1.8))
            process.kill()
            process.join(20)
        code, said, complaint = ForkedCommand(tmp_path, environment, *command, before=short_waits).finish()
        assert code in (0, 3), complaint
        result = json.loads(said.splitlines()[-1])
        assert result["successful"] + result["in_doubt"] == total
        with IMEIDatabase(data_dir / "imei_orders.db") as reopened, reopened.read() as connection:
            doubtful = set(connection.exec_driver_sql("SELECT imei FROM items WHERE outcome = 'in_doubt'").scalars())
            orders = connection.exec_driver_sql("SELECT account, imei FROM orders WHERE attempt_id > 0")
            known = {tuple(row) for row in orders}
        charged = accounts.charged()
        assert max((charged[MAIN] + charged[SECOND]).values()) == 1
        assert min(len(charged[name]) for name in (MAIN, SECOND)) > 0
        paid = {(name, imei) for name in (MAIN, SECOND) for imei in charged[name]}
        assert known <= paid
        assert {imei for _, imei in paid - known} <= doubtful

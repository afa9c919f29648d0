"""Automations order what is new or due: once, within every limit, and nothing where something is wrong."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from automation_scene import DUE, PRICE, SECOND, Scene, make_scene
from simulated_provider import imeis
from stored_people import add_user
from web_client import CARRIER

from automation import AutomationTurn, MustWaitError, run_by_hand, running, try_out
from automation.choosing import Selected, choose
from automation.running import Placing, token_of
from database import IMEIDatabase, utc_now
from grading import StopLoss
from orders import AutomationKind, RunKind
from people import Actor, Role
from settings import Settings
from storage import automation_store, batch_undo, stop_loss
from storage.batch_creation import NewBatch, create_batch
from storage.batch_queries import batch_state
from submission.account_guard import adopt_database
from submission.checkpoints import Checkpoints
from submission.older_copy import stop_restored


def test_a_follow_up_orders_new_results_that_fit_once_and_in_their_order(scene: Scene) -> None:
    scene.check(imeis(3))
    rule = scene.add()
    new = imeis(5, 100)
    scene.check(new)
    scene.check(imeis(4, 200), fmi="ON")
    for _ in range(3):
        scene.turn()
    assert scene.sent(rule) == new
    scene.answer()
    scene.check(new)  # a result that came again: the phone was ordered by this automation before
    scene.turn()
    assert scene.sent(rule) == new
    last = scene.log(rule)[-1]
    assert (last.found, last.sent, last.left_out) == (5, 0, {"ordered by this automation before": 5})


def test_a_follow_up_waits_until_results_have_gathered(file_scene: Scene) -> None:
    scene = file_scene
    rule = scene.add()
    scene.check(imeis(5))
    scene.turn(utc_now())
    assert scene.sent(rule) == []
    scene.check(imeis(95, 5))
    scene.turn(utc_now())
    assert len(scene.sent(rule)) == 100


def test_no_automation_starts_another_one_or_itself(scene: Scene) -> None:
    """Two rules feed each other, and one orders what its own filter finds."""
    there = scene.add(name="there", service_id=SECOND)
    back = scene.add(name="back", service_id=CARRIER.package_id)
    scene.check(imeis(3))
    for _ in range(4):
        scene.turn()
        scene.answer()
    assert (scene.sent(there), scene.sent(back)) == (imeis(3), [])


def test_no_run_has_more_imeis_than_a_batch_may_have(settings: Settings, database: IMEIDatabase) -> None:
    scene = make_scene(replace(settings, max_batch_imeis=4), database)
    rule, anna = scene.add(), add_user(database, "anna")
    scene.check(imeis(6))
    for _ in range(2):
        scene.turn()
        scene.answer()
    assert scene.sent(rule) == imeis(6)
    scene.check(imeis(6, 10))
    try_out(scene.backend, scene.get(rule), anna)
    assert [run.sent for run in scene.log(rule)] == [4, 2, 4]


def test_the_second_imei_of_a_phone_is_that_phone(scene: Scene) -> None:
    first, second, third = imeis(3)
    rule = scene.add()
    scene.check([first, second, third])
    scene.run("UPDATE orders SET imei2 = ? WHERE imei = ?", second, first)
    scene.turn()
    assert scene.sent(rule) == [first, third]
    scene.answer()
    scene.check([second])
    scene.turn()
    assert scene.sent(rule) == [first, third]


@pytest.mark.parametrize("kind", AutomationKind)
def test_a_phone_whose_imeis_another_result_names_is_ordered_once(scene: Scene, kind: AutomationKind) -> None:
    """Results of the rule's filter name one IMEI each; an earlier one of another service names both."""
    first, second, third = imeis(3)
    scene.check([first], service_id="102")
    scene.run("UPDATE orders SET imei2 = ?", second)
    rule = scene.add(kind, filter="service=1739")
    scene.turn_on(rule, due_at=DUE)
    scene.check([first, second, third])
    for _ in range(2):
        scene.turn(DUE)
        assert (scene.sent(rule), scene.get(rule).notice) == ([first, third], "")
        scene.answer()


def test_a_phone_that_another_process_orders_by_its_other_imei_meanwhile_is_not_ordered(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the decision and its transaction."""
    first, second, third = imeis(3)
    rule = scene.add()
    scene.check([first, third])
    scene.run("UPDATE orders SET imei2 = CASE WHEN imei = ? THEN ? END", first, second)
    other = NewBatch("another process", "command", SECOND, "a service", PRICE, [(second, None)])

    def create_late(*given: Any) -> int:
        create_batch(scene.database, other)
        monkeypatch.undo()
        return create_batch(*given)

    monkeypatch.setattr(running, "create_batch", create_late)
    scene.turn()
    assert scene.sent(rule) == []
    scene.turn()
    assert (scene.sent(rule), scene.log(rule)[-1].left_out) == ([third], {"under way with this service": 1})


def test_a_result_about_another_device_does_not_leave_that_device_out(scene: Scene) -> None:
    ordered, other = imeis(2)
    rule = scene.add()
    scene.check([ordered])
    scene.run("UPDATE orders SET other_imei = ?, imei2 = ?", imeis(1, 50)[0], other)
    scene.turn()
    scene.answer()
    scene.check([other])
    scene.turn()
    assert scene.sent(rule) == [ordered, other]


def test_what_the_daily_limit_does_not_hold_waits_for_the_next_day(scene: Scene) -> None:
    rule = scene.add(daily_limit=4 * PRICE)
    new = imeis(10)
    scene.check(new)
    scene.turn()
    assert scene.sent(rule) == new[:4]
    assert "daily limit" in scene.get(rule).notice
    scene.answer()
    scene.turn()
    assert scene.sent(rule) == new[:4]
    for day in (1, 2):
        scene.run(f"UPDATE orders SET order_date = '{utc_now() - timedelta(days=day):%Y-%m-%d} 10:00:00'")
        scene.turn()
        scene.answer()
    assert scene.sent(rule) == new
    assert [run.sent for run in scene.log(rule) if run.sent] == [4, 4, 2]
    assert scene.log(rule)[0].left_out == {"waiting for money": 6}


def test_the_list_shows_what_the_daily_limit_counts_and_the_newest_run_of_each(scene: Scene) -> None:
    """One automation has orders, another one waits and is in doubt, the third has not run."""
    ordered, waiting, idle = (scene.add(name=name) for name in ("ordered", "waiting", "idle"))
    scene.check(imeis(3))
    scene.turn_off(waiting)
    scene.turn_off(idle)
    scene.turn()
    scene.answer()
    scene.turn_on(waiting)
    scene.turn_off(ordered)
    scene.check(imeis(4, 100))
    scene.turn()
    scene.run("UPDATE chunks SET state = 'in_doubt' WHERE batch_id = (SELECT max(id) FROM batches)")
    scene.run("UPDATE items SET outcome = 'in_doubt' WHERE id = (SELECT max(id) FROM items)")
    with scene.database.read() as connection:
        spent, last = automation_store.spent_today(connection), automation_store.last_runs(connection)
        each = {rule: automation_store.spent_on_day(connection, rule) for rule in (ordered, waiting, idle)}
    assert spent == pytest.approx({ordered: 3 * PRICE, waiting: 4 * PRICE})
    assert each == pytest.approx({ordered: 3 * PRICE, waiting: 4 * PRICE, idle: 0.0})
    assert last == {rule: scene.log(rule)[-1] for rule in (ordered, waiting, idle) if scene.log(rule)}


@pytest.mark.parametrize("which", ["budget", "balance", "person"])
def test_every_other_limit_holds_too(settings: Settings, file_database: IMEIDatabase, which: str) -> None:
    scene = make_scene(replace(settings, daily_budget=0.65 if which == "budget" else None), file_database)
    scene.provider.credits = 0.25 if which == "balance" else 150.0
    anna = add_user(file_database, "anna", daily_limit=0.25 if which == "person" else None)
    rule = scene.add(actor=anna)
    scene.check(imeis(5))
    scene.turn()
    assert len(scene.sent(rule)) == 2
    assert batch_state(file_database, scene.log(rule)[0].batch_id or 0)[0] == "running"


def test_two_processes_that_decide_the_same_order_it_once(settings: Settings, scene: Scene) -> None:
    for kind in AutomationKind:
        rule = scene.add(kind, daily_limit=3 * PRICE)
        scene.check(imeis(3, 10 * len(kind)))
        scene.turn_on(rule, due_at=utc_now() - timedelta(days=1))
        scene.run("UPDATE automations SET after_change = 0")
        barrier = threading.Barrier(4)

        class Late(AutomationTurn):
            """A turn that has read the automation and waits for the others."""

            def run_one(self, automation: automation_store.Automation) -> None:
                barrier.wait(30)  # noqa: B023
                super().run_one(automation)

        def take() -> None:
            Late(make_scene(settings, scene.database).backend, lambda: utc_now() + timedelta(hours=1)).take(
                threading.Event()
            )

        threads = [threading.Thread(target=take) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(scene.sent(rule)) == len(set(scene.sent(rule))) == 3
        assert [run.sent for run in scene.log(rule)] == [3]
        with scene.database.write() as connection:
            automation_store.turn_off(connection, scene.get(rule), "")


def test_a_recheck_runs_once_for_each_due_time_whatever_the_clock_does(scene: Scene) -> None:
    scene.check(imeis(4), service_id=SECOND)
    rule = scene.add(AutomationKind.RECHECK, first_day="2026-12-06")
    scene.turn_on(rule, due_at=DUE)
    scene.turn(DUE - timedelta(seconds=1))
    assert scene.sent(rule) == []
    for now in (DUE, DUE + timedelta(hours=1), DUE - timedelta(hours=1), DUE - timedelta(days=30), DUE):
        scene.turn(now)
        scene.answer()
    assert sorted(scene.sent(rule)) == imeis(4)
    assert scene.get(rule).due_at == DUE + timedelta(days=7)
    scene.turn(DUE + timedelta(days=23))  # three due times were missed
    scene.answer()
    scene.turn(DUE + timedelta(days=23))
    assert len(scene.sent(rule)) == 8
    assert scene.get(rule).due_at == DUE + timedelta(days=28)


def test_a_due_time_that_was_run_is_not_run_again_after_the_clock_was_wrong_for_a_while(scene: Scene) -> None:
    """A clock a month behind makes the rule due in that month: with the right clock, that is long past."""
    scene.check(imeis(4), service_id=SECOND)
    rule = scene.add(AutomationKind.RECHECK, first_day="2026-11-01")
    scene.turn_on(rule, due_at=DUE)
    for now in (DUE, DUE - timedelta(days=30), DUE + timedelta(minutes=1), DUE + timedelta(days=6)):
        scene.turn(now)
        scene.answer()
    assert sorted(scene.sent(rule)) == imeis(4)
    assert scene.get(rule).due_at == DUE + timedelta(days=7)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_process_that_slept_while_another_ran_orders_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, guarded: bool
) -> None:
    """It has read the automation before. Without revision and token, the negative control, it pays again."""
    scene.check(imeis(4), service_id=SECOND)
    rule = scene.add(AutomationKind.RECHECK)
    scene.turn_on(rule, due_at=DUE)
    asleep = scene.get(rule)
    scene.turn(DUE)
    scene.answer()
    if not guarded:
        monkeypatch.setattr(automation_store, "_move", lambda *_, **marks: None)
        monkeypatch.setattr(running, "Placing", lambda kind, actor, token, marks: Placing(kind, actor, "new", marks))
    AutomationTurn(scene.backend, lambda: DUE).run_one(asleep)
    assert len(scene.sent(rule)) == (4 if guarded else 8)


def test_a_recheck_that_is_short_of_money_begins_with_the_oldest_results(scene: Scene) -> None:
    scene.check(imeis(6), service_id=SECOND)
    scene.run("UPDATE orders SET order_date = '2026-01-01 00:00:00'")
    rule = scene.add(AutomationKind.RECHECK, daily_limit=4 * PRICE)
    for day in range(3):
        scene.turn_on(rule, due_at=DUE + timedelta(days=day))
        scene.turn(DUE + timedelta(days=day))
        scene.answer()
        scene.run(f"UPDATE orders SET order_date = '2026-01-0{day + 2} 00:00:00' WHERE order_date > '2026-02-01'")
    assert scene.sent(rule)[:10] == [*imeis(6), *imeis(4)]  # then phones that were checked at the same time
    assert len(scene.sent(rule)) == 12


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("UPDATE automations SET filter = 'colour=red'", "filter cannot be read"),
        ("UPDATE automations SET filter = 'since=2026-99-01'", "filter cannot be read"),
        ("UPDATE automations SET filter = ''", "filter cannot be read"),
        ("UPDATE automations SET service_id = '5'", "does not list a service 5"),
        ("UPDATE automations SET service_id = '102'", "needs more than an IMEI"),
        ("UPDATE automations SET max_price = 0.09", "above the limit of $0.09"),
        ("UPDATE users SET disabled_at = '2026-11-29 00:00:00'", "anna is disabled"),
        ("UPDATE users SET role = 'viewer'", "may not order"),
    ],
)
def test_what_became_wrong_turns_it_off_with_words_and_orders_nothing(
    file_scene: Scene, wrong: str, words: str
) -> None:
    scene = file_scene
    rule = scene.add(actor=add_user(scene.database, "anna"))
    scene.check(imeis(3))
    scene.run(wrong)
    scene.turn()
    found = scene.get(rule)
    assert not found.is_on
    assert words in found.notice
    assert [(run.sent, run.batch_id) for run in scene.log(rule)] == [(0, None)]
    scene.turn()
    assert len(scene.log(rule)) == 1


def test_a_time_zone_that_is_gone_turns_a_recheck_off(file_scene: Scene) -> None:
    rule = file_scene.add(AutomationKind.RECHECK)
    file_scene.run("UPDATE automations SET time_zone = 'Mars/Base'")
    file_scene.turn()
    assert file_scene.get(rule).notice == "This machine does not know the time zone Mars/Base."


def test_nobody_orders_for_an_automation_without_a_user_outside_the_demo(
    live: Settings, file_database: IMEIDatabase
) -> None:
    scene = make_scene(live, file_database)
    rule = scene.add()
    scene.check(imeis(3))
    scene.turn()
    assert scene.get(rule).notice == "Nobody is responsible for it."


def test_while_the_provider_or_the_balance_is_away_the_results_wait(scene: Scene) -> None:
    rule = scene.add()
    scene.check(imeis(3))
    scene.provider.credits = None
    scene.turn()
    assert (scene.get(rule).is_on, scene.sent(rule)) == (True, [])
    assert "balance" in scene.get(rule).notice
    scene.provider.credits = 150.0
    scene.run("DELETE FROM settings WHERE key = 'account'")
    scene.turn()
    assert scene.sent(rule) == imeis(3)


def test_bad_results_and_a_paused_batch_turn_it_off(scene: Scene) -> None:
    stop_loss.save(scene.database, StopLoss(50, 5))
    rule = scene.add(filter="service=1739")
    scene.check(imeis(5))
    scene.turn()
    scene.answer(fmi="ON")
    scene.check(imeis(5, 10))
    scene.turn()
    assert scene.get(rule).notice == "Stop-loss: 5 of its newest 5 results fail or are rejected."
    scene.turn_on(rule)  # a person has looked at them
    scene.check(imeis(2, 20))
    scene.turn()
    assert scene.sent(rule)[5:] == imeis(2, 20)
    scene.run("UPDATE batches SET state = 'paused', notice = 'The price rose.' WHERE source = 'automation'")
    scene.check(imeis(2, 30))
    scene.turn()
    assert "is paused: The price rose." in scene.get(rule).notice
    assert len(scene.sent(rule)) == 7


def test_an_edit_in_the_middle_of_a_turn_undoes_the_run(file_scene: Scene) -> None:
    scene = file_scene
    rule = scene.add()
    scene.check(imeis(3))
    before = scene.get(rule)
    with scene.database.write() as connection:
        automation_store.change(connection, before, replace(before.terms, max_price=0.01), "Edited.")
    AutomationTurn(scene.backend, lambda: utc_now() + timedelta(hours=1)).run_one(before)
    assert (scene.sent(rule), scene.get(rule).is_on) == ([], False)


def test_by_hand_it_orders_older_results_that_a_trial_has_shown_and_a_second_click_nothing_more(scene: Scene) -> None:
    scene.check(imeis(3))
    rule = scene.add()
    anna = add_user(scene.database, "anna")
    trial = try_out(scene.backend, scene.get(rule), anna)
    shown = scene.log(rule)[-1]
    assert (shown.run_id, shown.kind, shown.found, shown.sent, shown.price) == (trial, RunKind.TRIAL, 3, 3, PRICE)
    assert scene.sent(rule) == []
    batch_id = run_by_hand(scene.backend, scene.get(rule), shown, anna)
    assert scene.sent(rule) == imeis(3)
    with pytest.raises(MustWaitError):
        run_by_hand(scene.backend, scene.get(rule), shown, anna)
    with scene.database.read() as connection:
        columns = "ordered_by, user_id, confirm_token, source"
        row = connection.exec_driver_sql(f"SELECT {columns} FROM batches ORDER BY id DESC").first()
    assert row
    assert tuple(row) == (f"rule {scene.get(rule).terms.name}", anna.user_id, token_of(shown), "automation")
    assert scene.log(rule)[-1].batch_id == batch_id


def test_a_trial_is_not_confirmed_after_phones_or_price_changed(file_scene: Scene) -> None:
    scene = file_scene
    scene.check(imeis(3))
    rule = scene.add(max_price=1.0)
    try_out(scene.backend, scene.get(rule), Actor("demo", Role.ADMIN))
    scene.check(imeis(1, 50))
    with pytest.raises(MustWaitError, match="changed since"):
        run_by_hand(scene.backend, scene.get(rule), scene.log(rule)[-1], Actor("demo", Role.ADMIN))
    assert scene.sent(rule) == []


def test_a_trial_is_not_confirmed_for_as_many_other_phones(scene: Scene) -> None:
    scene.check(imeis(3))
    rule, anna = scene.add(), add_user(scene.database, "anna")
    try_out(scene.backend, scene.get(rule), anna)
    scene.check(imeis(1), service_id=SECOND)
    scene.check(imeis(1, 50))
    with pytest.raises(MustWaitError, match="changed since"):
        run_by_hand(scene.backend, scene.get(rule), scene.log(rule)[-1], anna)
    assert scene.sent(rule) == []


def test_a_trial_is_not_confirmed_after_somebody_else_has_checked_its_phones_again(scene: Scene) -> None:
    """The trial showed the result before: the phone would be paid again unseen."""
    scene.check(imeis(1), service_id=SECOND)
    rule, anna = scene.add(AutomationKind.RECHECK), add_user(scene.database, "anna")
    try_out(scene.backend, scene.get(rule), anna)
    shown = scene.log(rule)[-1]
    scene.check(imeis(1), service_id=SECOND)
    with pytest.raises(MustWaitError, match="changed since"):
        run_by_hand(scene.backend, scene.get(rule), shown, anna)
    try_out(scene.backend, scene.get(rule), anna)
    run_by_hand(scene.backend, scene.get(rule), scene.log(rule)[-1], anna)
    assert scene.sent(rule) == imeis(1)


def test_a_trial_does_not_know_what_was_stored_while_it_was_made(
    file_scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may wait for the lock of the database between its look at the orders and its line of the log."""
    scene = file_scene
    scene.check(imeis(1), service_id=SECOND)
    rule, anna = scene.add(AutomationKind.RECHECK), Actor("demo", Role.ADMIN)

    def overtaken(*given: Any) -> Selected:
        found = choose(*given)
        scene.check(imeis(1), service_id=SECOND)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(running, "choose", overtaken)
        try_out(scene.backend, scene.get(rule), anna)
    with pytest.raises(MustWaitError, match="changed since"):
        run_by_hand(scene.backend, scene.get(rule), scene.log(rule)[-1], anna)
    assert scene.sent(rule) == []


def test_a_trial_is_not_confirmed_after_another_service_was_chosen(scene: Scene) -> None:
    """It has the same price, so that only the edit tells them apart."""
    scene.provider.services.append(replace(CARRIER, package_id="270", price=PRICE))
    scene.check(imeis(3))
    rule, anna = scene.add(), add_user(scene.database, "anna")
    try_out(scene.backend, scene.get(rule), anna)
    with scene.database.write() as connection:
        before = scene.get(rule)
        automation_store.change(connection, before, replace(before.terms, service_id="270"), "Edited.")
    with pytest.raises(MustWaitError, match="changed since"):
        run_by_hand(scene.backend, scene.get(rule), scene.log(rule)[-1], anna)
    assert scene.sent(rule) == []


def test_in_a_restored_or_adopted_database_nothing_runs_by_itself(settings: Settings, scene: Scene) -> None:
    """The re-check that is due may have run after the backup was made."""
    rule = scene.add(AutomationKind.RECHECK)
    stop_restored(scene.database, Checkpoints(settings.data_dir / "checkpoints"))
    assert (scene.get(rule).is_on, scene.get(rule).due_at) == (False, None)
    assert "restored" in scene.get(rule).notice
    scene.turn_on(rule)
    adopt_database(scene.database, settings)
    assert not scene.get(rule).is_on


def test_results_behind_removed_ones_are_not_missed(scene: Scene) -> None:
    """A person takes back an order id; its status changes are removed, and their ids given again on SQLite."""
    scene.check(imeis(2))
    rule = scene.add()
    scene.run("DELETE FROM status_changes")
    with scene.database.write() as connection:
        batch_undo.follow_removed_changes(connection)
    scene.check(imeis(2, 10))
    scene.turn()
    assert scene.sent(rule) == imeis(2, 10)

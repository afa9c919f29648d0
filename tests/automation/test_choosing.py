"""What a run would order: its phones, the service at the price of now, and as many as every limit holds."""

import re
from dataclasses import replace

import pytest
from automation_scene import PRICE, SECOND, Scene, make_scene
from sqlalchemy import update
from stored_people import add_user
from web_client import CARRIER

from automation.choosing import MustTurnOffError, MustWaitError, Selected, check_earlier_batches, choose, responsible
from automation.deciding import WhyNot
from database import IMEIDatabase, utc_now
from grading import StopLoss
from orders import AutomationKind, BatchState, OrderStatus, RunKind
from people import DEMO_USER, Actor, Role
from schema import batches, orders, users
from settings import Settings
from storage import automation_store, stop_loss
from storage.automation_store import NewRun
from storage.batch_creation import NewBatch, create_batch

FIRST, OTHER, THIRD = PHONES = [f"35337008008945{n}" for n in range(3)]


@pytest.fixture(name="scene")
def scene_fixture(file_scene: Scene) -> Scene:
    """A scene of SQLite: nothing here is decided by a database."""
    return file_scene


def choice(scene: Scene, rule: int, *numbers: str, actor: Actor = DEMO_USER) -> Selected:
    return choose(scene.backend, scene.get(rule), [(imei, place) for place, imei in enumerate(numbers, 1)], actor)


def order(scene: Scene, imei: str, service_id: str = SECOND, rule: int | None = None) -> int:
    """Create a batch of one IMEI, of an automation where one is named; return its id."""
    batch_id = create_batch(scene.database, NewBatch("test", "command", service_id, "a service", PRICE, [(imei, None)]))
    if rule is not None:
        with scene.database.write() as connection:
            automation_store.add_run(connection, scene.get(rule), NewRun(RunKind.BY_ITSELF, "anna", 1, 1), batch_id)
    return batch_id


# Who is responsible


def test_it_orders_for_the_user_who_turned_it_on_within_this_user_s_limit(scene: Scene) -> None:
    anna = add_user(scene.database, "anna", daily_limit=5.0)
    rule = scene.add(name="rule 1", actor=anna)
    assert responsible(scene.backend, scene.get(rule)) == Actor(
        "rule rule 1", Role.OPERATOR, user_id=anna.user_id, user_limit=5.0
    )


@pytest.mark.parametrize(
    ("values", "words"),
    [({"disabled_at": utc_now()}, "The user anna is disabled."), ({"role": "viewer"}, "anna may not order any more.")],
)
def test_it_orders_for_nobody_who_may_not_order(scene: Scene, values: dict[str, object], words: str) -> None:
    rule = scene.add(actor=add_user(scene.database, "anna"))
    with scene.database.write() as connection:
        connection.execute(update(users).values(**values))
    with pytest.raises(MustTurnOffError, match=words):
        responsible(scene.backend, scene.get(rule))


def test_only_the_demo_orders_for_nobody(live: Settings, scene: Scene, file_database: IMEIDatabase) -> None:
    rule = scene.add(name="rule 1")
    assert responsible(scene.backend, scene.get(rule)) == Actor("rule rule 1", Role.ADMIN)
    with pytest.raises(MustTurnOffError, match="Nobody is responsible"):
        responsible(make_scene(live, file_database).backend, scene.get(rule))


# What it ordered before


@pytest.mark.parametrize(
    ("state", "resumes_itself", "error"),
    [
        (BatchState.RUNNING, False, MustWaitError),
        (BatchState.PAUSED, True, MustWaitError),
        (BatchState.PAUSED, False, MustTurnOffError),
        (BatchState.FINISHED, False, None),
    ],
)
def test_a_batch_that_is_not_sent_stops_it_until_it_is_or_for_a_person(
    scene: Scene, state: BatchState, resumes_itself: bool, error: type[Exception] | None
) -> None:
    rule, other = scene.add(name="a"), scene.add(name="b")
    order(scene, FIRST, rule=rule)
    with scene.database.write() as connection:
        connection.execute(update(batches).values(state=state, resumes_itself=resumes_itself, notice="no money"))
    check_earlier_batches(scene.backend, scene.get(other))
    if error is None:
        check_earlier_batches(scene.backend, scene.get(rule))
        return
    with pytest.raises(error, match="Its batch 1 is"):
        check_earlier_batches(scene.backend, scene.get(rule))


@pytest.mark.parametrize(("percent", "is_hit"), [(50, False), (49, True), (None, False)])
def test_more_bad_results_than_the_stop_loss_allows_turn_it_off(
    scene: Scene, percent: int | None, is_hit: bool
) -> None:
    if percent is not None:
        stop_loss.save(scene.database, StopLoss(percent, 2))
    rule = scene.add()
    for imei in PHONES[:2]:
        order(scene, imei, rule=rule)
    scene.answer()
    with scene.database.write() as connection:
        connection.execute(update(orders).values(verdict="pass", status=OrderStatus.COMPLETED))
        connection.execute(update(orders).where(orders.c.imei == FIRST).values(verdict="fail"))
    if not is_hit:
        check_earlier_batches(scene.backend, scene.get(rule))
        return
    with pytest.raises(MustTurnOffError, match="Stop-loss: 1 of its newest 2 results fail"):
        check_earlier_batches(scene.backend, scene.get(rule))


# What it orders


def test_a_phone_is_taken_once_with_the_price_of_now(scene: Scene) -> None:
    scene.check([FIRST])
    scene.run("UPDATE orders SET imei2 = ?", OTHER)
    found = choice(scene, scene.add(), FIRST, OTHER, THIRD)
    assert [(phone.imei, phone.imei2, phone.change) for phone in found.phones] == [(FIRST, OTHER, 1), (THIRD, "", 3)]
    assert (found.found, found.waiting, found.left_out, found.words) == (2, (), {}, "")
    assert found.price == PRICE
    assert found.plan
    assert found.plan.service.package_id == SECOND
    assert found.plan.cost == pytest.approx(2 * PRICE)


def test_what_is_ordered_under_way_or_rejected_is_left_out(scene: Scene) -> None:
    follow_up, recheck = scene.add(name="a"), scene.add(AutomationKind.RECHECK, name="b")
    scene.check([FIRST], service_id=SECOND)
    scene.check([OTHER], service_id=SECOND)
    scene.run("UPDATE orders SET status = 'Rejected' WHERE imei = ?", OTHER)
    order(scene, THIRD)
    found = choice(scene, follow_up, *PHONES)
    assert (found.phones, found.plan, found.price, found.found) == ((), None, 0.0, 3)
    assert found.left_out == {WhyNot.CHECKED: 1, WhyNot.REJECTED: 1, WhyNot.UNDER_WAY: 1}
    again = choice(scene, recheck, *PHONES)
    assert [phone.imei for phone in again.phones] == [FIRST]
    assert again.left_out == {"rejected by this service before": 1, "under way with this service": 1}


def test_what_another_service_or_another_automation_ordered_is_taken(scene: Scene) -> None:
    rule, other = scene.add(name="a"), scene.add(name="b")
    scene.check([FIRST], service_id=CARRIER.package_id)
    with scene.database.write() as connection:
        for one, imei in ((rule, OTHER), (other, THIRD)):
            run_id = automation_store.add_run(connection, scene.get(one), NewRun(RunKind.BY_ITSELF, "anna", 1))
            automation_store.note_ordered(connection, one, run_id, [imei])
    found = choice(scene, rule, *PHONES)
    assert [phone.imei for phone in found.phones] == [FIRST, THIRD]
    assert found.left_out == {WhyNot.ORDERED: 1}


@pytest.mark.parametrize(
    ("service_id", "price", "words"),
    [
        ("5", PRICE, "does not list a service 5"),
        ("102", PRICE, "needs more than an IMEI"),
        (SECOND, 0.11, r"The price is now \$0.11, above the limit of \$0.10."),
    ],
)
def test_another_service_or_price_than_a_person_allowed_turns_it_off(
    scene: Scene, service_id: str, price: float, words: str
) -> None:
    rule = scene.add(service_id=service_id)
    scene.provider.services[-1] = replace(scene.provider.services[-1], price=price)
    with pytest.raises(MustTurnOffError, match=words):
        choice(scene, rule, FIRST)


def test_without_an_answer_of_the_provider_it_waits(scene: Scene) -> None:
    rule = scene.add()
    scene.provider.credits = None
    with pytest.raises(MustWaitError, match="balance of the account is not known"):
        choice(scene, rule, FIRST)
    assert choice(scene, rule).phones == ()  # nothing was found, so nothing is asked for


def test_without_the_list_of_services_it_waits(scene: Scene) -> None:
    rule = scene.add()
    scene.provider.down = True
    with pytest.raises(MustWaitError):
        choice(scene, rule, FIRST)


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("its own", r"Its daily limit of \$0.20, of which \$0.00 was used, is too low for all of them."),
        ("balance", "The balance of the account is too low for all of them."),
        ("budget", "Today's budget is too low for all of them."),
        ("person", r"The daily limit of anna is too low for all of them; \$0.00 is used."),
    ],
)
def test_the_lowest_limit_decides(settings: Settings, file_database: IMEIDatabase, which: str, words: str) -> None:
    budget = 0.2 if which == "budget" else None
    scene = make_scene(replace(settings, daily_budget=budget), file_database)
    scene.provider.credits = 0.2 if which == "balance" else 150.0
    rule = scene.add(daily_limit=0.2 if which == "its own" else 100.0)
    anna = add_user(file_database, "anna", daily_limit=0.2 if which == "person" else None)
    found = choice(scene, rule, *PHONES, actor=anna)
    assert ([phone.imei for phone in found.phones], [phone.imei for phone in found.waiting]) == (
        [FIRST, OTHER],
        [THIRD],
    )
    assert (found.found, found.left_out) == (3, {WhyNot.MONEY: 1})
    assert re.fullmatch(words, found.words)


def test_what_it_ordered_today_and_what_is_promised_is_no_money_any_more(scene: Scene) -> None:
    rule = scene.add(daily_limit=0.35)
    order(scene, THIRD, rule=rule)
    scene.provider.credits = 0.25
    assert len(choice(scene, rule, FIRST, OTHER).phones) == 1  # 0.25 in the account, of which 0.10 is promised
    scene.provider.credits = 150.0
    scene.run("DELETE FROM settings WHERE key = 'account'")
    found = choice(scene, rule, FIRST, OTHER, "353370080089499")
    assert len(found.phones) == 2
    assert "of which $0.10 was used" in found.words

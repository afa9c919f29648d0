"""The page of what is in doubt: why it is not settled, what the provider lists now, and what is safe to send again."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from handmade_calls import answered, call, listed, look, read_balance, record_outcomes, unanswered
from simulated_provider import Knobs, Simulator, imeis
from web_client import CARRIER, Browser, Provider, answer_chunks, words

from account.state import provider_state
from backend import Backend
from callers import leading
from database import IMEIDatabase, utc_now
from gsm_fusion_client import NotSentError, OutcomeUnknownError, RefusedError
from orders import SAYS_IT_EXISTS, Chunk, IMEIOrder, ItemOutcome, Outcome
from settings import Settings
from storage import call_queries, doubt_moves
from storage.call_records import write_intents
from storage.list_limits import write_list_limit
from submission import decisions
from submission.listing import Look
from submission.settlement import NEXT_TURN, NOT_RESTED, Settler
from web_app import create_app


def lists(app: Flask, *listed: IMEIOrder) -> None:
    """Let the provider list these orders from now on."""
    app.extensions["backend"].requests.recent_orders = lambda *_: list(listed)


def order(order_id: str, imei: str, service: str = CARRIER.package_id) -> IMEIOrder:
    return IMEIOrder(order_id, imei, "Pending", "", service, "2026-11-25 10:00:00")


@pytest.fixture(name="doubtful")
def doubtful_fixture(app: Flask, database: IMEIDatabase) -> list[str]:
    """Batch 1 is ordered, batch 2 in doubt."""
    browser, numbers = Browser(app), imeis(3, first=50)
    browser.start(imeis(2))
    answer_chunks(database)
    browser.start(numbers)
    answer_chunks(database, lambda imei: (Outcome.IN_DOUBT, "The connection broke."))
    return numbers


def test_what_the_provider_lists_now_is_shown_and_can_be_recorded(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str]
) -> None:
    known = database.get_orders_by_imei(imeis(1)[0])[0]["order_id"]
    provider.orders = (order("777", doubtful[0]),)
    lists(app, order(known, imeis(1)[0]), order("777", doubtful[0]), order("778", doubtful[1], "269"))
    browser = Browser(app)
    text = words(browser.get("/batches/2/doubt/listed"))
    assert "holds 3 orders, 1 of them recorded here, the newest from 2026-11-25 10:00:00" in text
    assert "Of the 3 IMEIs in doubt, 1 are on it and 2 are not" in text
    assert "778 Pending 269 2026-11-25 10:00:00 another service" in text
    page = browser.get("/batches/2/doubt?look=1")
    assert "777" in words(page)
    item = database.read
    with item() as connection:
        item_id = connection.exec_driver_sql("SELECT id FROM items WHERE imei = ?", (doubtful[0],)).scalar_one()
    assert f'name="item_id" value="{item_id}"><input type="hidden" name="order_id" value="777"' in page.text
    browser.post("/batches/2/doubt/placed", {"item_id": str(item_id), "order_id": "777"})
    assert database.get_order("777")
    assert "2 IMEIs in doubt" in words(browser.get("/batches/2/doubt"))


def test_a_provider_that_lists_nothing_or_does_not_answer_is_told_as_such(app: Flask, doubtful: list[str]) -> None:
    lists(app)
    assert "says nothing about these IMEIs" in words(Browser(app).get("/batches/2/doubt/listed"))

    def fail(*_: object) -> list[IMEIOrder]:
        raise NotSentError("The provider is in maintenance.")

    app.extensions["backend"].requests.recent_orders = fail
    answer = Browser(app).get("/batches/2/doubt?look=1")
    assert answer.status_code == 200
    assert "cannot be read now: The provider is in maintenance." in words(answer)


def test_only_what_was_certainly_not_placed_is_offered_again(app: Flask, database: IMEIDatabase) -> None:
    """Refused and cancelled IMEIs lead to a preview; ordered and doubtful ones never do."""
    numbers, browser = imeis(4), Browser(app)
    fates = dict(zip(numbers, [Outcome.ORDERED, Outcome.IN_DOUBT, Outcome.REFUSED, Outcome.REFUSED], strict=True))
    browser.start(numbers)
    answer_chunks(database, lambda imei: (fates[imei], "no"))
    cancelled = imeis(2, first=70)
    browser.start(cancelled)
    browser.post("/batches/2/cancel")
    assert "Send 2 again" in words(browser.get("/batches/1"))
    answer = browser.post("/batches/1/retry")
    assert answer.status_code == 303
    text = words(browser.get(answer.location))
    assert "2 ready" in text
    assert "IMEIs to send 2" in text
    assert "2 ready" in words(browser.get(browser.post("/batches/2/retry").location))
    browser.start(imeis(1, first=90))
    assert "there is nothing to send again" in words(browser.post("/batches/3/retry", follow_redirects=True))


# Calls in doubt, and looks at the provider's list, on a clock made by hand


def in_doubt(database: IMEIDatabase, count: int, first: int = 0, words: str = "The connection broke") -> Chunk:
    """A call of these IMEIs that ended without a clear answer."""
    chunk = call(database, imeis(count, first=first))
    with database.write() as connection:
        item_outcomes = [ItemOutcome(i.item_id, i.imei, Outcome.IN_DOUBT, message=words) for i in chunk.items]
        record_outcomes(connection, chunk, item_outcomes, words)
    return chunk


def page(app: Flask, chunk: Chunk) -> str:
    return words(Browser(app).get(f"/batches/{chunk.batch_id}/doubt"))


def send_back(database: IMEIDatabase, seconds: float) -> None:
    """Let every call have been sent so many seconds ago."""
    with database.write() as connection:
        moment = (utc_now() - timedelta(seconds=seconds)).isoformat(" ")
        connection.exec_driver_sql("UPDATE attempts SET sent_at = ?", (moment,))


def test_the_page_says_what_happened_and_why_it_is_not_settled_yet(app: Flask, database: IMEIDatabase) -> None:
    older = answered(database, call(database, imeis(1, first=90)), 1)
    chunk, settler = in_doubt(database, 3), Settler(60.0)
    assert "3 IMEIs The connection broke." in page(app, chunk)
    assert "3 IMEIs The program has not checked the provider's list for these IMEIs yet." in page(app, chunk)
    look(database, settler, older, 1.0)
    assert f"Why this is not settled yet 3 IMEIs {NOT_RESTED}" in page(app, chunk)
    later = answered(database, call(database, imeis(1, first=91)), 20)
    look(database, settler, later, 500.0)
    assert "3 IMEIs The provider's list shows none of our orders of this service from before" in page(app, chunk)
    read_balance(database)
    look(database, settler, [*older, *later], 600.0)
    assert "3 IMEIs The account's balance from before the call, or now, is not known." in page(app, chunk)


def test_reasons_of_several_calls_are_grouped(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 3)
    with database.write() as connection:
        columns = "batch_id, size, state, attempt, message"
        for n, why in enumerate(["no list", "no list", "too dear"]):
            connection.exec_driver_sql(
                f"INSERT INTO chunks ({columns}) VALUES (?, 1, 'in_doubt', 1, ?)", (chunk.batch_id, why)
            )
            new = connection.exec_driver_sql("SELECT max(id) FROM chunks").scalar_one()
            connection.exec_driver_sql("UPDATE items SET chunk_id = ? WHERE id = ?", (new, chunk.items[n].item_id))
            sent = (new, utc_now().isoformat(" "))
            connection.exec_driver_sql(
                "INSERT INTO attempts (chunk_id, number, imeis, sent_at, result) VALUES (?, 1, 1, ?, 'in doubt')", sent
            )
    assert "Why this is not settled yet 2 IMEIs No list. 1 IMEI Too dear." in page(app, chunk)


def test_the_page_counts_what_was_found_and_recorded(app: Flask, database: IMEIDatabase) -> None:
    older = answered(database, call(database, imeis(1, first=90)), 1)
    chunk, settler = in_doubt(database, 3), Settler(60.0)
    placed = [listed(str(50 + n), item.imei) for n, item in enumerate(chunk.items)]
    assert "Settled so far" not in page(app, chunk)
    look(database, settler, [*older, *placed[:2]], 1.0)
    assert "1 IMEI in doubt" in page(app, chunk)
    assert "Settled so far Found in the provider's list and recorded 2" in page(app, chunk)
    decisions.was_placed(database, chunk.items[2].item_id, "77")
    text = page(app, chunk)
    assert "Nothing is in doubt" in text
    assert "Found in the provider's list and recorded 2 Recorded by hand with an order id 1" in text


def test_the_page_counts_what_was_sent_again_and_ordered(app: Flask, database: IMEIDatabase) -> None:
    chunk, settler = in_doubt(database, 2), Settler(60.0)
    send_back(database, 1000.0)
    with database.write() as connection:
        write_list_limit(connection, chunk.service_id, 100)
    decisions.was_not_placed(database, [item.item_id for item in chunk.items], 60.0)
    [repeated] = repeat_cleared(database, settler)
    answered(database, repeated, 300)
    assert "Not placed, sent again and ordered 2" in page(app, chunk)


def repeat_cleared(database: IMEIDatabase, settler: Settler) -> list[Chunk]:
    """A look alone at an empty list lets the runner send again what a person has cleared."""
    with database.write() as connection:
        settler.note(connection, 900.0)
        found = Look((), 900.0, call_queries.newest_order(connection), alone=True)
        piece = settler.apply(connection, found, may_repeat=True)
        assert piece is not None
        return write_intents(connection, [piece])


def test_an_order_from_before_the_call_is_counted_apart(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 2, words=SAYS_IT_EXISTS)
    with database.write() as connection:
        doubt_moves.link_existing(connection, chunk, chunk.items[0], listed("5", chunk.items[0].imei))
        connection.exec_driver_sql(
            "INSERT INTO items (batch_id, service_id, imei, outcome, message) VALUES"
            f" ({chunk.batch_id}, '269', '1', 'duplicate', 'ordered already: order 3')"
        )
    assert "Ordered before this call, so not charged again 1" in page(app, chunk)


def test_what_the_provider_says_it_has_is_shown_beside_the_imei(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 1, words=SAYS_IT_EXISTS)
    text = page(app, chunk)
    assert "1 IMEI The provider says that it has an order of this IMEI." in text
    assert f"{chunk.items[0].imei} The provider says that it has an order of this IMEI." in text


def test_what_a_person_has_cleared_is_shown_apart_and_without_choices(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 3)
    send_back(database, 1000.0)
    ids = [item.item_id for item in chunk.items]
    form = {"item_id": ids[:2], "sure": "on", "newest": str(chunk.attempt_id)}
    answer = Browser(app).post(f"/batches/{chunk.batch_id}/doubt/not-placed", form, follow_redirects=True)
    assert "2 IMEIs will be sent again after one more check of the provider's list." in words(answer)
    answer = Browser(app).get(f"/batches/{chunk.batch_id}/doubt")
    text = words(answer)
    assert "3 IMEIs in doubt" in text
    assert "May have been charged $0.30" in text
    assert "2 IMEIs were marked as not placed. The program checks the provider's list once more" in text
    assert [int(found) for found in re.findall(r'type="checkbox" name="item_id" value="(\d+)"', answer.text)] == ids[2:]
    assert "All 3 IMEIs" not in text
    browser = Browser(app)
    refused = browser.post(f"/batches/{chunk.batch_id}/doubt/not-placed", {"item_id": ids[:1], "sure": "on"})
    assert "Nothing was sent: tick" in words(browser.led_back(refused))
    decisions.was_not_placed(database, ids[2:], 60.0)
    look(database, Settler(60.0), [], 1.0, alone=False)
    text = page(app, chunk)
    assert "3. If it was not placed" not in text
    assert "1. Ask the provider again" in text
    assert f"3 IMEIs {NEXT_TURN}" in text


def test_a_paused_batch_says_that_nothing_is_sent_again(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 1)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE batches SET state = 'paused', finished_at = NULL")
    assert "The batch is paused. No IMEI is sent again until you resume it ." in page(app, chunk)


def test_nothing_is_decided_before_the_deadline_and_the_quiet_time(app: Flask, database: IMEIDatabase) -> None:
    """The provider may work on a call for 120 seconds, and its list is believed 60 seconds later."""
    chunk = in_doubt(database, 1)
    send_back(database, 100.0)
    text = page(app, chunk)
    assert re.search(r"The provider may still process a call until \S+ \w+ \d+ [\d:]+ UTC \(in 1 min\)", text)
    assert "It can be sent again from" in text
    form = {"all": "on", "sure": "on"} | seen_of(app, chunk)
    browser = Browser(app)
    refused = browser.led_back(browser.post(f"/batches/{chunk.batch_id}/doubt/not-placed", form))
    assert "The provider may still be working on it." in words(refused)
    send_back(database, 181.0)
    text = page(app, chunk)
    assert "The provider's time to process a call ended" in text
    assert "can be sent again from" not in text
    form |= seen_of(app, chunk)
    assert Browser(app).post(f"/batches/{chunk.batch_id}/doubt/not-placed", form).status_code == 303


def seen_of(app: Flask, chunk: Chunk) -> dict[str, str]:
    found = re.search(r'name="seen" value="(\w+)"', Browser(app).get(f"/batches/{chunk.batch_id}/doubt").text)
    assert found
    return {"seen": found[1]}


def test_a_call_without_words_says_so(app: Flask, database: IMEIDatabase) -> None:
    chunk = call(database, imeis(2))
    unanswered(database, chunk)
    assert "2 IMEIs Sent, but no reply was recorded." in page(app, chunk)


def test_the_third_choice_names_the_look_before_it(app: Flask, database: IMEIDatabase) -> None:
    assert "Before it sends, the program checks the provider's list once more" in page(app, in_doubt(database, 2))


# An order id that a person gives


def item_of(database: IMEIDatabase, imei: str) -> str:
    with database.read() as connection:
        return str(connection.exec_driver_sql("SELECT id FROM items WHERE imei = ?", (imei,)).scalar_one())


def record(app: Flask, database: IMEIDatabase, imei: str, order_id: str, batch_id: int = 2) -> str:
    """Give an order id for an IMEI in doubt; the words of the page that follows."""
    form = {"item_id": item_of(database, imei), "order_id": order_id}
    browser = Browser(app)
    return words(browser.led_back(browser.post(f"/batches/{batch_id}/doubt/placed", form)))


@pytest.mark.parametrize("text", ["not placed", "15990001x", "１５", "1" * 20, "15,16"])
def test_an_order_id_is_digits_only(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str], text: str
) -> None:
    """Words used to be stored as an order that stayed pending for ever."""
    provider.orders = (order(text, doubtful[0]),)
    assert "is not an order id: it is digits only" in record(app, database, doubtful[0], text)
    assert database.get_order(text) is None


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ((), "The provider does not know order 777."),
        ((order("777", imeis(1, first=51)[0]),), "Order 777 is one of IMEI "),
        ((order("777", ""),), "Order 777 is one of IMEI (none)"),
        ((order("777", imeis(1, first=50)[0], "T-Mobile USA - Status Check"),), "is one of another service"),
    ],
)
def test_an_order_id_is_recorded_only_if_the_provider_shows_it_for_this_imei_and_service(
    app: Flask,
    provider: Provider,
    database: IMEIDatabase,
    doubtful: list[str],
    found: tuple[IMEIOrder, ...],
    why: str,
) -> None:
    provider.orders = found
    Browser(app).get("/batch")  # the services are known by their titles
    assert why in record(app, database, doubtful[0], "777")
    assert database.get_order("777") is None
    assert "3 IMEIs in doubt" in words(Browser(app).get("/batches/2/doubt"))


@pytest.mark.parametrize("masked", [False, True])
def test_an_imei_that_the_provider_shortens_or_masks_is_recognised(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str], masked: bool
) -> None:
    imei = doubtful[0]
    provider.orders = (order("777", f"{imei[:6]}*****{imei[11:]}" if masked else imei[:14]),)
    assert "Order 777 is recorded." in record(app, database, doubtful[0], "777")


def test_without_an_answer_nothing_is_recorded_and_what_was_typed_is_kept(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str]
) -> None:
    provider.down = True
    browser, item = Browser(app), item_of(database, doubtful[0])
    page = browser.led_back(browser.post("/batches/2/doubt/placed", {"item_id": item, "order_id": "777"}))
    assert "Nothing was recorded. The provider is in maintenance." in words(page)
    assert 'autocomplete="off" value="777" required' in page.text
    assert database.get_order("777") is None


def test_an_item_of_another_batch_is_not_settled_by_this_ones_page(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str]
) -> None:
    provider.orders = (order("777", doubtful[0]),)
    assert "no longer in doubt in this batch" in record(app, database, doubtful[0], "777", batch_id=1)
    assert database.get_order("777") is None


def test_an_order_recorded_by_hand_says_so_and_can_be_undone_until_it_has_its_result(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str]
) -> None:
    provider.orders = (order("777", doubtful[0]), order("778", doubtful[1]))
    browser = Browser(app)
    for order_id, imei in zip(("777", "778"), doubtful, strict=False):
        record(app, database, imei, order_id)
    assert "recorded by hand: a person gave the order id" in words(browser.get("/orders/777"))
    database.update_order_status("778", "Completed", {"model": "X"})
    page = browser.get("/batches/2/doubt")
    assert f'aria-label="Undo order 777 of {doubtful[0]}"' in page.text
    assert "Undo order 778" not in page.text
    text = words(browser.led_back(browser.post("/batches/2/doubt/undo", {"order_id": "777"})))
    assert "Order 777 is no longer recorded. Its IMEI is in doubt again." in text
    assert "2 IMEIs in doubt" in text
    assert database.get_order("777") is None
    for order_id in ("777", "778", "nothing"):
        text = words(browser.led_back(browser.post("/batches/2/doubt/undo", {"order_id": order_id})))
        assert "Not undone." in text
    assert database.get_order("778") is not None
    assert "Order 777 is recorded." in record(app, database, doubtful[0], "777")


def test_after_an_undo_nothing_is_sent_without_a_proof_or_a_new_decision(app: Flask, database: IMEIDatabase) -> None:
    """A call that was cleared before its order was found is cleared no more when that order is taken back."""
    chunk = in_doubt(database, 1)
    send_back(database, 1e6)
    decisions.was_not_placed(database, [chunk.items[0].item_id], 0)
    decisions.was_placed(database, chunk.items[0].item_id, "777", chunk.batch_id)
    decisions.take_back_order(database, chunk.batch_id, "777")
    with database.read() as connection:
        [call_in_doubt] = call_queries.doubtful_calls(connection)
        assert not call_in_doubt.cleared
    settler = Settler(60.0)
    read_balance(database)
    assert look(database, settler, [listed("777", chunk.items[0].imei, chunk.service_id)], 1.0) == []
    assert "1 IMEI in doubt" not in page(app, chunk)  # the provider lists it: it is found again, and not sent


def test_an_undone_order_stays_where_its_imei_is_under_way_elsewhere(
    app: Flask, provider: Provider, database: IMEIDatabase, doubtful: list[str]
) -> None:
    provider.orders = (order("777", doubtful[0]),)
    record(app, database, doubtful[0], "777")
    with database.write() as connection:
        values = "SELECT 1, NULL, service_id, imei, 1, 'waiting', NULL FROM items WHERE imei = ?"
        columns = "batch_id, chunk_id, service_id, imei, source_row, outcome, message"
        connection.exec_driver_sql(f"INSERT INTO items ({columns}) {values}", (doubtful[0],))
    browser = Browser(app)
    text = words(browser.led_back(browser.post("/batches/2/doubt/undo", {"order_id": "777"})))
    assert "Not undone. Its IMEI is under way in batch 1." in text
    assert database.get_order("777") is not None


def test_the_decision_to_send_again_can_be_taken_back_until_it_is_sent(app: Flask, database: IMEIDatabase) -> None:
    chunk = in_doubt(database, 2)
    send_back(database, 1e6)
    decisions.was_not_placed(database, [item.item_id for item in chunk.items], 0)
    browser = Browser(app)
    text = words(browser.led_back(browser.post(f"/batches/{chunk.batch_id}/doubt/not-placed/undo")))
    assert "2 IMEIs will not be sent again." in text
    assert "Will be sent again" not in text
    assert "2 IMEIs in doubt" in text


def test_the_live_page_says_what_resolved_itself(app: Flask, database: IMEIDatabase) -> None:
    older = answered(database, call(database, imeis(1, first=90)), 1)
    chunk, settler = in_doubt(database, 3), Settler(60.0)
    found = [listed(str(n), item.imei, chunk.service_id) for n, item in enumerate(chunk.items[:2], 900)]
    look(database, settler, [*older, *found], 1.0)
    text = words(Browser(app).get(f"/batches/{chunk.batch_id}"))
    assert "2 IMEIs were in doubt and settled: 2 found in the provider's list and recorded." in text
    order_page = words(Browser(app).get("/orders/900"))
    assert "recorded by the program: found in the provider's list" in order_page


def test_a_page_asks_the_provider_one_short_question(settings: Settings, database: IMEIDatabase) -> None:
    """The lookup of an order is one call, never repeated, and ends in time; the status shows how it went."""
    with Simulator(Knobs()) as simulator:
        real = replace(settings, api_key="DEMO-KEY", username="demo", base_url=simulator.base_url)
        backend: Backend = create_app(real, database).extensions["backend"]
        with leading(real, database):
            with pytest.raises(RefusedError):
                backend.requests.find_order("15990001", "main")
            assert provider_state(database).ok
            simulator.set(fault="reset", fault_actions=("getimeis",))
            with pytest.raises(OutcomeUnknownError):
                backend.requests.find_order("15990001", "main")
        assert sum(call.action == "getimeis" for call in simulator.calls()) == 2
        state = provider_state(database)
        assert (state.ok, state.call) == (False, "reading orders")

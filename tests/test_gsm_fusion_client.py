"""The client against a real server on loopback: what each fault means, and that a paid POST is sent once."""

import logging
from datetime import UTC, datetime

import pytest
from client_calls import IMEI, KEY, PLACED, REDIRECT, USER, assert_free_of_the_key, at, client_of, order
from scripted_server import ScriptedServer, Step, reply, reset

import gsm_fusion_client
from gsm_fusion_client import (
    GSMFusionAPIError,
    MaintenanceError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
    parse_retry_after,
    read_delay,
)
from orders import PlacedOrder

SERVICES = """<Packages><Package><PackageId>7</PackageId><PackageTitle>A</PackageTitle>
<PackagePrice>0.08</PackagePrice></Package></Packages>"""


def test_a_paid_call_sends_its_form_once_and_keeps_the_whole_answer_before_reading_it() -> None:
    kept: list[bytes] = []
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        answer = client.place_imei_order([IMEI, "350000000000022"], "7", keep=kept.append, modelNo="A")
    assert answer.orders == (PlacedOrder("15562209", IMEI),)
    assert kept == [PLACED.encode()]
    (request,) = server.requests
    assert request.head.startswith("POST /gsmfusion_api/index.php HTTP/1.1")
    assert request.form == {
        "apiKey": KEY,
        "userId": USER,
        "action": "placeorder",
        "imei": f"{IMEI},350000000000022",
        "networkId": "7",
        "modelNo": "A",
    }


def test_an_order_of_one_imei_may_carry_an_order_id_of_ours() -> None:
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        client.place_imei_order(IMEI, "7", orderId="0f3a" * 8)
    (request,) = server.requests
    assert (request.form["imei"], request.form["orderId"]) == (IMEI, "0f3a" * 8)


def test_an_answer_is_kept_even_when_it_cannot_be_read() -> None:
    kept: list[bytes] = []
    with (
        ScriptedServer(reply("<result><ime")) as server,
        client_of(server) as client,
        pytest.raises(OutcomeUnknownError),
    ):
        client.place_imei_order(IMEI, "7", keep=kept.append)
    assert kept == [b"<result><ime"]


def test_an_error_of_the_keeper_goes_through() -> None:
    def full(body: bytes) -> None:
        raise OSError(28, "No space left on device")

    with (
        ScriptedServer(reply(PLACED)) as server,
        client_of(server) as client,
        pytest.raises(OSError, match="No space left"),
    ):
        client.place_imei_order(IMEI, "7", keep=full)


def test_a_list_beyond_all_bounds_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gsm_fusion_client, "MAX_LIST", 100_000)
    too_large = pytest.raises(OutcomeUnknownError, match="larger")
    page = reply("<result>" + " " * 200_000 + "</result>")
    with ScriptedServer(page) as server, client_of(server) as client, too_large:
        client.list_recent_orders()
    assert len(server.requests) == 1


def test_429_is_certain_not_to_have_been_placed_and_says_how_long_to_wait() -> None:
    with ScriptedServer(reply("", "429 Too Many Requests", "Retry-After: 17")) as server:
        error = order(server)
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == 17.0
    assert len(server.requests) == 1


def test_the_providers_words_arrive_as_refusal_or_maintenance() -> None:
    steps = (
        reply("<error>Credit has been finished!</error>"),
        reply("<error>Website is in maintenance</error>"),
    )
    with ScriptedServer(*steps) as server:
        refused, down = order(server), order(server)
    assert isinstance(refused, RefusedError)
    assert refused.kind is RefusalKind.CREDIT
    assert isinstance(down, MaintenanceError)


def test_a_key_that_the_provider_echoes_is_hidden(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        ScriptedServer(reply(f"<error>Invalid API Key! {KEY}</error>")) as server,
        client_of(server) as client,
    ):
        for call in (lambda: client.place_imei_order(IMEI, "7"), client.get_account):
            with pytest.raises(RefusedError) as caught:
                call()
            assert_free_of_the_key(caught.value)
            assert caught.value.raw == "Invalid API Key! [hidden]"
        assert KEY not in repr(client)
    with ScriptedServer(reply(f"<error>{'word ' * 57}{KEY}</error>")) as server:
        assert KEY[:8] not in str(order(server))
    assert KEY not in caplog.text


def test_reads_are_repeated_with_growing_pauses_until_they_bring_something() -> None:
    pauses: list[float] = []
    busy = reply("", "429 Too Many Requests", "Retry-After: 30")
    steps = reset, reply("<Packa"), busy, reply(SERVICES)
    with ScriptedServer(*steps) as server, client_of(server, sleep=pauses.append) as client:
        assert [service.package_id for service in client.get_imei_services()] == ["7"]
    assert 1 <= pauses[0] <= 1.25
    assert 2 <= pauses[1] <= 2.5
    assert pauses[2:] == [30.0]
    assert len(server.requests) == 4


def test_reads_give_up_after_their_repeats() -> None:
    pauses: list[float] = []
    down = reply("", "503 Service Unavailable", "Retry-After: 3600")
    with ScriptedServer(down) as server, client_of(server, sleep=pauses.append) as client:
        with pytest.raises(OutcomeUnknownError) as caught:
            client.list_recent_orders()
        assert caught.value.retry_after == 60.0
    assert caught.value.status == 503
    assert pauses == [60.0] * 3
    assert len(server.requests) == 4


@pytest.mark.parametrize(
    "step",
    [
        reply("<error>Invalid User!</error>"),
        reply("<error>Website is in maintenance</error>"),
        reply("", *REDIRECT),
        reply("", "404 Not Found"),
    ],
)
def test_reads_are_not_repeated_where_the_next_answer_would_be_the_same(step: Step) -> None:
    with ScriptedServer(step) as server, client_of(server) as client, pytest.raises(GSMFusionAPIError):
        client.get_account()
    assert len(server.requests) == 1


def test_orders_are_asked_for_by_id_or_all_of_them() -> None:
    listing = f"<result><imeis><id>1</id><imei>{IMEI}</imei><statusId>2</statusId></imeis></result>"
    with ScriptedServer(reply(listing)) as server, client_of(server) as client:
        assert [found.id for found in client.get_imei_orders(["1", "2"])] == ["1"]
        assert len(client.list_recent_orders()) == 1
    assert server.requests[0].form["orderIds"] == "1,2"
    assert "orderIds" not in server.requests[1].form


CUT_LIST = "<result><imeis><id>1</id><status>Completed</status><code>Model: iPh"
ODD_LIST = f"<result><imeis><id>1</id><imei>{IMEI}</imei><code><font color=#00ee00>x</code></imeis></result>"


def test_a_list_that_cannot_be_read_is_not_asked_for_again_as_it_is() -> None:
    """The sync asks for its halves; the whole list would be as unreadable the next time."""
    with ScriptedServer(reply(CUT_LIST)) as server, client_of(server) as client:
        with pytest.raises(UnreadableAnswerError):
            client.get_imei_orders(["1", "2"])
        assert len(server.requests) == 1


def test_an_id_that_the_provider_threw_away_refuses_its_list() -> None:
    server, refused = ScriptedServer(reply("<error>No IMEI Found</error>")), pytest.raises(RefusedError)
    with server, client_of(server) as client, refused as caught:
        client.get_imei_orders(["1", "2"])
    assert caught.value.kind is RefusalKind.ORDER_ID


def test_a_recent_list_that_cannot_be_read_is_asked_for_again() -> None:
    with ScriptedServer(reply(CUT_LIST), reply(ODD_LIST)) as server, client_of(server) as client:
        (order,) = client.list_recent_orders()
    assert (order.id, order.imei, order.code) == ("1", IMEI, "<font color=#00ee00>x")
    assert len(server.requests) == 2


def test_a_refusal_in_json_says_what_was_refused_and_holds_no_key() -> None:
    body = f'{{"apiversion":"2.0.0","ERROR":[{{"MESSAGE":"Invalid User! {KEY}"}}]}}'
    with ScriptedServer(reply(body)) as server:
        error = order(server)
    assert isinstance(error, RefusedError)
    assert error.kind is RefusalKind.CREDENTIALS
    assert_free_of_the_key(error)


def test_an_answer_with_a_notice_behind_it_names_its_orders() -> None:
    with ScriptedServer(reply(PLACED + "<br />\n<b>Warning</b>: x<br />")) as server, client_of(server) as client:
        assert client.place_imei_order(IMEI, "7").orders


@pytest.mark.parametrize(
    "url", ["http://hammerfusion.com", "ftp://127.0.0.1", "", "https://", "http://127.0.0.1.evil.test"]
)
def test_an_address_that_would_carry_the_key_in_the_open_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="https://"):
        at(url)


def test_loopback_and_https_are_accepted() -> None:
    for url in ("https://hammerfusion.com/", "http://localhost:1", "http://127.0.0.1:1", "http://[::1]:1"):
        at(url).close()


def test_an_empty_list_or_a_reserved_field_is_never_sent() -> None:
    with ScriptedServer(reply(PLACED)) as server, client_of(server) as client:
        for nothing in ("", [], [IMEI, " "]):
            with pytest.raises(ValueError, match="empty"):
                client.place_imei_order(nothing, "7")
            with pytest.raises(ValueError, match="empty"):
                client.get_imei_orders(nothing)
        with pytest.raises(ValueError, match="action"):
            client.place_imei_order(IMEI, "7", action="accountinfo")
    assert server.requests == []


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 1.5 ", 1.5),
        ("3600", 60.0),
        ("Sun, 01 Mar 2026 12:00:10 GMT", 10.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 12:00:10 -0000", 10.0),
        ("Mon, 01 Mar 2027 12:00:00 GMT", 60.0),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("Sun, 99 Mar 2026 12:00:10 GMT", None),
        ("Sun, 01 Mar 99999999999999999999 12:00:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_capped(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


def test_the_pause_before_a_repeat_doubles_with_jitter_and_obeys_the_provider() -> None:
    assert [read_delay(attempt, None, 0.0) for attempt in (1, 2, 3)] == [1.0, 2.0, 4.0]
    assert read_delay(3, None, 1.0) == 5.0
    assert read_delay(1, 20.0, 0.5) == 20.0
    assert read_delay(2, 0.0, 0.0) == 2.0
    assert read_delay(20, None, 1.0) == 60.0

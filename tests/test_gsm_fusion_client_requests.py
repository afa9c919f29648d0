"""The exact form of each request to the real address, and what each status means: `responses` answers in its place."""

import logging
from collections.abc import Callable, Iterator
from urllib.parse import parse_qsl

import pytest
import requests
import responses

from gsm_fusion_client import (
    ClientOptions,
    GSMFusionAPIError,
    GSMFusionClient,
    MaintenanceError,
    NotSentError,
    OutcomeUnknownError,
    RateLimitedError,
    RefusedError,
)

ADDRESS = "https://hammerfusion.com/gsmfusion_api/index.php"
KEY, USER = "PLANTED-KEY-7f3a", "planted.user@example.com"
PLACED = "<result><imeis><id>15562209</id><imei>350000000000014</imei><status>Pending</status></imeis></result>"
SERVICES = """<Packages><Package><PackageId>269</PackageId><PackageTitle>T-Mobile USA</PackageTitle>
<PackagePrice>0.08</PackagePrice><TimeTaken>Instant</TimeTaken></Package></Packages>"""
LISTED = "<result><imeis><id>12345</id><imei>350000000000014</imei><status>Completed</status></imeis></result>"
CREDITS = "<Client><ClientCredits>$ 150.00 USD</ClientCredits></Client>"


@pytest.fixture
def provider() -> Iterator[responses.RequestsMock]:
    """Stands for every address; a request that is not expected fails."""
    with responses.RequestsMock() as mock:
        yield mock


@pytest.fixture
def client(provider: responses.RequestsMock) -> Iterator[GSMFusionClient]:
    """A client of the real address."""
    with GSMFusionClient(KEY, USER, max_retries=0) as made:
        yield made


ACCOUNT = [("apiKey", KEY), ("userId", USER)]


@pytest.mark.parametrize(
    ("call", "answer", "form"),
    [
        (lambda c: c.get_imei_services(), SERVICES, [*ACCOUNT, ("action", "imeiservices")]),
        (lambda c: c.get_account(), CREDITS, [*ACCOUNT, ("action", "accountinfo")]),
        (lambda c: c.list_recent_orders(), LISTED, [*ACCOUNT, ("action", "getimeis")]),
        (
            lambda c: c.get_imei_orders(["12345", "12346"]),
            LISTED,
            [("orderIds", "12345,12346"), *ACCOUNT, ("action", "getimeis")],
        ),
        (
            lambda c: c.place_imei_order(["350000000000014", "350000000000022"], "269", modelNo="A & B"),
            PLACED,
            [
                ("modelNo", "A & B"),
                ("imei", "350000000000014,350000000000022"),
                ("networkId", "269"),
                *ACCOUNT,
                ("action", "placeorder"),
            ],
        ),
    ],
    ids=["imeiservices", "accountinfo", "getimeis, all", "getimeis", "placeorder"],
)
def test_each_action_is_one_post_of_its_form_to_the_real_address(
    provider: responses.RequestsMock,
    client: GSMFusionClient,
    call: Callable[[GSMFusionClient], object],
    answer: str,
    form: list[tuple[str, str]],
) -> None:
    provider.post(ADDRESS, body=answer, content_type="application/xml")
    call(client)
    (sent,) = provider.calls
    assert isinstance(sent.request.body, str)
    assert parse_qsl(sent.request.body, strict_parsing=True) == form
    assert sent.request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert sent.request.headers["Content-Length"] == str(len(sent.request.body))
    assert not {"Cookie", "Authorization"} & set(sent.request.headers)


def test_a_list_of_imeis_is_sent_with_plain_commas(provider: responses.RequestsMock, client: GSMFusionClient) -> None:
    provider.post(ADDRESS, body=PLACED)
    client.place_imei_order(["350000000000014", "350000000000022"], "269")
    assert "imei=350000000000014,350000000000022&" in str(provider.calls[0].request.body)


#: What the provider answers → the error, and whether a read is repeated.
MEANINGS: list[tuple[int, str, type[GSMFusionAPIError], bool]] = [
    (200, "<error>Invalid User!</error>", RefusedError, False),
    (200, "<?phpxml version='1.0'?><error>Invalid User!</error>", RefusedError, False),
    (200, "<error>Website is in maintenance, please try again later</error>", MaintenanceError, False),
    (200, "", OutcomeUnknownError, True),
    (200, "<html>Just a moment</html>", OutcomeUnknownError, True),
    (204, "", OutcomeUnknownError, False),
    (301, PLACED, OutcomeUnknownError, False),
    (302, PLACED, OutcomeUnknownError, False),
    (307, PLACED, OutcomeUnknownError, False),
    (400, PLACED, OutcomeUnknownError, False),
    (403, PLACED, OutcomeUnknownError, False),
    (404, PLACED, OutcomeUnknownError, False),
    (429, PLACED, RateLimitedError, True),
    (500, PLACED, OutcomeUnknownError, True),
    (502, PLACED, OutcomeUnknownError, True),
    (503, PLACED, OutcomeUnknownError, True),
    (504, PLACED, OutcomeUnknownError, True),
    (520, PLACED, OutcomeUnknownError, True),
    (524, PLACED, OutcomeUnknownError, True),
]


@pytest.mark.parametrize(("status", "body", "meaning", "_repeated"), MEANINGS)
def test_a_paid_call_is_sent_once_whatever_comes_and_its_status_says_what_is_certain(
    provider: responses.RequestsMock,
    client: GSMFusionClient,
    status: int,
    body: str,
    meaning: type[GSMFusionAPIError],
    _repeated: bool,
) -> None:
    provider.post(ADDRESS, body=body, status=status, headers={"Location": ADDRESS})
    with pytest.raises(GSMFusionAPIError) as caught:
        client.place_imei_order("350000000000014", "269")
    assert type(caught.value) is meaning
    assert caught.value.status == (None if status == 200 else status)
    assert isinstance(caught.value, NotSentError) == (meaning in (MaintenanceError, RateLimitedError))
    provider.assert_call_count(ADDRESS, 1)


@pytest.mark.parametrize(("status", "body", "meaning", "repeated"), MEANINGS)
def test_a_read_is_repeated_where_that_may_help(
    provider: responses.RequestsMock,
    status: int,
    body: str,
    meaning: type[GSMFusionAPIError],
    repeated: bool,
) -> None:
    provider.post(ADDRESS, body=body, status=status, headers={"Location": ADDRESS, "Retry-After": "0"})
    with quick_client(max_retries=2) as client, pytest.raises(meaning):
        client.get_imei_services()
    provider.assert_call_count(ADDRESS, 3 if repeated else 1)


def quick_client(max_retries: int = 3) -> GSMFusionClient:
    """A client of the real address that does not wait between reads."""
    return GSMFusionClient(KEY, USER, 5, max_retries, ClientOptions(sleep=lambda _: None))


def test_a_broken_connection_leaves_the_outcome_unknown(
    provider: responses.RequestsMock, client: GSMFusionClient
) -> None:
    provider.post(ADDRESS, body=requests.ConnectionError("reset"))
    with pytest.raises(OutcomeUnknownError):
        client.place_imei_order("350000000000014", "269")
    provider.assert_call_count(ADDRESS, 1)


def test_neither_key_nor_user_name_appears_in_the_log_though_the_provider_echoes_them(
    provider: responses.RequestsMock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echoes = [
        (200, PLACED.replace("<result>", f"<!-- {KEY} {USER} --><result>")),
        (200, f"<error>Invalid User! {USER} apiKey={KEY}&amp;userId=planted.user%40example.com</error>"),
        (200, f"<html>{KEY}, {USER}"),
        (503, f"{KEY} {USER}"),
    ]
    for status, body in echoes:
        provider.post(ADDRESS, body=body, status=status)
        with quick_client(max_retries=1) as client:
            for call in (client.get_imei_services, lambda c=client: c.place_imei_order("350000000000014", "269")):
                try:
                    call()
                except GSMFusionAPIError as error:
                    logging.getLogger("caller").exception("The call failed: %s %s", error, error.raw)
        provider.reset()
    assert "15562209" in caplog.text  # the answer is there
    assert "[hidden]" in caplog.text
    for secret in (KEY, USER, "planted.user%40example.com"):
        assert secret not in caplog.text


def test_answers_are_logged_at_debug_only_and_in_part(
    provider: responses.RequestsMock, client: GSMFusionClient, caplog: pytest.LogCaptureFixture
) -> None:
    provider.post(ADDRESS, body=CREDITS + " " * 5000 + "<!-- end -->")
    caplog.set_level(logging.INFO)
    client.get_account()
    assert caplog.text == ""
    caplog.set_level(logging.DEBUG)
    client.get_account()
    assert "accountinfo: HTTP 200" in caplog.text
    assert "$ 150.00 USD" in caplog.text
    assert "<!-- end -->" not in caplog.text

"""Answers to each request, as captures, the manual and sister panels show them; all IMEIs are made up."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provider_answers import IMEI_A, IMEI_B, IMEI_C, ORDER_A, ORDER_B, PLACED_A, PLACED_B

from orders import Account, OrderStatus, PlacementAnswer
from provider import (
    GSMFusionAPIError,
    OutcomeUnknownError,
    RefusalKind,
    RefusedError,
    UnreadableAnswerError,
    parse_account,
    parse_asked_orders,
    parse_placement,
    parse_recent_orders,
    parse_services,
)


@pytest.mark.parametrize(
    "order",
    [
        f"<imeis><imei>{IMEI_A}</imei><status>Pending</status></imeis>",
        f"<imeis><id></id><imei>{IMEI_A}</imei></imeis>",
        f"<imeis><id>0</id><imei>{IMEI_A}</imei></imeis>",
        "<imeis><id>15562209</id></imeis>",
        f"<imeis><status>Pending</status><id>1</id><status>x</status><imei>{IMEI_A}</imei><id>2</id></imeis>",
        f"<other><id>15562209</id><imei>{IMEI_A}</imei></other>",
    ],
)
def test_an_order_without_an_id_or_an_imei_is_not_named(order: str) -> None:
    answer = parse_placement(f"<result>{ORDER_B}{order}</result>".encode())
    assert answer == PlacementAnswer(orders=(PLACED_B,))


def test_duplicates_and_errors_are_read_beside_orders() -> None:
    body = f"""<result>{ORDER_A}<imeiduplicates><imei>{IMEI_B}, {IMEI_C}</imei></imeiduplicates>
        <imeierrors><imei>111</imei><error>Invalid  IMEI</error><imei>222</imei><error>Other</error></imeierrors>
        <imeierrors><imei>333</imei></imeierrors><error>Invalid IMEI: 444</error>
        <error>Credit has been finished!</error></result>"""
    answer = parse_placement(body.encode())
    assert answer.orders == (PLACED_A,)
    assert answer.duplicates == (IMEI_B, IMEI_C)
    assert sorted(answer.errors) == [
        ("", "Credit has been finished!"),
        ("111", "Invalid IMEI"),
        ("222", "Other"),
        ("333", ""),
        ("444", "Invalid IMEI: 444"),
    ]


def test_an_answer_of_duplicates_alone_is_an_answer() -> None:
    for inner in (f"{IMEI_A},{IMEI_B}", f"<imei>{IMEI_A}</imei><imei>{IMEI_B}</imei>"):
        body = f"<result><imeiduplicates>{inner}</imeiduplicates></result>".encode()
        assert parse_placement(body).duplicates == (IMEI_A, IMEI_B)


LISTING = f"""<result>
<imeis><id>1</id><package>A & B</package><imei>{IMEI_A}</imei><statusId>2</statusId><status>completed</status>
<code>Model: iPhone 13<br>Carrier: <b>AT&T</b><br/>SIM: &lt;br&gt; T-Mobile</code>
<requestedat>2026-07-30 14:22:00</requestedat><repliedat>2026-07-30 14:25:00</repliedat></imeis>
<imeis><id>2</id><imei>{IMEI_B}</imei><statusId>4</statusId></imeis>
<imeis><id>3</id><status>IN PROCESS</status><code><![CDATA[AT&T <br> x]]></code></imeis>
<imeis><id>4</id><status>On Hold</status><statusId>1</statusId></imeis>
<imeis><id></id><imei>{IMEI_C}</imei><status>Completed</status></imeis>
</result>"""


def test_a_listing_is_read_by_id_with_its_statuses_and_whole_codes() -> None:
    first, second, third, fourth, without_id = parse_recent_orders(LISTING.encode())
    assert first.code == "Model: iPhone 13<br>Carrier: AT&T<br>SIM: <br> T-Mobile"
    assert (first.id, first.imei, first.status, first.service_id) == (
        "1",
        IMEI_A,
        OrderStatus.COMPLETED,
        "A & B",
    )
    assert (first.requested_at, first.replied_at) == ("2026-07-30 14:22:00", "2026-07-30 14:25:00")
    assert (second.status, second.code) == (OrderStatus.IN_PROCESS, "")
    assert (third.status, third.code) == (OrderStatus.IN_PROCESS, "AT&T <br> x")
    assert fourth.status == "On Hold"
    assert (without_id.id, without_id.imei) == ("", IMEI_C)


def test_an_empty_listing_is_empty_and_an_unknown_order_is_refused() -> None:
    assert parse_recent_orders(b"<result><imeis/></result>") == []
    with pytest.raises(RefusedError) as caught:
        parse_recent_orders(b"<error>Invalid Order ID</error>")
    assert caught.value.kind is RefusalKind.ORDER_ID


SERVICES = """<Packages><Package><CategoryId>1</CategoryId><Category>Apple</Category><PackageId>1739</PackageId>
<PackageTitle>10-7.1# Apple iPhone & Carrier \N{FIRE}</PackageTitle><PackagePrice>$0.08</PackagePrice>
<TimeTaken>Instant-5 Minutes</TimeTaken><MustRead><p>Read <b>this</b></p></MustRead></Package>
<Package><PackageId>2</PackageId><PackageTitle>Needs more</PackageTitle><PackagePrice>0,50</PackagePrice><CustomFields>
<CustomField><FieldName>Email</FieldName><Mandatory>Yes</Mandatory></CustomField>
<CustomField><FieldName>Note</FieldName><Mandatory>No</Mandatory></CustomField>
<CustomField><FieldName>IMEI</FieldName><Mandatory>Yes</Mandatory></CustomField></CustomFields></Package>
<Package><PackageId>3</PackageId><PackageTitle>No price</PackageTitle><PackagePrice>ask</PackagePrice></Package>
<Package><PackageId>1739</PackageId><PackageTitle>Again</PackageTitle><PackagePrice>9</PackagePrice></Package>
</Packages>"""


def test_services_carry_price_words_and_mandatory_fields() -> None:
    first, second = parse_services(SERVICES.encode())
    assert (first.package_id, first.price, first.category) == ("1739", 0.08, "Apple")
    assert first.title == "10-7.1# Apple iPhone & Carrier \N{FIRE}"
    assert (first.delivery_time, first.must_read) == ("Instant-5 Minutes", "Read this<br>")
    assert first.orderable
    assert (second.price, second.required_fields) == (0.5, ("Email",))


def test_what_databases_find_orders_by_is_short() -> None:
    """An index of PostgreSQL takes 2,700 bytes: no total was kept any more, and no answer recorded."""
    package = (
        "<Package><PackageId>{}</PackageId><PackageTitle>{}</PackageTitle><PackagePrice>1</PackagePrice></Package>"
    )
    listed = package.format("7", "t" * 4000) + package.format("9" * 4000, "long")
    (service,) = parse_services(f"<Packages>{listed}</Packages>".encode())
    assert (service.package_id, service.title) == ("7", "t" * 300)
    words = "<status>{0}</status><package>{0}</package>".format("s" * 4000)
    (order,) = parse_recent_orders(
        f"<result><imeis><id>1</id><imei>{'x' * 4000}</imei>{words}</imeis></result>".encode()
    )
    assert [len(word) for word in (order.imei, order.status, order.service_id)] == [200, 200, 300]


def test_an_answer_without_services_or_credits_is_not_taken_for_an_empty_one() -> None:
    for parse in (parse_services, parse_account):
        with pytest.raises(OutcomeUnknownError):
            parse(b"<Packages/>")
        with pytest.raises(RefusedError):
            parse(b"<error>Invalid User!</error>")


def test_an_account_keeps_its_words() -> None:
    body = b"<Client><ClientCredits>$ 150.00 USD</ClientCredits></Client>"
    assert parse_account(body) == Account(150.0, "$ 150.00 USD")


def test_an_answer_of_100_orders_is_read_in_milliseconds() -> None:
    orders = "".join(f"<imeis><id>{n}</id><imei>{n:015}</imei><status>Pending</status></imeis>" for n in range(1, 101))
    body = f'<?phpxml version="1.0"?><result>{orders}</result>'.encode()
    started = time.perf_counter()
    for _ in range(10):
        assert len(parse_placement(body).orders) == 100
    assert time.perf_counter() - started < 0.5


TAGS = ["result", "imeis", "id", "imei", "error", "imeierrors", "imeiduplicates", "html"]
MARKUP = [
    "&",
    "&nbsp;",
    "&#0;",
    "<br>",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?phpxml?>",
    '<?xml version="1.0"?>',
]
MARKS = ["<!DOCTYPE", "1", "\ud7ff", "\ufeff", "\x00"]
PIECES = st.sampled_from([f"<{tag}>" for tag in TAGS] + [f"</{tag}>" for tag in TAGS] + MARKUP + MARKS)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(PIECES, max_size=20).map(lambda pieces: "".join(pieces).encode())))
def test_whatever_comes_only_the_errors_of_the_contract_are_raised(body: bytes) -> None:
    for parse in (parse_placement, parse_recent_orders, parse_services, parse_account):
        try:
            parse(body)
        except GSMFusionAPIError:
            pass


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_damaged_answer_names_no_imei_that_was_not_there(data: st.DataObject) -> None:
    body = bytearray(f"<result>{ORDER_A}{ORDER_B}</result>".encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] = data.draw(st.integers(0, 255).filter(lambda byte: not 0x30 <= byte <= 0x39))
    try:
        answer = parse_placement(bytes(body))
    except GSMFusionAPIError:
        return
    for order in answer.orders:
        assert order.imei in (IMEI_A, IMEI_B) or not re.fullmatch("[0-9]{15}", order.imei)


@pytest.mark.parametrize("order_id", ["1556\x072209", "1556 2209", "15é2209", "15&lt;562209\n1"])
def test_an_order_whose_id_was_damaged_on_its_way_is_not_named(order_id: str) -> None:
    """Its IMEI is in doubt, and the list brings the right id; the damaged one would never be found again."""
    damaged = ORDER_A.replace("15562209", order_id)
    answer = parse_placement(f"<result>{damaged}{ORDER_B}</result>".encode())
    assert answer.orders == (PLACED_B,)


@pytest.mark.parametrize(
    "record",
    [
        f"<imeis><id></id><imei>{IMEI_B}</imei><status>Pending</status></imeis>",
        f"<imeis><imei>{IMEI_B}</imei></imeis>",
        f"<imeis><status>Pending</status><id>7</id><imei>{IMEI_B}</imei><status>1</status><id>8</id></imeis>",
        f"<list><imei> {IMEI_B} </imei></list>",
    ],
)
def test_an_imei_that_a_list_names_without_a_readable_order_does_not_count_as_absent(record: str) -> None:
    listed = parse_recent_orders(f"<result>{ORDER_A}{record}</result>".encode())
    assert [(order.id, order.imei) for order in listed] == [("15562209", IMEI_A), ("", IMEI_B)]


@pytest.mark.parametrize("order_id", ["<id></id>", "<id>0</id>", f"<id>{'9' * 401}</id>", ""])
@pytest.mark.parametrize("imei", [IMEI_A, "353370*****0011"])
def test_a_record_without_an_id_is_listed_beside_another_order_of_its_imei(order_id: str, imei: str) -> None:
    """An order that was just created: its IMEI counted as absent, because of the older order that has an id."""
    unread = f"<imeis>{order_id}<package>269</package><imei>{imei}</imei><status>Pending</status></imeis>"
    listed = parse_recent_orders(f"<result>{ORDER_A}{unread}</result>".encode())
    assert [(order.id, order.imei) for order in listed] == [("15562209", IMEI_A), ("", imei)]


#: Bodies of kinds that providers of this family really send, with what they say.
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases_xml.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("zero", ["0", "\uff10", "\u0660"])
def test_an_imei_in_the_digits_of_another_script_is_that_imei(zero: str) -> None:
    """As another IMEI it would show that nothing was placed for this one, and it would be paid again."""
    imei = "353370080000011"
    written = "".join(chr(ord(zero) + int(digit)) for digit in imei)
    body = f"<result><imeis><id>7</id><imei>{written}</imei><status>Pending</status></imeis></result>"
    assert [(order.id, order.imei) for order in parse_recent_orders(body.encode())] == [("7", imei)]


def test_a_number_that_is_too_long_is_no_id_of_a_listed_order() -> None:
    """To compare it with other ids failed, so that no look at the list settled any call in doubt."""
    body = "<result><imeis><id>{}</id><imei>353370080000011</imei><status>Pending</status></imeis></result>"
    assert [order.id for order in parse_recent_orders(body.format("9" * 400).encode())] == ["9" * 400]
    [order] = parse_recent_orders(body.format("9" * 5000).encode())
    assert (order.id, order.imei) == ("", "353370080000011")


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_bodies_from_the_wild_say_what_they_say(case: dict[str, Any]) -> None:
    parse = parse_placement if case["call"] == "placement" else parse_recent_orders
    expected, raw = case["expected"], case["raw"].encode()
    if "unreadable" in expected:
        with pytest.raises(OutcomeUnknownError):
            parse(raw)
    elif "refused" in expected:
        with pytest.raises(RefusedError) as caught:
            parse(raw)
        assert caught.value.kind == expected["refused"]
    elif "placed" in expected:
        assert [[order_id, imei] for order_id, imei, _ in parse_placement(raw).orders] == expected["placed"]
    else:
        listed = [[order.id, order.imei] for order in parse_recent_orders(raw)]
        assert listed == expected["orders"] + [["", imei] for imei in case.get("left_out", [])]


def test_a_text_that_is_not_xml_is_kept_whole() -> None:
    code = "Blacklist: <font color=#ff0000>Blacklisted</FONT> < AT&T &amp; <b>x"
    (order,) = parse_recent_orders(f"<result>{record('1', IMEI_A, code)}</result>".encode())
    assert (order.id, order.status, order.code) == ("1", OrderStatus.COMPLETED, code)


def record(order_id: str, imei: str, code: str) -> str:
    return f"<imeis><id>{order_id}</id><imei>{imei}</imei><status>Completed</status><code>{code}</code></imeis>"


FORGED = f"x</code></imeis>{record('2', IMEI_B, 'Model: forged')}<imeis><id>3</id><code>y"


@pytest.mark.parametrize("spoil", ["", "<b>"], ids=["XML", "not XML"])
@pytest.mark.parametrize("asked", [["1"], ["1", "2"], ["1", "2", "3"]])
def test_a_text_forges_no_order(spoil: str, asked: list[str]) -> None:
    """What it says of an order that was not asked for is dropped; of one that comes twice, both."""
    genuine = [record(number, imei, spoil) for number, imei in (("2", IMEI_B), ("3", IMEI_C)) if number in asked]
    body = f"<result>{record('1', IMEI_A, FORGED + spoil)}{''.join(genuine)}</result>".encode()
    if spoil:
        with pytest.raises(UnreadableAnswerError):
            parse_asked_orders(body, asked)
        return
    assert [order.id for order in parse_asked_orders(body, asked)] == ["1"]


def test_elements_within_a_text_name_no_order() -> None:
    inner = record("2", IMEI_B, "")
    listed = parse_recent_orders(f"<result>{record('1', IMEI_A, inner)}</result>".encode())
    assert [order.id for order in listed if order.id] == ["1"]


def test_an_answer_names_only_what_was_asked_for_and_once() -> None:
    body = f"<result>{record('1', IMEI_A, 'a')}{record('2', IMEI_B, 'b')}</result>".encode()
    assert [order.id for order in parse_asked_orders(body, ["1", "7"])] == ["1"]
    assert parse_asked_orders(body.replace(b"</result>", record("1", IMEI_A, "c").encode() + b"</result>"), ["1"]) == []


FORGED_RECORD = "</code></imeis><imeis><id>2</id><code>forged"
TEXT_PIECES = st.sampled_from(
    [
        *("<code>", "</code>", "<imeis>", "</imeis>", "<id>2</id>", "<id>1</id>", "<imei>", IMEI_B, "</imei>"),
        *("<!--", "-->", "<![CDATA[", "]]>", "<b>", "</b>", "<br>", "<", "&", "<status>Completed</status>", "forged"),
        *(FORGED_RECORD, f"{FORGED_RECORD}<!--", f"{FORGED_RECORD}</code><code><imeis><code>", "</result>"),
        *(f"{FORGED_RECORD}<?x ", "?>", f"{FORGED_RECORD}<![CDATA[", "</code></imeis></code></imeis><imeis><code>"),
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXT_PIECES, max_size=5).map("".join), st.lists(TEXT_PIECES, max_size=5).map("".join))
def test_whatever_two_texts_hold_the_order_between_them_is_itself_or_left_out(first: str, last: str) -> None:
    genuine = record("2", IMEI_B, "Model: genuine")
    body = f"<result>{record('1', IMEI_A, first)}{genuine}{record('3', IMEI_C, last)}</result>".encode()
    try:
        listed = parse_asked_orders(body, ["1", "2", "3"])
    except GSMFusionAPIError:
        return
    assert {order.code for order in listed if order.id == "2"} <= {"Model: genuine"}


def test_a_proxys_page_is_no_unreadable_list() -> None:
    """To ask for a shorter list would not help, so the error is another."""
    for body in (b"", b"<html><body>502</body></html>", b"<!doctype html><p>Just a moment", b"OK"):
        with pytest.raises(OutcomeUnknownError) as caught:
            parse_asked_orders(body, ["1", "2"])
        assert not isinstance(caught.value, UnreadableAnswerError)

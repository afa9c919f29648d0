"""The provider's bodies as captures, the manual and sister panels show them; all IMEIs are made up."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orders import Account, OrderStatus, PlacedOrder, PlacementAnswer
from provider import (
    GSMFusionAPIError,
    MaintenanceError,
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
from provider.body import UnreadableError, list_parts, read_root
from provider.xml import amount, read_orders, read_placement, read_plain_placement

IMEI_A, IMEI_B, IMEI_C = "350000000000014", "350000000000022", "350000000000030"
ORDER_A = f"<imeis><id>15562209</id><imei>{IMEI_A}</imei><status>Pending</status></imeis>"
ORDER_B = f"<imeis><id>15562210</id><imei>{IMEI_B}</imei><status>Pending</status></imeis>"
PLACED_A, PLACED_B = PlacedOrder("15562209", IMEI_A), PlacedOrder("15562210", IMEI_B)


@pytest.mark.parametrize(
    "body",
    [
        f"<result>{ORDER_A}</result>",
        f"<response>{ORDER_A}</response>",
        f"<RESULT><IMEIS><ID>15562209</ID><IMEI> {IMEI_A}\n</IMEI></IMEIS></RESULT>",
        f'<?xml version="1.0" encoding="utf-8"?><result>{ORDER_A}</result>',
        f'<?phpxml version="1.0" encoding="utf-8"?><result>{ORDER_A}</result>',
        f'\ufeff<?xml version="1.0"?><result>{ORDER_A}</result>',
        f' \r\n<?xml version="1.0"?>\n<result>{ORDER_A}</result>\n\n',
        f"\ufeff <result>{ORDER_A}</result>",
        f'<?xml version="1.0" encoding="utf-16"?><result>{ORDER_A}</result>',
        f"<br />\n<b>Notice</b>:  Undefined index: x in <b>/a/b.php</b> on line <b>12</b><br />\n"
        f'<?phpxml version="1.0"?><result>{ORDER_A}</result>',
        f"<br />\n<b>Warning</b>: $a->b & c in <b>/a.php</b><br /><result>{ORDER_A}</result>",
        f"<result><message>AT&T & co&nbsp;&copy;</message>{ORDER_A}</result>",
        f"<result><message>a\x00b\x1b&#1;&#xFFFF;&#99999999;</message>{ORDER_A}</result>",
        f"<result><message>one<br>two<BR clear=all>three<br/>four</br><hr></message>{ORDER_A}</result>",
        f"<result><imeis><order><id>15562209</id><imei>{IMEI_A}</imei></order></imeis></result>",
        f"<result><imeis><imei><id>15562209</id><imei>{IMEI_A}</imei><status>1</status></imei></imeis></result>",
        f'<result xmlns="urn:x">{ORDER_A}</result>',
    ],
)
def test_an_order_is_read_from_every_body_that_can_be_repaired_without_guessing(body: str) -> None:
    assert parse_placement(body.encode()) == PlacementAnswer(orders=(PLACED_A,))


def test_latin_1_bytes_are_read_under_any_prolog() -> None:
    body = f'<?phpxml version="1.0" encoding="utf-8"?><result><m>caf\xe9 \x80</m>{ORDER_A}</result>'.encode("latin-1")
    assert parse_placement(body).orders == (PLACED_A,)
    assert parse_placement(b"\xef\xbb\xbf" + body).orders == (PLACED_A,)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " \n",
        "OK",
        f"<result>{ORDER_A}",
        f"<result>{ORDER_A}</resu",
        f"<result>{ORDER_A}</result><result>{ORDER_B}</result>",
        f"<x>{ORDER_B}</x><result>{ORDER_A}</result>",
        f"<!DOCTYPE result><result>{ORDER_A}</result>",
        f'<?xml version="1.0"?><!-- a --><!DOCTYPE r [<!ENTITY x "y">]><result>{ORDER_A}</result>',
        f'<br/><!DOCTYPE r [<!ENTITY x "y">]><result>&x;{ORDER_A}</result>',
        "<html><body>502 Bad Gateway</body></html>",
        "<!doctype html><html><body><h1>Just a moment</h1></body></html>",
        "<result/>",
        "<result>IMEI already exists!</result>",
        "<a>" * 60 + "</a>" * 60,
    ],
)
def test_everything_else_leaves_the_outcome_unknown(body: str) -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_placement(body.encode())


@pytest.mark.parametrize("cut", range(1, len(f"<result>{ORDER_A}{ORDER_B}</result>")))
def test_no_cut_answer_is_taken_for_a_whole_one(cut: int) -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_placement(f"<result>{ORDER_A}{ORDER_B}</result>".encode()[:cut])


@pytest.mark.parametrize(
    "junk", ["<br />\n<b>Fatal error</b>: timeout<br />", "<script>a</script>", "\nNotice: x", "<!--"]
)
def test_junk_behind_a_cut_answer_makes_it_no_whole_one(junk: str) -> None:
    whole = f"<result>{ORDER_A}{ORDER_B}</result>"
    assert parse_placement((whole + junk).encode()).orders == (PLACED_A, PLACED_B)
    for cut in range(1, len(whole)):
        with pytest.raises(OutcomeUnknownError):
            parse_placement((whole[:cut] + junk).encode())


def test_a_deeply_nested_body_is_refused_in_time() -> None:
    body = b"<imeis>" * 100_000 + b"</imeis>" * 100_000
    with pytest.raises(UnreadableError, match="deeply"):
        read_root(body)


def test_repeated_and_strung_together_orders_are_told_apart() -> None:
    strung = ORDER_A.removesuffix("</imeis>") + ORDER_B.removeprefix("<imeis>")
    for inner in (ORDER_A + ORDER_B, strung, f"<imeis>{ORDER_A}{ORDER_B}</imeis>"):
        assert parse_placement(f"<result>{inner}</result>".encode()).orders == (PLACED_A, PLACED_B)


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


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Invalid User!", RefusalKind.CREDENTIALS),
        ("INVALID API KEY!", RefusalKind.CREDENTIALS),
        ("API access to you is not allowed!", RefusalKind.CREDENTIALS),
        ("This user is not active", RefusalKind.CREDENTIALS),
        ("Invalid IP request![192.0.2.1]", RefusalKind.CREDENTIALS),
        ("Credit has been finished!", RefusalKind.CREDIT),
        ("Your Credits have been finished!", RefusalKind.CREDIT),
        ("Invalid value of Network Id!", RefusalKind.SERVICE),
        ("Invalid IMEI: 12345", RefusalKind.INVALID_IMEI),
        (" imei  already exists! ", RefusalKind.DUPLICATE),
        ("Invalid Order ID", RefusalKind.ORDER_ID),
        ("Something new", RefusalKind.UNKNOWN),
        ("Invalid User! Invalid IMEI: 1", RefusalKind.UNKNOWN),
    ],
)
@pytest.mark.parametrize("frame", ["{}", "<result>{}</result>", "<result><imeis>{}</imeis><imeis/></result>"])
def test_a_lone_error_is_classified_wherever_it_stands(text: str, kind: RefusalKind, frame: str) -> None:
    body = '<?phpxml version="1.0" encoding="utf-8"?>' + frame.format(f"<error>{text}</error>")
    with pytest.raises(RefusedError) as caught:
        parse_placement(body.encode())
    assert caught.value.kind is kind
    assert caught.value.raw == " ".join(text.split())
    assert caught.value.raw in str(caught.value)


def test_the_maintenance_text_is_certain_that_nothing_was_placed() -> None:
    with pytest.raises(MaintenanceError):
        parse_placement(b"<error>Website is in Maintenance, please try again later</error>")
    with pytest.raises(RefusedError):
        parse_placement(b"<r><error>Website is in maintenance</error><error>IMEI already exists!</error></r>")


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


def test_an_answer_without_services_or_credits_is_not_taken_for_an_empty_one() -> None:
    for parse in (parse_services, parse_account):
        with pytest.raises(OutcomeUnknownError):
            parse(b"<Packages/>")
        with pytest.raises(RefusedError):
            parse(b"<error>Invalid User!</error>")


def test_an_account_keeps_its_words() -> None:
    body = b"<Client><ClientCredits>$ 150.00 USD</ClientCredits></Client>"
    assert parse_account(body) == Account(150.0, "$ 150.00 USD")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.08", 0.08),
        ("$0.08", 0.08),
        ("0,08", 0.08),
        ("$ 150.00 USD", 150.0),
        ("USD 1,500.00", 1500.0),
        ("1.500,00 EUR", 1500.0),
        ("1,234,567", 1234567.0),
        ("12,5", 12.5),
        (".50", 0.5),
        ("$ -5.00", -5.0),
        ("-$5.00", -5.0),
        ("5", 5.0),
        ("1,234", None),
        ("1 500.00", None),
        ("10-20", None),
        ("5.00-", None),
        ("", None),
        ("free", None),
        ("9" * 400, None),
        ("1.2.3", None),
    ],
)
def test_an_amount_is_one_number_or_none(text: str, value: float | None) -> None:
    assert amount(text) == value


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


@given(
    st.lists(st.tuples(st.sampled_from(["1", "0", "15", " 7 "]), st.sampled_from(["353", " 354 ", ""])), max_size=4),
    st.sampled_from(["result", "response", "imeis", "error"]),
    st.sampled_from(["Pending", "pending", "", "Odd"]),
    st.sampled_from(["", " ", "odd", "<imei>355</imei>", "</result>", "<error>Invalid</error>"]),
)
def test_the_quick_way_reads_nothing_that_the_tolerant_way_reads_otherwise(records, tag, status, between):
    named = [f"<imeis><id>{i}</id><imei>{m}</imei><status>{status}</status></imeis>" for i, m in records]
    inner = between.join(named)
    raw = f"<{tag}>{inner}</{tag}>".encode()
    plain = read_plain_placement(raw)
    assert plain is None or plain == read_placement(read_root(raw))


@pytest.mark.parametrize("beginning", ["<![CDATA[", "<!--"])
def test_a_body_full_of_beginnings_that_never_end_is_refused_in_time(beginning: str) -> None:
    started = time.process_time()
    for body in (f"<result>{beginning * 100_000}", f"{beginning * 100_000}<result>{ORDER_A}</result>"):
        with pytest.raises(OutcomeUnknownError):
            parse_placement(body.encode())
    assert time.process_time() - started < 1


def test_an_order_in_a_comment_that_never_ends_is_not_placed() -> None:
    with pytest.raises(OutcomeUnknownError):
        parse_placement(f"<b>Notice</b> <!-- <result>{ORDER_A}</result>".encode())


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


def _listing(records: int) -> str:
    named = "<imeis><id>{0}</id><imei>{1}</imei><status>Completed</status><code>Carrier: Telefónica</code></imeis>\n"
    return "".join(named.format(number, 350000000000000 + number) for number in range(1, records + 1))


@given(length=st.integers(1, 3000), records=st.integers(1, 20), cut=st.integers(0, 2500))
def test_a_long_list_is_read_in_parts_as_it_is_read_whole(length: int, records: int, cut: int) -> None:
    """Also where it was cut off: then no part of it is believed."""
    whole = f'<?xml version="1.0"?>\n<result>{_listing(records)}</result>'.encode()
    body = whole[: len(whole) - cut]
    orders = []
    try:
        for part in list_parts(body, length):
            orders += read_orders(read_root(part))
    except UnreadableError:
        assert cut
        return
    assert not cut or not body
    assert orders == read_orders(read_root(whole))


@pytest.mark.parametrize(
    "body",
    [
        f"<result><imeis>{'<order><id>7</id><imei>350000000000014</imei></order>' * 3}</imeis></result>",
        f"<result><imeis>{_listing(3)}</imeis></result>",
        f"<RESULT>{_listing(3).upper()}</RESULT>",
        f"<br />notice<result>{_listing(3)}</result>",
    ],
)
def test_a_list_of_another_shape_is_read_too(body: str) -> None:
    whole = read_orders(read_root(body.encode()))
    assert [order for part in list_parts(body.encode(), 10) for order in read_orders(read_root(part))] == whole
    assert len(whole) == 3


def test_an_imei_that_one_part_of_a_list_names_without_an_order_may_have_one_in_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nameless = ORDER_A.replace("15562209", "0")
    body = f"<result>{nameless}{_listing(40)}{ORDER_A}</result>".encode()
    whole = parse_recent_orders(body)
    monkeypatch.setattr("provider.answers.list_parts", lambda raw: list_parts(raw, 300))
    assert len(list(list_parts(body, 300))) > 5
    assert parse_recent_orders(body) == whole
    assert all(order.id for order in whole)


def test_a_part_that_holds_an_error_only_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    odd = f"<imeis><imei>{IMEI_A}</imei><error>Invalid Order ID</error></imeis>"
    body = f"<result>{odd * 8}{_listing(9)}</result>".encode()
    monkeypatch.setattr("provider.answers.list_parts", lambda raw: list_parts(raw, 300))
    assert [order.id for order in parse_recent_orders(body) if order.id] == [str(n) for n in range(1, 10)]


#: Bodies of kinds that providers of this family really send, with what they say.
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "cases_xml.json").read_text(encoding="utf-8"))


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


def test_no_imei_found_is_no_proof_that_nothing_was_placed() -> None:
    body = b"<error>No IMEI Found</error>"
    for parse in (parse_recent_orders, lambda raw: parse_asked_orders(raw, ["1", "2"])):
        with pytest.raises(RefusedError) as caught:
            parse(body)
        assert caught.value.kind is RefusalKind.ORDER_ID


def test_a_proxys_page_is_no_unreadable_list() -> None:
    """To ask for a shorter list would not help, so the error is another."""
    for body in (b"", b"<html><body>502</body></html>", b"<!doctype html><p>Just a moment", b"OK"):
        with pytest.raises(OutcomeUnknownError) as caught:
            parse_asked_orders(body, ["1", "2"])
        assert not isinstance(caught.value, UnreadableAnswerError)


HEAVY = """
import sys, time
from pathlib import Path
import provider
shape = sys.argv[1]
body = {
    "elements": b"<result>" + b"<a/>" * 10_000_000 + b"</result>",
    "records": b"<result>" + b"<imeis></imeis>" * 2_700_000 + b"</result>",
    "orders": b"<result>" + b"<imeis><id>1</id></imeis>" * 1_600_000 + b"</result>",
    "depth": b"<a>" * 13_000_000,
    "text": b"<result><imeis><code>" + b"<b>" * 13_000_000 + b"</code></imeis></result>",
}[shape]
started = time.process_time()
for parse in (provider.parse_recent_orders, provider.parse_services, provider.parse_placement):
    try:
        parse(body)
    except provider.GSMFusionAPIError:
        pass
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
print(time.process_time() - started, int(peak) / 1024)
"""


@pytest.mark.parametrize("shape", ["elements", "records", "orders", "depth", "text"])
def test_forty_megabytes_of_elements_are_refused_in_little_memory(shape: str) -> None:
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", HEAVY, shape], cwd=root, capture_output=True, text=True, check=True)
    seconds, megabytes = map(float, run.stdout.split())
    assert megabytes < 300
    assert seconds < 10

"""Bodies as the provider sends them: repaired without guessing, or refused; long lists are read in parts."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provider_answers import IMEI_A, ORDER_A, ORDER_B, PLACED_A, PLACED_B

from orders import PlacementAnswer
from provider import (
    OutcomeUnknownError,
    parse_placement,
    parse_recent_orders,
)
from provider.body import UnreadableError, list_parts, read_root
from provider.xml import read_orders


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
    nameless = f"<imeis><imei>{IMEI_A}</imei></imeis>"
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


def test_a_refusal_in_json_has_no_half_of_a_sign() -> None:
    """No database can read it: the page of a batch could not be shown, and a server recorded no answer behind it."""
    assert read_root(rb'{"ERROR":[{"MESSAGE":"Out of stock \ud83d"}]}').text == "Out of stock  "
    assert read_root(rb'{"ERROR":[{"MESSAGE":"Out of stock \ud83d\udd25"}]}').text == "Out of stock \U0001f525"

"""An error text of the provider says what failed, and whether something may be placed."""

import pytest

from provider import (
    MaintenanceError,
    RefusalKind,
    RefusedError,
    parse_asked_orders,
    parse_placement,
    parse_recent_orders,
)


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


def test_no_imei_found_is_no_proof_that_nothing_was_placed() -> None:
    body = b"<error>No IMEI Found</error>"
    for parse in (parse_recent_orders, lambda raw: parse_asked_orders(raw, ["1", "2"])):
        with pytest.raises(RefusedError) as caught:
            parse(body)
        assert caught.value.kind is RefusalKind.ORDER_ID

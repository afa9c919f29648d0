"""Which IMEI a text of the provider's list may mean."""

import pytest
from handmade_calls import listed

from submission.listed_imeis import MaskedOrders, bodies, may_be_part, may_name, shown_places

IMEI = "353370080000001"


@pytest.mark.parametrize(
    "shown",
    [
        "353370080000001",
        "35-337008-000000-1",
        "35337008000000",
        "3533700800000017",
        "353370*****0001",
        "35337008xxxxxxx",
    ],
)
def test_a_listed_imei_may_be_written_whole_shortened_or_masked(shown: str) -> None:
    assert may_name(shown, IMEI)


@pytest.mark.parametrize(
    "shown", ["", "353370080000002", "3533700800000", "353371*****0001", "35337**********", "x" * 15]
)
def test_another_imei_or_too_few_digits_name_nothing(shown: str) -> None:
    assert not may_name(shown, IMEI)


def test_a_first_zero_that_is_lost_is_no_other_imei() -> None:
    assert may_name("10000000000009", "010000000000009")


@pytest.mark.parametrize("shown", ["353370*****0001", "35337008xxxxxxx", "******080000001", "353370-*****-0001"])
def test_masked_orders_are_found_by_the_digits_that_they_show(shown: str) -> None:
    orders = MaskedOrders([listed("7", shown), listed("8", "353371*****0001"), listed("9", IMEI), listed("10", "")])
    assert [order.id for order in orders.of(IMEI)] == ["7"]
    assert orders.of("3533700800000") == []


@pytest.mark.parametrize("text", ["", IMEI, IMEI[:14], "35337**********", "35337*****0001", "No IMEI"])
def test_a_text_that_is_whole_or_shows_too_little_is_no_mask(text: str) -> None:
    assert shown_places(text) == ()


def test_a_text_in_digits_of_another_script_is_no_other_imei() -> None:
    """It cannot be compared, so that no IMEI counts as absent beside it."""
    assert bodies("٣" * 15) == set()
    assert bodies("353370080000011") == {"35337008000001"}


@pytest.mark.parametrize(
    ("shown", "meant"),
    [
        ("3533700800000", set()),  # too short
        ("35337008000000", {"35337008000000", "03533700800000"}),  # without check digit, or without a first zero
        ("353370080000001", {"35337008000000"}),
        ("3533700800000017", {"35337008000000"}),  # with a software version
        ("0353370080000001", {"03533700800000", "35337008000000"}),  # or an IMEI behind a zero
        ("35337008000000017", set()),  # too long
    ],
)
def test_a_listed_number_means_the_bodies_that_its_length_allows(shown: str, meant: set[str]) -> None:
    assert bodies(shown) == meant


@pytest.mark.parametrize(
    ("text", "is_part"),
    [
        ("3533700001", True),  # 353370...0001, whose points were taken for separators
        ("353370…0001", True),
        ("***********0001", True),
        ("3533700800000", True),  # without its end
        ("353370080000001 / 353370089999999", True),
        ("35337008000000101", True),
        ("3533...0002", False),
        ("3534…0001", False),
        ("*001", False),
        ("", False),
        ("35337108000000101", False),
        ("353370080000002", False),  # readable: of another IMEI, or with another check digit
    ],
)
def test_a_text_that_is_no_imei_may_show_a_part_of_one(text: str, is_part: bool) -> None:
    assert may_be_part(text, IMEI) is is_part


def test_a_part_of_an_imei_may_have_lost_two_zeros() -> None:
    assert may_be_part("4401234567890", "004401234567890")

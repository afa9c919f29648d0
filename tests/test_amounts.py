"""US dollars and counts as they are written, and dollars compared."""

import math

import pytest

from amounts import exceeds, money, plain_money, plural, read_dollars


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "$0.00"),
        (0.085, "$0.085"),
        (0.00005, "$0.0001"),
        (1234.5, "$1,234.50"),
        (1_000_000, "$1,000,000.00"),
        (-2.4, "-$2.40"),
    ],
)
def test_dollars_have_cents_and_more_decimals_only_where_they_are_needed(value: float | None, text: str) -> None:
    assert money(value) == text


def test_dollars_for_programs_are_decimal_numbers() -> None:
    assert [plain_money(value) for value in (0, 0.085, 1234.5, -2.4)] == ["0.00", "0.085", "1234.50", "-2.40"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("25", 25.0), (" $0.08 ", 0.08), ("1,250.50", 1250.5), ("$1,234,567", 1_234_567.0)),
        *((".5", 0.5), ("-1", -1.0)),
        *(("0,08", None), ("1,5", None), ("1,25", None), ("1,2345", None), ("1.250,00", None), (",250", None)),
        *(("1234,567", None), ("", None), ("$", None), ("many", None), ("nan", None), ("25 USD", None)),
    ],
)
def test_typed_dollars_are_read_and_a_comma_separates_only_thousands(text: str, value: float | None) -> None:
    assert math.isnan(read_dollars(text)) if value is None else read_dollars(text) == value


def test_a_count_is_written_with_its_noun() -> None:
    assert (plural(1, "IMEI"), plural(0, "IMEI"), plural(2000, "IMEI")) == ("1 IMEI", "0 IMEIs", "2,000 IMEIs")
    assert plural(2, "batch", "batches") == "2 batches"


def test_sums_of_prices_are_compared_without_the_error_of_floats() -> None:
    assert sum([0.1] * 3) > 0.3
    assert not exceeds(sum([0.1] * 3), 0.3)
    assert exceeds(0.3001, 0.3)

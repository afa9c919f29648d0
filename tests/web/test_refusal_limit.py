"""The number of refused requests that the audit log holds is limited by address, minute and day."""

from web.refusal_limit import DAY, MINUTE, OF_ADDRESS, OF_DAY, OF_MINUTE, OTHERS, RefusalLimit

NOON = 12 * 3600.0


def test_an_address_has_a_few_entries_a_minute_and_the_rest_is_counted() -> None:
    limit = RefusalLimit()
    assert [limit.admits("a", NOON) for _ in range(OF_ADDRESS + 3)] == [True] * OF_ADDRESS + [False] * 3
    assert limit.admits("b", NOON)
    assert limit.ended(NOON + MINUTE - 1) == {}
    assert limit.ended(NOON + MINUTE) == {"a": 3}
    assert limit.ended(NOON + MINUTE) == {}
    assert limit.admits("a", NOON + MINUTE)


def test_many_addresses_share_a_limit_and_one_count() -> None:
    limit = RefusalLimit()
    admitted = [limit.admits(f"address {n}", NOON) for n in range(1000)]
    assert sum(admitted) == OF_MINUTE
    assert limit.ended(NOON + MINUTE) == {OTHERS: 1000 - OF_MINUTE}


def test_a_flood_of_a_day_ends_at_the_limit_of_the_day() -> None:
    limit = RefusalLimit()
    admitted = sum(limit.admits(f"a{n % 7}", n / 2) for n in range(2 * DAY))
    assert admitted == OF_DAY
    assert limit.admits("a", DAY + 1.0)

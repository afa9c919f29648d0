"""Requests of a token are counted in windows of a minute."""

from api.rate_limit import REQUESTS, WINDOW, RateLimit


def test_a_window_begins_with_its_first_request_and_ends_after_a_minute() -> None:
    now = [1000.0]
    limit = RateLimit(lambda: now[0])
    last = [limit.count(1) for _ in range(REQUESTS)][-1]
    assert (last.left, last.headers()["RateLimit-Remaining"]) == (0, "0")
    assert "Retry-After" not in last.headers(), "it is answered"
    now[0] += WINDOW - 1
    one_more = limit.count(1)
    assert (one_more.left, one_more.headers()["Retry-After"]) == (-1, "1")
    assert limit.count(2).left == REQUESTS - 1
    now[0] += 1
    assert limit.count(1).left == REQUESTS - 1

"""Values of SQLite for PostgreSQL: what is taken, what is repaired, and what is refused."""

import math
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Column

from schema import api_tokens, audit_entries, items, orders, raw_answers, users
from storage.copied_values import conversion_of, fits

ORDER, USER = orders.c, users.c


@pytest.mark.parametrize(
    ("column", "value", "taken"),
    [
        (ORDER.id, 2**63 - 1, 2**63 - 1),
        (ORDER.credits, 3, 3),
        (ORDER.credits, 5e-324, 5e-324),
        (ORDER.credits, 1_000_000, 1_000_000),
        (ORDER.existed, 1, True),
        (ORDER.order_date, "2025-11-14 11:46:39.000001", datetime(2025, 11, 14, 11, 46, 39, 1)),
        (ORDER.order_date, "2025-11-14", datetime(2025, 11, 14)),
        (ORDER.notes, "a\0b\0", "a\ufffdb\ufffd"),
        (ORDER.model, "\\N \t\n\r \U0001f4f1", "\\N \t\n\r \U0001f4f1"),
        (raw_answers.c.content, b"\0\xff", b"\0\xff"),
        (ORDER.batch_id, None, None),
    ],
)
def test_a_value_is_read_as_the_program_reads_it_from_sqlite(column: Column[Any], value: object, taken: object) -> None:
    found = list(conversion_of(column)([None, value]))
    assert found == [None, taken]
    assert type(found[1]) is type(taken)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (ORDER.id, "7"),
        (ORDER.id, 7.5),
        (ORDER.credits, math.inf),
        (ORDER.credits, math.nan),
        (ORDER.credits, 1_000_000.01),
        (ORDER.credits, -(10**13)),
        (ORDER.credits, "0.08"),
        (ORDER.existed, 2),
        (ORDER.existed, "yes"),
        (ORDER.order_date, "yesterday"),
        (ORDER.order_date, "2025-11-14 11:46:39+01:00"),
        (ORDER.order_date, 1731584799),
        (ORDER.notes, b"bytes"),
        (ORDER.notes, 5),
        (ORDER.order_id, "1\0"),
        (USER.name, "anna\0"),
        (api_tokens.c.token_hash, "\0"),
        (items.c.imei, "\0"),
        (audit_entries.c.detail, "\0"),
        (raw_answers.c.content, "text"),
    ],
)
def test_a_value_that_would_be_another_one_is_refused(column: Column[Any], value: object) -> None:
    assert not fits(conversion_of(column), value)

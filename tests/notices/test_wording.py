"""Messages to people: plain sentences, with a link where the address of the app is known."""

from typing import Any

import pytest

from notices.wording import message
from storage.delivery_store import FOR_PEOPLE
from storage.outbox import EventKind

BATCH: dict[str, Any] = {
    "batch_id": 41,
    "name": "november.csv",
    "customer": "PO 7",
    "state": "complete",
    "reason": "The account has no credit left.",
    "total": 3000,
    "outcomes": {"ordered": 2998, "in_doubt": 2},
    "results": 2998,
    "verdicts": {"pass": 2000, "review": 900, "fail": 98, "pending": 0},
    "spent": "239.84",
    "at_stake": "0.16",
}
MONEY = {"balance": "3.50", "limit": "50.00", "summary": "2 orders differ.", "error": "The disk is full."}
COMPARED = {
    "run_id": 7,
    "batch_id": 42,
    "name": "Stock watch",
    "compared": 412,
    "changed": 3,
    "changes": {"Find My OFF → ON": 2, "Blacklist Clean → Blacklisted": 1},
}


@pytest.mark.parametrize(
    ("kind", "title", "words"),
    [
        (
            EventKind.BATCH_COMPLETE,
            "HAMMER-API: batch 41 is complete",
            "november.csv (PO 7): 2,998 results of 3,000 IMEIs, 2,000 pass, 900 review, 98 fail. Spent: $239.84.\n"
            "https://a.example/batches/41",
        ),
        (
            EventKind.BATCH_PAUSED,
            "HAMMER-API: batch 41 is paused",
            "november.csv (PO 7): 2,998 of 3,000 IMEIs ordered. The account has no credit left.\n"
            "https://a.example/batches/41",
        ),
        (
            EventKind.BATCH_IN_DOUBT,
            "HAMMER-API: 2 IMEIs of batch 41 in doubt",
            "november.csv (PO 7): They may have been charged ($0.16). The program asks the provider; the rest waits for"
            " you.\nhttps://a.example/batches/41/doubt",
        ),
        (
            EventKind.BALANCE_LOW,
            "HAMMER-API: the balance is low",
            "The account holds $3.50, which is less than $50.00.\nhttps://a.example/status",
        ),
        (
            EventKind.AUDIT_DIFFERS,
            "HAMMER-API: the audit found a difference",
            "2 orders differ.\nhttps://a.example/status",
        ),
        (
            EventKind.RECHECK_COMPARED,
            "HAMMER-API: 3 of 412 phones changed",
            "Stock watch, batch 42: 2 Find My OFF → ON, 1 Blacklist Clean → Blacklisted.\n"
            "https://a.example/automations/runs/7",
        ),
        (EventKind.BACKUP_FAILED, "HAMMER-API: a backup failed", "The disk is full.\nhttps://a.example/status"),
    ],
)
def test_a_message_says_what_happened_and_where_to_look(kind: EventKind, title: str, words: str) -> None:
    data = BATCH if "batch" in kind else COMPARED if kind is EventKind.RECHECK_COMPARED else MONEY
    assert message(kind, data, "https://a.example") == (title, words)
    assert message(kind, data, "")[1] == words.partition("\n")[0]


def test_each_event_for_people_has_its_words() -> None:
    assert all(message(kind, BATCH | MONEY | {**COMPARED, **BATCH}, "") for kind in FOR_PEOPLE)
    assert message(EventKind.BATCH_COMPLETE, BATCH | {"state": "stopped"}, "")[0].endswith("its results are complete")

"""The message to people about an event: a title and a few sentences, without a secret."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from amounts import plural
from storage.outbox import EventKind

Data = Mapping[str, Any]
Words = tuple[str, str]

#: Kinds of changes that a message names.
MOST_CHANGES = 6
TEST = ("HAMMER-API: test", "This is a test. Messages about batches, the balance, audits and backups come here.")


def message(kind: EventKind, data: Data, public_url: str) -> Words:
    """Return title and text; public_url is where people open this app, or "" where that is not known."""
    title, words = WORDINGS[kind](data)
    path = _path(kind, data)
    return f"HAMMER-API: {title}", f"{words}\n{public_url}{path}" if public_url else words


def _path(kind: EventKind, data: Data) -> str:
    if kind is EventKind.BATCH_IN_DOUBT:
        return f"/batches/{data['batch_id']}/doubt"
    if kind is EventKind.RECHECK_COMPARED:
        return f"/automations/runs/{data['run_id']}"
    return f"/batches/{data['batch_id']}" if "batch_id" in data else "/status"


def _batch_complete(data: Data) -> Words:
    verdicts = ", ".join(f"{data['verdicts'][word]:,} {word}" for word in ("pass", "review", "fail"))
    results = f"{plural(data['results'], 'result')} of {plural(data['total'], 'IMEI')}"
    state = "is stopped; its results are complete" if data["state"] == "stopped" else "is complete"
    return f"batch {data['batch_id']} {state}", f"{_name(data)}: {results}, {verdicts}. Spent: ${data['spent']}."


def _batch_paused(data: Data) -> Words:
    ordered = f"{data['outcomes']['ordered']:,} of {plural(data['total'], 'IMEI')} ordered"
    return f"batch {data['batch_id']} is paused", f"{_name(data)}: {ordered}. {data['reason']}"


def _batch_in_doubt(data: Data) -> Words:
    count = plural(data["outcomes"]["in_doubt"], "IMEI")
    words = f"They may have been charged (${data['at_stake']}). The program asks the provider; the rest waits for you."
    return f"{count} of batch {data['batch_id']} in doubt", f"{_name(data)}: {words}"


def _balance_low(data: Data) -> Words:
    return "the balance is low", f"The account holds ${data['balance']}, which is less than ${data['limit']}."


def _audit_differs(data: Data) -> Words:
    return "the audit found a difference", str(data["summary"])


def _recheck_compared(data: Data) -> Words:
    title = f"{data['changed']:,} of {plural(data['compared'], 'phone')} changed"
    changes = ", ".join(f"{count:,} {words}" for words, count in list(data["changes"].items())[:MOST_CHANGES])
    return title, f"{data['name']}, batch {data['batch_id']}: {changes or 'every result is as before'}."


def _backup_failed(data: Data) -> Words:
    return "a backup failed", str(data.get("error", ""))


def _name(data: Data) -> str:
    return f"{data['name']} ({data['customer']})" if data["customer"] else str(data["name"])


WORDINGS: Mapping[EventKind, Callable[[Data], Words]] = MappingProxyType(
    {
        EventKind.BATCH_COMPLETE: _batch_complete,
        EventKind.BATCH_PAUSED: _batch_paused,
        EventKind.BATCH_IN_DOUBT: _batch_in_doubt,
        EventKind.BALANCE_LOW: _balance_low,
        EventKind.AUDIT_DIFFERS: _audit_differs,
        EventKind.RECHECK_COMPARED: _recheck_compared,
        EventKind.BACKUP_FAILED: _backup_failed,
    }
)

"""The chain of the audit log: how the digest of an entry is made, and the check of all entries from the first.

Each entry carries the digest of the entry before it. A digest is the SHA-256, in hexadecimal, of one JSON object in
UTF-8 with the members action, actor, address, at, detail, id, previous, request_id and subject: sorted by name, without
blanks, with no escapes but those that JSON demands (RFC 8785). Every member is the text of its column; only id is a
number. The previous digest of entry 1 is 64 zeros. A person with write access to the file can compute a new chain, so
digests that were noted elsewhere (in the log output, a backup, an export) are compared as well.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, func, select

from database import IMEIDatabase, utc_now
from schema import audit_entries

#: The previous digest of the first entry.
GENESIS = "0" * 64
#: Entries that are read at once: the check needs the same memory for any number of them.
READ_AT_ONCE = 5000
#: The setting that holds the last entry of the newest check without a fault.
VERIFIED = "audit_log_verified"
NEWEST = select(func.coalesce(func.max(audit_entries.c.id), 0))
REPLACED = "Entry {} is not the entry that was noted before: it was replaced with all that follow."
MEMBERS = tuple(sorted(column.name for column in audit_entries.c if column.name != "digest"))
ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class Link(NamedTuple):
    """One entry by its number and digest."""

    number: int
    digest: str


#: Where the chain begins.
START = Link(0, GENESIS)


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What a check of the chain found."""

    checked: int  #: entries that are in order
    last: Link  #: the last of them
    broken: int | None = None  #: the number of the first entry that is not in order
    problem: str = ""  #: what is wrong with it, as a sentence


@dataclass(frozen=True, slots=True)
class Verified:
    """The newest check without a fault."""

    last: Link
    at: datetime  #: UTC


def digest_of(values: Mapping[str, Any]) -> str:
    """Return the digest of an entry with these values by the names of the columns."""
    canonical = ENCODER.encode({name: values[name] for name in MEMBERS})
    return hashlib.sha256(canonical.encode()).hexdigest()


def verify(database: IMEIDatabase, start: Link = START, noted: Sequence[Link] = ()) -> ChainReport:
    """Check the entries after start, up to the first fault. noted: entries that are known from elsewhere.

    Entries that are appended meanwhile are left to the next check.
    """
    with database.read() as connection:
        top = connection.execute(NEWEST).scalar_one()
        given = connection.execute(select(func.newest_number())).scalar() or 0
        digest = connection.execute(select(audit_entries.c.digest).where(audit_entries.c.id == start.number)).scalar()
    if digest not in (None, start.digest):
        return ChainReport(0, start, start.number, REPLACED.format(start.number))
    known, last, checked = dict(noted), start, 0
    while last.number < top:
        for row in _read(database, last.number, top):
            problem = _problem(row, last, known.get(row.id))
            if problem:
                return ChainReport(checked, last, last.number + 1 if row.id > last.number + 1 else row.id, problem)
            last, checked = Link(row.id, row.digest), checked + 1
    most = max(given, *known, start.number)
    if most > top:
        words = f"The end of the log was cut off: there was an entry {most}, and the last one is entry {top}."
        return ChainReport(checked, last, top + 1, words)
    return ChainReport(checked, last)


def newest(database: IMEIDatabase) -> int:
    """Return the number of the newest entry; 0 for an empty log."""
    with database.read() as connection:
        return int(connection.execute(NEWEST).scalar_one())


def remember(database: IMEIDatabase, last: Link) -> None:
    """Store the last entry of a check without a fault, for pages and for the next check."""
    database.set_setting(VERIFIED, json.dumps([*last, utc_now().isoformat()]))


def verified(database: IMEIDatabase) -> Verified | None:
    """Return the newest check without a fault; None before the first."""
    stored = database.get_setting(VERIFIED)
    if stored is None:
        return None
    number, digest, at = json.loads(stored)
    return Verified(Link(number, digest), datetime.fromisoformat(at))


def _read(database: IMEIDatabase, after: int, top: int) -> Sequence[Row[Any]]:
    entry = audit_entries.c
    query = select(audit_entries).where(entry.id > after, entry.id <= top).order_by(entry.id).limit(READ_AT_ONCE)
    with database.read() as connection:
        return connection.execute(query).all()


def _problem(row: Row[Any], before: Link, noted: str | None) -> str:
    """Return what is wrong with the entry after before, or ""."""
    if row.id != before.number + 1:
        missing = before.number + 1
        return f"Entries before entry {row.id} were removed, from entry {missing} on."
    if row.digest != digest_of(row._asdict()):
        return f"Entry {row.id} was changed: its digest does not fit."
    if row.previous != before.digest:
        return f"Entry {row.id} does not continue entry {before.number}: one of them was replaced."
    if noted not in (None, row.digest):
        return REPLACED.format(row.id)
    return ""

"""The audit log on disk: append an entry, and read entries for pages, files and the command line.

Triggers of the table refuse to change, remove, replace or insert entries anywhere but at the end. They do not hold
against a person who drops them or edits the file: that shows in the chain (audit_chain.py). What the program does by
itself, such as the pause of a stop-loss, is no entry: the batch has the reason.

This module must not know HTTP, and not what an action means: an action is a word such as "batch.pause", its group the
part before the dot.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, insert, or_, select

from database import IMEIDatabase, Transaction, utc_now
from schema import audit_entries
from storage.audit_chain import GENESIS, Link, digest_of
from storage.order_counts import Count

#: Most signs of one column, and of one text among the details; most values of one list and members of the details.
LONGEST, LONGEST_TEXT, MOST_VALUES, MOST_MEMBERS = 200, 300, 8, 16
#: Signs of the line of an entry that is not stored.
LONGEST_LINE = 2000
#: Entries that match a filter are counted up to this number.
COUNTED = 10_000
#: Entries that are read at once for a file.
READ_AT_ONCE = 1000
#: The action of a request that was refused, or that failed, ends with one of these.
REFUSED, FAILED = ".refused", ".failed"
#: Parts of names whose values never enter the log.
SECRET_NAMES = ("password", "secret", "token", "api_key", "code", "authorization", "cookie", "url")
_LAST_DIGEST = select(audit_entries.c.digest).order_by(audit_entries.c.id.desc()).limit(1)
#: The escape of NUL in JSON, and what is written in its place.
ESCAPED_NUL = ("\\u0000", "\\0")
NEWEST = select(func.newest_number(), _LAST_DIGEST.scalar_subquery())
INSERT = insert(audit_entries)


def moment() -> str:
    """Return the time now as an entry holds it: UTC, ISO 8601 with microseconds."""
    return f"{utc_now().isoformat(timespec='microseconds')}Z"


@dataclass(frozen=True, slots=True)
class NewEntry:
    """What is about to be recorded."""

    actor: str
    address: str  #: of the client; "local" for the command line
    action: str
    subject: str = ""  #: what it was done to, such as "batch 12"
    detail: Mapping[str, object] = field(default_factory=dict)  #: small: no secret, no list of IMEIs
    request_id: str = ""
    at: str = field(default_factory=moment)

    @property
    def line(self) -> str:
        """The entry as a line of the log output, as long as it has no number."""
        words = f"{self.at} {self.actor} from {self.address}: {self.action} {self.subject} "
        return clean(words + _written_detail(self.detail), LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry of the log."""

    number: int
    at: str  #: UTC, ISO 8601 with microseconds
    actor: str
    address: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    request_id: str
    link: Link  #: its number and digest
    previous: str  #: the digest of the entry before it

    @classmethod
    def from_row(cls, row: Row[Any]) -> "AuditEntry":
        """Return the entry of a row."""
        values = row._asdict()
        number, digest = values.pop("id"), values.pop("digest")
        return cls(**values | {"detail": _read_detail(row.detail)}, number=number, link=Link(number, digest))

    @property
    def fields(self) -> dict[str, Any]:
        """The entry as fields of a log in JSON."""
        names = ("number", "at", "actor", "address", "action", "subject", "detail", "request_id")
        return {name: getattr(self, name) for name in names} | {"digest": self.link.digest}

    @property
    def written_detail(self) -> str:
        """The details as the digest covers them."""
        return _as_json(self.detail)

    @property
    def line(self) -> str:
        """The entry as a line of the log output."""
        subject = f" {self.subject}" if self.subject else ""
        detail = self.written_detail if self.detail else ""
        request = f" request={self.request_id}" if self.request_id else ""
        return (
            f"{self.number} {self.at} {self.actor} from {self.address}: {self.action}{subject} {detail}".rstrip()
            + f"{request} digest={self.link.digest}"
        )


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are asked for; "" and None leave a condition out."""

    actor: str = ""
    action: str = ""  #: an action with those that were refused or failed, or a group
    subject: str = ""
    address: str = ""
    refused: bool = False  #: only what was refused or failed
    since: date | None = None
    until: date | None = None  #: the last day

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the conditions of a query."""
        entry = audit_entries.c
        same = ((entry.actor, self.actor), (entry.subject, self.subject), (entry.address, self.address))
        found: list[ColumnElement[bool]] = [column == wanted for column, wanted in same if wanted]
        if self.action:
            word = func.coalesce(entry.action, "")  # keeps SQLite from the index, after which it would sort all entries
            found.append(or_(word == self.action, and_(word >= f"{self.action}.", word <= f"{self.action}/")))
        if self.refused:
            found.append(or_(entry.action.endswith(REFUSED), entry.action.endswith(FAILED)))
        if self.since:
            found.append(entry.at >= self.since.isoformat())
        if self.until:
            found.append(entry.at < f"{self.until}~")  # behind every time of this day, which may be the last one
        return found


def append(connection: Transaction, new: NewEntry) -> AuditEntry:
    """Write one entry at the end of the chain, inside a transaction that may write (BEGIN IMMEDIATE)."""
    number, previous = connection.execute(NEWEST).one()
    values: dict[str, Any] = {name: clean(value) for name, value in asdict(new).items() if name != "detail"}
    values["detail"] = _written_detail(new.detail)
    values |= {"id": (number or 0) + 1, "previous": previous or GENESIS}
    values["digest"] = digest_of(values)
    connection.execute(INSERT, values)
    link = Link(values.pop("id"), values.pop("digest"))
    return AuditEntry(**values | {"detail": _read_detail(values["detail"])}, number=link.number, link=link)


def page(database: IMEIDatabase, chosen: AuditFilter, before: int | None, limit: int) -> list[AuditEntry]:
    """Return entries that match, newest first, older than the entry before (None: from the newest)."""
    conditions = chosen.conditions() + ([audit_entries.c.id < before] if before is not None else [])
    query = select(audit_entries).where(*conditions).order_by(audit_entries.c.id.desc()).limit(limit)
    with database.read() as connection:
        return [AuditEntry.from_row(row) for row in connection.execute(query)]


def walk(database: IMEIDatabase, chosen: AuditFilter, before: int | None = None) -> Iterator[AuditEntry]:
    """Yield all entries that match, older than before, newest first. No transaction stays open between them."""
    while found := page(database, chosen, before, READ_AT_ONCE):
        yield from found
        before = found[-1].number


def counted(database: IMEIDatabase, chosen: AuditFilter) -> Count:
    """Return how many entries match, counted up to COUNTED."""
    some = select(audit_entries.c.id).where(*chosen.conditions()).limit(COUNTED + 1).subquery()
    with database.read() as connection:
        found = connection.execute(select(func.count()).select_from(some)).scalar_one()
    return Count(min(found, COUNTED), is_all=found <= COUNTED)


def used(database: IMEIDatabase, column: str, limit: int) -> Sequence[str]:
    """Return the different values of the column actor or action, in order. Each is found by one step in the index."""
    found: list[str] = []
    wanted = audit_entries.c[column]
    following = select(func.min(wanted)).where(wanted > bindparam("after"))
    with database.read() as connection:
        while len(found) < limit:
            value = connection.execute(following, {"after": found[-1] if found else ""}).scalar()
            if value is None:
                break
            found.append(value)
    return found


def clean(value: object, longest: int = LONGEST) -> str:
    """Return a text without signs that would break a line, cut to its longest.

    The escape of NUL goes, too: a server may store a list that holds it in another way than the digest covers it.
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in str(value)).replace(*ESCAPED_NUL)
    return plain if len(plain) <= longest else f"{plain[: longest - 1]}…"


def _written_detail(detail: Mapping[str, object]) -> str:
    """Return the details as JSON: small, and without the values of names that sound like a secret."""
    kept = {clean(name, 40): _small(name, value) for name, value in [*detail.items()][:MOST_MEMBERS]}
    return _as_json(kept)


def _as_json(detail: Mapping[str, object]) -> str:
    return json.dumps(dict(detail), ensure_ascii=False, separators=(",", ":"))


def _small(name: str, value: object) -> object:
    if any(part in name.lower() for part in SECRET_NAMES):
        return "removed"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        more = [f"and {len(value) - MOST_VALUES:,} more"] if len(value) > MOST_VALUES else []
        return [clean(one, 60) for one in [*value][:MOST_VALUES]] + more
    return clean(value.isoformat() if isinstance(value, date | datetime) else value, LONGEST_TEXT)


def _read_detail(stored: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stored)
    return found

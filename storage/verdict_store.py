"""Verdicts on disk: versions of the rules, the grading of results, and counts by verdict.

Who writes a result writes `graded_values` with it, or calls `grade_rows` in the same transaction. This module decides
nothing: grading.grade does.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select

from database import IMEIDatabase, Transaction, utc_now
from grading import Findings, Rules, Verdict, VerdictCounts, grade, line_words, rules_from_json, rules_to_json
from orders import FINAL_STATUSES, OrderStatus
from schema import each_of, orders, rule_versions, sql
from storage import guards
from storage.rows import Order

#: What findings are made of, and what is stored of the grade.
GRADED = tuple(
    orders.c[name]
    for name in (
        "id", "status", "other_imei", "service_id", "service_name", "carrier", "model", "warranty", "simlock", "fmi",
        "blacklist", "result_code_display", "order_date", "batch_id", "verdict", "verdict_rule", "rules_version",
    )
)  # fmt: skip
NEWEST = select(rule_versions).order_by(rule_versions.c.id.desc()).limit(1)
WRITE = sql(
    "UPDATE orders SET verdict = given.verdict, verdict_rule = given.line, rules_version = given.version"
    " FROM rows(:rows AS id INTEGER, verdict TEXT, line INTEGER, version INTEGER) given WHERE orders.id = given.id"
)
RULES_REMEMBERED = 64


class RuleVersion(NamedTuple):
    """The rules as they were saved once."""

    version: int
    created_at: datetime  #: UTC
    rules: Rules
    author: str  #: who saved them; "" for the rules that a new database begins with


# Rules


def rules_in_force(connection: Connection) -> RuleVersion:
    """Return the newest version of the rules."""
    return _version(connection.execute(NEWEST).one())


def rule_version(connection: Connection, version: int) -> RuleVersion | None:
    """Return one version of the rules, or None for an unknown one."""
    row = connection.execute(select(rule_versions).where(rule_versions.c.id == version)).first()
    return None if row is None else _version(row)


class Decision(NamedTuple):
    """What gave an order its verdict."""

    words: str  #: of the rule
    saved_at: datetime  #: UTC: when these rules were saved


def decision(database: IMEIDatabase, order: Order) -> Decision | None:
    """Return what gave an order its verdict, or None where it has none."""
    if order.rules_version is None or order.verdict_rule is None:
        return None
    with database.read() as connection:
        version = rule_version(connection, order.rules_version)
    return version and Decision(line_words(version.rules, order.verdict_rule), version.created_at)


def rule_history(database: IMEIDatabase, limit: int) -> list[RuleVersion]:
    """Return the versions of the rules, newest first."""
    with database.read() as connection:
        newest = select(rule_versions).order_by(rule_versions.c.id.desc()).limit(limit)
        return [_version(row) for row in connection.execute(newest)]


def save_rules(database: IMEIDatabase, rules: Rules, author: str) -> RuleVersion | None:
    """Put rules in force as a new version; return None, and write nothing, where they are in force already."""
    with database.write() as connection:
        if rules_in_force(connection).rules == rules:
            return None
        values = {"rules": rules_to_json(rules), "author": author, "created_at": utc_now()}
        connection.execute(insert(rule_versions).values(**values))
        return rules_in_force(connection)


def _version(row: Row[Any]) -> RuleVersion:
    return RuleVersion(row.id, row.created_at, _read_rules(row.rules), row.author)


@lru_cache(RULES_REMEMBERED)
def _read_rules(stored: str) -> Rules:
    return rules_from_json(stored)


# Grading


def grade_rows(connection: Transaction, order_rows: Iterable[int | None]) -> frozenset[int]:
    """Write what the rules in force say about these orders (row ids). Return the batches whose verdicts changed.

    An order without a final status has no verdict.
    """
    wanted = [row for row in order_rows if row is not None]
    found: set[int] = set()
    for part in guards.parts(wanted):
        rows = connection.execute(select(*GRADED).where(orders.c.id.in_(part))).all()
        found |= write_grades(connection, rows, rules_in_force(connection), utc_now())
    return frozenset(found)


def grade_orders(connection: Transaction, order_ids: Sequence[str]) -> None:
    """Write what the rules in force say about the orders with these ids of the provider."""
    named = select(orders.c.id).where(orders.c.order_id.in_(each_of(order_ids)))
    grade_rows(connection, connection.execute(named).scalars())


def write_grades(
    connection: Transaction, rows: Sequence[Row[Any]], version: RuleVersion, now: datetime
) -> frozenset[int]:
    """Grade rows of the columns GRADED by these rules. Return the batches whose verdicts changed."""
    changed, batches = list[tuple[Any, ...]](), set[int]()
    for row in rows:
        new = _grade_of(row, version, now)
        if new != (row.verdict, row.verdict_rule, row.rules_version):
            changed.append((row.id, *new))
        if new[0] != row.verdict and row.batch_id:
            batches.add(row.batch_id)
    if changed:
        connection.execute(WRITE, {"rows": json.dumps(changed)})
    return frozenset(batches)


def graded_values(row: Row[Any], changed: dict[str, Any], version: RuleVersion, now: datetime) -> dict[str, Any]:
    """Return the columns of the grade, by these rules, of a row of the columns GRADED with some of them changed."""
    verdict, line, rules = _grade_of(SimpleNamespace(**row._asdict() | changed), version, now)
    return {"verdict": verdict, "verdict_rule": line, "rules_version": rules}


def _grade_of(row: Any, version: RuleVersion, now: datetime) -> tuple[str | None, int | None, int | None]:
    if row.status not in FINAL_STATUSES:
        return None, None, None
    verdict, rule = grade(findings_of(row, now), version.rules)
    return str(verdict), rule, version.version


def findings_of(row: Any, now: datetime) -> Findings:
    """Return what rules look at, of a row with the columns GRADED or an Order; now (UTC) gives the age."""
    return Findings(
        is_rejected=row.status == OrderStatus.REJECTED,
        is_about_another=bool(row.other_imei),
        service_id=row.service_id or "",
        service_name=row.service_name or "",
        carrier=row.carrier or "",
        model=row.model or "",
        warranty=row.warranty or "",
        simlock=row.simlock or "",
        fmi=row.fmi or "",
        blacklist=row.blacklist or "",
        text=row.result_code_display or "",
        age=None if row.order_date is None else (now - row.order_date).days,
    )


# Counts


def counts_of(by_verdict: dict[str, int]) -> VerdictCounts:
    """Return the counts of a dict of verdict, "" for none → orders."""
    passed, review, failed = (by_verdict.get(verdict, 0) for verdict in (Verdict.PASS, Verdict.REVIEW, Verdict.FAIL))
    return VerdictCounts(passed, review, failed, by_verdict.get("", 0))

"""What a list of rules would change: the newest results, graded by the rules in force and by others. Reads only."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select, union_all

from database import IMEIDatabase, utc_now
from grading import Rules, Verdict, grade, line_words
from orders import FINAL_STATUSES
from schema import orders
from storage.verdict_store import GRADED, findings_of, rules_in_force

#: Results that rules are tried on, and changed phones that are shown.
TRIED, SHOWN = 1000, 10
COLUMNS = (*GRADED, orders.c.order_id, orders.c.imei)


@dataclass(frozen=True, slots=True)
class ChangedPhone:
    """A result that would get another verdict."""

    order_id: str | None
    imei: str
    old: Verdict
    new: Verdict
    why: str  #: the line of the tried rules that decides, in words


@dataclass(frozen=True, slots=True)
class Trial:
    """What rules would change among the newest results."""

    tried: int
    moves: tuple[tuple[Verdict, Verdict, int], ...]  #: (verdict now, verdict then, results), the most first
    sample: tuple[ChangedPhone, ...]

    @property
    def changed(self) -> int:
        """How many results would get another verdict."""
        return sum(count for *_, count in self.moves)


def try_rules(database: IMEIDatabase, rules: Rules) -> Trial:
    """Return what these rules would change among the newest TRIED results."""
    now = utc_now()
    with database.read() as connection:
        in_force = rules_in_force(connection).rules
        rows = connection.execute(select(*COLUMNS).where(orders.c.id.in_(_newest())).order_by(orders.c.id.desc())).all()
    moves: Counter[tuple[Verdict, Verdict]] = Counter()
    sample: list[ChangedPhone] = []
    for row in rows:
        findings = findings_of(row, now)
        old, new = grade(findings, in_force), grade(findings, rules)
        if old.verdict != new.verdict:
            moves[old.verdict, new.verdict] += 1
            why = line_words(rules, new.rule)
            sample.append(ChangedPhone(row.order_id, row.imei, old.verdict, new.verdict, why))
    return Trial(len(rows), tuple((*move, count) for move, count in moves.most_common()), tuple(sample[:SHOWN]))


def _newest() -> Select[Any]:
    """Return the SELECT of the row ids of the newest results: those of each final status by its index."""
    ids = [
        select(orders.c.id).where(orders.c.status == status).order_by(orders.c.id.desc()).limit(TRIED).subquery()
        for status in sorted(FINAL_STATUSES)
    ]
    either = union_all(*(select(one.c.id) for one in ids)).subquery()
    return select(either.c.id).order_by(either.c.id.desc()).limit(TRIED)

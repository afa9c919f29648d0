"""The page of settings: grading rules, edited as one form without a script, tried, then saved as one version.

Every button of the form sends the whole list. Only "Save rules" writes, and only rules that were shown with what they
change: the form carries the fingerprint of the rules that were tried.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from flask import Blueprint, flash, render_template, request
from flask.typing import ResponseReturnValue

from backend import backend
from grading import (
    DEFAULT_RULES,
    MOST_RULES,
    Condition,
    Rule,
    RuleError,
    Rules,
    StopLoss,
    Verdict,
    checked_rule,
    read_stop_loss,
    rules_to_json,
)
from people import Role
from storage import order_queries, regrading, rule_trials, stop_loss, verdict_store
from web.access import allow, describe, record_nothing
from web.auth import current_user
from web.format import sentence
from web.redirects import go_to, refuse

blueprint = Blueprint("settings", __name__, url_prefix="/settings")

#: Versions of the rules that the page lists.
LISTED = 20
#: A place that no rule has.
NOWHERE = 10_000


@dataclass(frozen=True, slots=True)
class Line:
    """One rule as it was entered."""

    verdict: str = ""
    condition: str = ""
    value: str = ""
    service_id: str = ""
    objection: str = ""  #: why it is not valid


@dataclass(frozen=True, slots=True)
class Entered:
    """The rules as they were entered."""

    lines: tuple[Line, ...]
    rules: Rules  #: the valid ones
    objection: str = ""  #: why the list is not valid

    @property
    def is_valid(self) -> bool:
        """Whether the rules can be tried and saved."""
        return not self.objection and not any(line.objection for line in self.lines)


@blueprint.get("")
@allow(Role.ADMIN)
def show() -> str:
    """Show the settings."""
    return _page(_entered_as(_rules_in_force()))


@blueprint.post("/rules")
@allow(Role.ADMIN, "rules.change")
def edit() -> ResponseReturnValue:
    """Add, move or remove a rule of the form, show what the rules change, or save them."""
    action, _, place = request.form.get("action", "try").partition(":")
    lines = _edited(_lines(), action, int(place) if re.fullmatch(r"[0-9]{1,4}", place) else NOWHERE)
    entered = _entered_as(DEFAULT_RULES) if action == "default" else _read(lines, _services())
    if action != "save" or not entered.is_valid:
        record_nothing()
        return _page(entered, is_edited=True, checks=action != "add")
    if request.form.get("tried") != fingerprint(entered.rules):
        record_nothing()
        flash("The rules were not saved: look at what they change, then save them.", "warn")
        return _page(entered, is_edited=True)
    saved = verdict_store.save_rules(backend().database, entered.rules, current_user())
    if saved:
        describe("grading rules", version=saved.version, rules=len(saved.rules))
    else:
        record_nothing()
    words = f"Version {saved.version} is saved. Results are graded again in the background." if saved else ""
    flash(words or "These rules are in force already; nothing was changed.", "good" if saved else "message")
    return go_to("settings.show")


@blueprint.post("/stop-loss")
@allow(Role.ADMIN, "settings.change")
def save_stop_loss() -> ResponseReturnValue:
    """Store the limit at which a batch is paused, or turn it off."""
    try:
        wanted = read_stop_loss(request.form.get("percent", ""), request.form.get("first", ""))
    except RuleError as error:
        return refuse(f"The stop-loss was not changed: {error}", "settings.show", _anchor="stop-loss")
    before = stop_loss.stored(backend().database)
    stop_loss.save(backend().database, wanted)
    describe("stop-loss", old=before.sentence if before else "off", new=wanted.sentence if wanted else "off")
    flash(wanted.sentence if wanted else "The stop-loss is off.", "good")
    return go_to("settings.show")


def fingerprint(rules: Sequence[Rule]) -> str:
    """Return a name for exactly these rules."""
    return hashlib.sha256(rules_to_json(rules).encode()).hexdigest()


def _page(entered: Entered, is_edited: bool = False, checks: bool = True) -> str:
    """Return the page. checks: objections to single rules are shown."""
    database = backend().database
    tried = entered.is_valid and is_edited
    return render_template(
        "settings.html",
        entered=entered,
        checks=checks,
        is_edited=is_edited,
        trial=rule_trials.try_rules(database, entered.rules) if tried else None,
        fingerprint=fingerprint(entered.rules) if tried else "",
        verdicts=list(Verdict),
        conditions=list(Condition),
        services=_services(),
        versions=verdict_store.rule_history(database, LISTED),
        counts=order_queries.verdicts(database),
        regrade=regrading.progress(database),
        stop_loss=stop_loss.stored(database) or StopLoss(0, 0),
        most=MOST_RULES,
    )


def _rules_in_force() -> Rules:
    with backend().database.read() as connection:
        return verdict_store.rules_in_force(connection).rules


def _services() -> Mapping[str, str]:
    """Return service id → title of what can be ordered, and of what was."""
    listed = {service.package_id: service.title for service in backend().catalog.current().services}
    with backend().database.read() as connection:
        return dict(order_queries.ordered_services(connection)) | listed


def _entered_as(rules: Rules) -> Entered:
    lines = (Line(rule.verdict, rule.condition, rule.value, rule.service_id) for rule in rules)
    return Entered(tuple(lines), rules)


def _lines() -> list[Line]:
    """Return the rules of the form, one for each row."""
    fields = (request.form.getlist(name) for name in ("verdict", "condition", "value", "service"))
    return [Line(*(text.strip() for text in row)) for row in zip_longest(*fields, fillvalue="")]


def _edited(lines: list[Line], action: str, place: int) -> list[Line]:
    """Return the rules after a button of the form was pressed."""
    if action == "add":
        return [*lines, Line(Verdict.REVIEW)]
    if not place < len(lines):
        return lines
    if action == "remove":
        return lines[:place] + lines[place + 1 :]
    to = {"up": place - 1, "down": place + 1}.get(action, place)
    if 0 <= to < len(lines):
        lines[place], lines[to] = lines[to], lines[place]
    return lines


def _read(lines: Sequence[Line], services: Mapping[str, str]) -> Entered:
    """Return the rules of the lines, with an objection to each that is not valid."""
    read = [_read_line(line, services) for line in lines]
    rules = tuple(rule for _, rule in read if rule is not None)
    objection = f"A list holds at most {MOST_RULES} rules." if len(lines) > MOST_RULES else ""
    if len(set(rules)) < len(rules):
        objection = "Two rules are the same. Remove one of them."
    return Entered(tuple(line for line, _ in read), rules, objection)


def _read_line(line: Line, services: Mapping[str, str]) -> tuple[Line, Rule | None]:
    try:
        rule = checked_rule(line.verdict, line.condition, line.value, line.service_id)
        if line.service_id and line.service_id not in services:
            raise RuleError("choose a service id of the list, or leave it blank.")
    except RuleError as error:
        return replace(line, objection=sentence(str(error))), None
    return line, rule

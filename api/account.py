"""The account: services, balance, the state of the app, and the grading rules."""

from collections.abc import Mapping
from typing import Any

from flask import abort
from flask.typing import ResponseReturnValue
from marshmallow import fields, validate

from api.answers import AccountAnswer, HealthAnswer, ProviderAccountList, RulesAnswer, ServiceAnswer, ServiceList
from api.fields import FormSchema, Several, TextLine, Whole
from api.operations import operation, operations
from api.problems import Problem, ProblemKind
from backend import backend
from grading import MOST_RULES, Condition, Rule, RuleError, Verdict, checked_rule
from orders import ServiceInfo
from people import Role
from storage import batch_queries, verdict_store
from storage.verdict_store import RuleVersion
from web import UNHEALTHY, allow, current_actor, describe, health_report, lines_of, record_nothing

blueprint = operations("account", "Services, balance, state and grading rules.")


class RuleForm(FormSchema):
    """A grading rule."""

    verdict = fields.String(required=True, validate=validate.OneOf(list(map(str, Verdict))))
    condition = fields.String(required=True, validate=validate.OneOf(list(map(str, Condition))))
    value = TextLine(80, load_default="")
    service_id = TextLine(load_default="")


class RulesForm(FormSchema):
    """Grading rules. The first that fits decides."""

    version = Whole(required=True, metadata={"description": "The version that these rules replace."})
    rules = Several(fields.Nested(RuleForm), 0, MOST_RULES, required=True)


@operation(blueprint, "GET", "/services", ServiceList)
@allow(Role.VIEWER)
def services() -> Mapping[str, Any]:
    """List the services with their prices."""
    catalogue = backend().catalog.current()
    return {
        "services": catalogue.services,
        "refreshed_at": catalogue.refreshed_at or None,
        "is_outdated": catalogue.stale,
    }


@operation(blueprint, "GET", "/services/<service_id>", ServiceAnswer)
@allow(Role.VIEWER)
def service(service_id: str) -> ServiceInfo:
    """Show one service."""
    return backend().catalog.current().find(service_id) or abort(404, "The provider does not list this service.")


@operation(blueprint, "GET", "/account", AccountAnswer)
@allow(Role.VIEWER)
def account() -> Mapping[str, Any]:
    """Show the balance, what is promised, and what this token may do."""
    balance, actor = backend().account.current(), current_actor()
    with backend().database.read() as connection:
        today, promised = batch_queries.today(connection), batch_queries.promised(connection)
    return {
        "balance": balance.credits,
        "balance_at": balance.at or None,
        "is_outdated": balance.is_outdated,
        "promised": promised,
        "spent_today": today.spent,
        "orders_today": today.orders,
        "daily_budget": backend().daily_budget(),
        "daily_limit": actor.token_limit,
        "name": actor.name,
        "role": actor.role,
        "scopes": sorted(actor.scopes),
    }


@operation(blueprint, "GET", "/accounts", ProviderAccountList)
@allow(Role.VIEWER)
def accounts() -> Mapping[str, Any]:
    """List the accounts at the provider, with what each has and may spend."""
    return {"accounts": lines_of(backend())}


@operation(blueprint, "GET", "/health", HealthAnswer)
@allow(Role.VIEWER)
def health() -> ResponseReturnValue:
    """Show whether the app works. 503: it does not."""
    report = health_report(backend())
    if report["status"] == UNHEALTHY:
        abort(503, "The app is unhealthy: the database cannot be read.")
    return report


@operation(blueprint, "GET", "/rules", RulesAnswer)
@allow(Role.VIEWER)
def rules() -> RuleVersion:
    """Show the grading rules in force."""
    with backend().database.read() as connection:
        return verdict_store.rules_in_force(connection)


@operation(blueprint, "PUT", "/rules", RulesAnswer, takes=RulesForm, refusals=(409,))
@allow(Role.ADMIN, "rules.change")
def change_rules(form: Mapping[str, Any]) -> RuleVersion:
    """Replace the grading rules. All results are graded again in the background."""
    before = rules()
    if form["version"] != before.version:
        raise Problem(ProblemKind.NOT_POSSIBLE, f"Version {before.version} is in force. Read it, then try again.")
    saved = verdict_store.save_rules(backend().database, _checked(form["rules"]), current_actor().name)
    if saved is None:
        record_nothing()
        return before
    describe("grading rules", version=saved.version, rules=len(saved.rules))
    return saved


def _checked(given: list[dict[str, str]]) -> tuple[Rule, ...]:
    """Return the rules of a form. Raises Problem for those that are not valid."""
    found, errors = list[Rule](), []
    for place, line in enumerate(given):
        try:
            found.append(checked_rule(**line))
        except RuleError as error:
            errors.append({"detail": str(error), "pointer": f"#/rules/{place}"})
    if errors:
        raise Problem(ProblemKind.INVALID_REQUEST, "Some rules are not valid.", errors)
    return tuple(found)

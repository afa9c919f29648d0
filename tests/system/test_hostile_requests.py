"""Hostile requests to every route: none fails, tells about the machine, runs what it is sent, or changes a row.

The route is the seed of its requests. Slow and malformed requests on a real socket are in test_hostile_sockets.py.
"""

import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote_from_bytes

import pytest
from flask.testing import FlaskClient
from hostile_requests import (
    FOR_ADMINS,
    HEADERS,
    HOSTILE,
    JSONS,
    METHODS,
    NOWHERE,
    TYPES,
    House,
    Judge,
    SpiedFields,
    make_house,
)
from simulated_provider import imeis
from werkzeug.routing import Rule

from api import rate_limit
from database import IMEIDatabase
from people import Role
from settings import Settings
from storage import batch_doubt
from web.access import ATTRIBUTE, Permission

#: Requests of each kind to each route and method.
PATHS, QUERIES, FORMS, BODIES, OTHERS = 6, 5, 8, 4, 2
ORDERED = ("batches", "chunks", "items", "outbox_events", "scans", "uploads", "idempotency_keys")
IMPORTED = ("import_changes", "import_history", "orders", "rejections", "result_changes", "tac_models")
TAGGED = ("batch_tags", "order_tags", "tags")
#: Endpoint → tables that an accepted request of an admin may change. Some do what they do without any field.
CHANGES = MappingProxyType(
    {
        "account.end": ("sessions",),
        "api_batches.create": ORDERED,
        "api_batches.pause": ("batches", "outbox_events"),
        "api_batches.rename": ("batches",),
        "api_batches.resume": ("batches", "outbox_events"),
        "api_batches.resume_6": ("batches", "outbox_events"),
        "api_batches.stop": ("batches", "outbox_events"),
        "api_checks.create": ORDERED,
        "api_orders.search": ("saved_searches",),
        "audit_log.check": ("settings",),
        "automations.change": ("automations",),
        "automations.create": ("automations",),
        "automations.run": (*ORDERED, "automation_phones", "automation_runs", "automations"),
        "automations.trial": ("automation_runs",),
        "automations.turn_off": ("automations",),
        "automations.turn_on": ("automations",),
        "batches.rename": ("batches",),
        "batches.ask_for_results": ("settings",),
        "batches.cancel": ("batches", "outbox_events"),
        "batches.pause": ("batches", "outbox_events"),
        "batches.resume": ("batches", "outbox_events"),
        "column_choice.choose": ("preferences",),
        "customers.rename": ("batches", "customers"),
        "customers.set_default": ("customers",),
        "customers.use_default": ("uploads",),
        "disputes.change": ("dispute_events", "disputes"),
        "disputes.open_disputes": ("dispute_events", "disputes"),
        "disputes.open_of_order": ("dispute_events", "disputes"),
        "disputes.refund": ("dispute_events", "disputes"),
        "disputes.take_steps": ("dispute_events", "disputes"),
        "doubt.ask": ("settings",),
        "doubt.undo_not_placed": ("batches",),
        "imports.confirm": IMPORTED,
        "imports.undo": IMPORTED,
        "login.logout": ("sessions",),
        "models.forget": ("imported_models",),
        "models.import_list": ("imported_models",),
        "notices.add": ("webhooks",),
        "notices.change": ("webhooks",),
        "notices.delete": ("deliveries", "webhooks"),
        "notices.rotate": ("webhooks",),
        "notices.send_again": ("deliveries",),
        "notices.test_webhook": ("deliveries", "outbox_events"),
        "notices.turn_off": ("deliveries", "webhooks"),
        "notices.turn_on": ("deliveries", "webhooks"),
        "orders.preview_recheck": ("uploads",),
        "orders.sync_now": ("settings",),
        "overview.adopt_account": ("batches", "outbox_events", "settings"),
        "overview.backup": ("settings",),
        "overview.mark_favourite": ("settings",),
        "preview.confirm": ORDERED,
        "preview.options": ("uploads",),
        "preview.upload": ("uploads",),
        "refunds.record": ("dispute_events", "disputes"),
        "report_links.create": ("report_links",),
        "report_links.revoke": ("report_links",),
        "saved_filters.change": ("saved_filters",),
        "saved_filters.delete": ("saved_filters",),
        "saved_filters.save": ("saved_filters",),
        "scan.check": ORDERED,
        "scan.scan": ORDERED,
        "searches.order_missing": ("uploads",),
        "searches.save": ("saved_searches",),
        "second_factor.renew": ("recovery_codes",),
        "settings.save_stop_loss": ("settings",),
        "split.confirm": ORDERED,
        "submit.order": ORDERED,
        "submit.order_and_follow": ORDERED,
        "tags.delete": TAGGED,
        "tags.of_batch": TAGGED,
        "tags.of_order": TAGGED,
        "tags.of_rows": TAGGED,
        "tags.rename": TAGGED,
        "tokens.create": ("api_tokens",),
        "tokens.revoke": ("api_tokens",),
        "users.add": ("users",),
        "users.change": ("sessions", "users"),
        "users.end": ("sessions",),
        "users.password": ("sessions", "users"),
        "users.reset_factor": ("recovery_codes", "sessions", "users"),
        "users.turn_off": ("sessions", "users"),
        "users.turn_on": ("users",),
    }
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[House]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("house"), password_memory=8)
    shutil.copyfile(migrated, settings.database_path)
    with IMEIDatabase(settings.database_path) as database:
        made = make_house(settings, database)
        yield made
        made.app.extensions["stopping"].set()


@pytest.fixture
def judge(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    monkeypatch.setattr(rate_limit, "REQUESTS", 10**6)
    found = Judge(house)
    yield found
    found.check()


def changing(house: House) -> Iterator[tuple[Rule, str]]:
    """Every route and method that may change something."""
    for rule in house.rules():
        for method in sorted((rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}):
            yield rule, method


def encoded(pairs: list[tuple[str, bytes]]) -> str:
    return "&".join(f"{quote_from_bytes(name.encode())}={quote_from_bytes(value)}" for name, value in pairs)


def test_no_value_in_a_path_breaks_a_route(house: House, judge: Judge) -> None:
    admin = judge.browser("admin")
    for rule in (rule for rule in house.rules() if rule.arguments):
        chance = random.Random(rule.rule)
        for _ in range(PATHS):
            name, value = chance.choice(sorted(rule.arguments)), chance.choice(HOSTILE)
            quoted = quote_from_bytes(value, safe=chance.choice(("", "/", "/.%:;,")))
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                judge.ask(admin, method, house.path(rule, **{name: quoted}), headers=house.headers(rule))


def test_no_other_path_leads_anywhere(house: House, judge: Judge) -> None:
    for client in (judge.browser(""), judge.browser("admin")):
        for path in NOWHERE:
            answer = judge.ask(client, "GET", path)
            assert answer.status_code in (303, 308, 400, 401, 404), (path, answer.status_code)


def test_no_parameter_breaks_a_page(house: House, judge: Judge) -> None:
    admin = judge.browser("admin")
    for rule in (rule for rule in house.rules() if "GET" in (rule.methods or ())):
        chance, names = random.Random(rule.rule), {"x"}
        for _ in range(QUERIES):
            SpiedFields.read = set()
            pairs = [(name, chance.choice(HOSTILE)) for name in sorted(names) if chance.random() < 0.7]
            pairs += [(name, chance.choice(HOSTILE)) for name, _ in pairs if chance.random() < 0.1]
            judge.ask(admin, "GET", f"{house.path(rule)}?{encoded(pairs)}", headers=house.headers(rule))
            names |= SpiedFields.read


def test_no_form_breaks_a_page_and_what_it_changes_is_what_the_page_is_for(house: House, judge: Judge) -> None:
    for rule, method in changing(house):
        admin, chance, names = judge.browser("admin"), random.Random(rule.rule + method), {"x"}
        for _ in range(FORMS):
            SpiedFields.read, share = set(), chance.choice((0.2, 0.9))
            fields = [
                (name, chance.choice(HOSTILE) if chance.random() < share else house.fields.get(name, "1").encode())
                for name in sorted(names)
                if chance.random() < 0.9
            ]
            judge.ask(
                admin,
                method,
                house.path(rule),
                CHANGES.get(rule.endpoint, ()),
                data=encoded(fields),
                content_type="application/x-www-form-urlencoded",
                headers=house.headers(rule),
            )
            names |= SpiedFields.read


def test_no_body_of_another_kind_breaks_a_route(house: House, judge: Judge) -> None:
    for rule, method in changing(house):
        admin, chance = judge.browser("admin"), random.Random(rule.rule + method)
        for _ in range(BODIES):
            kind = TYPES[0] if rule.rule.startswith("/api/") and chance.random() < 0.8 else chance.choice(TYPES)
            body, may_change = chance.choice(JSONS), CHANGES.get(rule.endpoint, ())
            headers = house.headers(rule) | {"Content-Type": kind, "Idempotency-Key": f"{chance.random()}"}
            judge.ask(admin, method, house.path(rule), may_change, data=body, headers=headers)


def test_each_json_body_is_refused_by_the_api(house: House, judge: Judge) -> None:
    admin = judge.browser("admin")
    headers = {"Authorization": f"Bearer {house.tokens[Role.ADMIN]}", "Content-Type": "application/json"}
    for path in ("/api/v1/batches", "/api/v1/searches"):
        for body in JSONS:
            answer = judge.ask(admin, "POST", path, data=body, headers=headers)
            assert answer.status_code in (400, 413, 422), (path, body[:80])


def test_no_other_method_does_anything(house: House, judge: Judge) -> None:
    admin = judge.browser("admin")
    rules = house.rules()
    for rule in rules:
        served = {method for other in rules if other.rule == rule.rule for method in other.methods or ()}
        for method in random.Random(rule.rule).sample([method for method in METHODS if method not in served], OTHERS):
            answer = judge.ask(admin, method, house.path(rule), headers=house.headers(rule))
            assert answer.status_code in (403, 404, 405), (method, rule.rule, answer.status_code)


def test_a_file_name_leads_to_no_other_place(house: House, judge: Judge) -> None:
    admin = judge.browser("admin")
    for path, endpoint in (("/batch", "preview.upload"), ("/database/import", "imports.upload")):
        for value in (value for value in HOSTILE if len(value) < 5000):
            name = value.replace(b"\r\n", b"%0D%0A").replace(b'"', b"%22").replace(b"\n", b"%0A")
            body = (
                b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
                + name
                + b'"\r\n\r\nIMEI\r\n1\r\n--b--'
            )
            kind = "multipart/form-data; boundary=b"
            judge.ask(admin, "POST", path, CHANGES.get(endpoint, ()), data=body, content_type=kind)
    stray = [path for path in (house.folder / "uploads").rglob("*") if not re.fullmatch(r"[\w.-]{24,41}", path.name)]
    assert not stray
    assert not list(house.folder.parent.glob("*passwd*"))


def test_no_header_breaks_a_page(house: House, judge: Judge) -> None:
    for client in (judge.browser(""), judge.browser("admin")):
        for place, header in enumerate(HEADERS):
            for value in HOSTILE[place % 20 :: 20]:
                text = value.replace(b"\n", b"").replace(b"\r", b"").decode("latin-1")
                for path in ("/login", "/history", "/static/app.css"):
                    judge.ask(client, "GET", path, headers={header: text})
                judge.ask(client, "POST", "/login", headers={header: text}, base_url="https://localhost")


def declared(house: House, rule: Rule) -> Permission | None:
    found = getattr(house.app.view_functions[rule.endpoint], ATTRIBUTE, None)
    return found if isinstance(found, Permission) else None


def test_a_lower_role_changes_nothing_with_a_valid_form(house: House, judge: Judge) -> None:
    browsers: dict[Role, FlaskClient] = {role: judge.browser(role) for role in (Role.VIEWER, Role.OPERATOR)}
    for rule, method in changing(house):
        permission = declared(house, rule)
        for role, client in browsers.items():
            if permission and permission.role and not role.includes(permission.role):
                headers = house.headers(rule, role)
                answer = judge.ask(client, method, house.path(rule), data=house.fields, headers=headers)
                assert answer.status_code == 403, (role, method, rule.rule)


def test_a_form_of_another_site_changes_nothing(house: House, judge: Judge) -> None:
    """The browser sends the cookies of an admin, and the form has no token, or that of another session."""
    admin, other = judge.browser("admin"), judge.browser("other")
    for rule, method in changing(house):
        if rule.rule.startswith("/api/"):
            continue
        for token in ("", "x", other.environ_base["HTTP_X_CSRFTOKEN"]):
            admin.environ_base["HTTP_X_CSRFTOKEN"] = token
            answer = judge.ask(admin, method, house.path(rule), data=house.fields)
            assert answer.status_code in (400, 413), (method, rule.rule)


def test_the_folder_of_the_data_is_shown_to_admins_only(house: House, judge: Judge) -> None:
    for path in FOR_ADMINS:
        for name, is_shown in (("viewer", False), ("operator", False), ("admin", True)):
            page = judge.ask(judge.browser(name), "GET", path).text
            assert (str(house.folder) in page) == is_shown, (path, name)


# What belongs to others


def test_a_user_ends_no_session_of_another_user(house: House, judge: Judge) -> None:
    judge.browser("other")
    operator = judge.browser("operator")
    with house.database.read() as connection:
        query = "SELECT sessions.id FROM sessions JOIN users ON users.id = user_id WHERE name = 'other'"
        theirs = list(connection.exec_driver_sql(query).scalars())
    for session_id in theirs:
        judge.ask(operator, "POST", "/account/sessions", data={"session_id": session_id})
    admin = judge.browser("admin")
    viewer = house.people["viewer"].user_id
    for session_id in theirs:
        judge.ask(admin, "POST", f"/settings/users/{viewer}/sessions", data={"session_id": session_id})


def test_the_token_of_one_kind_of_file_opens_no_other_page(house: House, judge: Judge) -> None:
    admin, ids = judge.browser("admin"), house.ids
    for token in (ids["token"], ids["import_token"], ids["export_id"]):
        pages = {
            "preview": f"/batch/preview/{token}",
            "import": f"/database/import/{token}",
            "export": f"/exports/{token}",
        }
        opened = {name for name, path in pages.items() if judge.ask(admin, "GET", path).status_code == 200}
        assert opened == {{ids["token"]: "preview", ids["import_token"]: "import"}.get(token, "export")}


def test_an_imei_in_doubt_is_decided_only_on_the_page_of_its_batch(house: House, judge: Judge) -> None:
    operator, doubtful = judge.browser("operator"), int(house.ids["doubtful"])
    with house.database.read() as connection:
        theirs = batch_doubt.undecided_ids(connection, doubtful)
    assert theirs
    form = {"item_id": str(theirs[0]), "order_id": house.ids["order_id"], "sure": "1"}
    for action in ("not-placed", "placed", "undo"):
        judge.ask(operator, "POST", f"/batches/{house.ids['batch_id']}/doubt/{action}", data=form)


def test_scan_sessions_of_others_are_listed_for_admins_only(house: House, judge: Judge) -> None:
    assert "others-session" not in judge.ask(judge.browser("operator"), "GET", "/scan/sessions").text
    assert "others-session" in judge.ask(judge.browser("admin"), "GET", "/scan/sessions").text


def test_an_idempotency_key_of_another_token_gets_no_answer_of_its_batch(house: House, judge: Judge) -> None:
    client = judge.browser("")
    body = {"service_id": house.ids["service_id"], "imeis": imeis(1, first=900), "start": False}
    replies = []
    for role in (Role.OPERATOR, Role.ADMIN):
        headers = {"Authorization": f"Bearer {house.tokens[role]}", "Idempotency-Key": "the-same-key"}
        replies.append(judge.ask(client, "POST", "/api/v1/batches", ORDERED, json=body, headers=headers))
    assert replies[0].status_code == 201
    assert [reply.headers.get("Idempotent-Replayed") for reply in replies] == [None, None]

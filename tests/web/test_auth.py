"""Authentication: who may log in, who is slowed down, and the headers of each response."""

import time
from dataclasses import replace

import pytest
from flask import Flask
from flask.testing import FlaskClient
from local_provider import LocalProvider
from login_client import PASSWORD, code_of, expired_page_token, log_in, make_app, token_on
from werkzeug.middleware.proxy_fix import ProxyFix

import web_app
from access.logins import ATTACK, FREE_FAILURES, LONGEST_WAIT
from access.sessions import IDLE
from account.answerer import Questions
from database import IMEIDatabase
from orders import Account
from settings import Settings

FAR_AWAY = {"REMOTE_ADDR": "203.0.113.9"}


@pytest.fixture
def real(settings: Settings) -> Settings:
    return replace(settings, api_key="AAAA", username="someone", admin_password=PASSWORD)


@pytest.fixture
def app(real: Settings, database: IMEIDatabase) -> Flask:
    return make_app(real, database)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def test_a_stranger_sees_the_probe_and_static_files_and_is_asked_for_the_password_elsewhere(
    client: FlaskClient,
) -> None:
    assert client.get("/health").json == {"status": "healthy"}
    assert client.get("/static/nothing.css").status_code == 404
    for path, back in (("/history?q=1", "/login?next=/history?q%3D1"), ("/unknown", "/login?next=/unknown")):
        answer = client.get(path)
        assert (answer.status_code, answer.location) == (303, back)
    assert client.get("/").location == "/login"


def test_a_program_without_a_login_gets_401_as_json_and_no_redirect(client: FlaskClient) -> None:
    for path, headers in (
        ("/status.json", {}),
        ("/batches/1/events", {"Accept": "text/event-stream"}),
        ("/batches/1/events", {}),
        ("/batches/1/progress.json", {}),
        ("/history", {"Sec-Fetch-Mode": "cors"}),
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.json is not None
        assert answer.json["login"] == "/login"


def test_without_admin_password_real_credentials_serve_the_probe_and_an_explanation(
    real: Settings, database: IMEIDatabase
) -> None:
    client = make_app(replace(real, admin_password=""), database).test_client()
    assert client.get("/health").status_code == 200
    for path in ("/", "/login", "/history", "/unknown"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "ADMIN_PASSWORD" in answer.text
    assert client.post("/login", data={"username": "admin", "password": ""}).status_code == 503
    answer = client.get("/status.json")
    assert answer.status_code == 503
    assert "ADMIN_PASSWORD" in (answer.json or {})["error"]


def test_the_demo_on_loopback_needs_no_login(settings: Settings, database: IMEIDatabase) -> None:
    client = make_app(settings, database).test_client()
    assert client.get("/").text == "the dashboard"
    assert client.get("/login").location == "/"
    assert client.get("/", environ_overrides={"REMOTE_ADDR": "::1"}).text == "the dashboard"


def test_the_demo_is_closed_to_other_machines_until_it_has_a_password(
    settings: Settings, database: IMEIDatabase
) -> None:
    client = make_app(settings, database).test_client()
    assert client.get("/", environ_overrides=FAR_AWAY).status_code == 503
    assert client.get("/", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 503
    guarded = make_app(replace(settings, admin_password=PASSWORD), database).test_client()
    assert guarded.get("/", environ_overrides=FAR_AWAY).location == "/login"


@pytest.fixture
def whole_app(real: Settings, database: IMEIDatabase) -> Flask:
    questions = Questions(services=list, account=lambda: Account(None, ""))
    return web_app.create_app(real, database, LocalProvider(database, questions))


def addresses(app: Flask, method: str) -> list[str]:
    """Every address of the app that answers to method, with something in place of each variable."""
    adapter = app.url_map.bind("localhost")
    return [
        adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, 1), method=method)
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ())
    ]


def test_every_address_of_the_app_needs_a_login(whole_app: Flask) -> None:
    stranger = whole_app.test_client()
    pages = addresses(whole_app, "GET")
    assert len(pages) > 15
    for path in pages:
        if path not in ("/health", "/login", "/static/1", "/api/docs", "/api/v1/openapi.json", "/shared/1"):
            assert stranger.get(path).status_code in (303, 401), path
    for path in addresses(whole_app, "POST"):
        answer = stranger.post(path)
        assert (answer.status_code in (303, 401)) or path == "/login", path
        assert answer.location is None or answer.location.startswith("/login")


def test_every_form_of_the_app_wants_a_token(whole_app: Flask) -> None:
    client = whole_app.test_client()
    log_in(client)
    for path in addresses(whole_app, "POST"):
        answer = client.post(path, data={"imei": "353370080089458"})
        if path.startswith("/api/"):  # cookies count for nothing there
            assert answer.status_code == 401, path
            continue
        assert (answer.status_code, "nothing was changed" in answer.text.lower()) == (400, True), path
        assert answer.is_json == path.endswith(("-stream", ".json")), path


def test_a_stranger_at_the_demo_sees_nothing_of_what_is_inside(settings: Settings, database: IMEIDatabase) -> None:
    for closed in (settings, replace(settings, admin_password=PASSWORD)):
        client = web_app.create_app(closed, database).test_client()
        for answer in (
            client.get("/login", environ_overrides=FAR_AWAY),
            client.post("/login", environ_overrides=FAR_AWAY),
        ):
            assert answer.status_code in (200, 400, 503)
            assert ("<h1>" in answer.text, "<nav" in answer.text, "data-status-bar" in answer.text) == (
                True,
                False,
                False,
            )


def test_a_session_ends_after_twelve_idle_hours_and_a_page_keeps_it_alive(
    real: Settings, database: IMEIDatabase
) -> None:
    now = [time.time()]
    client = make_app(real, database, lambda: now[0]).test_client()
    log_in(client)
    for _ in range(2):
        now[0] += 8 * 3600
        assert client.get("/").status_code == 200
    now[0] += IDLE.total_seconds()
    assert client.get("/").status_code == 303


def test_what_an_open_tab_fetches_by_itself_does_not_keep_a_session_alive(
    real: Settings, database: IMEIDatabase
) -> None:
    now = [time.time()]
    client = make_app(real, database, lambda: now[0]).test_client()
    log_in(client)
    now[0] += 8 * 3600
    assert client.get("/status.json").status_code == 200
    now[0] += 5 * 3600
    assert client.get("/").status_code == 303


def test_a_new_password_ends_the_sessions_of_the_old_one(
    real: Settings, database: IMEIDatabase, client: FlaskClient
) -> None:
    log_in(client)
    cookie = client.get_cookie("hammer_session")
    assert cookie is not None
    for password, status in ((PASSWORD, 200), ("new", 303), ("new", 303)):
        again = make_app(replace(real, admin_password=password), database).test_client()
        again.set_cookie("hammer_session", cookie.value)
        assert again.get("/").status_code == status


def test_the_cookie_is_httponly_lax_and_secure_exactly_over_https(client: FlaskClient) -> None:
    plain = log_in(client).headers["Set-Cookie"]
    assert "HttpOnly" in plain
    assert "SameSite=Lax" in plain
    assert "Secure" not in plain
    over_tls = client.get("/login", base_url="https://elsewhere.example").headers["Set-Cookie"]
    assert "Secure" in over_tls


def test_over_https_the_names_of_cookies_bind_them_to_the_host(app: Flask, client: FlaskClient) -> None:
    app.config["PREFERRED_URL_SCHEME"] = "https"  # of the test client
    client.environ_base["HTTP_REFERER"] = "https://localhost/login"
    cookies = log_in(client).headers.getlist("Set-Cookie")
    assert {cookie.partition("=")[0] for cookie in cookies} == {"__Host-hammer_session", "__Host-hammer_form"}
    for cookie in cookies:
        parts = {part.strip().lower() for part in cookie.split(";")}
        assert {"secure", "httponly", "path=/", "samesite=lax"} <= parts
        assert "domain" not in cookie.lower()
    assert client.get("/").status_code == 200
    plain = app.test_client()
    plain.set_cookie("hammer_session", cookies[0].partition("=")[2].partition(";")[0])
    assert plain.get("/").status_code == 303, "a cookie of a plain name counts for nothing"


def test_a_login_takes_over_no_id_and_no_csrf_token_of_before(app: Flask, client: FlaskClient) -> None:
    client.set_cookie("hammer_session", "chosen-by-somebody-else")
    token = token_on(client)
    log_in(client)
    cookie = client.get_cookie("hammer_session")
    assert cookie
    assert cookie.value != "chosen-by-somebody-else"
    assert client.post("/spend", data={"imei": "1", "csrf_token": token}).status_code == 400
    form = {"username": "admin", "password": PASSWORD, "csrf_token": expired_page_token(client)}
    assert client.post("/login", data={**form, "code": code_of(app, "admin")}).status_code == 303
    before = app.test_client()
    before.set_cookie("hammer_session", cookie.value)
    assert before.get("/").status_code == 303, "a second login ends the first one"


def test_two_processes_share_one_secret_key_and_the_variable_wins(real: Settings, database: IMEIDatabase) -> None:
    first, second = make_app(real, database), make_app(real, database)
    assert first.secret_key == second.secret_key
    assert len(str(first.secret_key)) >= 32
    assert make_app(replace(real, secret_key="mine"), database).secret_key == "mine"


def test_a_form_without_a_token_does_nothing_and_says_so_in_plain_words(client: FlaskClient) -> None:
    log_in(client)
    answer = client.post("/spend", data={"imei": "1"})
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.text
    as_json = client.post("/spend", data={"imei": "1"}, headers={"Sec-Fetch-Mode": "cors"})
    assert (as_json.status_code, as_json.is_json) == (400, True)


def test_a_token_is_taken_from_the_form_or_the_header_and_only_with_its_own_session(
    app: Flask, client: FlaskClient
) -> None:
    log_in(client)
    token = expired_page_token(client)
    assert client.post("/spend", data={"imei": "1", "csrf_token": token}).text == "spent 1"
    assert client.post("/spend", data={"imei": "2"}, headers={"X-CSRFToken": token}).text == "spent 2"
    other = app.test_client()
    log_in(other)
    assert other.post("/spend", data={"imei": "3", "csrf_token": token}).status_code == 400


def test_the_demo_wants_tokens_as_well(settings: Settings, database: IMEIDatabase) -> None:
    assert make_app(settings, database).test_client().post("/spend", data={"imei": "1"}).status_code == 400


def test_every_answer_carries_the_headers(client: FlaskClient) -> None:
    for path in ("/login", "/", "/health", "/status.json", "/static/nothing.css"):
        headers = client.get(path).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert "Strict-Transport-Security" not in headers
    assert client.get("/").headers["Cache-Control"] == "no-store"
    assert "no-store" not in client.get("/static/nothing.css").headers.get("Cache-Control", "")


def test_https_is_insisted_on_where_it_was_used_also_behind_a_proxy(app: Flask, client: FlaskClient) -> None:
    assert "Strict-Transport-Security" in client.get("/", base_url="https://localhost").headers
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1)  # type: ignore[method-assign]
    assert "Strict-Transport-Security" in client.get("/", headers={"X-Forwarded-Proto": "https"}).headers


def test_guesses_after_the_fifth_wait_and_even_the_right_password_is_not_looked_at(client: FlaskClient) -> None:
    for _ in range(FREE_FAILURES):
        log_in(client, "wrong")
    answer = log_in(client)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= LONGEST_WAIT
    assert "Too many failed logins. Wait" in answer.text
    assert client.get("/").status_code == 303


def test_another_address_is_not_slowed_by_one_guesser(app: Flask, client: FlaskClient) -> None:
    for _ in range(FREE_FAILURES):
        log_in(client, "wrong")
    form = {"username": "admin", "password": PASSWORD, "csrf_token": token_on(client), "code": code_of(app, "admin")}
    assert client.post("/login", data=form, environ_overrides=FAR_AWAY).status_code == 303


def test_60_wrong_passwords_from_as_many_addresses_lock_nobody_out(client: FlaskClient) -> None:
    token = token_on(client)
    for number in range(ATTACK + 10):
        form = {"username": "admin", "password": "wrong", "csrf_token": token}
        away = {"REMOTE_ADDR": f"198.51.{number}.7"}
        assert client.post("/login", data=form, environ_overrides=away).status_code == 401 or number >= ATTACK - 1
    form = {"username": "admin", "password": PASSWORD, "csrf_token": token}
    assert client.post("/login", data=form, environ_overrides=FAR_AWAY).status_code == 303

"""Before Flask: which hosts are ours, and who a client is."""

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from web_client import Provider, make_app

from database import IMEIDatabase
from settings import Settings
from web.edge import Edge, is_loopback_host

FAR_AWAY = {"REMOTE_ADDR": "203.0.113.9"}
PROXY = {"REMOTE_ADDR": "10.0.0.5"}
Ask = Callable[[Settings], FlaskClient]


@pytest.fixture
def real(settings: Settings) -> Settings:
    return replace(settings, api_key="SECRET-KEY", username="someone", admin_password="hunter2hunter2")


@pytest.fixture
def ask(database: IMEIDatabase, provider: Provider) -> Ask:
    return lambda settings: make_app(settings, database, provider).test_client()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost:8000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("LOCALHOST", True),
        ("localhost.evil.example", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("", False),
    ],
)
def test_this_machine_is_told_from_others_by_its_names(host: str, expected: bool) -> None:
    assert is_loopback_host(host) == expected


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "a b", "[", "phones.example.com.evil.example"])
def test_a_host_that_nobody_named_is_refused_on_every_path(ask: Ask, settings: Settings, host: str) -> None:
    client = ask(replace(settings, trusted_hosts=("phones.example.com",)))
    for path in ("/", "/login", "/health", "/static/app.css", "/unknown"):
        answer = client.get(path, headers={"Host": host})
        assert (answer.status_code, "TRUSTED_HOSTS" in answer.text) == (400, True)


def test_named_hosts_and_those_below_a_dot_are_served(ask: Ask, real: Settings) -> None:
    client = ask(replace(real, trusted_hosts=("phones.example.com", ".example.org")))
    for host in ("phones.example.com", "PHONES.example.com:443", "a.example.org", "example.org", "localhost:8000"):
        assert client.get("/login", headers={"Host": host}).status_code == 200, host


def test_railways_probe_is_served_at_health_and_nowhere_else(ask: Ask, real: Settings) -> None:
    client = ask(real)
    probe = {"Host": "healthcheck.railway.app"}
    assert client.get("/health", headers=probe).status_code == 200
    assert client.get("/login", headers=probe).status_code == 400


@pytest.mark.parametrize(
    "header",
    ["X-Forwarded-For", "X-Real-IP", "Forwarded", "Via", "X-Forwarded-Host", "CF-Connecting-IP", "X-Client-IP"],
)
def test_the_demo_is_closed_to_whatever_came_through_a_proxy(ask: Ask, settings: Settings, header: str) -> None:
    assert ask(settings).get("/", headers={header: "127.0.0.1"}).status_code == 503


def test_the_demo_is_closed_to_other_names_and_machines(ask: Ask, settings: Settings) -> None:
    client = ask(replace(settings, trusted_hosts=("phones.example.com",)))
    assert client.get("/").status_code == 200
    assert client.get("/", headers={"Host": "phones.example.com"}).status_code == 503
    assert client.get("/", environ_overrides=FAR_AWAY).status_code == 503


def seen_through(settings: Settings, headers: dict[str, str], peer: str) -> tuple[str | None, str]:
    """The client's address and scheme, as a view sees them."""
    app = Flask("seen")
    app.add_url_rule("/", "seen", lambda: {"address": request.remote_addr, "scheme": request.scheme})
    app.wsgi_app = Edge(app.wsgi_app, settings)  # type: ignore[method-assign]
    found = app.test_client().get("/", headers=headers, environ_overrides={"REMOTE_ADDR": peer}).get_json()
    return found["address"], found["scheme"]


def test_on_railway_x_real_ip_is_the_client_and_what_a_client_forwards_is_not(settings: Settings) -> None:
    railway = replace(settings, on_railway=True)
    headers = {"X-Real-IP": "198.51.100.7", "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Proto": "https"}
    assert seen_through(railway, headers, "100.64.0.2") == ("198.51.100.7", "https")
    assert seen_through(railway, {"X-Forwarded-For": "1.2.3.4"}, "100.64.0.2") == ("100.64.0.2", "http")
    assert seen_through(railway, {"X-Real-IP": "nonsense"}, "100.64.0.2") == ("100.64.0.2", "http")


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("1.2.3.4, 198.51.100.7", "198.51.100.7"),
        ("1.2.3.4, 198.51.100.7, 10.0.0.9", "198.51.100.7"),
        ("nonsense", "10.0.0.5"),
        ("", "10.0.0.5"),
    ],
)
def test_of_a_trusted_proxy_the_last_hop_outside_is_the_client(settings: Settings, forwarded: str, client: str) -> None:
    behind = replace(settings, trusted_proxies=(ip_network("10.0.0.0/8"),))
    headers = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https", "X-Real-IP": "1.2.3.4"}
    assert seen_through(behind, headers, "10.0.0.5") == (client, "https")
    assert seen_through(behind, headers, "203.0.113.9") == ("203.0.113.9", "http")


def test_without_a_trusted_proxy_no_header_counts(settings: Settings) -> None:
    headers = {"X-Forwarded-For": "1.2.3.4", "X-Real-IP": "1.2.3.4", "X-Forwarded-Proto": "https"}
    assert seen_through(settings, headers, "203.0.113.9") == ("203.0.113.9", "http")

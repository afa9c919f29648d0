"""The server as people start it: the address it prints, what stops it, and what it leaves behind."""

import http.client
import importlib.util
import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from types import ModuleType

import pytest
from gunicorn_server import ROOT, ForkedGunicorn, Server, environ_of, execute_gunicorn
from waiting import PATIENCE, wait_until

from backend import STREAMS_PER_PROCESS
from settings import Settings
from web_worker import STREAM_THREADS


@contextmanager
def answering(running: Server) -> Iterator[Server]:
    """Wait for the first answer of a server, and leave nothing of it behind."""
    try:
        wait_until(running.answers, "the server answers")
        yield running
    finally:
        running.kill()


@pytest.fixture
def started(data_dir: Path, port: int) -> Iterator[Server]:
    """A server that is started as people start it."""
    with answering(Server(data_dir, port, execute_gunicorn)) as running:
        yield running


@pytest.fixture
def server(data_dir: Path, port: int) -> Iterator[Server]:
    with answering(Server(data_dir, port)) as running:
        yield running


def simulator_port(data_dir: Path) -> int:
    return int(json.loads((data_dir / "demo" / "simulator.json").read_text())["port"])


def is_closed(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_the_demo_prints_its_address_runs_and_ends_with_everything_it_started(started: Server, data_dir: Path) -> None:
    assert f"Open http://127.0.0.1:{started.port}" in started.log.read_text()
    assert started.get("/")[0] == 200
    wait_until(lambda: json.loads(started.get("/health")[1])["checks"]["runner"]["status"] == "alive", "a runner")
    assert re.search(r'^hammer_http_requests_total\{status="2xx"\} [1-9]', started.get("/metrics")[1], re.MULTILINE)
    provider = simulator_port(data_dir)
    started.process.terminate()
    assert started.process.wait(PATIENCE) == 0
    assert is_closed(started.port)
    assert is_closed(provider)
    assert "Traceback" not in started.log.read_text()


def test_a_killed_server_leaves_no_worker_and_no_provider_behind(server: Server, data_dir: Path) -> None:
    provider = simulator_port(data_dir)
    server.process.kill()
    server.process.wait(PATIENCE)
    wait_until(lambda: is_closed(server.port), "the workers are gone")
    wait_until(lambda: is_closed(provider), "the provider is gone")


def test_an_open_stream_does_not_hold_up_the_end(data_dir: Path, port: int, paused_batch: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with answering(Server(data_dir, port)) as running, closing(connection):
        connection.request("GET", f"/batches/{paused_batch}/events", headers={"Accept": "text/event-stream"})
        stream = connection.getresponse()
        assert stream.status == 200
        assert stream.readline()
        began = time.monotonic()
        running.process.terminate()
        stream.read()
        assert running.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("LOG_LEVEL", "LOUD"), ("WEB_CONCURRENCY", "0"), ("GSM_FUSION_API_KEY", "k")],
)
def test_a_wrong_variable_stops_the_start_with_one_sentence(data_dir: Path, name: str, value: str) -> None:
    log = data_dir / "server.log"
    assert ForkedGunicorn(environ_of(data_dir, **{name: value}), log).wait(PATIENCE) != 0
    assert log.read_text().startswith("HAMMER-API cannot start. ")
    assert log.read_text().count("\n") == 1


@pytest.mark.parametrize(
    "address", ["postgresql://hammer@127.0.0.1:1/hammer", "postgresql://hammer@127.0.0.1:x/hammer"]
)
def test_a_database_that_cannot_be_used_ends_the_server_with_one_sentence(
    data_dir: Path, port: int, address: str
) -> None:
    """It does not try again and again: what supervises it does, and says so."""
    log = data_dir / "server.log"
    assert ForkedGunicorn(environ_of(data_dir, PORT=str(port), DATABASE_URL=address), log).wait(PATIENCE) != 0
    assert "HAMMER-API cannot start. " in log.read_text()
    assert log.read_text().count("Booting worker") <= 2


def load_config(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]) -> ModuleType:
    """gunicorn.conf.py as gunicorn reads it, in this environment."""
    for name in [name for name in os.environ if name.startswith(("GSM_", "RAILWAY_", "PORT"))]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    spec = importlib.util.spec_from_file_location("conf", ROOT / "gunicorn.conf.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    umask = os.umask(0)
    try:
        spec.loader.exec_module(module)
    finally:
        os.umask(umask)
    return module


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> ModuleType:
    return load_config(monkeypatch, environ_of(data_dir))


def test_the_demo_and_a_desk_listen_on_loopback_only(conf: ModuleType, settings: Settings) -> None:
    real = replace(settings, api_key="k", username="u", port=9)
    near, far = (ip_network(network) for network in ("127.0.0.1", "10.0.0.0/8"))
    assert conf.bind_address(settings) == "127.0.0.1:8000"
    assert conf.bind_address(real) == "127.0.0.1:9"
    assert conf.bind_address(replace(real, trusted_proxies=(near,))) == "127.0.0.1:9"
    assert conf.bind_address(replace(real, trusted_proxies=(far,))) == "0.0.0.0:9"
    assert conf.bind_address(replace(settings, on_railway=True)) == "0.0.0.0:8000"


def test_a_port_opens_no_desk_to_the_network(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    real = environ_of(data_dir, GSM_FUSION_API_KEY="k", GSM_FUSION_USERNAME="u", PORT="8124")
    assert load_config(monkeypatch, real).bind == "127.0.0.1:8124"
    assert load_config(monkeypatch, real | {"RAILWAY_ENVIRONMENT": "production"}).bind == "0.0.0.0:8124"


def test_the_password_never_travels_in_plain_http(conf: ModuleType, settings: Settings) -> None:
    real = replace(settings, api_key="k", username="u")
    everywhere, here = [("0.0.0.0", 8000)], [("127.0.0.1", 8000), "/run/hammer.sock"]
    with pytest.raises(SystemExit, match="TRUSTED_PROXY"):
        conf.refuse_plain_http(real, everywhere)
    conf.refuse_plain_http(real, here)
    conf.refuse_plain_http(settings, everywhere)
    conf.refuse_plain_http(replace(real, on_railway=True), everywhere)
    conf.refuse_plain_http(replace(real, trusted_proxies=(ip_network("10.0.0.5"),)), everywhere)


def test_a_server_told_to_listen_everywhere_with_credentials_does_not_start(data_dir: Path, port: int) -> None:
    log = data_dir / "server.log"
    environ = environ_of(data_dir, GSM_FUSION_API_KEY="k", GSM_FUSION_USERNAME="u")
    assert ForkedGunicorn(environ, log, options=("--bind", f"0.0.0.0:{port}")).wait(PATIENCE) != 0
    assert "It would listen on 0.0.0.0 in plain http with real credentials" in log.read_text()
    assert is_closed(port)


def test_what_the_server_writes_is_for_its_own_user_only(server: Server, data_dir: Path) -> None:
    others = {path.name: oct(path.stat().st_mode & 0o077) for path in data_dir.rglob("*") if path.name != "server.log"}
    assert set(others.values()) == {"0o0"}, others


def test_streams_and_pages_have_threads_to_spare_and_the_control_socket_is_off(conf: ModuleType) -> None:
    assert STREAM_THREADS > STREAMS_PER_PROCESS >= 50
    assert (conf.worker_class, conf.workers, conf.control_socket_disable) == ("web_worker.Worker", 2, True)
    assert conf.threads >= 16
    assert not conf.sendfile
    assert conf.graceful_timeout > conf.RUNNER_GRACE


def test_the_log_has_the_level_of_the_settings_and_no_query_strings(conf: ModuleType) -> None:
    assert conf.logconfig_dict["root"]["level"] == "INFO"
    assert not re.search(r"%\((r|q|f)\)", conf.access_log_format)


def test_a_server_logs_json_on_standard_output_with_the_id_of_each_request(data_dir: Path, port: int) -> None:
    with answering(Server(data_dir, port, LOG_FORMAT="json", WEB_CONCURRENCY="1")) as running:
        assert running.get("/history?imei=353370080089458")[0] == 200
        running.process.terminate()
        running.process.wait(PATIENCE)
    text = running.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line and not line.startswith("  Demo")]
    (found,) = [line for line in lines if line.get("path") == "/history"]
    assert (found["method"], found["status"], len(found["request_id"])) == ("GET", 200, 12)
    assert {"gunicorn.error", "gunicorn.access", "runner"} <= {line["logger"] for line in lines}
    assert "353370080089458" not in text


def test_the_platform_files_start_the_same_app_and_leave_time_to_drain(conf: ModuleType) -> None:
    procfile = (ROOT / "Procfile").read_text(encoding="utf-8")
    deploy = json.loads((ROOT / "railway.json").read_text(encoding="utf-8"))["deploy"]
    assert procfile.startswith("web: " + deploy["startCommand"])
    assert re.search(r"--bind 0\.0\.0\.0:\$PORT --workers 2 --timeout 120", procfile)
    assert deploy["healthcheckPath"] == "/health"
    assert deploy["drainingSeconds"] > conf.graceful_timeout

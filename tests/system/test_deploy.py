"""The files of deploy/ agree with the program: commands, ports, settings, times to stop, and what the image holds."""

import json
import re
import shlex
from configparser import ConfigParser
from typing import Any

import pytest
import yaml
from flask import Flask
from gunicorn_server import ROOT

from commands import init_commands
from settings import Settings

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
SERVER = (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8")
#: Folders that the program runs from and that hold no Python package.
OTHER_PARTS = ("migrations", "static", "templates")
UNITS = ("hammer-web", "hammer-worker")
#: Lines of a unit that may differ between web and worker; all others protect both alike.
OWN_LINES = ("Type", "NotifyAccess", "ExecStart", "TimeoutStopSec", "Restart", "MemoryMax")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yml").read_text(encoding="utf-8"))["services"]
    return read


@pytest.fixture(scope="module", params=UNITS)
def unit(request: pytest.FixtureRequest) -> dict[str, str]:
    return read_unit(request.param)


def read_unit(name: str) -> dict[str, str]:
    """The settings of [Service] in a unit; of a name that is repeated, the last."""
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(DEPLOY / f"{name}.service", encoding="utf-8")
    return dict(parser["Service"])


def seconds(text: str) -> float:
    """The seconds of `40s` or `${WORKER_GRACE:-150s}`."""
    found = re.search(r"(\d+)s?\}?$", text)
    assert found, text
    return float(found[1])


def procfile(process: str) -> list[str]:
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines())
    return shlex.split(lines[process])


def longest_stop() -> float:
    """Seconds that a clean stop can take after the last call was sent: the call's own time, and the drain."""
    drain = re.search(r"^graceful_timeout = (\d+)$", SERVER, re.MULTILINE)
    assert drain
    return Settings().call_timeout + float(drain[1])


def known_variables() -> set[str]:
    """The names of environment variables that the program reads."""
    return set(re.findall(r'"([A-Z][A-Z0-9_]+)"', (ROOT / "settings.py").read_text(encoding="utf-8") + SERVER))


def test_the_image_holds_the_program_and_nothing_else() -> None:
    patterns = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    patterns = [line for line in patterns if line and not line.startswith("#")]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert patterns[0] == "*"
    assert {line.removeprefix("!") for line in patterns if line.startswith("!")} == {
        *packages, *OTHER_PARTS, "*.py", ".flaskenv", "requirements.txt",
    }  # fmt: skip


def test_the_image_has_the_python_of_the_project_and_only_checked_libraries() -> None:
    version = (ROOT / ".python-version").read_text(encoding="utf-8").strip()
    assert re.search(rf"^ARG PYTHON={re.escape(version)}-slim-", DOCKERFILE, re.MULTILINE)
    assert "--require-hashes --only-binary=:all: --requirement requirements.txt" in DOCKERFILE
    for line in DOCKERFILE.splitlines():
        assert not re.match(r"(ENV|ARG)\b.*(KEY|PASSWORD|SECRET|TOKEN)", line), line


def test_the_image_runs_the_server_as_its_own_user_and_looks_at_the_health_page() -> None:
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    command = re.search(r"^CMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
    assert command
    assert json.loads(command[1]) == procfile("web")[:2]
    port = re.search(r"\bPORT=(\d+)", DOCKERFILE)
    assert port
    assert int(port[1]) == Settings().port
    assert f"EXPOSE {port[1]}\n" in DOCKERFILE
    health = json.loads((ROOT / "railway.json").read_text(encoding="utf-8"))["deploy"]["healthcheckPath"]
    assert re.search(rf"^HEALTHCHECK .*\\\n +CMD .*127\.0\.0\.1:.+{health}'", DOCKERFILE, re.MULTILINE)


def test_each_container_has_few_rights_and_limits(services: dict[str, Any]) -> None:
    assert services.keys() == {"web", "worker", "database"}
    for name, service in services.items():
        assert service["read_only"] and service["init"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert "privileged" not in service and "cap_add" not in service, name
        assert len(service["volumes"]) == 1 and all("noexec" in folder for folder in service["tmpfs"]), name
    assert services["database"]["user"] == "999:999"
    assert "ports" not in services["database"] and services["database"]["networks"] == ["back"]
    assert all(published.startswith("127.0.0.1:") for published in services["web"]["ports"])


def test_the_containers_get_settings_that_the_program_reads(services: dict[str, Any]) -> None:
    for name in ("web", "worker"):
        environment = services[name]["environment"]
        assert environment.keys() <= known_variables()
        assert services[name]["volumes"] == [f"data:{environment['DATA_DIR']}"]
    port = services["web"]["environment"]["PORT"]
    assert services["web"]["ports"][0].endswith(f":{port}")
    assert services["web"]["environment"] == services["worker"]["environment"]
    database = services["database"]["environment"]
    user, name = database["POSTGRES_USER"], database["POSTGRES_DB"]
    url = services["web"]["environment"]["DATABASE_URL"]
    assert re.fullmatch(rf"postgresql://{user}:\$\{{POSTGRES_PASSWORD:\?\}}@database:5432/{name}", url)


def test_a_worker_has_its_command_and_more_time_to_stop_than_a_call_takes(services: dict[str, Any]) -> None:
    worker, app = procfile("worker"), Flask("deployed")
    init_commands(app)
    assert services["worker"]["command"] == worker
    assert worker[0] == "flask" and worker[1] in app.cli.commands
    assert seconds(services["worker"]["stop_grace_period"]) > longest_stop()
    assert seconds(read_unit("hammer-worker")["TimeoutStopSec"]) > longest_stop()


def test_units_run_the_commands_of_the_procfile(unit: dict[str, str]) -> None:
    commands = {" ".join(procfile("web")[:2]), " ".join(procfile("worker"))}
    assert unit["ExecStart"].removeprefix("/opt/hammer-api/.venv/bin/") in commands
    assert unit["WorkingDirectory"] == "/opt/hammer-api"
    assert unit["StateDirectory"] in unit["Environment"]
    named = {part.split("=")[0] for part in unit["Environment"].split()}
    assert {name for name in named if not name.startswith("PYTHON")} <= known_variables()
    assert unit["User"] == "hammer" and unit["NoNewPrivileges"] == "yes" and unit["ProtectSystem"] == "strict"
    assert unit["CapabilityBoundingSet"] == ""


def test_both_units_protect_alike() -> None:
    web, worker = ({k: v for k, v in read_unit(name).items() if k not in OWN_LINES} for name in UNITS)
    assert web == worker

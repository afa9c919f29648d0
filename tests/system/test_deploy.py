"""The files of deploy/ agree with the program: commands, ports, settings, times to stop, and what the image holds."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml
from flask import Flask
from gunicorn_server import ROOT
from sample_files import text_workbook
from simulated_provider import imeis

from commands import init_commands
from engines import postgresql_server
from settings import Settings
from workers import jobs

DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
SERVER = (ROOT / "gunicorn.conf.py").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "docker-compose.yml").read_text(encoding="utf-8")
#: Runs a command in a file system in which only two folders can be written, and nothing runs from them.
CONFINED = """
image=$1 data=$2 temporary=$3; shift 3
mount -t tmpfs -o mode=700,nosuid,nodev,noexec none "$data"
mount -t tmpfs -o mode=1777,nosuid,nodev,noexec none "$temporary"
mount --bind "$image" "$image"
mount -o remount,bind,ro "$image"
mount -o remount,bind,ro /
cd "$image"
if touch web_app.py 2>/dev/null; then echo "the program can be written" >&2; exit 70; fi
exec setpriv --no-new-privs --bounding-set=-all --inh-caps=-all "$@"
"""
#: Folders that the program runs from and that hold no Python package.
OTHER_PARTS = ("migrations", "static", "templates")
UNITS = ("hammer-web", "hammer-worker")
#: Lines of a unit that may differ between web and worker; all others protect both alike.
OWN_LINES = ("Type", "NotifyAccess", "ExecStart", "TimeoutStopSec", "Restart", "MemoryMax")


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
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


def test_the_server_has_connections_for_as_many_containers_as_are_named(services: dict[str, Any]) -> None:
    """Two queues of jobs in the worker that leads, and notifications for answers and for batches."""
    each = postgresql_server.CONNECTIONS + postgresql_server.DIRECT_CONNECTIONS + 2 * jobs.CONNECTIONS + 2
    assert f"a process needs {each} at most" in " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    counts = dict(re.findall(r"--scale (\w+)=(\d+)", COMPOSE))
    in_each = re.search(r'"WEB_CONCURRENCY", (\d+)', SERVER)
    assert in_each
    processes = int(counts["web"]) * int(in_each[1]) + int(counts["worker"])
    allowed = re.search(r"max_connections=(\d+)", COMPOSE)
    assert allowed and int(allowed[1]) > each * processes
    ports = re.search(r"WEB_PORTS=(\d+)-(\d+)", COMPOSE)
    assert ports and int(ports[2]) - int(ports[1]) + 1 == int(counts["web"])


def test_the_image_can_back_up_the_server(services: dict[str, Any]) -> None:
    """Of the same Debian: pg_dump refuses a server that is newer than itself."""
    found = re.search(r"^ARG PYTHON=\S+-(\w+)$", DOCKERFILE, re.MULTILINE)
    assert found and services["database"]["image"].endswith(f"-{found[1]}")
    assert "install --yes --no-install-recommends postgresql-client" in DOCKERFILE.rpartition("\nFROM ")[2]


def test_the_program_runs_without_rights_where_only_its_data_can_be_written(
    tmp_path: Path, require: Callable[[str], NoReturn]
) -> None:
    """What the image holds: it makes the database, reads a workbook in a child process, and orders in the demo."""
    if os.geteuid() or not all(map(shutil.which, ("unshare", "setpriv", "mount"))):
        require("only root can mount a read-only file system, with unshare and setpriv")
    image, data, temporary = (tmp_path / name for name in ("image", "data", "temporary"))
    for path in (image, data, temporary):
        path.mkdir()
    for part in held_by_the_image():
        copy = shutil.copytree if part.is_dir() else shutil.copyfile
        copy(part, image / part.name)
    (image / "phones.xlsx").write_bytes(text_workbook([["IMEI"], *([imei] for imei in imeis(3))]))
    environ = {"PATH": os.environ["PATH"], "HOME": str(temporary), "TMPDIR": str(temporary), "DATA_DIR": str(data)}
    command = [sys.executable, "-B", "-m", "flask", "submit", "phones.xlsx", "--service", "25", "--yes"]
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", CONFINED, "sh", str(image), str(data), str(temporary), *command],
        env=environ, cwd=image, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert re.search(r"Ordered +3$", ended.stdout, re.MULTILINE)


def held_by_the_image() -> list[Path]:
    """What .dockerignore lets into the image."""
    patterns = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    return [path for pattern in patterns for path in ROOT.glob(pattern)]


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

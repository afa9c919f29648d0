"""What every test may ask for: a data directory, settings, a database; and honest skips."""

import gc
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext, suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import hypothesis
import pytest
from api_client import api_fixture, client_of_fixture
from compiled_once import compile_once
from distribution import FromBothEnds, place, report_less
from gunicorn_server import paused_batch_fixture, port_fixture
from kept_connections import keep_connections
from network_guard import guard_network
from postgresql_cluster import Cluster, private_cluster, programs
from stepped_loop import loop_fixture
from web_client import app_fixture, browser_fixture, provider_fixture

from database import IMEIDatabase
from settings import Settings
from simulator.server import Simulator
from submission import watches

__all__ = [
    "api_fixture",
    "app_fixture",
    "browser_fixture",
    "client_of_fixture",
    "loop_fixture",
    "paused_batch_fixture",
    "port_fixture",
    "provider_fixture",
]

#: What a developer's .env may hold and no test may see: importing web_app reads the environment.
KEPT_OUT = ("GSM_FUSION_API_KEY", "GSM_FUSION_USERNAME", "ADMIN_PASSWORD", "SECRET_KEY", "DAILY_BUDGET", "DATABASE_URL")

#: The variable with the folder of the code of templates, which all processes of a run share.
TEMPLATES = "TEST_TEMPLATES"

#: Where the folders of tests are if this number of bytes is free there: a commit takes half of the processor time, and
#: does not wait for a disk. Tests about what reaches a disk have their folders where the system has temporary ones.
MEMORY, ROOM = Path("/dev/shm"), 4 << 30
ON_DISK = (
    "tests/submission/test_checkpoints.py",
    "tests/sqlite_file/",
    "tests/system/test_disks.py",
    "tests/system/test_kill.py",
)

#: New objects after which garbage is collected, and how often the older ones are looked at.
SELDOM = (20_000, 20, 100)


def pytest_configure(config: pytest.Config) -> None:
    """Keep tests away from the real account and database, and let Hypothesis draw the same cases each time."""
    os.environ.update(dict.fromkeys(KEPT_OUT, ""))
    if not hasattr(config, "workerinput"):  # the processes of xdist inherit the environment
        os.environ[TEMPLATES] = tempfile.mkdtemp(prefix="hammer-templates-")
        config.add_cleanup(lambda: shutil.rmtree(os.environ[TEMPLATES], ignore_errors=True))
        if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
    else:
        report_less(config)
    compile_once(os.environ[TEMPLATES])
    keep_connections()
    os.environ["DATA_DIR"] = tempfile.mkdtemp(prefix="hammer-tests-")
    hypothesis.settings.register_profile("tests", deadline=None, derandomize=True, database=None)
    hypothesis.settings.load_profile("tests")
    config.add_cleanup(lambda: shutil.rmtree(os.environ["DATA_DIR"], ignore_errors=True))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FromBothEnds:
    """Hand out tests as distribution.py says."""
    return FromBothEnds(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait and take long: no process is left with one of them at the end."""
    items.sort(key=lambda item: place(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Collect no garbage while tests are imported, leave what is there out of later collections, and collect seldom."""
    gc.disable()
    if hasattr(session.config, "workerinput"):
        import_share(session.config)
    yield
    gc.freeze()  # garbage, too: to find the little there is takes half a second
    gc.set_threshold(*SELDOM)
    gc.enable()


def import_share(config: pytest.Config) -> None:
    """Import, of all test modules, a share of this process first; the others need not rewrite their assertions again.

    That takes six seconds, and all processes began with the same module.
    """
    number, count = int(config.workerinput["workerid"].removeprefix("gw")), config.workerinput["workercount"]  # type: ignore[attr-defined]
    folders = [config.rootpath / argument for argument in config.args]
    for path in sorted(path for folder in folders for path in folder.rglob("test_*.py"))[number::count]:
        with suppress(Exception):  # it fails again when it is collected
            import_module(".".join(path.relative_to(config.rootpath).with_suffix("").parts))


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test in which this process looks up or connects to anything but this machine."""
    reached = guard_network(monkeypatch)
    yield
    assert reached == []


@pytest.fixture
def require() -> Callable[[str], NoReturn]:
    """Call it with what the machine lacks: the test is skipped, or fails under REQUIRE_ALL=1."""
    return lack


def lack(reason: str) -> NoReturn:
    """Skip the test for want of what the machine lacks, or fail it under REQUIRE_ALL=1."""
    if os.environ.get("REQUIRE_ALL") == "1":
        pytest.fail(f"REQUIRE_ALL=1, and {reason}")
    pytest.skip(reason)


@pytest.fixture(name="tmp_path")
def tmp_path_fixture(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A fresh directory, in memory where there is room; on the disk for the tests that need one."""
    if not request.node.nodeid.startswith(ON_DISK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="hammer-disk-") as folder:
        yield Path(folder)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A fresh directory for database, checkpoints and uploads."""
    path = tmp_path / "data"
    path.mkdir()
    return path


@pytest.fixture
def settings(data_dir: Path) -> Settings:
    """The demo's settings, in the fresh directory, with hashes of passwords that take no time."""
    return Settings(data_dir=data_dir, password_memory=8)


@pytest.fixture
def live(settings: Settings) -> Settings:
    """The settings of a real account."""
    return replace(settings, api_key="K", username="wholesaler")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an empty, migrated database: to migrate takes longer than most tests."""
    path = tmp_path_factory.mktemp("migrated") / "empty.db"
    IMEIDatabase(path).close()
    return path


@pytest.fixture
def file_database(settings: Settings, migrated: Path) -> Iterator[IMEIDatabase]:
    """An empty, migrated database of SQLite."""
    shutil.copyfile(migrated, settings.database_path)
    with IMEIDatabase(settings.database_path) as opened:
        yield opened


@pytest.fixture
def database(request: pytest.FixtureRequest) -> IMEIDatabase:
    """An empty, migrated database: of SQLite, or of the kind that TEST_DATABASE names (sqlite, postgresql).

    Tests that always run on both kinds take the fixture of both_databases.py instead.
    """
    is_server = os.environ.get("TEST_DATABASE") == "postgresql"
    found: IMEIDatabase = request.getfixturevalue("server_database" if is_server else "file_database")
    return found


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server of PostgreSQL: TEST_DATABASE_URL, or a private one; skipped where its programs are not installed."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    if not given and programs() is None:
        lack("the programs of PostgreSQL are not installed, and TEST_DATABASE_URL is not set")
    os.environ["PATH"] += f"{os.pathsep}{programs() or ''}"  # for pg_dump
    with closing(Cluster(given)) if given else private_cluster() as found:
        yield found


@pytest.fixture(scope="module")
def private(cluster: Cluster) -> Iterator[Cluster]:
    """A server of PostgreSQL on this machine, which can be copied with its programs."""
    if programs() is None:
        lack("the programs of PostgreSQL are not installed")
    with private_cluster() if os.environ.get("TEST_DATABASE_URL") else nullcontext(cluster) as found:
        yield found


@pytest.fixture
def server_url(cluster: Cluster) -> Iterator[str]:
    """The address of an empty, migrated database of PostgreSQL."""
    with cluster.migrated() as address:
        yield address


@pytest.fixture
def server_database(server_url: str, data_dir: Path) -> Iterator[IMEIDatabase]:
    """An empty, migrated database of PostgreSQL."""
    with IMEIDatabase(server_url, data_dir) as opened:
        yield opened


@pytest.fixture
def emptied_database(cluster: Cluster, data_dir: Path) -> Iterator[IMEIDatabase]:
    """An empty, migrated database of PostgreSQL that was emptied after an earlier test."""
    with cluster.emptied() as address, IMEIDatabase(address, data_dir) as opened:
        yield opened


@pytest.fixture
def rival(database: IMEIDatabase) -> Iterator[IMEIDatabase]:
    """The same database, opened a second time as another process does: it moves a row first."""
    with IMEIDatabase(database.address) as opened:
        yield opened


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulated provider without faults."""
    with Simulator() as running:
        yield running


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look into doubt every fifth of a second."""
    monkeypatch.setattr(watches, "LOOKS", (0.0, 0.2, 0.2, 0.2))


@pytest.fixture
def short_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold IMEIs back for a proof for a second instead of a minute."""
    monkeypatch.setattr(watches, "LONGEST_PROOF", 1.0)

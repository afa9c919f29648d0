"""The example of the README, exactly as it is written there, against the server that `make run` starts."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from forked_command import ForkedCommand
from gunicorn_server import environ_of
from live_site import Site
from waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    running = Site(tmp_path_factory.mktemp("site"))
    yield running
    running.kill()


@pytest.fixture(scope="module")
def token(site: Site, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the README's command prints."""
    arguments = ("tokens", "create", "stock-program", "--role", "operator")
    folder = tmp_path_factory.mktemp("command")
    code, said, complaint = ForkedCommand(folder, environ_of(site.data_dir), *arguments).finish()
    assert code == 0, complaint
    assert re.fullmatch(r"hmr_\S+\n", said)
    return said.strip()


def test_the_example_orders_follows_and_reads_a_batch(site: Site, token: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    example = re.search(r"## API\n.*?```python\n(.*?)```", readme, re.DOTALL)
    assert example
    environment = os.environ | {"HAMMER_TOKEN": token, "HAMMER_URL": site.url}
    program = [sys.executable, "-c", example[1]]
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as running:
        wait_until(lambda: site.charged() == 2, "both are ordered")
        site.complete()
        output, _ = running.communicate(timeout=60)
    lines = output.splitlines()
    assert running.returncode == 0
    assert "'ordered': 2" in lines[0]
    assert "spent: 0.16" in lines[0]
    assert [line.split()[:2] for line in lines[1:]] == [
        ["353370080000011", "ordered"],
        ["353370080000029", "ordered"],
    ]
    again = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout == output
    assert site.charged() == 2


def test_git_ignores_whatever_a_run_leaves(site: Site, token: str, tmp_path: Path) -> None:
    """DATA_DIR is the folder of the program unless it is set; what is made there must not look like a change."""
    code, _, complaint = ForkedCommand(tmp_path, environ_of(site.data_dir), "backup").finish()
    assert code == 0, complaint
    demo = site.data_dir / "demo"  # with credentials the same files are not in demo/, but for those of the provider
    files = [str(path.relative_to(demo)) for path in demo.rglob("*") if path.is_file()]
    left = [name for name in files if not name.startswith(("simulator.", "ledger."))]
    later = [f"{folder}/file" for folder in ("uploads", "exports", "replaced", "restoring")]
    assert {"imei_orders.db", "runner.lock"} <= set(left)
    assert any(name.startswith("backups/") for name in left)
    command = ["git", "check-ignore", "--no-index", "--stdin"]
    names = "\n".join([*left, *later])
    found = subprocess.run(command, cwd=ROOT, input=names, capture_output=True, text=True, check=True).stdout.split()
    assert sorted({*left, *later} - set(found)) == []


def test_a_batch_is_followed_by_its_events_and_its_etag(site: Site, token: str) -> None:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    url = f"{site.url}/api/v1/batches/1"
    first = session.get(url, timeout=30)
    assert first.headers["Content-Encoding"] == "gzip"
    assert session.get(url, headers={"If-None-Match": first.headers["ETag"]}, timeout=30).status_code == 304
    with session.get(f"{url}/events", stream=True, timeout=30) as answer:
        names = [line for line in answer.iter_lines(decode_unicode=True) if line.startswith("event:")]
    assert names == ["event: progress", "event: end"]
    refused: Any = requests.get(url, timeout=30)
    assert (refused.status_code, refused.json()["status"]) == (401, 401)

"""What a web process weighs while 20,000 IMEIs go through it, as a browser sends them: upload, preview, confirm."""

import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

from benchmarks.measuring import ROOT, kilobytes, with_check_digit

IMEIS = 20_000
SERVICE = "269"


def token(page: str) -> str:
    """The CSRF token of a form."""
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    if not found:
        raise RuntimeError("the page has no CSRF token")
    return found[1]


def listed(first: int, count: int) -> str:
    """Return a file of made-up IMEIs, by serial number from first."""
    return "IMEI\n" + "\n".join(with_check_digit(f"35{number:012d}") for number in range(first, first + count))


def order(session: requests.Session, base: str, file: str) -> str:
    """Upload and confirm a file of IMEIs; return the address of the batch."""
    count = str(file.count("\n"))
    form = {"csrf_token": token(session.get(f"{base}/batch", timeout=30).text), "service_id": SERVICE}
    preview = session.post(f"{base}/batch", data=form, files={"file": ("phones.csv", file)}, timeout=60)
    confirm = {"csrf_token": token(preview.text), "typed": count, "confirm": "1", "count": count}
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', preview.text):
        confirm.setdefault(name, value)
    live = session.post(preview.url, data=confirm, timeout=60)
    if "/batches/" not in live.url:
        raise RuntimeError(f"the batch was not confirmed: {live.status_code} {live.url}")
    return live.url


def send(base: str) -> float:
    """Bring 20,000 IMEIs through the pages; returns the seconds from the upload to the last outcome."""
    session, file = requests.Session(), listed(0, IMEIS)
    started = time.perf_counter()
    live = order(session, base, file)
    stream = threading.Thread(target=follow, args=(f"{live}/events",), daemon=True)
    stream.start()
    while time.perf_counter() - started < 120:
        found = session.get(f"{live}/progress.json", timeout=30).json()
        if found.get("state") == "finished":
            return time.perf_counter() - started
        time.sleep(0.25)
    raise RuntimeError("20,000 IMEIs did not come through in two minutes")


def follow(url: str) -> None:
    """Read an event stream to its end, as an open page does."""
    with requests.get(url, stream=True, timeout=60) as stream:
        for _ in stream.iter_lines():
            pass


def run() -> list[tuple[str, str, str]]:
    """Rows of (what, measured, limit)."""
    with tempfile.TemporaryDirectory() as folder:
        kept_out = ("GSM_", "RAILWAY_", "ADMIN_", "DAILY_")
        environ = {name: value for name, value in os.environ.items() if not name.startswith(kept_out)}
        environ |= {"DATA_DIR": folder, "PORT": "8099", "LOG_LEVEL": "WARNING"}
        with subprocess.Popen([sys.executable, "-m", "gunicorn", "web_app:app"], cwd=ROOT, env=environ) as server:
            try:
                seconds, peak = measure(server.pid, Path(folder))
            finally:
                server.terminate()
    return [
        ("largest web process while 20,000 IMEIs pass", f"{peak:.0f} MB", "120 MB"),
        ("upload to last outcome, demo at 0.3 s a call", f"{seconds:.1f} s", "-"),
    ]


def workers_of(master: int) -> list[int]:
    """Return the ids of the worker processes of a gunicorn."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text(encoding="ascii").split()
    return [pid for pid in map(int, children) if b"simulator" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


def wait_for(base: str) -> None:
    """Wait until the server answers."""
    for _ in range(100):
        try:
            requests.get(f"{base}/health", timeout=5)
            return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.2)


def measure(master: int, folder: Path) -> tuple[float, float]:
    """(seconds of the job, megabytes of the largest worker)."""
    base = "http://127.0.0.1:8099"
    wait_for(base)
    port = json.loads((folder / "demo" / "simulator.json").read_text())["port"]
    requests.post(f"http://127.0.0.1:{port}/control", json={"latency": 0.3, "jitter": 0}, timeout=10).raise_for_status()
    seconds = send(base)
    return seconds, max(map(kilobytes, workers_of(master))) / 1024


if __name__ == "__main__":
    for row in run():
        print(*row)

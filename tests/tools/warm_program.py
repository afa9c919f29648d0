"""What the fork server imports: the program, and one app of it, which further apps of forked processes are made from.

An app has 210 rules: each process took a third of a second to parse them again, and more for an empty database. The
app has ordered a batch and shown its pages, so that each process finds their statements compiled. What is there when
it is imported is no garbage: each process took as long to look for some among it, and to copy its pages.
"""

import gc
import os
import tempfile
import threading
from pathlib import Path
from typing import Any

import argon2
from compiled_once import compile_once
from flask import Flask
from simulated_provider import SERVICE, Knobs, Simulator, imeis, system

from access import passwords
from database import IMEIDatabase
from settings import Settings
from web_app import create_app

#: Pages that tests with a server of their own open, and whose statements take longest to compile.
PAGES = ("/", "/batch", "/batches", "/batches/1", "/history", "/scan", "/services", "/status", "/reports", "/health")


def quick_hasher(**options: Any) -> argon2.PasswordHasher:
    """Return a hasher that takes little memory: each app hashes once, and compares ADMIN_PASSWORD with its hash."""
    return argon2.PasswordHasher(**{**options, "memory_cost": 8})


def use(app: Flask, database: IMEIDatabase) -> None:
    """Order a batch, and open its pages."""
    with Simulator(Knobs(latency=0.0)) as simulator, system(simulator, database, chunk_size=10) as running:
        running.submit_batch(imeis(20), SERVICE)
    browser = app.test_client()
    for page in PAGES:
        assert browser.get(page).status_code == 200, page


passwords.PasswordHasher = quick_hasher  # type: ignore[assignment,attr-defined]
compile_once(os.environ.get("TEST_TEMPLATES"))
with tempfile.TemporaryDirectory() as folder:
    app = create_app(Settings(data_dir=Path(folder), password_memory=8))
    with app.extensions["database"] as database:
        use(app, database)
assert threading.active_count() == 1, "a process is forked from one thread"
gc.collect()
gc.freeze()

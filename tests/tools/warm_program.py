"""What the fork server imports: the program, and one app of it, which further apps of forked processes are made from.

An app has 210 rules: each process took a third of a second to parse them again, and more for an empty database. What is
there when it is imported is no garbage: each process took as long to look for some among it, and to copy its pages.
"""

import gc
import os
import tempfile
from pathlib import Path
from typing import Any

import argon2
from compiled_once import compile_once

from access import passwords
from settings import Settings
from web_app import create_app


def quick_hasher(**options: Any) -> argon2.PasswordHasher:
    """Return a hasher that takes little memory: each app hashes once, and compares ADMIN_PASSWORD with its hash."""
    return argon2.PasswordHasher(**{**options, "memory_cost": 8})


passwords.PasswordHasher = quick_hasher  # type: ignore[assignment,attr-defined]
compile_once(os.environ.get("TEST_TEMPLATES"))
with tempfile.TemporaryDirectory() as folder:
    app = create_app(Settings(data_dir=Path(folder), password_memory=8))
    app.extensions["database"].close()
gc.collect()
gc.freeze()

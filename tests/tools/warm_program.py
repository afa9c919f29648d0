"""What the fork server imports: the program, and one app of it, which further apps of forked processes are made from.

An app has 210 rules: each process took a third of a second to parse them again, and more for an empty database. What is
there when it is imported is no garbage: each process took as long to look for some among it, and to copy its pages.
"""

import gc
import os
import tempfile
from pathlib import Path

from compiled_once import compile_once

from settings import Settings
from web_app import create_app

compile_once(os.environ.get("TEST_TEMPLATES"))
with tempfile.TemporaryDirectory() as folder:
    app = create_app(Settings(data_dir=Path(folder), password_memory=8))
    app.extensions["database"].close()
gc.collect()
gc.freeze()

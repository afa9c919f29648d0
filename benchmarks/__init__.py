"""Measurements, repeated by `make bench`; README.md beside this file explains them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tools"))  # where the private server of the tests is

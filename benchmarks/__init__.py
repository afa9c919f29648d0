"""Figures that can be made again with `make bench`; what they mean stands in README.md beside this file."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests" / "tools"))  # where the private server of the tests is

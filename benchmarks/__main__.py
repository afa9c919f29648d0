"""Runs every benchmark and prints one table: `make bench`, or `python -m benchmarks submission`."""

import importlib
import pkgutil
import sys
from pathlib import Path

import benchmarks

#: Where the private server of the tests is.
TOOLS = Path(__file__).parents[1] / "tests" / "tools"


def main() -> None:
    """Run those named on the command line, or all."""
    sys.path.append(str(TOOLS))
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name.startswith("bench_")]
    wanted = [name for name in names if not sys.argv[1:] or name.removeprefix("bench_") in sys.argv[1:]]
    for name in wanted:
        for what, measured, limit in importlib.import_module(f"benchmarks.{name}").run():
            print(f"{what:<48} {measured:<70} limit {limit}", flush=True)


if __name__ == "__main__":
    main()

"""Runs every benchmark and prints one table: `make bench`, or `python -m benchmarks submission`."""

import importlib
import pkgutil
import sys

import benchmarks

#: Runs only by its name: it needs Chromium.
BY_NAME = {"bench_day"}


def main() -> None:
    """Run those named on the command line, or all that need no browser."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name.startswith("bench_")]
    asked = {f"bench_{name}" for name in sys.argv[1:]} or set(names) - BY_NAME
    wanted = [name for name in names if name in asked]
    for name in wanted:
        for what, measured, limit in importlib.import_module(f"benchmarks.{name}").run():
            print(f"{what:<48} {measured:<70} limit {limit}", flush=True)


if __name__ == "__main__":
    main()

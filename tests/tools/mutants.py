"""How many faults in the money core the unit tests notice; `make mutants MODULE=submission.throttle` prints the table.

With SAMPLE=250 that many mutants of a module are tried, always the same ones: all of a large module take an hour.
mutmut writes one small fault at a time into a copy of a module (a mutant) and runs the tests of that module, which must
fail. mutmut changes functions only, so mutants.toml plants faults by hand where SQL, a property or a constant decides.
It also lists the mutants that no test can kill, each with its reason.
"""

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".mutants"
#: Percent of the mutants that have to be killed, those left out that behave like the original.
LEAST = 85
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name != "benchmarks")
#: A mutant is stopped, and counts as killed, after this many times what its tests need and these seconds.
TIMES, SECONDS = 3, 15
#: Chooses the mutants of a sample.
SEED = 20261128
#: The name of no mutant: mutmut then writes all of them, times the tests, and tries none.
NONE_AT_ALL = "none"
UNTRIED = "not checked"
KILLED = ("killed", "timeout", "segfault")
SHOWN = re.compile(r"^ +(\S+): (.+)$", re.MULTILINE)
NAME = re.compile(r"\.x_?(?:ǁ(?P<owner>\w+?)ǁ)?(?P<function>\w+?)__mutmut_\d+$")


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, which words it replaces, and by which."""

    line: int
    function: str  #: "Throttle.permits", or "" where it was planted by hand
    old: str
    new: str

    @property
    def words(self) -> tuple[str, str, str]:
        """By what mutants.toml names it: the line would not last."""
        return self.function, self.old, self.new

    def diff(self, file: str) -> str:
        """The fault as a person reads it."""
        return f"{file}:{self.line} {self.function}\n    - {self.old}\n    + {self.new}"


@dataclass(frozen=True)
class Score:
    """What became of the mutants of one module."""

    module: str
    killed: int
    equivalent: int
    survivors: tuple[Mutant, ...]

    @property
    def percent(self) -> float:
        """Percent of the mutants that were killed, those left out that behave like the original."""
        return 100 * self.killed / max(1, self.killed + len(self.survivors))

    @property
    def row(self) -> str:
        """The module's row of the table."""
        survived = len(self.survivors)
        counts = (self.killed + self.equivalent + survived, self.equivalent, self.killed, survived)
        return f"| {self.module} | " + " | ".join(map(str, counts)) + f" | {self.percent:.0f} % |"


def main(wanted: list[str]) -> int:
    """Print the table and the survivors of these modules, or of the whole core; 1 where one is below the bar."""
    book = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text(encoding="utf-8"))
    unknown = set(wanted) - book["tests"].keys()
    if unknown:
        print(f"not in tests/tools/mutants.toml: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    scores = [measure(module, book) for module in wanted or book["tests"]]
    print("\n| module | mutants | equivalent | killed | survived | score |\n|---|--:|--:|--:|--:|--:|")
    print("\n".join(score.row for score in scores))
    return 0 if all(score.percent >= LEAST for score in scores) else 1


def measure(module: str, book: dict[str, Any]) -> Score:
    """Try every mutant of a module and print those that live."""
    tests = tests_of(module, book["tests"][module], book["left_out"].get(module, []))
    print(f"{module}: {' '.join(tests)}", flush=True)
    planted, equivalent = (
        [e for e in book.get(kind, []) if e["module"] == module] for kind in ("planted", "equivalent")
    )
    folder = lay_out(module, tests)
    chosen = sample(folder, int(os.environ.get("SAMPLE", "0")))
    mutmut(folder, "run", "--max-children", os.environ.get("JOBS", "1"), *chosen)
    results = [(name, status) for name, status in results_of(folder) if status != UNTRIED]
    tried = [None if status in KILLED else shown(folder, module, name) for name, status in results]
    tried += [plant(folder, module, entry, tests) for entry in planted]
    lived = [mutant for mutant in tried if mutant]
    same = {(entry["function"], entry["old"], new) for entry in equivalent for new in entry["new"]}
    survivors = tuple(mutant for mutant in lived if mutant.words not in same)
    for mutant in survivors:
        print(mutant.diff(str(path_of(module))))
    for _, old, new in sorted(same - {mutant.words for mutant in lived} if not chosen else ()):
        print(f"{module}: mutants.toml calls equivalent what was killed, or is not there: {old} → {new}")
    equivalents = sum(mutant.words in same for mutant in lived)
    return Score(module, sum(mutant is None for mutant in tried), equivalents, survivors)


def sample(folder: Path, size: int) -> list[str]:
    """The names of so many mutants, chosen at random but always the same; none, which means all, for a size of 0."""
    if not size:
        return []
    mutmut(folder, "run", NONE_AT_ALL, may_fail=True)
    names = sorted(name for name, _ in results_of(folder))
    print(f"{min(size, len(names))} of {len(names)} mutants are tried (seed {SEED})", flush=True)
    return random.Random(SEED).sample(names, min(size, len(names)))


def results_of(folder: Path) -> list[tuple[str, str]]:
    """(name, status) of each mutant."""
    return SHOWN.findall(mutmut(folder, "results", "--all", "True"))


def tests_of(module: str, more: list[str], left_out: list[str]) -> list[str]:
    """The test files of a module: those of its name, but for those that mutants.toml leaves out, and those it adds.

    Raises SystemExit for none.
    """
    *room, name = module.split(".")
    folder = Path("tests", *room)
    own = sorted(path.name for path in (ROOT / folder).glob(f"test_{name}*.py") if path.name not in left_out)
    names = [str(folder / name) for name in dict.fromkeys([*own, *more])]
    return names or sys.exit(f"no test file is named after {module}, and tests/tools/mutants.toml names none")


def lay_out(module: str, tests: list[str]) -> Path:
    """A folder in which mutmut finds the project and its settings, and may write."""
    folder = WORK / module
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name != "setup.cfg":
            (folder / path.name).symlink_to(path)
    lists = {
        "source_paths": sorted(
            path.name for path in ROOT.iterdir() if path.suffix == ".py" or path.joinpath("__init__.py").exists()
        ),
        "only_mutate": [str(path_of(module))],
        "also_copy": ["templates", "static", "migrations"],
        "do_not_mutate_patterns": [r"logger\.\w+\("],
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-p no:cacheprovider"],
    }
    lines = [f"{name} =\n" + "".join(f"    {value}\n" for value in values) for name, values in lists.items()]
    single = {
        "use_git_change_detection": "false",
        "process_isolation": "forkserver",  # no run of a test sees what an earlier one left in its process
        "timeout_multiplier": TIMES,
        "timeout_constant": SECONDS / TIMES,
    }
    lines += [f"{name} = {value}\n" for name, value in single.items()]
    (folder / "setup.cfg").write_text("[mutmut]\n" + "".join(lines), encoding="utf-8")
    return folder


def mutmut(folder: Path, *arguments: str, may_fail: bool = False) -> str:
    """Run mutmut there; returns what it prints. Raises SystemExit where it cannot work, as when a test fails."""
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode and not may_fail:
        sys.exit(f"mutmut {arguments[0]} failed:\n{done.stdout[-5000:]}{done.stderr[-5000:]}")
    return done.stdout


def environment() -> dict[str, str]:
    """No compiled file is kept: a planted one could be as old and as long as the original."""
    return os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}


def shown(folder: Path, module: str, name: str) -> Mutant:
    """A mutant of mutmut's, in our words."""
    lines = mutmut(folder, "show", name).splitlines()
    old, new = (
        " ".join(line[1:].strip() for line in lines if re.match(sign, line)) for sign in (r"-(?!--)", r"\+(?!\+\+)")
    )
    found = NAME.search(name)
    function = ".".join(filter(None, (found["owner"], found["function"]))) if found else name
    return Mutant(line_of(module, function, old), function, old, new)


def line_of(module: str, function: str, old: str) -> int:
    """The line of a function that begins with these words' beginning, or that of the function."""
    source = source_of(module).splitlines()
    for node, path in functions(ast.parse("\n".join(source))):
        if path == function:
            span = range(node.lineno, (node.end_lineno or node.lineno) + 1)
            return next((at for at in span if (text := source[at - 1].strip()) and old.startswith(text)), node.lineno)
    return 0


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef, str]]:
    """Each function of a module and each method of its classes, with its name."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node, node.name
        elif isinstance(node, ast.ClassDef):
            yield from (
                (inner, f"{node.name}.{inner.name}") for inner in node.body if isinstance(inner, ast.FunctionDef)
            )


def plant(folder: Path, module: str, entry: dict[str, str], tests: list[str]) -> Mutant | None:
    """Try a fault of mutants.toml; returns it where the tests pass all the same."""
    source = source_of(module)
    path = folder / "mutants" / path_of(module)
    mutated = path.read_bytes()
    path.write_text(source.replace(entry["old"], entry["new"]), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    try:
        passed = not subprocess.run(
            command, cwd=path.parent, env=environment(), capture_output=True, timeout=20 * SECONDS
        ).returncode
    except subprocess.TimeoutExpired:
        passed = False
    path.write_bytes(mutated)
    line = source[: source.find(entry["old"])].count("\n") + 1
    return Mutant(line, "", entry["old"], entry["new"]) if passed else None


def source_of(module: str) -> str:
    """The text of a module as it is."""
    return (ROOT / path_of(module)).read_text(encoding="utf-8")


def path_of(module: str) -> Path:
    """Where a module lies: submission.throttle → submission/throttle.py."""
    return Path(*module.split(".")).with_suffix(".py")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

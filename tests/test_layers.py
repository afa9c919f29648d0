"""The house: imports point down, rooms are entered through their façade, and each library has one owner.

These tables are the architecture. A room that is not in them, or an import that climbs, fails here.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: From the ground up. A room may import from those below it, and from its own floor without a circle.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("amounts", "settings", "imei", "devices", "workbooks"),
    ("orders", "grading", "people", "logs"),
    ("schema", "provider", "sqlite_file", "engines"),
    ("database", "gsm_fusion_client", "spreadsheets"),
    ("storage",),
    ("submission",),
    ("production_submission_system", "access", "account", "results", "notices"),
    ("callers", "runner", "backend", "automation"),
    ("workers",),
    ("web", "api", "commands", "web_worker"),
    ("web_app", "gunicorn.conf"),
)
#: The provider that stands in for the real one imports nothing of ours, and only these may start it.
SIMULATOR = "simulator"
STARTS_THE_SIMULATOR = ("callers", "commands", "gunicorn.conf", SIMULATOR)
#: The room that is imported by module, because its modules are named after what they store.
IMPORTED_BY_MODULE = "storage"
#: What the room of all SQL may import: the database and pure modules, no client and no error of the provider.
STORAGE_USES = {
    *("amounts", "database", "devices", "engines", "grading", "orders", "people", "schema", "settings", "sqlite_file"),
}
MOST_FILES_AT_THE_ROOT = 14
LONGEST_TEMPLATE_LINE = 120

#: library → the modules that may import it, by their dotted names.
OWNERS: dict[str, tuple[str, ...]] = {
    "argon2": ("access.passwords",),
    "pyotp": ("access.second_factor",),
    "flask": ("web_app", "web.*", "api.*", "backend", "commands.*"),
    "flask_smorest": ("api.*",),
    "marshmallow": ("api.*",),
    "webargs": ("api.operations",),
    "flask_wtf": ("web.auth",),
    "flask_compress": ("web_app",),
    "gunicorn": ("web_worker",),
    "werkzeug": ("web_app", "web.*", "api.*"),
    "jinja2": ("web.*",),
    "markupsafe": ("web.*",),
    "click": ("commands.*",),
    "dotenv": ("web_app", "gunicorn.conf"),
    "requests": ("gsm_fusion_client", "provider.*", "notices.posting"),
    "urllib3": ("gsm_fusion_client", "provider.*"),
    "http": ("gsm_fusion_client", "provider.*", "api.*", "simulator.*", "notices.posting"),
    "ssl": ("notices.posting",),
    "apprise": ("notices.apprise_child",),
    "standardwebhooks": ("notices.signing",),
    "xml": ("gsm_fusion_client", "provider.*", "workbooks.parts", "simulator.*"),
    "sqlalchemy": ("database", "engines.*", "schema.*", "storage.*"),
    "psycopg": ("engines.*", "storage.job_queue", "storage.listening", "workers.*"),
    "psycopg_pool": ("workers.jobs",),
    "procrastinate": ("storage.job_queue", "workers.*"),
    "alembic": ("engines.migrations",),
    "sqlite3": ("engines.*", "sqlite_file.library"),
    "pysqlite3": ("sqlite_file.library",),
    "csv": ("spreadsheets.*",),
    "prometheus_client": ("web.metrics",),
    "openpyxl": ("spreadsheets.*", "workbooks.*"),
    "xlsxwriter": ("spreadsheets.writing",),
    "python_calamine": ("workbooks.legacy",),
}
#: Modules that import a library only when they need it, which is seldom, because that takes a tenth of each start.
IMPORTS_LATE = ("engines.migrations",)
READS_THE_ENVIRONMENT = (
    *("settings", "web_app", "gunicorn.conf", "simulator.server"),
    "engines.postgresql_copies",  # hands it to pg_dump, with the password
)
#: Modules that ask for the name of the database: its words, and which migrations it gets.
ASKS_WHICH_DATABASE = ("schema.dialect", "database", "engines.*")
PRINTS = ("commands.*", "simulator.server")
#: Modules that only declare something: they have no file of tests of their name.
DECLARATIONS = ("schema.*_tables", "schema.columns", "submission.carrier", "simulator.__main__")
#: Files of tests that are about no single module: about the house, or about a whole room.
WITHOUT_MODULE = (
    *("test_layers", "test_specification", "schema/test_schema", "schema/test_postgresql_migrations"),
    *("storage/test_query_plans", "storage/test_query_plans_postgresql"),
    *("web/test_files", "web/test_ordered_by", "web/test_sheets", "web/test_sizes"),
)
#: Folders of tests that mirror no room: the whole program, its pages in a browser, and what tests share.
NO_ROOMS = ("system", "browser", "benchmarks", "tools")

PACKAGES = sorted(
    path.parent.name for path in ROOT.glob("*/__init__.py") if path.parent.name not in ("tests", "benchmarks")
)
MODULES = {path.stem: path for path in sorted(ROOT.glob("*.py"))} | {
    f"{package}.{path.stem}".removesuffix(".__init__"): path
    for package in PACKAGES
    for path in sorted((ROOT / package).glob("*.py"))
}
ROOMS = sorted({name if name == "gunicorn.conf" else name.split(".")[0] for name in MODULES})
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def is_one_of(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def nodes(module: str) -> tuple[ast.AST, ...]:
    """Every node of a module. To walk a tree takes as long as all that is asked of its nodes here."""
    return tuple(ast.walk(tree(module)))


def called_name(call: ast.Call) -> str:
    """The last name of what is called: "f" of f() and of x.f(), "" of anything else."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


@cache
def imports(module: str) -> frozenset[str]:
    """The full dotted names that a module imports, ours and others'; a name is given with the module that holds it."""
    found: set[str] = set()
    for node in nodes(module):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and called_name(node).endswith("import_module"):
            found.add(str(ast.literal_eval(node.args[0])))
    return frozenset(found)


def ours(module: str) -> set[str]:
    """Our modules that a module imports."""
    found = set()
    for name in imports(module):
        while name and name not in MODULES:
            name = name.rpartition(".")[0]
        found |= {name} - {"", module}
    return found


def room_of(module: str) -> str:
    return module if module == "gunicorn.conf" else module.split(".")[0]


def floor_of(room: str) -> int:
    return next(floor for floor, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_is_on_exactly_one_floor() -> None:
    assert sorted([SIMULATOR, *(room for rooms in FLOORS for room in rooms)]) == ROOMS


def test_the_readme_names_each_room_with_its_floor() -> None:
    rows = re.findall(r"^\| ((?:`\w+/`(?:, )?)+) \|.*\| (\d+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    named = {room: int(floor) for rooms, floor in rows for room in re.findall(r"\w+", rooms)}
    assert named == {room: floor_of(room) + 1 for room in PACKAGES if room != SIMULATOR}


def readme_files(text: str) -> list[Path]:
    """Return the modules that a text of the README names; one without a folder is at the root or in submission/."""
    names = re.findall(r"`([\w/]+\.py)`", text)
    return [ROOT / name if (ROOT / name).exists() else ROOT / "submission" / name for name in names]


def test_each_module_that_the_readme_names_exists() -> None:
    named = readme_files((ROOT / "README.md").read_text())
    assert len(named) > 40
    assert [path for path in named if not path.exists()] == []
    tests = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    assert set(re.findall(r"`(test_\w+)`", (ROOT / "README.md").read_text())) <= tests


def test_the_readme_knows_how_long_the_money_path_is() -> None:
    text = (ROOT / "README.md").read_text()
    path = text[text.index("**The money path in an afternoon**") :].split("\n\n", 1)[0]
    for part, told in zip(path.split("Another "), re.findall(r"([\d,]+) lines", path), strict=True):
        lines = sum(len(file.read_text().splitlines()) for file in readme_files(part))
        assert abs(lines - int(told.replace(",", ""))) < 100, lines


def test_only_one_function_sends_what_is_paid() -> None:
    """A paid call that is made elsewhere has no intent on disk, no checkpoint and no outcome."""
    everywhere = [(module, node) for module in MODULES for node in nodes(module)]
    senders = [m for m, node in everywhere if isinstance(node, ast.Attribute) and node.attr == "place_imei_order"]
    assert senders == ["submission.placing"]


def test_the_root_stays_small_and_packages_are_one_level_deep() -> None:
    assert len(list(ROOT.glob("*.py"))) <= MOST_FILES_AT_THE_ROOT
    assert [path for package in PACKAGES for path in (ROOT / package).glob("*/*.py")] == []


def test_imports_point_down() -> None:
    used = {(room_of(module), room_of(name)) for module in MODULES for name in ours(module)}
    between = {(room, other) for room, other in used if room != other}
    assert {other for room, other in between if room == SIMULATOR} == set()
    assert {room for room, other in between if other == SIMULATOR} <= set(STARTS_THE_SIMULATOR)
    climbing = {pair for pair in between if SIMULATOR not in pair and floor_of(pair[1]) > floor_of(pair[0])}
    assert climbing == set()


def test_storage_imports_the_database_and_pure_modules_only() -> None:
    used = {room_of(name) for module in MODULES if room_of(module) == "storage" for name in ours(module)}
    assert used - {"storage"} <= STORAGE_USES


@pytest.mark.parametrize("of", ["files", "rooms"])
def test_no_imports_go_in_a_circle(of: str) -> None:
    graph: dict[str, set[str]] = {}
    for module in MODULES:
        names = {module} | ours(module)
        me, *others = [name if of == "files" else room_of(name) for name in (module, *sorted(names - {module}))]
        graph.setdefault(me, set()).update(other for other in others if other != me)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"circle: {' → '.join(error.args[1])}")


def test_a_room_is_entered_through_its_facade() -> None:
    past = {
        f"{module} imports {name}"
        for module in MODULES
        for name in ours(module) - {"gunicorn.conf"}
        if "." in name and room_of(name) not in (room_of(module), IMPORTED_BY_MODULE)
    }
    assert past == set()


def test_no_view_imports_a_view() -> None:
    """What views share is in modules without routes."""
    views = {module for module in MODULES if calls(module, "Blueprint") or calls(module, "operations")}
    assert len(views) > 10
    shared = {f"{module} imports {name}" for module in views for name in ours(module) & views}
    assert shared == set()


def calls(module: str, name: str) -> bool:
    """Return whether a module calls a function of this name."""
    called = (node.func for node in nodes(module) if isinstance(node, ast.Call))
    return any(isinstance(function, ast.Name) and function.id == name for function in called)


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != IMPORTED_BY_MODULE])
def test_a_facade_names_nothing_like_a_module(package: str) -> None:
    modules = {path.stem for path in (ROOT / package).glob("*.py")}
    exported = exported_by(package)
    assert exported
    assert modules & exported == set()


@pytest.mark.parametrize("package", [package for package in PACKAGES if package != IMPORTED_BY_MODULE])
def test_a_facade_names_only_what_others_use(package: str) -> None:
    asking = re.compile(rf"^from {package} import (\([^)]*\)|.*)|\b{package}(\.\w+)", re.MULTILINE)
    others = "\n".join(text for room, text in all_texts() if room != package and package in text)
    used = {word for asked in asking.finditer(others) for word in re.findall(r"\w+", asked[1] or asked[2])}
    used |= {node.id for node in nodes(package) if isinstance(node, ast.Name)}
    assert exported_by(package) - used == set()


@cache
def all_texts() -> list[tuple[str, str]]:
    """Every Python file of the repository with its room."""
    folders = [folder for folder in ROOT.iterdir() if folder.is_dir() and not folder.name.startswith(".")]
    paths = [*ROOT.glob("*.py"), *(path for folder in folders for path in folder.rglob("*.py"))]
    return [(path.relative_to(ROOT).parts[0], path.read_text(encoding="utf-8")) for path in paths]


def exported_by(package: str) -> set[str]:
    """The names that a façade imports for others."""
    nodes = [node for node in tree(package).body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name for node in nodes for alias in node.names}


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owner(library: str) -> None:
    users = {module for module in MODULES if any(name.split(".")[0] == library for name in imports(module))}
    assert {module for module in users if not is_one_of(module, OWNERS[library])} == set()


def test_the_environment_is_read_at_the_edge() -> None:
    readers = {
        module
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and is_os(node.value) and node.attr in ("environ", "environb", "getenv")
    }
    assert {module for module in readers if not is_one_of(module, READS_THE_ENVIRONMENT)} == set()


def test_what_databases_do_differently_is_in_one_place() -> None:
    """All other statements are written once; engines open a database and migrations make its tables."""
    askers = {
        module
        for module in MODULES
        for node in nodes(module)
        if isinstance(node, ast.Attribute) and node.attr == "name" and is_dialect(node.value)
    }
    assert {module for module in askers if not is_one_of(module, ASKS_WHICH_DATABASE)} == set()


def is_dialect(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "dialect"


def is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


def test_a_module_says_what_it_is_for_and_imports_at_its_top() -> None:
    assert [module for module in MODULES if not ast.get_docstring(tree(module))] == []
    hidden = [
        f"{module}.{function.name}, line {node.lineno}"
        for module in MODULES
        if any(isinstance(node, ast.Import | ast.ImportFrom) and node.col_offset for node in nodes(module))
        for function in nodes(module)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []
    assert [module for module in MODULES if "importlib" in imports(module)] == list(IMPORTS_LATE)


def test_each_module_has_a_file_of_its_tests() -> None:
    """By its name, so that a reader finds the tests of a module."""
    modules = [module for module, path in MODULES.items() if path.name != "__init__.py"]
    tested = [module for module in modules if not is_one_of(module, DECLARATIONS)]
    assert [module for module in tested if not (ROOT / "tests" / f"{file_of_tests(module)}.py").exists()] == []


def test_each_file_of_tests_is_named_after_a_module() -> None:
    """With the aspect that it tests after the name, where a module has several: test_settlement_lists."""
    files = sorted(path.relative_to(ROOT / "tests").with_suffix("") for path in (ROOT / "tests").rglob("test_*.py"))
    of_rooms = [file.as_posix() for file in files if file.parts[0] not in NO_ROOMS]
    known = {file_of_tests(module) for module in MODULES}
    aspects = tuple(f"{name}_" for name in known)
    stray = {file for file in of_rooms if file not in known and not file.startswith(aspects)}
    assert stray == set(WITHOUT_MODULE)


def file_of_tests(module: str) -> str:
    """Return the file of tests of a module: relative to tests/, without its ending."""
    room, _, name = ("", "", "gunicorn_conf") if module == "gunicorn.conf" else module.rpartition(".")
    return Path(room, f"test_{name}").as_posix()


def test_each_fault_that_is_planted_by_hand_changes_the_module_of_today() -> None:
    """A fault whose words are gone would change nothing, and nobody would know whether tests notice it."""
    book = tomllib.loads((ROOT / "tests" / "tools" / "mutants.toml").read_text())
    sources = {module: path.read_text() for module, path in MODULES.items()}
    assert [one for one in book["planted"] if sources[one["module"]].count(one["old"]) != 1] == []
    assert {one["module"] for kind in ("planted", "equivalent") for one in book[kind]} <= book["tests"].keys()
    functions = [(sources[one["module"]], one["function"].rpartition(".")[2]) for one in book["equivalent"]]
    assert [name for source, name in functions if f"def {name}(" not in source] == []


def test_each_file_of_tests_that_faults_are_tried_with_exists() -> None:
    book = tomllib.loads((ROOT / "tests" / "tools" / "mutants.toml").read_text())
    folders = {module: ROOT.joinpath("tests", *module.split(".")[:-1]) for module in book["tests"]}
    named = [
        folders[module] / file for kind in ("tests", "left_out") for module in book[kind] for file in book[kind][module]
    ]
    assert [path for path in named if not path.exists()] == []


def test_no_two_classes_have_the_same_name() -> None:
    named: dict[str, list[str]] = {}
    for module in MODULES:
        for node in nodes(module):
            if isinstance(node, ast.ClassDef):
                named.setdefault(node.name, []).append(module)
    assert {name: modules for name, modules in named.items() if len(modules) > 1} == {}


def test_only_programs_for_a_terminal_print() -> None:
    printing = {module for module in MODULES if calls(module, "print")}
    assert {module for module in printing if not is_one_of(module, PRINTS)} == set()


def test_no_state_lives_in_a_module() -> None:
    assert [module for module in MODULES for node in nodes(module) if isinstance(node, ast.Global)] == []
    changing = [f"{module}.{name}" for module in MODULES for name in assigned_at_top(module) if not name.isupper()]
    assert changing == []


def assigned_at_top(module: str) -> Iterator[str]:
    """Names that hold a list, dict or set and look as if they were meant to change."""
    made_by_hand = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    for node in tree(module).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, made_by_hand):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name) and not t.id.startswith("__"))


def test_a_template_holds_no_style_no_script_and_nothing_from_elsewhere() -> None:
    for template in TEMPLATES:
        text = re.sub(r"\{#.*?#\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"<style\b|\sstyle\s*=", text, re.IGNORECASE), template
        assert not re.search(r"\son[a-z]+\s*=\s*[\"']|javascript:", text, re.IGNORECASE), template
        for tag in re.findall(r"<script\b[^>]*>", text, re.IGNORECASE):
            assert "src=" in tag or 'type="application/json"' in tag, f"{template}: {tag}"
        assert not re.search(r"<(link|script|img|iframe|source)\b[^>]*(https?:)?//", text, re.IGNORECASE), template


def test_no_line_of_a_template_is_long() -> None:
    long = [
        f"{template}, line {number}"
        for template in TEMPLATES
        for number, line in enumerate(template.read_text(encoding="utf-8").splitlines(), 1)
        if len(line) > LONGEST_TEMPLATE_LINE
    ]
    assert long == []


def test_every_form_that_changes_something_carries_a_token() -> None:
    for template in TEMPLATES:
        text = template.read_text(encoding="utf-8")
        for form in re.findall(r"<form\b.*?</form>", text, re.IGNORECASE | re.DOTALL):
            if re.search(r"method\s*=\s*[\"']?post", form, re.IGNORECASE):
                assert "csrf_token" in form, f"{template}: {form[:120]}"


def test_a_template_builds_its_addresses_with_url_for() -> None:
    addresses = re.compile(r"\b(?:href|action|src)\s*=\s*[\"']/[^\"']*")
    found = {template: addresses.findall(template.read_text(encoding="utf-8")) for template in TEMPLATES}
    assert {template: built for template, built in found.items() if built} == {}

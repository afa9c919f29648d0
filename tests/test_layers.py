"""The house: imports point down, each library has one owner, and nothing hides in functions or templates.

This table is the architecture. A module that is not in it, or an import that climbs, fails here.
"""

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: floor → what stands on it. A module may import from its own floor, without a cycle, and from those below.
FLOORS: dict[int, tuple[str, ...]] = {
    5: ("web_*", "commands*", "backend", "gunicorn.conf"),
    4: (
        "production_submission_system",
        "runner",
        "settlement",
        "absence",
        "account_watch",
        "verdicts",
        "pace",
        "limit_estimate",
        "bucket_rate",
        "call_budget",
        "doubt_lookup",
        "submission_report",
        "order_sync",
        "audit",
        "audit_comparison",
        "audit_rebuild",
        "upkeep",
        "service_catalog",
        "page_calls",
        "price_check",
    ),
    3: (
        "gsm_fusion_client",
        "provider_*",
        "database",
        "batch_*",
        "order_queries",
        "order_import",
        "order_matching",
        "order_filters",
        "order_wordings",
        "order_pages",
        "order_searches",
        "order_reports",
        "order_totals",
        "result_store",
        "audit_store",
        "account_mark",
        "balance_store",
        "refunds",
        "lease",
        "call_log",
        "checkpoints",
        "spreadsheets*",
        "intake",
        "file_kinds",
    ),
    2: ("orders", "schema", "device_*"),
    1: ("imei*", "settings", "amounts"),
}
#: The provider that stands in for the real one imports nothing of ours, and only these may start it.
SIMULATOR = "simulator*"
STARTS_THE_SIMULATOR = ("runner", "commands*", "gunicorn.conf", SIMULATOR)

#: library → the modules that may import it.
OWNERS: dict[str, tuple[str, ...]] = {
    "flask": FLOORS[5],
    "flask_wtf": ("web_auth",),
    "flask_compress": ("web_app",),
    "gunicorn": ("web_worker",),
    "werkzeug": FLOORS[5],
    "jinja2": FLOORS[5],
    "markupsafe": FLOORS[5],
    "click": ("commands*",),
    "tqdm": ("commands",),
    "dotenv": ("web_app", "gunicorn.conf"),
    "requests": ("gsm_fusion_client", "provider_*"),
    "urllib3": ("gsm_fusion_client", "provider_*"),
    "http": ("gsm_fusion_client", "provider_*", SIMULATOR),
    "xml": ("gsm_fusion_client", "provider_*", "spreadsheets_parts", SIMULATOR),
    "sqlalchemy": (
        "database",
        "schema",
        "batch_*",
        "order_queries",
        "order_import",
        "order_filters",
        "order_wordings",
        "order_pages",
        "order_searches",
        "order_reports",
        "order_totals",
        "result_store",
        "audit_store",
        "account_mark",
        "balance_store",
        "refunds",
        "lease",
        "call_log",
    ),
    "alembic": ("database",),
    "sqlite3": ("database",),
    "pysqlite3": ("database",),
    "csv": ("spreadsheets*",),
    "openpyxl": ("spreadsheets*",),
    "xlsxwriter": ("spreadsheets*",),
    "python_calamine": ("spreadsheets_old",),
}
READS_THE_ENVIRONMENT = ("settings", "web_app", "gunicorn.conf", "simulator")
PRINTS = ("commands", "simulator")

MODULES = {path.stem: path for path in sorted(ROOT.glob("*.py"))}
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def is_one_of(module: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(module, pattern) for pattern in patterns)


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(module: str) -> set[str]:
    """The top-level names that a module imports, ours and others'."""
    found: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def floor_of(module: str) -> int | None:
    return next((floor for floor, patterns in FLOORS.items() if is_one_of(module, patterns)), None)


def ours(module: str) -> set[str]:
    return imports(module) & MODULES.keys()


@pytest.mark.parametrize("module", MODULES)
def test_every_module_stands_on_exactly_one_floor(module: str) -> None:
    floors = [floor for floor, patterns in FLOORS.items() if is_one_of(module, patterns)]
    assert len(floors) + is_one_of(module, (SIMULATOR,)) == 1


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    if is_one_of(module, (SIMULATOR,)):
        assert {name for name in ours(module) if not is_one_of(name, (SIMULATOR,))} == set()
        return
    here = floor_of(module)
    assert here is not None
    climbing = {name for name in ours(module) if (floor_of(name) or 0) > here}
    assert climbing == set()


def test_no_imports_go_in_a_circle() -> None:
    try:
        list(TopologicalSorter({module: ours(module) for module in MODULES}).static_order())
    except CycleError as error:
        pytest.fail(f"circle: {' → '.join(error.args[1])}")


@pytest.mark.parametrize("module", MODULES)
def test_only_the_edges_start_the_simulator(module: str) -> None:
    if not is_one_of(module, STARTS_THE_SIMULATOR):
        assert not any(is_one_of(name, (SIMULATOR,)) for name in ours(module))


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_its_owner(library: str) -> None:
    users = {module for module in MODULES if library in imports(module)}
    assert {module for module in users if not is_one_of(module, OWNERS[library])} == set()


@pytest.mark.parametrize("module", MODULES)
def test_the_environment_is_read_at_the_edge(module: str) -> None:
    names = {node.attr for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute) and is_os(node.value)}
    assert not names & {"environ", "environb", "getenv"} or is_one_of(module, READS_THE_ENVIRONMENT)


def is_os(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "os"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_what_it_is_for_and_imports_at_its_top(module: str) -> None:
    assert ast.get_docstring(tree(module))
    functions = (node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    hidden = [
        f"{function.name}, line {node.lineno}"
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


@pytest.mark.parametrize("module", MODULES)
def test_only_programs_for_a_terminal_print(module: str) -> None:
    calls = (node.func for node in ast.walk(tree(module)) if isinstance(node, ast.Call))
    prints = any(isinstance(called, ast.Name) and called.id == "print" for called in calls)
    assert not prints or is_one_of(module, PRINTS)


@pytest.mark.parametrize("module", MODULES)
def test_no_state_lives_in_a_module(module: str) -> None:
    assert not any(isinstance(node, ast.Global) for node in ast.walk(tree(module)))
    assert [name for name in assigned_at_top(module) if not name.isupper()] == []


def assigned_at_top(module: str) -> Iterator[str]:
    """Names that hold a list, dict or set and look as if they were meant to change."""
    made_by_hand = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    for node in tree(module).body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, made_by_hand):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (t.id for t in targets if isinstance(t, ast.Name) and not t.id.startswith("__"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_holds_no_style_no_script_and_nothing_from_elsewhere(template: Path) -> None:
    text = re.sub(r"\{#.*?#\}", "", template.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not re.search(r"<style\b|\sstyle\s*=", text, re.IGNORECASE)
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']|javascript:", text, re.IGNORECASE)
    for tag in re.findall(r"<script\b[^>]*>", text, re.IGNORECASE):
        assert "src=" in tag or 'type="application/json"' in tag, tag
    assert not re.search(r"<(link|script|img|iframe|source)\b[^>]*(https?:)?//", text, re.IGNORECASE)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_every_form_that_changes_something_carries_a_token(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    for form in re.findall(r"<form\b.*?</form>", text, re.IGNORECASE | re.DOTALL):
        if re.search(r"method\s*=\s*[\"']?post", form, re.IGNORECASE):
            assert "csrf_token" in form, form[:120]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_a_template_builds_its_addresses_with_url_for(template: Path) -> None:
    text = template.read_text(encoding="utf-8")
    assert re.findall(r"\b(?:href|action|src)\s*=\s*[\"']/[^\"']*", text) == []

"""The habits of the house that no linter knows: names, sizes, what only one place may do."""

import ast
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("service", "worker", "models")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
ALL_PYTHON = sorted([*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "deploy").rglob("*.py")])

NAMELESS = frozenset(
    "utils util helpers helper common misc core base manager handlers types constants".split()
)
FILE_LINES = 400
MEDIAN_LINES = 120
FUNCTION_LINES = 60

# Only the settings read the environment. Who starts a child hands the environment down; one process sets a
# variable that billiard reads when Celery is imported.
ENVIRONMENT_READERS = {"worker/settings.py"}
ENVIRONMENT_PASSED_ON = {
    "service/serve.py",
    "service/demo.py",
    "service/faults/system.py",
    "service/faults/intake.py",
}
ENVIRONMENT_SET = {"service/worker_process.py": "REMAP_SIGTERM"}

ENVIRONMENT = {"os.environ", "os.getenv", "os.putenv", "os.environb"}
UNPICKLING_MODULES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), name_of(path))


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an attribute or a name, else ""."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def imported_modules(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def environment_uses(tree: ast.Module) -> list[str]:
    """Every mention of the environment, however it is imported."""
    lines = [f"line {node.lineno}" for node in ast.walk(tree) if dotted(node) in ENVIRONMENT]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            lines += [f"line {node.lineno}" for alias in node.names if f"os.{alias.name}" in ENVIRONMENT]
    return lines


def environment_passed_on(tree: ast.Module) -> list[ast.expr]:
    """Every `{**os.environ, …}` and `os.environ | …`."""
    merged = [
        node.left
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.BitOr)
        and dotted(node.left) == "os.environ"
    ]
    pairs = [
        pair
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for pair in zip(node.keys, node.values, strict=True)
    ]
    return merged + [value for key, value in pairs if key is None and dotted(value) == "os.environ"]


def keys_assigned(tree: ast.Module) -> list[object]:
    """K of every `os.environ[K] = …`."""
    targets = [t for node in ast.walk(tree) if isinstance(node, ast.Assign) for t in node.targets]
    ours = [t for t in targets if isinstance(t, ast.Subscript) and dotted(t.value) == "os.environ"]
    return [target.slice.value for target in ours if isinstance(target.slice, ast.Constant)]


def may_run_code(call: ast.Call) -> bool:
    """A call that unpickles. numpy.load without pickles (its default) and torch.load of weights alone do not."""
    name = dotted(call.func)
    given = {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}
    if name in {"numpy.load", "np.load"}:
        return given.get("allow_pickle", False) is not False
    if name == "torch.load":
        return given.get("weights_only") is not True
    return name == "yaml.load"


def offenders(found: Callable[[ast.Module], Sequence[object]], *, but: Collection[str] = ()) -> list[str]:
    """`file: what` for everything that `found` finds in our sources' trees."""
    return [
        f"{name_of(path)}: {what}"
        for path in SOURCES
        if name_of(path) not in but
        for what in found(tree_of(path))
    ]


def test_there_are_sources() -> None:
    assert len(SOURCES) > 50


def test_files_are_called_by_their_subject() -> None:
    assert not [name_of(path) for path in ALL_PYTHON if {path.stem, path.parent.name} & NAMELESS]
    # `models` means networks: tables are records.py, JSON shapes are schemas.py
    assert not [name_of(path) for path in ALL_PYTHON if path.stem == "models"]


def test_files_are_short() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in SOURCES}
    assert not {name: lines for name, lines in sizes.items() if lines > FILE_LINES}
    assert sorted(sizes.values())[len(sizes) // 2] <= MEDIAN_LINES


def test_a_function_fits_one_screen() -> None:
    def too_long(tree: ast.Module) -> list[str]:
        return [f"{f.name} has {length(f)} lines" for f in functions(tree) if length(f) > FUNCTION_LINES]

    migrations = [
        name_of(path) for path in SOURCES if "migrations" in path.parts
    ]  # tables, written down once
    assert not offenders(too_long, but=migrations)


def test_nothing_prints() -> None:
    """The command line prints through `service/terminal.py`, everything else logs."""
    assert not offenders(lambda tree: [f"line {c.lineno}" for c in calls(tree) if dotted(c.func) == "print"])


def test_only_settings_read_the_environment() -> None:
    readers = ENVIRONMENT_READERS | ENVIRONMENT_PASSED_ON | set(ENVIRONMENT_SET)
    assert not offenders(environment_uses, but=readers)


def test_who_starts_a_child_hands_the_environment_down_unread() -> None:
    for name in ENVIRONMENT_PASSED_ON:
        tree = tree_of(ROOT / name)
        assert len(environment_passed_on(tree)) == len(environment_uses(tree)) > 0, name


def test_the_variable_that_is_set_is_the_known_one() -> None:
    for name, variable in ENVIRONMENT_SET.items():
        tree = tree_of(ROOT / name)
        assert keys_assigned(tree) == [variable] and len(environment_uses(tree)) == 1, name


def test_nothing_is_unpickled() -> None:
    """A pickle runs whatever code its author liked: weights are safetensors, messages and settings are text."""
    assert not offenders(lambda tree: sorted(imported_modules(tree) & UNPICKLING_MODULES))
    assert not offenders(lambda tree: [f"line {c.lineno}" for c in calls(tree) if may_run_code(c)])


def test_modules_introduce_themselves() -> None:
    assert not [name_of(path) for path in SOURCES if not ast.get_docstring(tree_of(path))]


@pytest.mark.parametrize("room", ["service", "worker"])
def test_a_rooms_init_imports_nothing(room) -> None:
    """An `__init__` that pulled in the pipeline would put torch into the API and the listener."""
    assert not imported_modules(tree_of(ROOT / room / "__init__.py"))


def test_tests_are_no_package() -> None:
    """rt-utils installs a package called `tests`, and an `__init__.py` here would shadow our rooms."""
    assert not list((ROOT / "tests").rglob("__init__.py"))

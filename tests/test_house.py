"""The rules of the house, read from the source: short files and functions, plain `__init__.py`, a thin command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
TREES = {path: ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
# Rooms whose functions may still be longer.
LATER: tuple[str, ...] = ()
# Those that load their names when they are first used, and what the package itself does besides.
LAZY = ("sightline", "sightline.serving")
THREADS = "if 'OMP_WAIT_POLICY' not in os.environ:"
# What the command line may import: the settings that it makes flags of, and how reports write a p-value.
FOR_COMMANDS = ("sightline.cli", "sightline.errors", "sightline.language", "sightline.settings")
FOR_COMMANDS_ALONE = (
    "sightline", "sightline.installation", "sightline.printable", "sightline.serving.settings",
    "sightline.reporting.numerals",
)  # fmt: skip


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): tree for path, tree in TREES.items()}


def is_for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST, *, in_functions: bool) -> Iterator[ast.AST]:
    """Everything that runs when a module is imported, and with `in_functions` what its functions do as well."""
    for node in ast.iter_child_nodes(tree):
        if is_for_type_checkers(node):
            assert isinstance(node, ast.If)
            rest: list[ast.AST] = [*node.orelse]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not in_functions:
            rest = []
        else:
            rest = [node]
        for part in rest:
            yield part
            yield from statements(part, in_functions=in_functions)


def imports(tree: ast.AST, *, in_functions: bool) -> set[str]:
    """The modules of the house that a module imports by name. `from room import x` is of x where that is a module."""
    found: set[str] = set()
    for node in statements(tree, in_functions=in_functions):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in MODULES else f"{node.module}" for name in names}
    return {name for name in found if name in MODULES}


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A way that leads back to where it began, empty where there is none."""
    done: set[str] = set()

    def search(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        found = next((found for other in sorted(graph[name]) if (found := search(other, [*way, name]))), [])
        done.add(name)
        return found

    return next((found for name in graph if (found := search(name, []))), [])


def test_no_file_is_too_long() -> None:
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in TREES}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    long = {
        f"{module}.{node.name}": length
        for module, tree in MODULES.items()
        if not module.startswith(tuple(f"sightline.{room}." for room in LATER))
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == {}


def is_plain(node: ast.stmt) -> bool:
    """A docstring, an import or `__all__`."""
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) == "__all__"
    return isinstance(node, ast.Import | ast.ImportFrom)


def is_lazy(node: ast.stmt) -> bool:
    """A part of loading a name when it is first used: where each is, and the two functions."""
    if isinstance(node, ast.Assign):
        return ast.unparse(node.targets[0]) in ("_ROOMS", "_ROOM_OF")
    if isinstance(node, ast.If):
        return is_for_type_checkers(node) and all(map(is_plain, node.body)) and not node.orelse
    return isinstance(node, ast.FunctionDef) and node.name in ("__getattr__", "__dir__")


@pytest.mark.parametrize("path", [path for path in TREES if path.name == "__init__.py"], ids=module_of)
def test_a_room_s_first_file_only_passes_names_on(path: Path) -> None:
    module = module_of(path)
    other = [
        ast.unparse(node) for node in TREES[path].body if not is_plain(node) and not (module in LAZY and is_lazy(node))
    ]
    assert [text for text in other if not (module == "sightline" and text.startswith(THREADS))] == []


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("sightline.cli.")])
def test_commands_know_the_package_alone(module: str) -> None:
    known = imports(MODULES[module], in_functions=True)
    allowed = tuple(f"{room}." for room in FOR_COMMANDS)
    others = {name for name in known if not f"{name}.".startswith(allowed)}
    assert others - set(FOR_COMMANDS_ALONE) == set()


def test_no_imports_run_in_a_circle() -> None:
    graph = {module: imports(tree, in_functions=False) for module, tree in MODULES.items()}
    assert len(graph["sightline.training.train"]) > 5  # so that this test sees what is imported
    assert circle(graph) == []


def test_a_circle_is_found_where_there_is_one() -> None:
    assert circle({"a": {"b", "d"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_hooks_run_what_make_check_runs() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe is not None
    commands = [line.replace("$(BIN)", ".venv/bin") for line in recipe[1].split("\n\t")]
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == [command.strip() for command in commands]

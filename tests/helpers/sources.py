"""The program's source, read as a tree: the texts that its expressions can be, such as the parts of its errors.

The source is read, not run: texts are followed through f-strings, conditions, local names, constants, and parameters
that callers fill. What only a run can know becomes the GAP.
"""

from __future__ import annotations

import ast
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import sightline

PACKAGE = Path(sightline.__file__).parent
BASE = "SightlineError"
PARTS = ("subject", "found", "expected", "advice")
GAP = "…"
MOST_TEXTS, DEEPEST = 64, 8
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Module:
    """A file's tree, and its constants and functions by name."""

    path: str
    tree: ast.Module
    constants: dict[str, list[ast.expr]] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)


class Program:
    """All modules of a program, by their paths below it."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.modules = [_module(path, ast.parse(source)) for path, source in sources.items()]
        self.calls: dict[str, list[tuple[ast.Call, Module, tuple[Function, ...]]]] = defaultdict(list)
        self.definitions: dict[str, int] = defaultdict(int)
        for module in self.modules:
            for node, scope in walk(module.tree, ()):
                if isinstance(node, ast.Call):
                    self.calls[_called(node)].append((node, module, scope))
                elif isinstance(node, Function):
                    self.definitions[node.name] += 1
        self.kinds = self._kinds()

    def _kinds(self) -> set[str]:
        """The names of SightlineError and of all classes derived from it."""
        bases = {
            node.name: {ast.unparse(base) for base in node.bases}
            for module in self.modules
            for node in ast.walk(module.tree)
            if isinstance(node, ast.ClassDef)
        }
        kinds = {BASE}
        while more := {name for name, over in bases.items() if over & kinds} - kinds:
            kinds |= more
        return kinds

    def places(self) -> Iterator[tuple[str, dict[str, list[str]]]]:
        """Each place that makes an error as file:line, with the texts that each part can have there."""
        for name, calls in self.calls.items():
            for call, module, scope in calls:
                place = f"{module.path}:{call.lineno}"
                if name in self.kinds:
                    given = dict(zip(PARTS, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
                    yield place, {part: self.texts(value, module, scope) for part, value in given.items()}
                elif name == "ValueError" and module.path.startswith("settings/"):  # pydantic's, which become `found`
                    yield place, {"found": self.texts(call.args[0], module, scope)}

    def texts(self, node: ast.expr, module: Module, scope: tuple[Function, ...], depth: int = 0) -> list[str]:
        """The texts that an expression can be."""
        if depth > DEEPEST:
            return [GAP]

        def each(*nodes: ast.expr) -> list[str]:
            return [text for one in nodes for text in self.texts(one, module, scope, depth + 1)]

        match node:
            case ast.Constant(value=str() as text):
                return [text]
            case ast.JoinedStr(values=parts):
                return _joined([each(part) for part in parts])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                # A sum of numbers is one gap.
                return [text if text.strip(GAP) else GAP for text in _joined([each(left), each(right)])]
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return each(value)
            case ast.IfExp(body=body, orelse=other):
                return each(body, other)
            case ast.BoolOp(op=ast.Or(), values=[*values, last]):
                return [text for text in each(*values) if text] + each(last)
            case ast.Subscript(value=value, slice=ast.Slice()):  # a text that is cut to a length
                return each(value)
            case ast.Name(id=name):
                return self._named(name, module, scope, depth + 1)
            case ast.Call(func=ast.Name(id=name)) if name in module.functions:
                function = module.functions[name]
                results = [inner.value for inner in own(function) if isinstance(inner, ast.Return) and inner.value]
                return [text for one in results for text in self.texts(one, module, (function,), depth + 1)] or [GAP]
            case _:
                return [GAP]

    def _named(self, name: str, module: Module, scope: tuple[Function, ...], depth: int) -> list[str]:
        for place in range(len(scope), 0, -1):
            function, outer = scope[place - 1], scope[:place]
            values = assigned(function, name)
            if _has_parameter(function, name):
                return self._filled(function, name, module, depth) + self._all(values, module, outer, depth)
            if values:
                return self._all(values, module, outer, depth)
        if name in module.constants:
            return self._all(module.constants[name], module, (), depth)
        for other in self.modules:
            if module.imports.get(name, "-") == other.path and name in other.constants:
                return self._all(other.constants[name], other, (), depth)
        return [GAP]

    def _all(self, values: list[ast.expr], module: Module, scope: tuple[Function, ...], depth: int) -> list[str]:
        return [text for value in values for text in self.texts(value, module, scope, depth)]

    def _filled(self, function: Function, name: str, module: Module, depth: int) -> list[str]:
        """What callers give for a parameter, where the function is the only one of its name."""
        if self.definitions[function.name] != 1:
            return [GAP]
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        texts: list[str] = []
        for call, where, scope in self.calls.get(function.name, []):
            given = dict(zip(names, call.args, strict=False)) | {k.arg: k.value for k in call.keywords if k.arg}
            if name in given:
                texts += self.texts(given[name], where, scope, depth)
        defaults = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
        defaults |= {a.arg: d for a, d in zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True) if d}
        if name in defaults:
            texts += self.texts(defaults[name], module, (), depth)
        return texts or [GAP]


def _module(path: str, tree: ast.Module) -> Module:
    module = Module(path, tree)
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                module.constants[name] = [value]
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                module.functions[node.name] = node
            case ast.ImportFrom(module=str() as source, names=names):
                file = f"{source.removeprefix('sightline.').replace('.', '/')}.py"
                module.imports |= {alias.asname or alias.name: file for alias in names}
            case _:
                pass
    return module


def walk(node: ast.AST, scope: tuple[Function, ...]) -> Iterator[tuple[ast.AST, tuple[Function, ...]]]:
    """Every node, with the functions around it, the outermost first."""
    for child in ast.iter_child_nodes(node):
        yield child, scope
        yield from walk(child, (*scope, child) if isinstance(child, Function) else scope)


def own(function: Function) -> Iterator[ast.AST]:
    """Every node of a function that is in no other function inside it."""
    yield from (node for node, scope in walk(function, ()) if not scope)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _has_parameter(function: Function, name: str) -> bool:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return any(argument is not None and argument.arg == name for argument in every)


def assigned(function: Function, name: str) -> list[ast.expr]:
    """What a function gives a name; a loop's or a `with`'s value is unknown, an expression that has no text."""
    known: dict[ast.expr, ast.expr] = {}
    for node in own(function):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                known |= dict(zip(targets, values, strict=True))
            case ast.Assign(targets=[target], value=value):
                known[target] = value
            case _:
                pass
    stored = (node for node in own(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return [known.get(node, ast.Constant(None)) for node in stored if node.id == name]


def _joined(parts: list[list[str]]) -> list[str]:
    count = 1
    for part in parts:
        count *= len(set(part))
    return ["".join(choice) for choice in itertools.product(*map(set, parts))] if count <= MOST_TEXTS else [GAP]


@cache
def whole_program() -> Program:
    """The package that is under test."""
    return Program({path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")})

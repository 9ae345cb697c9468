"""Every place that makes an error keeps to the form that errors.py describes.

The program's source is read, not run: each argument's texts are followed through f-strings, conditions, local names,
constants, and parameters that callers fill. What only a run can know becomes the GAP, which fits everywhere.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import sightline
from helpers.keywords import keywords
from sightline.errors import DataError, UsageError, needs, unknown
from sightline.installation import install_command
from sightline.keywords import in_python
from sightline.settings import flat_fields
from sightline.settings.text import choices

PACKAGE = Path(sightline.__file__).parent
BASE = "SightlineError"
PARTS = ("subject", "found", "expected", "advice")
GAP = "…"
SHELL_COMMAND = re.compile(r"(sightline|pip) [^,]*")
KEYWORD = re.compile(r"""\b(\w+)=("?)([^\s"'.,:]+)\2""")
MOST_TEXTS, DEEPEST = 64, 8
Function = ast.FunctionDef | ast.AsyncFunctionDef

PROPER_NAMES = ("Sightline",)
NO_NOUN_PHRASE = re.compile(
    r"(it|they|there|that|what|use|give|say|name|put|add|make|see|run|did|is|are|was|should|must|needed|known|"
    r"greater|less|and|or|nothing|as) |.*( is needed| are needed|should be)"
)


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
            for node, scope in _walk(module.tree, ()):
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
                return _joined([each(left), each(right)])
            case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
                return each(value)
            case ast.IfExp(body=body, orelse=other):
                return each(body, other)
            case ast.BoolOp(op=ast.Or(), values=values):
                return each(*values)
            case ast.Subscript(value=value, slice=ast.Slice()):  # a text that is cut to a length
                return each(value)
            case ast.Name(id=name):
                return self._named(name, module, scope, depth + 1)
            case ast.Call(func=ast.Name(id=name)) if name in module.functions:
                function = module.functions[name]
                results = [inner.value for inner in _own(function) if isinstance(inner, ast.Return) and inner.value]
                return [text for one in results for text in self.texts(one, module, (function,), depth + 1)] or [GAP]
            case _:
                return [GAP]

    def _named(self, name: str, module: Module, scope: tuple[Function, ...], depth: int) -> list[str]:
        for place in range(len(scope), 0, -1):
            function, outer = scope[place - 1], scope[:place]
            values = _assigned(function, name)
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


def _walk(node: ast.AST, scope: tuple[Function, ...]) -> Iterator[tuple[ast.AST, tuple[Function, ...]]]:
    """Every node, with the functions around it, the outermost first."""
    for child in ast.iter_child_nodes(node):
        yield child, scope
        yield from _walk(child, (*scope, child) if isinstance(child, Function) else scope)


def _own(function: Function) -> Iterator[ast.AST]:
    """Every node of a function that is in no other function inside it."""
    yield from (node for node, scope in _walk(function, ()) if not scope)


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")


def _has_parameter(function: Function, name: str) -> bool:
    arguments = function.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg)
    return any(argument is not None and argument.arg == name for argument in every)


def _assigned(function: Function, name: str) -> list[ast.expr]:
    """What a function gives a name; a loop's or a `with`'s value is unknown, an expression that has no text."""
    known: dict[ast.expr, ast.expr] = {}
    for node in _own(function):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=targets)], value=ast.Tuple(elts=values)):
                known |= dict(zip(targets, values, strict=True))
            case ast.Assign(targets=[target], value=value):
                known[target] = value
            case _:
                pass
    stored = (node for node in _own(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    return [known.get(node, ast.Constant(None)) for node in stored if node.id == name]


def _joined(parts: list[list[str]]) -> list[str]:
    count = 1
    for part in parts:
        count *= len(set(part))
    return ["".join(choice) for choice in itertools.product(*map(set, parts))] if count <= MOST_TEXTS else [GAP]


def offence(part: str, text: str) -> str:
    """What is wrong with a part's text, or nothing."""
    first = text.split(" ", maxsplit=1)[0]
    begins_with_capital = first[:1].isupper() and not first[1:2].isupper() and first not in PROPER_NAMES
    wrong = {
        "subject": [],
        "found": [
            (not text, "is empty"),
            (text.endswith("."), "ends in a period"),
            ("; " in text, "joins clauses by a semicolon"),
        ],
        "expected": [
            (begins_with_capital, "begins with a capital letter"),
            (text.endswith("."), "ends in a period"),
            ("; " in text, "joins clauses by a semicolon"),
            (NO_NOUN_PHRASE.match(f"{text} ") is not None, "is no noun phrase"),
        ],
        "advice": [
            (bool(text) and not (text[0].isupper() or text.startswith(GAP)), "does not begin with a capital letter"),
            (bool(text) and not text.endswith((".", "?", GAP)), "does not end in a period or a question mark"),
        ],
    }
    return next((why for is_so, why in wrong[part] if is_so), "")


def offenders(program: Program) -> list[str]:
    """Each text that breaks a rule, with its place."""
    return [
        f"{place}: {part} {why}: {text}"
        for place, parts in program.places()
        for part, texts in parts.items()
        for text in texts
        if (why := offence(part, text))
    ]


@pytest.fixture(scope="module")
def program() -> Program:
    return Program({path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")})


def test_every_error_is_a_sentence(program: Program) -> None:
    found = offenders(program)
    assert not found, "\n".join(found)


def test_the_walk_sees_every_kind_of_error_and_what_it_says(program: Program) -> None:
    assert {"UsageError", "ImageSizeError", "Interrupted", "ArrayError", "OutOfMemoryError"} <= (program.kinds)
    seen = list(program.places())
    assert len(seen) > 300
    known = [text for _, parts in seen for part, texts in parts.items() if part != "subject" for text in texts]
    assert sum(text != GAP for text in known) > 0.9 * len(known)
    # Through a parameter, a constant of another module, and a function's answer.
    advice = [text for _, parts in seen for text in parts.get("advice", [])]
    assert "Use --form small or larger images." in advice
    assert "It is a Sightline checkpoint. Give its run folder." in advice


def test_no_message_has_a_flag_in_python(program: Program) -> None:
    rendered: set[tuple[str, str]] = set()
    for place, parts in program.places():
        if not place.startswith("cli/"):  # whose errors are not seen in Python
            messages = [f"{text}: found" for text in parts.pop("subject", [])]
            messages += [f"subject: {text}" for texts in parts.values() for text in texts]
            # A flag whose name only a run knows is as good as any.
            rendered |= {(place, in_python(message.replace(f"--{GAP}", "--lr"))) for message in messages}
    assert not [found for found in rendered if "--" in SHELL_COMMAND.sub("", found[1])]
    # What is there instead are keywords and values that Python takes.
    pairs = {match.groups() for _, text in rendered for match in KEYWORD.finditer(text)}
    assert {("force", "", "True"), ("out", "", "FILE"), ("form", '"', "small"), ("port", "", "0")} <= pairs
    for name, quote, value in pairs:
        assert name in keywords(), name
        few = choices(flat_fields()[name]) if name in flat_fields() else ()
        assert not few or value in (*map(str, few), GAP), (name, value)
        assert bool(quote) == (value not in ("True", "False") and not value.isupper() and not value.isdecimal())


GOOD = """
class OwnError(UsageError):
    pass
class UsageError(SightlineError):
    pass
def check(path, count):
    expected = f"a whole number, {count} or more" if count else ""
    raise OwnError(str(path), f"{count} found", expected, advice="Did you mean 3?")
"""


def test_a_good_place_is_no_offender() -> None:
    program = Program({"made/up.py": GOOD})
    assert len(list(program.places())) == 1
    assert offenders(program) == []


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ('OwnError("a", "it is bad.")', "ends in a period"),
        ('OwnError("a", "bad; worse")', "semicolon"),
        ('OwnError("a", "bad", "It is good")', "capital"),
        ('OwnError("a", "bad", "a good one.")', "ends in a period"),
        ('OwnError("a", "bad", "it is good")', "noun phrase"),
        ('OwnError("a", "bad", "needed")', "noun phrase"),
        ('OwnError("a", "bad", f"{path} is needed")', "noun phrase"),
        ('OwnError("a", "bad", expected=LAYOUT)', "noun phrase"),
        ('OwnError("a", "bad", advice="use another.")', "capital"),
        ('OwnError("a", "bad", advice=f"Use {path} or")', "question mark"),
        ('OwnError("a", "bad", advice="Good." if path else "bad.")', "capital"),
        ('OwnError("a", "bad", advice=path and "Good." or "Bad")', "question mark"),
        ('explain("use another")', "capital"),
    ],
)
def test_a_bad_place_is_reported_with_its_line(call: str, reason: str) -> None:
    source = f"""LAYOUT = "use folders"
def explain(advice):
    raise OwnError("a", "bad", advice=advice)
def bad(path):
    raise {call}
"""
    (found,) = offenders(Program({"errors.py": GOOD, "made/up.py": source}))
    assert reason in found
    assert found.startswith("made/up.py:3: " if "explain" in call else "made/up.py:5: ")


def test_a_message_has_its_parts_in_one_line() -> None:
    assert str(DataError("data", "it is\n  empty")) == "data: it is empty"
    assert str(DataError("data", "it is empty", "a picture")) == "data: it is empty (expected a picture)"
    assert str(DataError("data", "it is empty", advice="Fill it.")) == "data: it is empty. Fill it."
    whole = DataError("data", "it is empty", "a picture", "Fill it.")
    assert str(whole) == "data: it is empty (expected a picture). Fill it."


def test_helpers_keep_to_the_form() -> None:
    near = unknown("--model", "resnte", ["cnn", "resnet"])
    assert near.line() == "--model: 'resnte' is not known (expected one of cnn, resnet). Did you mean resnet?"
    names = ["resnet", *map(str, range(10))]
    many = unknown("--model", "resnte", names, listed_by="sightline recipes")
    assert many.line() == "--model: 'resnte' is not known. Did you mean resnet?"
    none = unknown("--model", "xyz", names, listed_by="sightline recipes")
    assert none.line() == "--model: 'xyz' is not known. See sightline recipes for all names."
    with pytest.raises(UsageError) as missing, needs("export", "export", "no_such", why="writes files"):
        import no_such  # noqa: F401  # pyright: ignore
    advice = f"Run {install_command('export')} to install it."
    assert str(missing.value) == f"export: no_such, which writes files, is not installed. {advice}"
    for error in (near, many, none, missing.value):
        assert not any(offence(part, getattr(error, part)) for part in PARTS)

"""The English texts that the command line prints for people, found in the program's source, for the Chinese catalogue.

What only a run can know is a blank, `{}`, as in the catalogue's keys.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from helpers.sources import GAP, Function, Module, Program, assigned, own, walk, whole_program

# Functions whose texts reach people as notes, through what they return or append: file -> functions, () for all.
NOTES: dict[str, tuple[str, ...]] = {
    "augment/choice.py": ("resolve_augment", "_parts", "_harm", "_signs", "_ends", "_sides"),
    "checking/audit.py": ("audit_lines", "_some"),
    "checking/problems.py": (),
    "comparison/sides.py": ("_same_images", "length"),
    "data/cache.py": ("_ready",),
    "data/folder.py": ("unseen_test", "_divided_groups"),
    "data/formats.py": ("unread_line", "uneven_line"),
    "data/image_set.py": ("line",),
    "data/label_file.py": ("find_columns", "_split_column", "read_table"),
    "data/left_out.py": ("of", "_loose_line"),
    "data/source.py": ("_told", "_unwrapped", "_beside", "_tables_left_alone"),
    "evaluation/test.py": ("_missing", "_store"),
    "models/pretrained/load.py": ("line",),
    "recipes/resolve.py": ("folder_recipe",),
    "stats/verdict.py": ("better", "not_distinguishable", "without_spread", "too_few_seeds", "_count"),
    "training/budget.py": ("line",),
    "training/execution.py": ("choose_execution", "_obstacle"),
    "training/head.py": ("line",),
    "training/prepare.py": ("_frozen_note", "_pretrained_notes"),
    "training/reporter.py": ("step", "step_line", "epoch_line", "_place"),
    "training/resume.py": ("resume",),
    "training/train.py": ("_opening_line",),
    "training/trainer.py": ("run",),
    "training/validation.py": ("_end_of",),
    "tuning/trials.py": ("_tell",),
    "tuning/tune.py": ("_described",),
}
# The same for what is printed as a result.
RESULTS: dict[str, tuple[str, ...]] = {"cli/compare.py": ("_costs", "_details")}
# Functions that say what to do about damage, for others' errors.
ADVICE: dict[str, tuple[str, ...]] = {"runs/folder.py": ("mend_weights", "mend_checkpoint")}
NOTE_CALLS = {"note", "tell", "ProgressBar", "print_notes"}
TEXT = ast.JoinedStr | ast.Constant | ast.BinOp
NUMBERS = re.compile(r"\[([^\]|]*)\|?([^\]]*)\]")


def texts_of(section: str) -> dict[str, str]:
    """All texts of a section of the catalogue, each with the file that has it."""
    program = whole_program()
    found: dict[str, str] = {}
    for text, place in {"notes": _notes, "results": _results}[section](program):
        for one in _in_number(text):
            plain = " ".join(one.split()) if one.strip() else one
            # A piece that only continues a text is none of its own.
            if re.search("[A-Za-z]", plain.replace(GAP, "")) and plain[0] not in ",;: ":
                found.setdefault(plain.replace(GAP, "{}"), place)
    return found


def error_texts(part: str) -> dict[str, str]:
    """All texts that a part of an error can be, each with the place that makes it."""
    found: dict[str, str] = {}
    program = whole_program()
    texts = [(text, place) for place, parts in program.places() for text in parts.get(part, [])]
    for text, place in [*texts, *(_advice(program) if part == "advice" else [])]:
        plain = " ".join(text.split())
        # Where a word of a text may be left out, its comma is too.
        if re.search("[A-Za-z]", plain.replace(GAP, "")) and " ," not in plain:
            found.setdefault(plain.replace(GAP, "{}"), place)
    return found


def _advice(program: Program) -> Iterator[tuple[str, str]]:
    """What other functions are given as `advice`, and what functions return for it."""
    yield from _listed(program, ADVICE)
    for calls in program.calls.values():
        for call, module, scope in calls:
            for given in call.keywords:
                if given.arg == "advice":
                    yield from ((text, module.path) for text in program.texts(given.value, module, scope))


def literals() -> set[str]:
    """Every text that the source has, with blanks for what is filled in."""
    found: set[str] = set()
    for module in whole_program().modules:
        for node, _ in walk(module.tree, ()):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(v.value if isinstance(v, ast.Constant) else "{}" for v in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(" ".join(node.value.split()))
    return found


def _notes(program: Program) -> Iterator[tuple[str, str]]:
    yield from _listed(program, NOTES)
    for name in NOTE_CALLS:
        for call, module, scope in program.calls[name]:
            if not call.args or not isinstance(call.func, ast.Attribute | ast.Name):
                continue
            first = call.args[0]
            for one in first.elts if isinstance(first, ast.List) else [first]:
                yield from ((text, module.path) for text in program.texts(one, module, scope) if text != GAP)


def _listed(program: Program, functions: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
    for module in program.modules:
        wanted = functions.get(module.path)
        for node, _ in walk(module.tree, ()) if wanted is not None else ():
            if isinstance(node, Function) and (node.name in wanted or not wanted):
                yield from ((text, module.path) for text in _texts_in(program, module, node))


def _texts_in(program: Program, module: Module, function: Function) -> Iterator[str]:
    """The texts with a space in them, except those of errors, and of texts in texts."""
    inside: set[ast.AST] = set()
    for node in own(function):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in program.kinds:
                inside.update(ast.walk(node))
            case ast.Assign(targets=[ast.Name(id="advice")]):
                inside.update(ast.walk(node))
            case _:
                pass
    if (document := ast.get_docstring(function, clean=False)) is not None:
        inside.update(n for n in ast.walk(function) if isinstance(n, ast.Constant) and n.value == document)
    for node in own(function):
        if node in inside or not isinstance(node, TEXT):
            continue
        inside.update(ast.walk(node))
        yield from (text for text in program.texts(node, module, (function,)) if " " in text.strip(GAP))


def _results(program: Program) -> Iterator[tuple[str, str]]:
    """What `said` and `say` are given, and the heads and names of tables."""
    yield from _listed(program, RESULTS)
    for name in ("said", "say"):
        for call, module, scope in program.calls[name]:
            if name == "said" and len(call.args) > 1:  # a text of another section
                continue
            for one in call.args:  # `say` takes several lines
                if module.path.startswith("cli/") and not isinstance(one, ast.Starred):
                    yield from ((text, module.path) for text in program.texts(one, module, scope) if text != GAP)
    for name in ("table", "table_with_notes", "facts"):
        for call, module, scope in program.calls[name]:
            if module.path.startswith("cli/"):
                yield from ((text, module.path) for text in _names(program, call.args[0], module, scope))


def _names(program: Program, node: ast.expr, module: Module, scope: tuple[Function, ...]) -> Iterator[str]:
    """The heads of a table, or the names in rows of (name, value)."""
    match node:
        case ast.Name(id=name) if scope and any(isinstance(v, ast.List) for v in assigned(scope[-1], name)):
            for value in assigned(scope[-1], name):
                yield from _names(program, value, module, scope)
        case ast.List(elts=items) if all(not isinstance(item, ast.Tuple) for item in items):
            for item in items:
                yield from program.texts(item, module, scope)
        case _ if scope:
            for inner in ast.walk(scope[-1]):
                match inner:
                    case ast.Tuple(elts=[name, _]) if isinstance(name, ast.Constant | ast.JoinedStr):
                        yield from program.texts(name, module, scope)
                    case _:
                        pass
        case _:
            pass


def _in_number(text: str) -> list[str]:
    """Both forms of a text of `sightline check` that has what one and what several need in brackets."""
    if "{n}" not in text and not NUMBERS.search(text):
        return [text]
    counted = text.replace("{n}", GAP)
    several = NUMBERS.sub(lambda m: m[2] if "|" in m[0] else m[1], counted)
    return [several, NUMBERS.sub(lambda m: m[1] if "|" in m[0] else "", counted)]

"""File names of comparisons, cross-validations and studies stand in the source of their folders, and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "sightline"
COMPARISON, FOLDS, STUDY = "comparison/folder.py", "folds/folder.py", "tuning/folder.py"
NAMES = {
    "comparison.yaml": {COMPARISON},
    "comparison.png": {COMPARISON},
    "folds.yaml": {FOLDS},
    "results.json": {COMPARISON, FOLDS, STUDY},
    "study.yaml": {STUDY},
    "study.db": {STUDY},
    "history.png": {STUDY},
    "importance.png": {STUDY},
    "slices.png": {STUDY},
}


def texts(source: str) -> Iterator[str]:
    """The texts that a program holds, those in f-strings too, but not its docstrings."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def names_in(source: str) -> set[str]:
    """The file names that stand in a program."""
    return {name for text in texts(source) for name in NAMES if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)}


def test_the_names_stand_in_the_folders_alone() -> None:
    places: dict[str, set[str]] = {name: set() for name in NAMES}
    for path in sorted(SOURCE.rglob("*.py")):
        for name in names_in(path.read_text("utf-8")):
            places[name].add(path.relative_to(SOURCE).as_posix())
    assert places == NAMES


def test_a_name_is_found_wherever_a_program_has_it() -> None:
    assert names_in('path = folder / "study.yaml"') == {"study.yaml"}
    assert names_in('text = f"{folder}/final/results.json is missing"') == {"results.json"}
    assert names_in('def f():\n    return ["a", ("comparison.png",)]') == {"comparison.png"}
    assert (
        names_in('"""Of study.yaml."""\n\nclass A:\n    """Of results.json."""\n    x: int\n    """Of study.db."""')
        == set()
    )
    assert names_in('a = "my_study.yaml", "study_yaml", "results.jsonl"') == set()

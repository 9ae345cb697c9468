"""The names of a run's files stand in runs/folder.py and nowhere else in the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sightline.runs import folder

SOURCE = Path(__file__).parents[1] / "src"
OWNER = "sightline.runs.folder"
NAMES = {value for name, value in vars(folder).items() if name.isupper() and isinstance(value, str)}
# What has a suffix is the name of a file; the folders of a run have none, and "test" alone may be anything.
FILES = sorted(name for name in NAMES if re.fullmatch(r"\.?[a-z_]+(\.[a-z]+)?", name) and "." in name)
FOLDERS = [folder.TEST, folder.WEIGHTS, folder.CHECKPOINTS, folder.EVENTS]
FILE = re.compile(rf"(?<![\w.-])({'|'.join(map(re.escape, FILES))})(?![\w-])")
IN_FOLDER = re.compile(rf"/?({'|'.join(map(re.escape, FOLDERS))})/\S*")
CHECKPOINT = re.compile(rf"{re.escape(folder.CHECKPOINT)}(\*.*)?")
# Module and name -> why it may stand there.
ALLOWED = {
    ("sightline.cli.app", folder.ONNX): "an example of a command names an ONNX file that lies anywhere",
    ("sightline.cli.export", folder.ONNX): "a help text says where the file is written",
    ("sightline.data.source", folder.SETTINGS): "a message, of a room below runs/",
    ("sightline.training.checkpoints", folder.SETTINGS): "a message for people",
    ("sightline.training.tracking", f"{folder.TEST}/"): "the group of an event's tag",
    ("sightline.tuning.folder", folder.LOCK): "the lock of a study",
}


def docstrings(tree: ast.AST) -> set[int]:
    """The ids of strings that stand alone, as docstrings do."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def file_names(source: str) -> Iterator[tuple[int, str]]:
    """The run's files that strings of a source text name, f-strings part by part, each with its line."""
    tree = ast.parse(source)
    ignored = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in ignored:
            text = node.value
            yield from ((node.lineno, match[1]) for match in FILE.finditer(text))
            if IN_FOLDER.fullmatch(text) or CHECKPOINT.fullmatch(text):
                yield node.lineno, text


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def test_the_owner_names_every_kind_of_file() -> None:
    assert {"settings.yaml", "splits.json", "metrics.json", "predictions.npz", "best.safetensors", ".lock"} <= {*FILES}
    assert len(FILES) >= 25


def test_no_other_module_names_a_run_s_file() -> None:
    named = {
        (module_of(path), name): f"{path.relative_to(SOURCE)}:{line} has {name!r}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, name in file_names(path.read_text("utf-8"))
        if module_of(path) != OWNER
    }
    assert [told for key, told in named.items() if key not in ALLOWED] == []
    assert set(ALLOWED) - set(named) == set(), "allowed, but no longer there"


MADE_UP = '''"""A docstring may name splits.json."""

PATH = "splits.json"
OTHER = f"{PATH}/test/metrics.json"
WEIGHTS = f"weights/{PATH}"
MESSAGE = "no settings.yaml, so no run began"
CHECKPOINT = "step-"
CARD = f"{PATH}/settings.yaml"


def function():
    """So may this one: results.csv."""
    return "a test/ is needed", "my-splits.json", "splits.jsonl", "one step-by-step guide", "tests/", ".locks"
'''


def test_a_name_is_found_where_one_is_added() -> None:
    assert sorted(file_names(MADE_UP)) == [
        (3, "splits.json"),
        (4, "/test/metrics.json"),
        (4, "metrics.json"),
        (5, "weights/"),
        (6, "settings.yaml"),
        (7, "step-"),
        (8, "settings.yaml"),
    ]

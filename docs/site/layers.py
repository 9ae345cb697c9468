"""Write the table of layers in docs/architecture.md: `python docs/site/layers.py`.

The layers are those of the import contract in pyproject.toml; what a package is for is the first paragraph of its
docstring.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
BLOCK = re.compile(r"(<!-- layers: [^\n]* -->\n).*?(<!-- /layers -->)", re.DOTALL)


def page() -> str:
    """docs/architecture.md with the table as it would be written now."""
    text, count = BLOCK.subn(lambda found: f"{found[1]}\n{table()}\n\n{found[2]}", PAGE.read_text("utf-8"))
    assert count == 1, "docs/architecture.md has no block, or more than one, for the layers"
    return text


def table() -> str:
    """One row per package and module of the contract, the highest layer first; a layer has one number."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    rows = ["| layer | in `src/sightline/` | what it is for |", "|---|---|---|"]
    for number, layer in zip(range(len(layers), 0, -1), layers, strict=True):
        for place, room in enumerate(layer.split(" : ")):
            folder = ROOT / "src/sightline" / room
            name = f"{room}/" if folder.is_dir() else f"{room}.py"
            rows.append(f"| {'' if place else number} | `{name}` | {_purpose(folder)} |")
    return "\n".join(rows)


def _purpose(folder: Path) -> str:
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    told = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    return " ".join(told.split("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

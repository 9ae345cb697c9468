"""`sightline recipes`: the ready-made settings that come with Sightline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_exactly, print_json, say, show
from sightline.language import said

if TYPE_CHECKING:
    from sightline import Recipe

RECIPES = Group("Recipes", sort_key=1)


def recipes(
    name: Annotated[
        str | None, Parameter(group=RECIPES, help="A recipe or YAML file to print as a recipe file. [list all]")
    ] = None,
    /,
    *,
    output: Output = AS_TEXT,
) -> None:
    """List the recipes, or print one as a starting point for your own."""
    import sightline

    if name is not None:
        recipe = sightline.load_recipe(name, "NAME")
        if output.json:
            print_json(recipe.to_dict())
        else:
            print_exactly(recipe.text.rstrip())
            say("", f"# To make your own recipe: sightline recipes {name} > mine.yaml, edit it, then")
            show("# sightline train --recipe mine.yaml")
        return
    everything = sightline.list_recipes()
    if output.json:
        print_json({"recipes": [recipe.to_dict() for recipe in everything]})
    else:
        _show(everything)


def _show(everything: Sequence[Recipe]) -> None:
    from sightline.cli.tables import table_with_notes

    rows: list[list[str]] = []
    notes: list[str] = []
    for recipe in everything:
        figures = (said(str(recipe.about.get(key, ""))) for key in ("accuracy", "time"))
        rows.append([recipe.name, recipe.model, *figures])
        better, command = recipe.about.get("better"), str(recipe.about.get("command", ""))
        # Where the figures are of other settings than the recipe's own, the command says so.
        flags = command.partition(f"--recipe {recipe.name} ")[2]
        told = [
            said(str(recipe.about.get("title", "")), "titles"),
            *([said(f"measured with {flags}")] if flags else []),
        ]
        notes.append(said("; ").join([*told, *([said(f"better: {better}")] if better else [])]))
    table_with_notes(["recipe", "model", "accuracy", "time"], rows, notes)
    say("", "Run one: sightline train --recipe NAME. Show one: sightline recipes NAME.")

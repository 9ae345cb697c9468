"""`sightline recipes`: the named runs that come with Sightline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from sightline.cli.output import AS_TEXT, Output, print_json

if TYPE_CHECKING:
    from sightline.recipes import Recipe

RECIPES = Group("Recipes", sort_key=1)


def recipes(
    name: Annotated[
        str | None, Parameter(group=RECIPES, help="A recipe, or a YAML file: show it as a recipe file. [list all]")
    ] = None,
    /,
    *,
    output: Output = AS_TEXT,
) -> None:
    """List the recipes, or show one, from which to start one's own."""
    from sightline.recipes import load_recipe, recipe_names

    if name is not None:
        found = load_recipe(name, "NAME")
        if output.json:
            print_json(_content(found))
        else:
            print(found.text.rstrip())
            print(f"\n# A recipe of your own: sightline recipes {name} > mine.yaml, change it, then")
            print("# sightline train --recipe mine.yaml")
        return
    everything = [load_recipe(name) for name in recipe_names()]
    if output.json:
        print_json({"recipes": [_content(recipe) for recipe in everything]})
    else:
        _show(everything)


def _content(recipe: Recipe) -> dict[str, object]:
    return {"name": recipe.name, "settings": recipe.settings, **recipe.about}


def _show(everything: list[Recipe]) -> None:
    from sightline.cli.tables import table_with_notes
    from sightline.settings import build_settings, model_name

    rows: list[list[str]] = []
    notes: list[str] = []
    for recipe in everything:
        settings = build_settings(recipe.settings)
        model = model_name(settings.model, "")
        rows.append([recipe.name, model, *(str(recipe.about.get(key, "")) for key in ("accuracy", "time"))])
        better, command = recipe.about.get("better"), str(recipe.about.get("command", ""))
        # Where the figures are of other settings than the recipe's own, the command says so.
        flags = command.partition(f"--recipe {recipe.name} ")[2]
        told = [str(recipe.about.get("title", "")), *([f"measured with {flags}"] if flags else [])]
        notes.append("; ".join([*told, *([f"better: {better}"] if better else [])]))
    table_with_notes(["recipe", "model", "accuracy", "time"], rows, notes)
    print("\nRun one: sightline train --recipe NAME. Show one: sightline recipes NAME.")

"""`sightline recipes`: the named runs that come with Sightline."""

from __future__ import annotations

from sightline.cli.output import AS_TEXT, Output, print_json


def recipes(*, output: Output = AS_TEXT) -> None:
    """List the recipes."""
    from sightline.recipes import load_recipe, recipe_names

    found = [load_recipe(name) for name in recipe_names()]
    if output.json:
        print_json({"recipes": [{"name": r.name, "settings": r.settings, **r.about} for r in found]})
        return
    from sightline.cli.tables import table_with_notes
    from sightline.settings import build_settings, model_name

    rows: list[list[str]] = []
    for recipe in found:
        settings = build_settings(recipe.settings)
        model = model_name(settings.model) if settings.model else ""
        rows.append([recipe.name, model, *(str(recipe.about.get(key, "")) for key in ("accuracy", "time"))])
    table_with_notes(["recipe", "model", "accuracy", "time"], rows, [str(r.about.get("title", "")) for r in found])
    print("\nRun one with: sightline train --recipe NAME")

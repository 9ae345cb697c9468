"""Recipes: named settings as YAML files in this folder, each with its accuracy and where that was measured."""

from __future__ import annotations

from sightline.recipes.resolve import (
    NO_RECIPE,
    Recipe,
    default_recipe,
    list_recipes,
    load_recipe,
    recipe_names,
    resolve,
    why_folder_recipe,
)

__all__ = [
    "NO_RECIPE",
    "Recipe",
    "default_recipe",
    "list_recipes",
    "load_recipe",
    "recipe_names",
    "resolve",
    "why_folder_recipe",
]

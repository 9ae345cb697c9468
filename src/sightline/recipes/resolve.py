"""From a dataset, a recipe and flags to the settings of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from sightline.errors import FileError, unknown
from sightline.files.reading import parse_yaml, read_text
from sightline.installation import install_command
from sightline.recipes.packaged_weights import is_installed
from sightline.recipes.weights_input import follow_weights
from sightline.settings import Settings, build_settings, model_name
from sightline.settings.data import is_own_pictures
from sightline.settings.model import TIMM

FOLDER_RECIPE, PHOTOS_RECIPE, PROBE_RECIPE = "folder", "photos", "probe"
PHOTOS_MODEL = "efficientnet-lite0"
NO_RECIPE = "none"


@dataclass(frozen=True)
class Recipe:
    """A recipe, as in its file.

    `about` has title, command and accuracy; time, hardware and date if it was measured; default_for, the datasets that
    use it by default; and better, the recipe that does the same task well. `settings` is nested by section, and `text`
    is the whole file.
    """

    name: str
    about: Mapping[str, Any]
    settings: Mapping[str, Any]
    text: str

    @property
    def model(self) -> str:
        """The network that it trains: a preset's or a family's name."""
        return model_name(build_settings(self.settings).model)

    def to_dict(self) -> dict[str, Any]:
        """The recipe for JSON: its name, its settings, and what `about` has."""
        return {"name": self.name, "settings": self.settings, **self.about}


@cache
def recipe_names() -> tuple[str, ...]:
    """The recipes in the package."""
    files = resources.files("sightline.recipes").iterdir()
    return tuple(sorted(Path(file.name).stem for file in files if file.name.endswith(".yaml")))


def list_recipes() -> list[Recipe]:
    """The recipes that come with Sightline, sorted by name."""
    return [load_recipe(name) for name in recipe_names()]


def load_recipe(name: str, subject: str = "--recipe") -> Recipe:
    """Load one of Sightline's recipes by name, or a YAML file by path, such as the settings.yaml of a run.

    Raises UsageError, which names `subject`, for an unknown name, FileError for a file that is not a recipe.
    """
    own = name.endswith((".yaml", ".yml"))
    if not own and name not in recipe_names():
        raise unknown(subject, name, (*recipe_names(), NO_RECIPE), listed_by="sightline recipes")
    try:
        text = (
            read_text(Path(name), "a recipe in YAML")
            if own
            else (resources.files("sightline.recipes") / f"{name}.yaml").read_text("utf-8")
        )
        content = parse_yaml(text)
    except ValueError:
        raise FileError(name, "it cannot be read", "a recipe in YAML") from None
    if own and isinstance(content, dict) and content.pop("extended_from_step", 0):
        advice = "Repeat its first part, then make it longer with sightline train --resume."
        raise FileError(
            name,
            "it holds the settings of a run that was extended later",
            "those of a run that was not extended",
            advice,
        )
    began_from = content.pop("recipe", None) if own and isinstance(content, dict) else None
    if not isinstance(content, dict) or not all(isinstance(part, dict) for part in content.values()):
        raise FileError(name, "it is not a recipe", "sections of settings, as sightline recipes shows them")
    about = content.pop("about", {})
    return Recipe(began_from or Path(name).stem, about, content, text)


def default_recipe(data: str, model: str | None = None) -> str | None:
    """The recipe a dataset is trained with when none is named; for pictures of one's own that of `folder_recipe`."""
    return _recipe_for(data) or (folder_recipe(model)[0] if is_own_pictures(data) else None)


@cache
def _recipe_for(data: str) -> str | None:
    """The recipe in the package that is the default of a dataset, None for all other data."""
    # Most often it has the dataset's own name, and reading them all takes a while.
    for name in sorted(recipe_names(), key=lambda name: name != data):
        if data in load_recipe(name).about.get("default_for", ()):
            return name
    return None


def folder_recipe(model: str | None = None) -> tuple[str, str]:
    """The recipe for pictures of one's own, where `model` is asked for or none, and why it is that one."""
    if model is not None and model.startswith(TIMM):
        return PROBE_RECIPE, f"recipe {PROBE_RECIPE}, which fits the last layer of {model} to your pictures"
    if model not in (None, PHOTOS_MODEL):
        return (
            FOLDER_RECIPE,
            f"recipe {FOLDER_RECIPE}, which trains {model} from scratch",
        )
    if is_installed(PHOTOS_MODEL):
        return PHOTOS_RECIPE, f"recipe {PHOTOS_RECIPE}: ImageNet weights of {PHOTOS_MODEL} are installed"
    return FOLDER_RECIPE, (
        f"recipe {FOLDER_RECIPE}, which trains a network from scratch, since no ImageNet weights are installed. "
        f"For better predictions sooner, install them: {install_command('photos')}"
    )


def why_folder_recipe(data: str | None, recipe: str | None, model: str | None) -> str | None:
    """Why pictures of one's own are trained with the recipe that they are; None for all else."""
    if recipe is not None or data is None or not is_own_pictures(data):
        return None
    return folder_recipe(model)[1]


def resolve(data: str | None, recipe: str | None, flags: Mapping[str, Any]) -> Settings:
    """Defaults < recipe < flags, with `data` overriding the recipe's dataset; the images follow pretrained weights.

    Without a recipe the dataset's default one is taken; the recipe "none" is no recipe. Settings whose model is another
    than the recipe's do not bear its name.
    """
    flags = {**flags, "data": data} if data is not None else dict(flags)
    name = recipe or default_recipe(str(flags.get("data") or "digits"), flags.get("model"))
    if name is None or name == NO_RECIPE:
        return _decided(build_settings(None, flags))
    found = load_recipe(name)
    settings = build_settings(found.settings, flags, recipe_name=found.name)
    same_model = settings.model == build_settings(found.settings).model
    return _decided(settings if same_model else settings.replace(recipe=None))


def _decided(settings: Settings) -> Settings:
    """Decide what is left open about the images of a new run."""
    settings = follow_weights(settings)
    data = settings.data
    if data.cache_size == "auto":
        data = data.replace(cache_size="larger" if settings.augment.random_crop else "input")
    if data.near_duplicates == "auto":
        data = data.replace(near_duplicates="together")
    return settings.replace(data=data)

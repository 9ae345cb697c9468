"""What Python calls everything that can be set."""

from __future__ import annotations

import inspect
from functools import cache

import sightline
from sightline.serving.settings import Limits
from sightline.settings import flat_fields
from sightline.settings.text import kinds_of_value


@cache
def keywords() -> dict[str, bool]:
    """Every setting, limit of the server and parameter of a public function; whether it is True or False."""
    found = {name: kinds_of_value(field) == {bool} for name, field in flat_fields().items()}
    found |= dict.fromkeys(Limits.model_fields, False)
    functions = [thing for name in sightline.__all__ if inspect.isfunction(thing := getattr(sightline, name))]
    for function in (*functions, sightline.Classifier.predict):
        for name, parameter in inspect.signature(function).parameters.items():
            found.setdefault(name, parameter.annotation == "bool")
    return found

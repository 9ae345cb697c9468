"""The words of reports in each language: a catalogue in YAML for each, with the same keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sightline.drawing import canvas
from sightline.drawing.words import ENGLISH
from sightline.drawing.words import Words as DrawnWords
from sightline.errors import unknown

LANGUAGES = {"en": "en", "zh": "zh-Hans"}


@dataclass(frozen=True)
class Words:
    """A language's sentences by key; `words("key", name=value)` fills one in. `drawn` are the words in drawings."""

    language: str
    texts: Mapping[str, str]
    drawn: DrawnWords

    def __call__(self, key: str, **values: Any) -> str:
        """Give a sentence with its blanks filled in."""
        return self.texts[key].format(**values)

    def counted(self, key: str, count: int) -> str:
        """Give the words for a number of things, `KEY_one` for a single one."""
        return self(f"{key}_one" if count == 1 else key, count=f"{count:,}")


def words(language: str) -> Words:
    """Give the words of `en` or `zh`; without a font for them, the plots' words are English.

    Raises UsageError for another language.
    """
    if language not in LANGUAGES:
        raise unknown("--lang", language, LANGUAGES)
    catalogue = _catalogue(language)
    drawn = language == "en" or canvas.draws_chinese()
    return Words(language, catalogue["report"], DrawnWords(**catalogue["plots"]) if drawn else ENGLISH)


@cache
def _catalogue(language: str) -> dict[str, dict[str, str]]:
    return yaml.safe_load((resources.files("sightline.reporting") / f"{language}.yaml").read_text("utf-8"))

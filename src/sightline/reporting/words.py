"""The words of reports in each language: a catalogue in YAML for each, with the same keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from sightline.drawing.words import Words as DrawnWords
from sightline.drawing.words import words_in
from sightline.errors import unknown

LANGUAGES = {"en": "en", "zh": "zh-Hans"}


@dataclass(frozen=True)
class Words:
    """A language's sentences by key; `words("key", name=value)` fills one in.

    `drawn` are the words in drawings, `names` those for settings and their values, where the language has some.
    """

    language: str
    texts: Mapping[str, str]
    drawn: DrawnWords
    names: Mapping[str, str]

    def __call__(self, key: str, **values: Any) -> str:
        """Give a sentence with its blanks filled in."""
        return self.texts[key].format(**values)

    def counted(self, key: str, count: int) -> str:
        """Give the words for a number of things, `KEY_one` for a single one."""
        return self(f"{key}_one" if count == 1 else key, count=f"{count:,}")

    def labelled(self, label: str, text: str) -> str:
        """Set a label before a text."""
        return self("labelled", label=label, text=text)

    def named(self, name: str) -> str:
        """Give the word for a setting or its value, with the name that is typed; the name alone without a word."""
        word = self.names.get(name)
        if word is None:
            return name
        return word if word.lower() == name else self("named", word=word, name=name)

    def setting(self, name: str, value: str) -> str:
        """Write a setting with its value, both as they are typed, behind the setting's word where there is one."""
        if name not in self.names:
            return f"{name} {value}"
        return self("named_value", word=self.names[name], name=name, value=value)


def words(language: str) -> Words:
    """Give the words of `en` or `zh`; without a font for them, the plots' words are English.

    Raises UsageError for another language.
    """
    if language not in LANGUAGES:
        raise unknown("--lang", language, LANGUAGES)
    catalogue = _catalogue(language)
    return Words(language, catalogue["report"], words_in(language), catalogue.get("names", {}))


@cache
def _catalogue(language: str) -> dict[str, dict[str, str]]:
    return yaml.safe_load((resources.files("sightline.reporting") / f"{language}.yaml").read_text("utf-8"))

"""The language of the command line: English, or Chinese from a catalogue of the English texts."""

from __future__ import annotations

from sightline.language.choosing import LANGUAGES, asked, choose, reset, said, told

__all__ = ["LANGUAGES", "asked", "choose", "reset", "said", "told"]

"""Which language is spoken, and the one door through which every text for people goes: `said`.

The source has its texts in English, as they stand in Python's exceptions and in JSON. Only the command line calls
`choose`, so that `said` gives English back to everybody else. The catalogue is loaded with the first Chinese text.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sightline.errors import SightlineError, unknown
from sightline.printable import printable

if TYPE_CHECKING:
    from sightline.language.catalogue import Section

LANGUAGES = ("en", "zh")
FLAG = "--lang"
VARIABLE = "SIGHTLINE_LANG"
LOCALE = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The variables of the system, the strongest first; an empty one says nothing."""

_asked, _spoken = "en", "en"


def choose(words: Sequence[str]) -> None:
    """Choose the language for one command line: its --lang, else SIGHTLINE_LANG, else that of the system.

    Where stdout or stderr cannot show Chinese, English is spoken. Raises UsageError for another language, in the
    language that holds without it.
    """
    _take(_of_system())
    variable = os.environ.get(VARIABLE)
    for name, chosen in ((VARIABLE, variable), (FLAG, _of_flag(words))):
        if chosen and chosen not in LANGUAGES:
            raise unknown(name, chosen, LANGUAGES)
        _take(chosen or _asked)


def reset() -> None:
    """Speak English again, as to whoever calls the package from Python."""
    global _asked, _spoken
    _asked, _spoken = "en", "en"


def asked() -> str:
    """The language that was asked for, `en` or `zh`, whether or not the terminal can show it."""
    return _asked


def said(text: str, section: str = "results") -> str:
    """Give an English text in the language that is spoken; in English where the catalogue does not have it."""
    return text if _spoken == "en" else _section(section).text(text)


def told(error: SightlineError) -> str:
    """Give an error's line with the word "error" before it, in the language that is spoken."""
    return (_spoken != "en" and _translated(error)) or f"error: {error.line()}"


def _translated(error: SightlineError) -> str | None:
    from sightline.language.catalogue import closed_up

    found = _section("found").find(error.found)
    expected, advice = (
        _section(part).find(text) if text else ""
        for part, text in (("expected", error.expected), ("advice", error.advice))
    )
    if found is None or expected is None or advice is None:
        return None
    subject = _section("subject").text(error.subject)
    wanted = f"（{closed_up('应为', expected)}）" if expected else ""
    rest = " ".join(f"{found}{wanted}{'。' if advice else ''}{advice}".split())
    return printable(f"错误：{subject}：{rest}")


def _section(name: str) -> Section:
    from sightline.language.catalogue import sections

    return sections(_spoken)[name]


def _take(language: str) -> None:
    global _asked, _spoken  # noqa: PLW0603
    _asked = language
    _spoken = language if all(map(_shows_chinese, (sys.stdout, sys.stderr))) else "en"


def _of_flag(words: Sequence[str]) -> str | None:
    own = list(words[: words.index("--")]) if "--" in words else list(words)
    for word, following in zip(own, [*own[1:], ""], strict=False):
        if word == FLAG:
            return following
        if word.startswith(f"{FLAG}="):
            return word.removeprefix(f"{FLAG}=")
    return None


def _of_system() -> str:
    locale = next((value for name in LOCALE if (value := os.environ.get(name))), "")
    return "zh" if locale.lower().startswith("zh") else "en"


def _shows_chinese(stream: Any) -> bool:
    try:
        "中文：".encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

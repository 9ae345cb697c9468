"""Write docs/python.md from the signatures and docstrings of what `import sightline` offers: `make docs`."""

from __future__ import annotations

import inspect
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import sightline

PAGE = Path(__file__).with_name("python.md")
HEAD = """# From Python

```python
import sightline as sl

result = sl.train("digits", epochs=5)
print(result.test_accuracy, result.test_interval)

classifier = sl.load(result.run)
for answer in classifier.predict(["one.png", "two.png"]):
    print(answer.source, answer.label, answer.probability)
```

`make docs` writes this page from the docstrings of everything that `import sightline` offers. Settings are named like
the flags of the command line: `--batch-size 64` is `batch_size=64`. Importing is quick and does not load torch.

Every error is a `SightlineError` with a message in one line. `str(error)` uses these keywords (`batch_size: 0 found`),
`error.line()` the flags (`--batch-size: 0 found`). Errors can be pickled.
"""


def page() -> str:
    """The whole page."""
    things = {name: getattr(sightline, name) for name in sightline.__all__}
    errors = {name for name, thing in things.items() if inspect.isclass(thing) and issubclass(thing, Exception)}
    classes = {name for name, thing in things.items() if inspect.isclass(thing)} - errors
    parts = [HEAD]
    for title, names in (("Functions", things.keys() - classes - errors), ("Results", classes), ("Errors", errors)):
        parts.append(f"## {title}\n")
        parts += [_entry(name, things[name]) for name in sorted(names)]
    return "\n".join(parts)


def _entry(name: str, thing: Any) -> str:
    about = f"### `{name}`\n"
    told = inspect.getdoc(thing) or ""
    if inspect.isclass(thing) and issubclass(thing, Exception):
        return f"{about}\n{_prose(told)}\n\nExit code {getattr(thing, 'exit_code', 1)}.\n"
    if inspect.isclass(thing):
        members = [_member(key, value) for key, value in vars(thing).items() if _is_public_method(key, value)]
        fields = [f"- `{key}: {_words(kind)}`" for key, kind in _fields(thing).items()]
        listed = "\n".join([*fields, *members])
        return f"{about}\n{_prose(told)}\n" + (f"\n{listed}\n" if listed else "")
    return f"{about}\n```text\n{_signature(name, thing)}\n```\n\n{_prose(told)}\n"


def _fields(thing: type) -> dict[str, Any]:
    """A class's own annotations, and before them those of the records that it extends."""
    kinds: dict[str, Any] = {}
    for base in reversed(thing.__mro__):
        if base is thing or is_dataclass(base):
            kinds |= inspect.get_annotations(base)
    return {key: kind for key, kind in kinds.items() if not key.startswith("_") and "ClassVar" not in str(kind)}


def _is_public_method(key: str, value: Any) -> bool:
    kinds = (property, classmethod, staticmethod)
    return not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, kinds))


def _member(key: str, value: Any) -> str:
    function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
    first = _prose((inspect.getdoc(function) or "").split("\n\n")[0])
    shown = key if isinstance(value, property) else f"{key}{_arguments(function, bound=True)}"
    return f"- `{shown}`: {' '.join(first.split())}"


def _signature(name: str, function: Any) -> str:
    """On one line where it fits, else a line for each argument."""
    short = f"{name}{_arguments(function)}"
    if len(short) <= 100:
        return short
    lines = [f"    {argument}," for argument in _listed(function)]
    return "\n".join([f"{name}(", *lines, f"){_result(function)}"])


def _arguments(function: Any, *, bound: bool = False) -> str:
    """What stands behind a function's name; a `bound` one has its first argument already."""
    listed = _listed(function)
    return f"({', '.join(listed[1:] if bound else listed)}){_result(function)}"


def _listed(function: Any) -> list[str]:
    """Its arguments one by one, with a star before those that go by name only."""
    found: list[str] = []
    by_name = False
    for parameter in inspect.signature(function).parameters.values():
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not by_name:
            found += [] if any(argument.startswith("*") for argument in found) else ["*"]
            by_name = True
        kind = "" if parameter.annotation is parameter.empty else f": {_words(parameter.annotation)}"
        usual = "" if parameter.default is parameter.empty else f" = {parameter.default!r}"
        found.append(f"{stars}{parameter.name}{kind}{usual}")
    return found


def _result(function: Any) -> str:
    kind = inspect.signature(function).return_annotation
    return "" if kind is inspect.Signature.empty else f" -> {_words(kind)}"


def _words(kind: Any) -> str:
    """An annotation as it is written."""
    return kind if isinstance(kind, str) else inspect.formatannotation(kind)


def _prose(text: str) -> str:
    """A docstring as Markdown: what is indented in it (a tree, a table) as text."""
    parts: list[str] = []
    for paragraph in text.strip().split("\n\n"):
        indented = paragraph.startswith("    ")
        parts.append(f"```text\n{inspect.cleandoc(paragraph)}\n```" if indented else paragraph)
    return "\n\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")

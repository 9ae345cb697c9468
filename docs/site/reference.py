"""What griffe does besides for the reference: links in prose, fields in a table, defaults as values, exit codes."""

from __future__ import annotations

import re
from typing import Any

import griffe

# An indented line, which is code; a name in backticks; the name of a class, as docstrings have it after "Raises".
NAMES = re.compile(r"(?m)^    .*$|(?<!\[)`([^`\n]+)`|(?<![\w.`\[])((?:[A-Z][a-z]+){2,}|Interrupted)(?![\w`\]])")


class PublicNames(griffe.Extension):
    """Make everything that the package's own module passes on ready to be read on one page."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go over what the module passes on; every name of it is an alias of a thing in a room."""
        public = {
            name: member
            for name, member in pkg.members.items()
            if isinstance(member, griffe.Alias) and member.target_path.startswith(f"{pkg.name}.")
        }
        for name, alias in public.items():
            thing = alias.final_target
            if isinstance(thing, griffe.Module):  # a module with a function of its name, which the room passes on
                thing = thing[name]
                pkg.set_member(name, griffe.Alias(name, thing, parent=pkg))
            others = public.keys() - {name}
            _link(thing, others)
            if isinstance(thing, griffe.Function):
                _show_defaults(thing)
            else:
                _show_class(thing, others)


def _link(thing: Any, names: set[str]) -> None:
    """Link what a docstring names to its place in the reference."""

    def linked(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return f"[{found[0]}][sightline.{name}]" if name in names else found[0]

    if thing.docstring is not None:
        thing.docstring.value = NAMES.sub(linked, thing.docstring.value)


def _show_defaults(function: griffe.Function) -> None:
    """Replace a default that is the name of a constant by its value."""
    for parameter in function.parameters:
        if isinstance(parameter.default, griffe.ExprName):
            constant = function.module.members.get(parameter.default.name)
            while isinstance(constant, griffe.Alias):
                constant = constant.final_target
            if isinstance(constant, griffe.Attribute) and constant.value is not None:
                parameter.default = constant.value


def _show_class(thing: Any, names: set[str]) -> None:
    """Put a class's fields and properties into a table behind its docstring; methods keep their own entries."""
    members = {name: member for name, member in thing.all_members.items() if not name.startswith("_")}
    code = members.pop("exit_code", None)
    text = thing.docstring.value + (f"\n\nExit code {code.value}." if code else "")
    rows: list[griffe.DocstringAttribute] = []
    for name, member in members.items():
        if not member.is_attribute:
            _link(member, names)
            _show_defaults(member)
            continue
        if "ClassVar" in str(member.annotation) or name == "model_config":
            continue
        about = member.docstring.value.split("\n\n")[0] if member.docstring else ""
        rows.append(griffe.DocstringAttribute(name, annotation=member.annotation, description=" ".join(about.split())))
        member.docstring = None  # told in the table
    sections: list[Any] = [griffe.DocstringSectionText(text)]
    if rows:
        sections.append(griffe.DocstringSectionAttributes(rows, title="Fields"))
    thing.docstring.__dict__["parsed"] = sections

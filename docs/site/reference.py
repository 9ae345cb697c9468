"""What griffe does besides: names of the public interface in docstrings become links."""

from __future__ import annotations

import re
from typing import Any

import griffe

CODE_OR_WORD = re.compile(r"(?m)^    .*$|`([^`\n]+)`|(?<![\w.`\[])([A-Z][A-Za-z]+)(?![\w`\]])")


class LinkedNames(griffe.Extension):
    """Link `compare` and UsageError where a docstring names them, to where the reference describes them."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Go over everything that the package's own module passes on."""
        public = {
            name: member
            for name, member in pkg.members.items()
            if isinstance(member, griffe.Alias) and member.target_path.startswith(f"{pkg.name}.")
        }
        for name, alias in public.items():
            thing = alias.final_target
            self._link(thing, public.keys() - {name})
            if thing.is_class:
                for member in thing.members.values():
                    if not member.is_alias:
                        self._link(member, public.keys() - {name, member.name})

    def _link(self, thing: griffe.Object | griffe.Alias, names: set[str]) -> None:
        if thing.docstring is None:
            return

        def linked(found: re.Match[str]) -> str:
            name = found[1] or found[2]
            return f"[{found[0]}][sightline.{name}]" if name in names else found[0]

        thing.docstring.value = CODE_OR_WORD.sub(linked, thing.docstring.value)

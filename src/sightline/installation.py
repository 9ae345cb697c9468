"""Where this installation came from: its version, and how to install more of it.

Every command imports this, so that what takes a while is imported where it is needed.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path, PurePath
from typing import Any

DISTRIBUTION = "sightline-vision"
"""What the package index calls it, where `sightline` is another's."""


@cache
def version() -> str:
    """Look up the installed version."""
    from importlib import metadata

    return metadata.version(DISTRIBUTION)


def install_command(extra: str) -> str:
    """What to type to install an extra, from where the program came: a clone, a repository, a file or the index.

    Quoted for a POSIX shell, on Windows for its own.
    """
    package = f"{DISTRIBUTION}[{extra}]"
    source = _source()
    url = str(source.get("url", ""))
    clone = None if source else _clone()
    if clone is not None or source.get("dir_info", {}).get("editable"):
        return pip_install("-e", f"{clone or _path(url)}[{extra}]")
    if url.startswith("file:") and "dir_info" in source:
        return pip_install(f"{_path(url)}[{extra}]")
    if vcs := source.get("vcs_info"):
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return pip_install(f"{package} @ {url}" if url else package)


def pip_install(*words: str) -> str:
    """What to type so that pip installs into the Python that runs this, be its environment activated or not."""
    python, found = sys.executable or "python", shutil.which("pip")
    activated = found is not None and PurePath(found).parent == PurePath(python).parent
    pip = "pip" if activated else f"{_quoted(python)} -m pip"
    return " ".join([pip, "install", *map(_quoted, words)])


@cache
def _source() -> dict[str, Any]:
    """What pip wrote down of where it took the package from (PEP 610); nothing for one of the package index."""
    import json
    from importlib import metadata

    try:
        text = metadata.distribution(DISTRIBUTION).read_text("direct_url.json")
        found = json.loads(text) if text else {}
    except (metadata.PackageNotFoundError, OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _clone() -> Path | None:
    """The clone that this file runs from without being installed, None where it does not."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() and root.joinpath("src", "sightline").is_dir() else None


def _path(url: str) -> str:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return url2pathname(urlsplit(url).path)


def _quoted(word: str) -> str:
    import shlex

    if os.name == "nt":
        return f'"{word}"' if set(word) & set(" []()&@") else word
    return shlex.quote(word)

"""What the program says to type for more of it: from a clone, a repository, a file and the package index."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import sightline
from sightline import installation
from sightline.installation import DISTRIBUTION, install_command

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src" / "sightline").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def came_from(monkeypatch: pytest.MonkeyPatch, source: dict[str, Any], clone: Path | None = None) -> None:
    monkeypatch.setattr(installation, "_source", lambda: source)
    monkeypatch.setattr(installation, "_clone", lambda: clone)
    activated = str(Path(sys.executable).with_name("pip"))
    monkeypatch.setattr(shutil, "which", lambda name: activated)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (
            {"url": "file:///home/me/sightline", "dir_info": {"editable": True}},
            "pip install -e '/home/me/sightline[serve]'",
        ),
        ({"url": "file:///home/me/sightline", "dir_info": {}}, "pip install '/home/me/sightline[serve]'"),
        ({"url": "file:///home/my%20own/s", "dir_info": {"editable": True}}, "pip install -e '/home/my own/s[serve]'"),
        (
            {"url": "https://example.org/s.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}},
            "pip install 'sightline-vision[serve] @ git+https://example.org/s.git@abc'",
        ),
        (
            {"url": "file:///tmp/sightline_vision-0.1.0.whl", "archive_info": {}},
            "pip install 'sightline-vision[serve] @ file:///tmp/sightline_vision-0.1.0.whl'",
        ),
        ({}, "pip install 'sightline-vision[serve]'"),
    ],
)
def test_each_way_of_installing(source: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    came_from(monkeypatch, source)
    assert install_command("serve") == said


def test_a_clone_that_is_run_without_being_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    came_from(monkeypatch, {}, ROOT)
    assert install_command("serve") == f"pip install -e '{ROOT}[serve]'"


@pytest.mark.parametrize("found", [None, "/somewhere/else/bin/pip"])
def test_an_environment_that_is_not_activated(found: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    came_from(monkeypatch, {})
    monkeypatch.setattr(shutil, "which", lambda name: found)
    monkeypatch.setattr(sys, "executable", "/my own/bin/python")
    assert install_command("serve") == "'/my own/bin/python' -m pip install 'sightline-vision[serve]'"


@pytest.mark.parametrize("shell", ["bash", "zsh", "dash"])
@pytest.mark.parametrize("place", ["/plain", "/with space", "/it's", "/$HOME/`x`"])
def test_every_shell_reads_one_word(shell: str, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    came_from(monkeypatch, {}, Path(place))
    words = install_command("serve").replace("pip install -e", "printf %s", 1)
    done = subprocess.run([program, "-c", words], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout == f"{place}[serve]"


def test_windows_shells_know_double_quotes_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    came_from(monkeypatch, {})
    monkeypatch.setattr(os, "name", "nt")
    assert install_command("serve") == 'pip install "sightline-vision[serve]"'


def test_what_pip_wrote_down_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "sightline_vision-9.9.dist-info"
    made.mkdir()
    (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: 9.9\n")
    (made / "direct_url.json").write_text(json.dumps({"url": "file:///cloned", "dir_info": {"editable": True}}))
    code = "from sightline.installation import install_command, version; print(version(), install_command('timm'))"
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert re.fullmatch(r"9\.9 .*pip install -e '/cloned\[timm\]'", done.stdout.strip())


def extras_named() -> dict[str, set[str]]:
    """The extras that the sources ask for, by file: of install_command(...) and of needs(subject, extra, ...)."""
    found: dict[str, set[str]] = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            place = {"install_command": 0, "needs": 1}.get(node.func.id)
            if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                found.setdefault(path.name, set()).add(str(node.args[place].value))  # pyright: ignore
    return found


def test_every_extra_that_is_advised_exists() -> None:
    named = extras_named()
    assert len(set().union(*named.values())) >= 8
    for file, extras in named.items():
        assert extras <= set(PROJECT["optional-dependencies"]), file


def test_no_advice_names_the_package_of_another() -> None:
    assert PROJECT["name"] == DISTRIBUTION
    assert sightline.__version__ == PROJECT["version"]
    texts = [*SOURCES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").glob("*.py")]
    for path in texts:
        text = path.read_text("utf-8")
        assert not re.search(r"install\s+(-\S+\s+)*['\"]?sightline(\[|['\"\s]|$)", text), path.name
        if path in SOURCES and path.name != "installation.py":
            assert "sightline-vision" not in text, path.name


def test_the_extra_all_has_all_others() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    inner = set(re.findall(r"[\w-]+", everything.partition("[")[2]))
    assert inner == set(PROJECT["optional-dependencies"]) - {"all", "dev", "docs"}

"""The help is locked word for word, and stays quick: `make update-help` takes it as it is now into tests/help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from sightline.cli.app import COMMANDS, GROUPS, run

LOCK = Path(__file__).parent / "help"
LANGUAGES = {"en": LOCK, "zh": LOCK / "zh"}
PAGES = {
    "sightline": ["--help"],
    **{command.name.replace(" ", "-"): [*command.name.split(), "--help"] for command in COMMANDS},
    **{group: [group, "--help"] for group in GROUPS},
    **{f"{command.name}-all": [command.name, "--help-all"] for command in COMMANDS if command.takes_settings},
}
HEAVY = ("torch", "pydantic", "rich", "numpy", "PIL", "cyclopts")


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_help_is_what_the_lock_holds(page, language, capsys):
    assert run([*PAGES[page], "--lang", language]) == 0
    text = capsys.readouterr().out
    lock = LANGUAGES[language] / f"{page}.txt"
    if os.environ.get("SIGHTLINE_UPDATE_HELP"):
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text(text, "utf-8")
    assert text == lock.read_text("utf-8"), "the help has changed; if it should have, run: make update-help"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("page", PAGES)
def test_help_fits_eighty_columns(page, language, capsys):
    run([*PAGES[page], "--lang", language])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert [line for line in lines if cell_len(line) > 80] == []


def test_chinese_help_has_the_flags_of_the_english_one_and_breaks_none():
    for page in PAGES:
        english, chinese = ((folder / f"{page}.txt").read_text("utf-8") for folder in LANGUAGES.values())
        flags = [re.findall(r"(?m)^  (--\S+|[A-Z]+(?= ))", text) for text in (english, chinese)]
        assert flags[0] == flags[1]
        assert not re.search(r"(?m)(--|[a-z0-9]-)$", chinese)
        assert not re.search(r"(?m)^ *[，。；：、）]", chinese)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("command", [command.name for command in COMMANDS if command.takes_settings])
def test_help_fits_two_screens_and_all_of_it_has_every_setting(command, language, capsys):
    run([command, "--help", "--lang", language])
    short = capsys.readouterr().out
    assert len(short.splitlines()) <= 100
    opening = {"en": "A flag for every setting: ", "zh": "所有设置的参数："}[language]
    assert f"{opening}sightline {command} --help-all" in short
    run([command, "--help-all", "--lang", language])
    named, whole = (set(re.findall(r"^  (--\S+)", text, re.MULTILINE)) for text in (short, capsys.readouterr().out))
    assert named < whole
    assert len(whole) > 120


def test_no_lock_is_left_of_a_command_that_is_gone():
    for folder in LANGUAGES.values():
        assert {path.stem for path in folder.glob("*.txt")} == set(PAGES)


def test_the_words_alone_show_the_overview(capsys):
    assert run([]) == 0
    bare = capsys.readouterr().out
    run(["-h"])
    assert bare == capsys.readouterr().out
    assert all(re.search(rf"^  {command.name} ", bare, re.MULTILINE) for command in COMMANDS)


def test_version_is_the_packages(capsys):
    assert run(["--version"]) == 0
    # pip, which reads the metadata on its own, is who we believe.
    shown = subprocess.run(
        [sys.executable, "-m", "pip", "show", "sightline-vision"], capture_output=True, text=True, check=True
    ).stdout
    assert f"Version: {capsys.readouterr().out.strip()}\n" in shown


def _imported_by(words: list[str]) -> set[str]:
    code = f"import sys; from sightline.cli.app import run; run({words}); print('\\n', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


def test_overview_imports_nothing_heavy():
    assert _imported_by(["--help"]).isdisjoint(HEAVY)


@pytest.mark.parametrize("page", [page for page in PAGES if page != "sightline"])
def test_help_of_commands_imports_no_torch(page):
    imported = _imported_by(PAGES[page])
    assert "cyclopts" in imported  # so that this test sees what is imported
    assert "torch" not in imported

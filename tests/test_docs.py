"""Every command and code block of the README and of docs/, run by the test that bears its page's name.

A page's blocks are taken in order, in one folder, in one process. Each command is in exactly one of three classes, by
`RULES`: run as it stands, run shortened, or parsed only, with the reason beside it. A command that is not run as it
stands is first parsed as it stands by the program's own parser, and what `train` would do is resolved, so that a wrong
flag, name or value fails in all three. Whatever a page names that it did not make itself (a run, a comparison, a
picture) is made when it is first named, from a tiny one; `mnist` becomes `digits`. Python blocks are run, `yaml` blocks
are read by what they are for, `text` blocks show what is printed. A fence of another language, or of none, fails.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sightline as sl
from helpers.pages import (
    CHINESE,
    FAST,
    LANGUAGES,
    OF_OTHERS,
    PAGES,
    ROOT,
    RULES,
    RUN,
    Place,
    blocks_of,
    commands_of,
    parse,
    read_yaml,
    rule_of,
    run_python,
)
from sightline.cli.app import COMMANDS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny ones of all that pages name."""
    folder = tmp_path_factory.mktemp("made")
    random = np.random.default_rng(0)
    for place, name in enumerate(("cat", "dog")):
        (folder / "pictures" / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 60, (28, 28, 3)).astype(np.uint8)
            pixels[:, 14 * place : 14 * place + 14] += 180
            Image.fromarray(pixels).save(folder / f"pictures/{name}/{number}.png")
    names = [path.relative_to(folder) for path in sorted((folder / "pictures").glob("*/*.png"))]
    (folder / "photos.csv").write_text(
        "".join(["filename,label\n", *(f"{name},{name.parent.name}\n" for name in names)])
    )
    shutil.make_archive(str(folder / "pictures"), "zip", folder / "pictures")
    sl.train("digits", epochs=1, shift=1, runs=folder / "runs", **FAST)
    sl.train("digits", recipe="none", model="cnn", steps=4, runs=folder / "runs", name="steps", **FAST)
    sl.train(folder / "pictures", recipe="none", model="cnn", epochs=2, runs=folder / "runs", name="pictures", **FAST)
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIGHTLINE_DATA", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    return Place(tmp_path, made)


# The Chinese README has the English one's commands and code, word for word: the last test says so.
@pytest.mark.parametrize("page", [page for page in PAGES if page != CHINESE])
def test_what_a_page_shows_works(page: str, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = list(blocks_of((ROOT / page).read_text("utf-8")))
    names: dict[str, Any] = {}
    for block in (block for block in blocks if block.language == "yaml"):
        read_yaml(block.text, place)
    for block in blocks:
        where = f"{page}:{block.line}"
        assert block.language in LANGUAGES, f"{where}: a fence of {block.language or 'no language'}"
        if block.language == "python":
            run_python(block.text, place, names)
        for words in commands_of(block) if block.language == "sh" else ():
            for before, word in zip(["", *words], words, strict=False):
                if before != "--out":
                    place.provide(word.partition("@")[2] or word)
            kind, act = rule_of(words)
            try:
                if words[0] == "sightline" and kind != RUN:  # what is run as it stands is parsed by that
                    parse(words[1:])
                act(words, place)
            except AssertionError as error:
                raise AssertionError(f"{where}: {shlex.join(words)}\n{error}\n{capsys.readouterr().err}") from None


def test_every_rule_is_of_use_and_every_command_has_one() -> None:
    every = [
        words
        for page in PAGES
        for block in blocks_of((ROOT / page).read_text("utf-8"))
        if block.language == "sh"
        for words in commands_of(block)
    ]
    used = {pattern for words in every for pattern, *_ in RULES if re.fullmatch(pattern, " ".join(words))}
    assert len(every) > 50 and used == {pattern for pattern, *_ in RULES}


def test_a_wrong_flag_recipe_or_fence_fails() -> None:
    from cyclopts import CycloptsError

    with pytest.raises(CycloptsError):
        parse(["train", "mnist", "--epoch-count", "3"])
    with pytest.raises(sl.UsageError):
        parse(["train", "--recipe", "mnist-slow"])
    with pytest.raises(AssertionError, match="never closed"):
        list(blocks_of("```sh\nsightline runs\n"))
    assert [block.language for block in blocks_of("a\n```\nb\n```\n```bash\n```\n")] == ["", "bash"]
    with pytest.raises(AssertionError, match="0 rules"):
        rule_of(["sightline", "tidy"])


# What stands inside sentences


def test_flags_and_commands_in_sentences_exist() -> None:
    """Of `sightline NAME --flag` in a sentence the command is known, and of `--flag` some command has it."""
    shown = "".join(path.read_text() for path in (ROOT / "tests/help").glob("*.txt"))
    flags = {f"--{no}{name}" for no, name in re.findall(r"--(?:\[(no-)\])?([a-z][\w-]*)", shown)}
    flags |= {f"--{name}" for name in re.findall(r"--(?:\[no-\])?([a-z][\w-]*)", shown)}
    names = {name.name.split()[0] for name in COMMANDS}
    foreign = {"--no-deps", "--cifar10-folder"}
    wrong: list[str] = []
    for page in (page for page in PAGES if page not in OF_OTHERS):
        text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            if (found := re.match(r"sightline ([a-z]+)\b", code)) and found[1] not in names:
                wrong.append(f"{page}: {code}")
            if code.startswith(("--", "sightline ")):
                asked = re.findall(r"(?<!\S)--[a-z][\w-]*", code)
                wrong += [f"{page}: {code}" for flag in asked if flag not in flags | foreign]
    assert not wrong


def test_links_between_pages_lead_somewhere() -> None:
    wrong = [
        f"{page}: {target}"
        for page in PAGES
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))
        if not target.startswith(("http:", "https:")) and not (ROOT / page).parent.joinpath(target).exists()
    ]
    assert not wrong


def test_both_readmes_have_the_same_blocks_links_and_headings() -> None:
    english, chinese = ((ROOT / name).read_text("utf-8") for name in PAGES[:2])

    def told(text: str) -> tuple[list[Any], list[str], int]:
        shown = {"sh": commands_of, "python": lambda block: block.text}
        commands = [(b.language, shown[b.language](b) if b.language in shown else "") for b in blocks_of(text)]
        links = sorted(set(re.findall(r"\]\((docs/(?!zh/)[^)]+)\)", text)))  # those in Chinese stand in one only
        return commands, links, len(re.findall(r"^## ", text, re.MULTILINE))

    assert told(english) == told(chinese)

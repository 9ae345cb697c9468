"""What a page of the documentation shows: its blocks, its commands, and how each is run in a test."""

from __future__ import annotations

import contextlib
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import sightline as sl
from helpers.sums import unlisted
from sightline.cli.app import build_app
from sightline.cli.app import run as command

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "README.zh-CN.md",
    *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md")),
)
CHINESE = "README.zh-CN.md"
# They speak of other programs' flags too.
OF_OTHERS = {"docs/benchmarks.md", "docs/parity.md", "docs/reference-programs.md", "docs/log.md"}
OF_OTHERS |= {page for page in PAGES if page.startswith("docs/log/")}
LANGUAGES = {"sh", "python", "yaml", "text"}
NAMED_DATA = {"mnist", "fashion-mnist", "cifar10", "cifar100"}
FAST: dict[str, Any] = {"threads": 1, "precision": "fp32", "quiet": True}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text and the line of its fence."""

    language: str
    text: str
    line: int


def blocks_of(text: str) -> Iterator[Block]:
    """Take a page's fenced blocks out."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, first in lines:
        if fence := re.match(r"\s*(```+|~~~+)\s*(\S*)", first):
            kept: list[str] = []
            for _, line in lines:
                if line.strip() == fence[1]:
                    break
                kept.append(line)
            else:
                raise AssertionError(f"the fence of line {number} is never closed")
            yield Block(fence[2], "\n".join(kept), number)


def commands_of(block: Block) -> list[list[str]]:
    """Split a block of commands into words; comments are left out, a backslash goes on."""
    lines = block.text.replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    return [words for words in found if words]


# What a page names


class Place:
    """The folder that a page's commands run in: what they name is there when they name it."""

    def __init__(self, folder: Path, made: Path) -> None:
        self.folder, self.made = folder, made

    def provide(self, word: str) -> None:
        """Put what `word` names into the folder, unless it is there."""
        path = self.folder / word.rstrip("/")
        source = self._source(word.rstrip("/"))
        if source is None or path.exists():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            self.provide("pictures")  # which it names
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            shutil.copyfile(source, path)
        if found := re.fullmatch(r"runs/([ab])-00(\d)", word):  # sides that differ, each with its seeds
            settings = (path / "settings.yaml").read_text().replace("\n  seed: 0\n", f"\n  seed: {found[2]}\n")
            settings = settings.replace("\n  lr: 0.1\n", "\n  lr: 0.2\n") if found[1] == "b" else settings
            (unlisted(path) / "settings.yaml").write_text(settings)

    def _source(self, word: str) -> Path | None:
        kinds = {
            r"runs/pictures[\w-]*-\d{3}": "runs/pictures-001",
            r"runs/mnist-cnn-\d{3}": "runs/steps-001",
            r"runs/[\w-]+-\d{3}": "runs/digits-001",
            r"comparisons/[\w-]+-\d{3}": "comparison",
            r"folds/[\w-]+-\d{3}": "folds",
            r"studies/[\w-]+-\d{3}": "study",
            r"(my-)?pictures|more": "pictures",
            r"[\w-]+\.csv": "photos.csv",
            r"[\w-]+\.zip": "pictures.zip",
            r"[\w-]+\.(png|jpg)": "pictures/cat/0.png",
            r"[\w-]+\.onnx": "model.onnx",
            r"weights\.safetensors": "runs/pictures-001/weights/best.safetensors",
        }
        for pattern, source in kinds.items():
            if re.fullmatch(pattern, word):
                if not (self.made / source).exists():
                    makers = {"comparison": self._compare, "folds": self._part, "study": self._tune}
                    makers.get(source, self._export)()
                return self.made / source
        return None

    def _compare(self) -> None:
        sides = ["cnn:hidden=16", "cnn:hidden=64"]
        found = sl.compare(sides, data="digits", epochs=1, seeds=2, comparisons=self.made, **FAST)
        found.folder.rename(self.made / "comparison")

    def _part(self) -> None:
        settings: dict[str, Any] = {"recipe": "none", "model": "cnn", "steps": 2}
        found = sl.cross_validate(self.made / "pictures", 2, runs=self.made, **settings, **FAST)
        found.folder.rename(self.made / "folds")

    def _tune(self) -> None:
        pytest.importorskip("optuna", reason="Optuna is not installed")
        found = sl.tune("digits", epochs=1, trials=2, seeds=0, studies=self.made, **FAST)
        found.folder.rename(self.made / "study")

    def _export(self) -> None:
        sl.export(self.made / "runs/pictures-001", out=self.made / "model.onnx")


# The three classes


def as_it_stands(words: list[str], place: Place) -> None:
    """Run a command of sightline."""
    words = words[1:]
    if ">" in words:
        words, (_, file) = words[:-2], words[-2:]
        with Path(file).open("w") as stream, contextlib.redirect_stdout(stream):
            assert command(words) == 0, shlex.join(words)
    else:
        assert command(words) == 0, shlex.join(words)


def without(words: list[str], flags: Sequence[str]) -> list[str]:
    """Leave flags out, each with its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in flags:
            next(rest)
        else:
            kept.append(word)
    return kept


def small(words: list[str]) -> list[str]:
    """Name the embedded digits, or stand-ins, where a page names data that would have to be downloaded."""
    return ["digits" if word in NAMED_DATA else word for word in words]


def train_shortly(words: list[str], place: Place) -> None:
    """Two steps, two folds; on digits, of 28 pixels unless the command says more, where data would be downloaded."""
    if "--resume" in words:
        run = words[words.index("--resume") + 1]
        if sl.is_cross_validation(run):
            as_it_stands(words, place)
            return
        kept = without(words, ["--epochs", "--steps", "--add-epochs", "--add-steps"])
        in_steps = yaml.safe_load(Path(run, "settings.yaml").read_text())["training"]["steps"] is not None
        as_it_stands([*kept, "--add-steps" if in_steps else "--add-epochs", "1"], place)
        return
    settings = resolved(words[2:])
    length = ["--steps", "2"]
    if settings.data.validation >= 1:  # more of them than the digits have
        length += ["--validation", "0.1"]
    kept = without(words, ["--epochs", "--steps", "--time", "--folds"])
    kept += ["--folds", "2"] if "--folds" in words else []
    data = settings.data.name
    named = data if Path(data).is_dir() else "digits"
    if data in NAMED_DATA:
        size = [] if "--image-size" in words else ["--image-size", "28"]
        kept = [*kept[:2], *(word for word in kept[2:] if word != data), *size]
        kept.insert(2, named)
    if settings.recipe is not None and "--recipe" not in words:
        kept += ["--recipe", settings.recipe]
    as_it_stands([*kept, *length], place)


def compare_shortly(words: list[str], place: Place) -> None:
    """One seed, two steps, one run at a time."""
    if "--resume" in words or any(word.startswith("runs/") for word in words):
        as_it_stands(words, place)
        return
    kept = without(words, ["--seeds", "--epochs", "--steps", "--seconds", "--jobs"])
    kept = [word for word in kept if word != "--own-lengths"]
    kept = small(kept) if "--data" in kept else [*kept, "--data", "digits"]
    as_it_stands([*kept, "--seeds", "1", "--steps", "2", "--validation", "0.1"], place)


def tune_shortly(words: list[str], place: Place) -> None:
    """Two trials of one epoch, and no comparison."""
    kept = without(words, ["--trials", "--seconds", "--seeds", "--epochs"])
    short = ["--trials", "2", "--seeds", "0"]
    as_it_stands([*small(kept), *short, *([] if "--resume" in words else ["--epochs", "1"])], place)


def on_small_data(words: list[str], place: Place) -> None:
    """The same command on the embedded digits."""
    as_it_stands(small(words), place)


def ask(words: list[str], place: Place) -> None:
    """Curl's request, to the application in this process."""
    served = pytest.importorskip("helpers.serving", reason="the extra serve is not installed")
    import requests

    files = [word.partition("@")[2] for word in words if "@" in word]
    url = next(word for word in words if word.startswith("http"))
    with served.running(sl.load("runs/mnist-001")) as server:
        address = server.url + re.sub(r"https?://[^/]+", "", url)
        if "-F" in words:
            answer = requests.post(address, files=[("file", Path(file).read_bytes()) for file in files], timeout=20)
        else:
            header = dict([words[words.index("-H") + 1].split(": ")])
            answer = requests.post(address, data=Path(files[0]).read_bytes(), headers=header, timeout=20)
    assert answer.status_code == 200, answer.text


def nothing_more(words: list[str], place: Place) -> None:
    """Parsed by the program's parser, as every command is."""


def known_target(words: list[str], place: Place) -> None:
    """Its targets are in the Makefile."""
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    asked = [word for word in words[1:] if "=" not in word]
    assert asked and set(asked) <= targets


def known_packages(words: list[str], place: Place) -> None:
    """Its extras are in pyproject.toml, its files are here, its pins are those of constraints.txt."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        if found := re.fullmatch(r"\.\[(.+)\]", word):
            assert set(found[1].split(",")) <= set(project["optional-dependencies"])
        elif word.endswith(".txt"):
            assert (ROOT / word).is_file()
        elif "==" in word:
            assert word in (ROOT / "constraints.txt").read_text().splitlines()


RUN, SHORT, PARSED = "run as it stands", "run shortened", "parsed only"
RULES: tuple[tuple[str, str, Callable[[list[str], Place], None], str], ...] = (
    (r"make .*", PARSED, known_target, "it makes environments, or runs for minutes"),
    (r"(\S*/)?pip install .*", PARSED, known_packages, "tests install nothing"),
    (r"python3 -m venv .*|\. \.venv/bin/activate", PARSED, nothing_more, "it makes or enters an environment"),
    (r"tensorboard .*", PARSED, nothing_more, "it shows pages until it is stopped"),
    (r"sightline serve .*", PARSED, nothing_more, "it serves until it is stopped: tests/test_serving_command.py"),
    (r"sightline data get .*", PARSED, nothing_more, "it downloads"),
    (
        r"sightline train .*(--pretrained|--model timm/).*",
        PARSED,
        nothing_more,
        "it downloads weights: test_pretrained.py",
    ),
    (r"sightline forecast .*", PARSED, nothing_more, "it needs a run that began with weights: test_forecast.py"),
    (r"sightline train .*--group .*", PARSED, nothing_more, "it needs pictures in groups: test_data_groups.py"),
    (r"curl .*", SHORT, ask, "the same request, to the application in this process"),
    (
        r"sightline train (?!.*(--pretrained|--group| timm/)).*",
        SHORT,
        train_shortly,
        "two steps, nothing is downloaded",
    ),
    (r"sightline compare .*", SHORT, compare_shortly, "one seed of two steps"),
    (r"sightline tune .*", SHORT, tune_shortly, "two trials of one epoch, no comparison"),
    (r"sightline (test|predict|check) .*\bmnist$", SHORT, on_small_data, "digits for mnist, which is downloaded"),
    (
        r"sightline (test|predict|check|report|card|export|calibrate|summary|runs|verify|recipes|data list)\b"
        r"(?!.*\bmnist$).*",
        RUN,
        as_it_stands,
        "it is quick",
    ),
)


def rule_of(words: list[str]) -> tuple[str, Callable[[list[str], Place], None]]:
    """Find the one rule of a command."""
    line = " ".join(words)
    found = [(kind, act) for pattern, kind, act, _ in RULES if re.fullmatch(pattern, line)]
    assert len(found) == 1, f"{line}: {len(found)} rules"
    return found[0]


def resolved(words: list[str]) -> Any:
    """Parse a command line of `train` and resolve what it would do."""
    from sightline.cli.flags import given
    from sightline.recipes import resolve

    _, bound, _ = build_app().parse_args(["train", *words], exit_on_error=False, print_error=False)
    typed = given(bound.arguments["flags"]) if "flags" in bound.arguments else {}
    recipe = bound.arguments["run"].recipe if "run" in bound.arguments else None
    return resolve(bound.arguments.get("data"), recipe, typed)


def parse(words: list[str]) -> None:
    """Parse a command line of sightline, as it stands, with the program's own parser."""
    words = words[: words.index(">")] if ">" in words else words
    if words[0] == "train" and "--resume" not in words:
        resolved(words[1:])
    else:
        build_app().parse_args(words, exit_on_error=False, print_error=False)


# Replacements in Python blocks, so that they take a moment.
SHORTER = {"epochs=5": "epochs=1", "epochs=10": "epochs=1", "cv=3": "cv=2", '"mnist"': '"digits"', "seeds=5": "seeds=2"}


def run_python(text: str, place: Place, names: dict[str, Any]) -> None:
    """Run a block; a page's blocks share their names."""
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    for word in re.findall(r'"([^"\n]+)"', text):
        place.provide(word)
    exec(compile(text, "docs", "exec", dont_inherit=True), names)


def read_yaml(text: str, place: Place) -> None:
    """A space of `tune` or a recipe; kept for the commands that name it."""
    from sightline.recipes import load_recipe
    from sightline.tuning.tune import read_space

    is_recipe = not re.search(r"\b(low|choices):", text)
    path = place.folder / ("mine.yaml" if is_recipe else "space.yaml")
    path.write_text(text)
    load_recipe(str(path)) if is_recipe else read_space(path)

"""How to repeat it: commands, versions, hashes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import yaml

from sightline.comparison.folder import ComparisonPlan
from sightline.comparison.sides import have_the_same_images
from sightline.files.atomic import sha256_of
from sightline.reporting.blocks import Block, Cell, Code, Paragraph, Section, Slide, Table
from sightline.reporting.facts import Run, every_value, file_of
from sightline.reporting.sections.images import part_name
from sightline.reporting.subjects import Comparison, Folds, Study
from sightline.reporting.words import Words
from sightline.runs.folder import ENVIRONMENT, SETTINGS, SPLITS
from sightline.settings.merge import flag_of
from sightline.settings.text import text

VERSIONS = ("sightline", "python", "torch", "numpy", "pillow", "system", "processor", "threads", "gpu", "precision")
ON_SLIDE = 6


def of_run(run: Run, words: Words) -> Section:
    """The commands that repeat a run."""
    settings, place = run.settings, _seen_from_here(run.folder.path)
    if settings.model is None:
        return _section([Paragraph.of(words("repeat_own_module"))], [], [("", run)], words)
    if settings.extended_from_step:
        said = words("repeat_extended", step=settings.extended_from_step)
        return _section([Paragraph(run.cell(said, SETTINGS, "extended_from_step"))], [], [("", run)], words)
    commands = [_command("train", "--recipe", f"{place}/{SETTINGS}")]
    if run.metrics is not None:
        commands.append(_command("test", place))
    blocks = [Paragraph.of(words("repeat_how")), Code("\n".join(commands))]
    return _section(blocks, commands, [("", run)], words)


def of_comparison(comparison: Comparison, words: Words) -> Section:
    """The command that repeats a comparison."""
    blocks, commands = _comparison_commands(comparison, words)
    return _section(blocks, commands, comparison.named, words, comparison.every_run)


def of_folds(folds: Folds, words: Words) -> Section:
    """The command that repeats a cross-validation, from the settings of its first run."""
    count, seconds = folds.plan.count, folds.plan.settings.training.time
    time = [] if seconds is None else ["--time", f"{seconds * count:g}"]
    recipe = f"{_seen_from_here(folds.first.folder.path)}/{SETTINGS}"
    command = _command("train", "--recipe", recipe, "--folds", str(count), *time)
    blocks: list[Block] = [Paragraph.of(words("repeat_folds")), Code(command)]
    return _section(blocks, [command], [("", folds.first)], words)


def of_study(study: Study, words: Words) -> Section:
    """The commands that repeat a search and its final comparison."""
    plan = study.plan
    flags: list[str] = []
    for name, value in plan.flags.items():
        if isinstance(value, bool):
            flags.append(flag_of(name) if value else flag_of(f"no_{name}"))
        else:
            flags += [flag_of(name), value if isinstance(value, str) else text(value)]
    recipe = [] if plan.recipe is None else ["--recipe", plan.recipe]
    trials = ["--trials", str(study.results.trials)]
    # A search that found nothing better ended without the comparison that it was asked for.
    asked = study.comparison.sides[0].seeds if study.has_comparison else study.plan.seeds
    seeds = _seeds(asked) if asked else "0"
    command = _command("tune", plan.data, *recipe, "--space", "space.yaml", *trials, "--seeds", seeds, *flags)
    space = yaml.safe_dump(
        {name: dimension.to_dict() for name, dimension in plan.space.items()}, sort_keys=False, default_flow_style=None
    )
    blocks: list[Block] = [
        Paragraph.of(words("repeat_study")), Code(command), Paragraph.of(words("repeat_space")), Code(space.rstrip()),
    ]  # fmt: skip
    if study.has_comparison:
        again, commands = _comparison_commands(study.comparison, words)
        return _section(
            [*blocks, *again], [command, *commands], study.comparison.named, words, study.comparison.every_run
        )
    return _section(blocks, [command], [] if study.best is None else [("", study.best)], words)


def _comparison_commands(comparison: Comparison, words: Words) -> tuple[list[Block], list[str]]:
    """Each side by the settings of its first run, or why no command repeats it."""
    every = [run.settings for run in comparison.every_run]
    if any(settings.model is None for settings in every):
        return [Paragraph.of(words("repeat_own_module"))], []
    if any(settings.extended_from_step for settings in every):
        return [Paragraph.of(words("repeat_comparison_extended"))], []
    seeds = comparison.sides[0].seeds
    if (
        any(side.seeds != seeds for side in comparison.sides)
        or any(settings.training.watch_test for settings in every)
        or not all(have_the_same_images(settings, every[0]) for settings in every)
    ):
        return [Paragraph.of(words("repeat_comparison_apart"))], []
    sides = [f"{_seen_from_here(run.folder.path)}/{SETTINGS}" for _, run in comparison.named]
    sureness = comparison.results.confidence
    confidence = [] if sureness == ComparisonPlan.confidence else ["--confidence", f"{sureness:g}"]
    command = _command("compare", *sides, "--own-lengths", "--seeds", _seeds(seeds), *confidence)
    return [Paragraph.of(words("repeat_comparison")), Code(command)], [command]


def _seeds(seeds: Sequence[int]) -> str:
    """Write seeds as --seeds reads them: a lone one with a comma, since a number alone says how many."""
    return ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")


def _seen_from_here(path: Path) -> str:
    """A folder as whoever asks for the report would name it, without the parts that are this machine's own."""
    here, folder = Path.cwd().resolve(), path.resolve()
    return folder.relative_to(here).as_posix() if folder.is_relative_to(here) and folder != here else folder.name


def _command(*parts: str) -> str:
    return shlex.join(["sightline", *parts])


def _section(
    blocks: Sequence[Block],
    commands: Sequence[str],
    named: Sequence[tuple[str, Run]],
    words: Words,
    every: Sequence[Run] = (),
) -> Section:
    """Set the commands, the versions of `every` run, the first of `named` where none are given, and the hashes."""
    title = words("repeat")
    told = list(commands)
    if not named:
        return Section("repeat", title, blocks, [Slide(title, told)])
    first = named[0][1]
    every = every or [first]
    where = file_of(every, ENVIRONMENT)
    versions = [(name, value) for name in VERSIONS if (value := every_value(every, name))]
    rows = [[Cell(words.named(name)), Cell(value, where, name)] for name, value in versions]
    hashes: list[list[Cell]] = []
    for name, run in named:
        if weights := run.weights():
            file, path = weights
            label = words.labelled(name, file) if name else file
            hashes.append([Cell(label), run.cell(sha256_of(path), file, "sha256()")])
    for part, kept in first.splits.parts.items():
        label = part_name(part, words)
        for key, name in (("ids_sha256", "ids_hash"), ("content_sha256", "content_hash")):
            text_cell = Cell(words.labelled(label, words(name)))
            hashes.append([text_cell, first.cell(getattr(kept, key), SPLITS, f"parts.{part}.{key}")])
    tables = [Table([words("version"), words("value")], rows), Table([words("file"), words("sha256")], hashes)]
    told += [f"{name} {value}" for name, value in versions[:ON_SLIDE]]
    return Section("repeat", title, [*blocks, *tables], [Slide(title, told)])

"""From sides to results: train what is not there yet, then compare.

`compare` begins one, or compares runs that are finished already; `resume_comparison` takes one up that was stopped or
gives it more seeds. docs/statistics.md says what the results mean.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sightline import device as device_room
from sightline.comparison.figures import SideRuns, results_of
from sightline.comparison.folder import ComparisonFolder, ComparisonPlan
from sightline.comparison.records import ComparisonRecord
from sightline.comparison.running import ImagesOnce, Job, interrupted, run_all
from sightline.comparison.sides import LENGTHS, Side, build_sides, length
from sightline.data.parallel import usable_cores
from sightline.drawing import comparison as comparison_drawing
from sightline.errors import FileError, UsageError
from sightline.evaluation.predictions import Predictions
from sightline.files import sums
from sightline.runs.folder import RunFolder
from sightline.runs.records import Splits
from sightline.settings import CheckpointSettings, Settings, data_name
from sightline.settings.merge import flag_of
from sightline.training.pace import training_pace
from sightline.training.reporter import Reporter, Silence, make_reporter
from sightline.training.tracking import check_tracking

UNSEEN = {
    "recipe": None, "seed": 0, "log_steps": 100, "log_probabilities_steps": None, "track": "none", "data_dir": None,
    "threads": None,
}  # fmt: skip
"""Settings, by flat name, in which the runs of one side may differ, and what each is taken for."""
SEEDS = 5
DIFFERENT_SEEDS = "different whole numbers, 0 or more"
LONGEST_NOTE = 400
NUMBERED = re.compile(r"(-s\d+)?-\d{3}$")


@dataclass(frozen=True, kw_only=True)
class ComparisonResult(ComparisonRecord):
    """A finished comparison: its folder, and its results.

    `sides` has the accuracies of each side, in the given order. `pairs` has the difference and the verdict of each
    pair: first and second, first and third, and so on.
    """

    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """The result for JSON."""
        return {"comparison": str(self.folder), **super().to_dict()}


def compare(
    sides: Sequence[str | Path],
    *,
    data: str | Path | None = None,
    seeds: int | Sequence[int] | None = None,
    seconds: float | None = None,
    own_lengths: bool = False,
    confidence: float = 0.95,
    jobs: int = 1,
    comparisons: str | Path = "comparisons",
    name: str | None = None,
    quiet: bool = False,
    **settings: Any,
) -> ComparisonResult:
    """Find out which classifier is better: train several seeds of each, and give a verdict on each pair.

    `sides`: two or more recipes, networks or recipe files, each with optional changes:
    `"mnist-cnn:lr=0.05,batch_size=256"`; or the folders of finished runs, where runs that differ only in the seed form
    one side. All sides use the images of the first, and the same length. `seeds`: a number, counted from 0, or a list;
    five by default. `settings`: settings for all sides by name, including `epochs` or `steps`. `seconds` instead gives
    each side the number of steps that it completes in that time on this machine; `own_lengths` keeps the length of each
    recipe. `jobs`: number of parallel runs, which share the cores. To continue an interrupted comparison, use
    `resume_comparison`.

    Raises UsageError if the sides cannot be compared, DataError for runs that were tested on different images,
    Interrupted (all finished training is kept), and the errors of `train`.
    """
    texts, place = [str(side) for side in sides], Path(comparisons)
    if runs := _finished_runs(texts):
        for_training = {**settings, "data": data, "seconds": seconds, "own_lengths": own_lengths or None}
        for_training |= {"seeds": seeds, "jobs": None if jobs == 1 else jobs}
        for setting, value in for_training.items():
            if value is not None:
                raise UsageError(flag_of(setting), "it cannot be given with finished runs", advice="Leave it out.")
        reporter = make_reporter(quiet=quiet)
        return compare_runs(runs, confidence=confidence, comparisons=place, name=name, reporter=reporter)
    reporter = make_reporter(quiet=quiet)
    chosen = _seeds(SEEDS if seeds is None else seeds)
    _check(chosen, seconds, confidence, jobs)
    values = {**settings, "seconds": seconds, "own-lengths": own_lengths or None}
    flags = [f"--{name}" for name in (*LENGTHS, "seconds", "own-lengths") if values.get(name) is not None]
    if len(flags) > 1:
        raise UsageError(flags[1], f"given together with {flags[0]}", "one length", "Leave one of them out.")
    lengths = "paced" if seconds else "own" if own_lengths else "one"
    built, notes = build_sides(texts, None if data is None else str(data), settings, lengths=lengths)
    for note in notes:
        reporter.note(note)
    return compare_settings(
        built, seeds=chosen, seconds=seconds, confidence=confidence, processes=jobs, comparisons=place,
        name=name or _name(built), reporter=reporter,
    )  # fmt: skip


def compare_settings(
    sides: Sequence[Side],
    *,
    seeds: Sequence[int],
    seconds: float | None = None,
    confidence: float = 0.95,
    processes: int = 1,
    comparisons: Path,
    name: str,
    reporter: Reporter | None = None,
) -> ComparisonResult:
    """Do as `compare` does for sides whose settings are known and can be compared."""
    reporter, images = reporter or Silence(), ImagesOnce()
    for side in sides:
        check_tracking(side.settings)
    if processes > 1:
        sides = [_with_threads(side, processes) for side in sides]
    if seconds is not None:
        sides = [_lasting(side, seconds, images, reporter) for side in sides]
    elif len({length(side.settings) for side in sides}) > 1:
        reporter.note(
            "the contestants train for different lengths: " + ", ".join(length(side.settings) for side in sides)
        )
    plan = ComparisonPlan(tuple(sides), tuple(seeds), confidence, seconds)
    folder = ComparisonFolder.create(comparisons, name)
    folder.write_plan(plan)
    count, several = len(plan.seeds) * len(plan.sides), "" if len(plan.seeds) == 1 else "s"
    reporter.note(f"{folder.path}: {len(plan.sides)} contestants, {len(plan.seeds)} seed{several}, {count} runs")
    return _finish(folder, plan, processes, images, reporter)


def seeds_of(path: Path, sides: Sequence[Side]) -> tuple[int, ...] | None:
    """Give the seeds of a comparison of just these sides, None where the folder is none."""
    folder = ComparisonFolder(path)
    plan = folder.plan() if folder.plan_path.is_file() else None
    return plan.seeds if plan is not None and plan.sides == tuple(sides) else None


def resume_comparison(
    folder: str | Path,
    *,
    seeds: int | Sequence[int] | None = None,
    jobs: int = 1,
    quiet: bool = False,
    reporter: Reporter | None = None,
) -> ComparisonResult:
    """Continue an interrupted comparison, or add seeds to it. Finished runs stay as they are.

    `reporter` receives the progress; by default it goes to stderr unless `quiet`. Raises FileError if `folder` is not a
    comparison, UsageError if `seeds` lacks some of its seeds.
    """
    reporter = reporter or make_reporter(quiet=quiet)
    place = ComparisonFolder.open(Path(folder))
    plan = place.plan()
    chosen = plan.seeds if seeds is None else _seeds(seeds)
    if chosen != plan.seeds:
        if plan.runs:
            raise UsageError(
                "--seeds", f"{folder} compares runs that were finished before", "a comparison that trains its own"
            )
        _check(chosen, None, plan.confidence, jobs)
        if missing := [str(seed) for seed in plan.seeds if seed not in chosen]:
            raise UsageError("--seeds", f"seed {', '.join(missing)} is missing", "all seeds that it has, and more")
        plan = replace(plan, seeds=chosen)
        place.write_plan(plan)
    if plan.runs:
        return _conclude(place, plan, [_kept_runs(place, plan, index) for index in range(len(plan.sides))])
    return _finish(place, plan, jobs, ImagesOnce(), reporter)


def _finished_runs(sides: Sequence[str]) -> list[Path]:
    """Give the folders of runs if all sides are such, else nothing: they are compared as they are."""
    paths = [Path(side) for side in sides]
    return paths if paths and all(path.is_dir() for path in paths) else []


def compare_runs(
    runs: Sequence[Path],
    *,
    confidence: float = 0.95,
    comparisons: Path = Path("comparisons"),
    name: str | None = None,
    reporter: Reporter | None = None,
) -> ComparisonResult:
    """Compare runs that are finished. Runs whose settings differ in nothing but the seed are one side.

    Damaged runs are left out, and the reporter is told, as long as two sides are left. Raises FileError for a folder
    that is no run, was not tested, or is damaged and needed; UsageError where all runs are of one side or two have the
    same settings and seed, DataError where they were tested on different images.
    """
    _check((0,), None, confidence, 1)
    damage = {path: error for path in runs if (error := _damage_of(path)) is not None}
    sides = _grouped([path for path in runs if path not in damage])
    if damage and len(sides) < 2:
        raise next(iter(damage.values()))
    for path, error in damage.items():
        (reporter or Silence()).note(
            f"warning: left out {path} (damaged, {Path(error.subject).name}: {error.found})"[:LONGEST_NOTE]
        )
    if len(sides) < 2:
        raise UsageError("RUN", f"all runs have the settings of {sides[0].name}", "runs of two contestants or more")
    folder = ComparisonFolder.create(comparisons, name or "-".join(_short(side.name) for side in sides[:3]))
    seeds = sorted({seed for side in sides for seed in side.runs})
    plan = ComparisonPlan(
        tuple(Side(side.name, side.settings) for side in sides),
        tuple(seeds),
        confidence,
        runs=tuple({seed: folder.relative(run.path) for seed, run in side.runs.items()} for side in sides),
    )
    try:
        result = _conclude(folder, plan, sides)
    except Exception:
        # Where the disk refused the results, what was written stays.
        sums.remove_unused(folder.path)
        raise
    return result


def _damage_of(path: Path) -> FileError | None:
    """Read what a comparison reads of a run, and give the error of a file that is damaged."""
    try:
        run = RunFolder.open(path)
        run.settings()
        run.results()
        run.read(Splits)
        if run.test_folder.predictions_path.is_file():
            Predictions.load(run.test_folder.predictions_path)
    except FileError as error:
        return error
    return None


def _seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(range(seeds) if isinstance(seeds, int) else seeds)


def _check(seeds: Sequence[int], seconds: float | None, confidence: float, processes: int) -> None:
    if not seeds:
        raise UsageError("--seeds", "none found", DIFFERENT_SEEDS)
    check_seeds(seeds)
    if not 0.5 <= confidence < 1:
        raise UsageError("--confidence", f"{confidence:g} found", "at least 0.5 and below 1")
    if processes < 1:
        raise UsageError("--jobs", f"{processes} found", "1 or more")
    check_seconds(seconds)


def check_seeds(seeds: Sequence[int]) -> None:
    """Raise UsageError where a seed stands twice or is below 0."""
    if len(set(seeds)) != len(seeds) or any(seed < 0 for seed in seeds):
        raise UsageError("--seeds", f"{', '.join(map(str, seeds))} found", DIFFERENT_SEEDS)


def check_seconds(seconds: float | None) -> None:
    """Raise UsageError for a budget that is not above 0; None is none."""
    if seconds is not None and not seconds > 0:
        raise UsageError("--seconds", f"{seconds:g} found", "more than 0")


def _with_threads(side: Side, processes: int) -> Side:
    """Share the cores out among runs that go at a time; recorded, since bits depend on the number of threads."""
    device = side.settings.device
    threads = device.threads or max(1, usable_cores() // processes)
    return replace(side, settings=side.settings.replace(threads=threads))


def _lasting(side: Side, seconds: float, images: ImagesOnce, reporter: Reporter) -> Side:
    """Give a side as many steps as it does in `seconds` on this machine."""
    pace = training_pace(side.settings, images.load(side.settings.data), seconds)
    steps = max(1, round(seconds * pace))
    reporter.note(f"{side.name}: {pace:,.4g} steps per second here, so {steps:,} steps in {seconds:g} s")
    return replace(side, settings=side.settings.replace(steps=steps, epochs=None))


def _name(sides: Sequence[Side]) -> str:
    """The dataset and the first sides, each word once: sides are often one recipe with changes."""
    return "-".join(dict.fromkeys([data_name(sides[0].settings.data), *(_short(side.name) for side in sides[:3])]))


def _short(name: str) -> str:
    return name.split(":", maxsplit=1)[0]


def _finish(
    folder: ComparisonFolder, plan: ComparisonPlan, processes: int, images: ImagesOnce, reporter: Reporter
) -> ComparisonResult:
    try:
        with device_room.explain_memory("training"):
            run_all(folder, plan, processes=processes, images=images, reporter=reporter)
        return _conclude(folder, plan, [_own_runs(folder, plan, index) for index in range(len(plan.sides))])
    except KeyboardInterrupt as error:
        raise interrupted(folder) from error


def _own_runs(folder: ComparisonFolder, plan: ComparisonPlan, index: int) -> SideRuns:
    side = plan.sides[index]
    runs = {seed: Job(folder, index, side.name, seed).finished() for seed in plan.seeds}
    return SideRuns(side.name, side.settings, {seed: run for seed, run in runs.items() if run is not None})


def _kept_runs(folder: ComparisonFolder, plan: ComparisonPlan, index: int) -> SideRuns:
    runs = {seed: RunFolder.open(folder.path / run) for seed, run in plan.runs[index].items()}
    return SideRuns(plan.sides[index].name, plan.sides[index].settings, runs)


def _conclude(folder: ComparisonFolder, plan: ComparisonPlan, sides: Sequence[SideRuns]) -> ComparisonResult:
    """Compare, and write down what came of it."""
    seeds = len(plan.seeds)
    looked = plan if plan.looks[-1:] == (seeds,) else replace(plan, looks=(*plan.looks, seeds))
    results = results_of(sides, folder, looked)
    folder.write_plan(looked)
    folder.write_results(results)
    content = results.to_dict()
    with sums.rewriting_file(folder.picture_path):
        comparison_drawing.draw(content["sides"], content["pairs"], folder.picture_path)
    return ComparisonResult(folder=folder.path, **vars(results))


def _grouped(paths: Sequence[Path]) -> list[SideRuns]:
    """Put finished runs that differ in nothing but the seed together."""
    groups: dict[str, tuple[Settings, dict[int, RunFolder]]] = {}
    for path in paths:
        run = RunFolder.open(path)
        seed, settings = run.settings().training.seed, _of_a_side(run.settings())
        name = next((name for name, (known, _) in groups.items() if known == settings), None)
        if name is None:
            name = _side_name(path, groups)
            groups[name] = settings, {}
        others = groups[name][1]
        if seed in others:
            raise UsageError(
                str(path), f"it has the same settings and seed as {others[seed].path}", "one run of each seed"
            )
        others[seed] = run
    return [SideRuns(name, settings, runs) for name, (settings, runs) in groups.items()]


def _of_a_side(settings: Settings) -> Settings:
    """Leave out of a run's settings what a side's runs may differ in."""
    return settings.replace(**UNSEEN, checkpoints=CheckpointSettings())


def _side_name(path: Path, taken: Container[str]) -> str:
    """Name a side after its first run's folder, as shortly as no other side is called so."""
    folder = path.resolve()
    whole = f"{folder.parent.name}/{folder.name}"
    names = [NUMBERED.sub("", folder.name), folder.name, whole]
    numbered = (f"{whole} ({number})" for number in itertools.count(2))
    return next(name for name in itertools.chain(names, numbered) if name and name not in taken)

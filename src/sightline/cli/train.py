"""`sightline train`: a run from its settings, or a run taken up again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.folds import resume_folds, show_folds
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json
from sightline.errors import UsageError
from sightline.settings import build_settings
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import TrainResult

    SettingFlags = Any
    NONE_GIVEN: Any = None
else:
    SettingFlags = setting_flags(sections=SECTIONS)
    NONE_GIVEN = SettingFlags()

RUN = Group("Run", sort_key=1)
# All that may change when a run is taken up again.
LONGER = ("epochs", "steps")


@Parameter(name="*")
@dataclass(frozen=True)
class RunFlags:
    """What a run begins with, besides its settings."""

    recipe: Annotated[
        str | None, Parameter(group=RUN, metavar="NAME", help="A recipe's name, a YAML file, or none. [DATA's own]")
    ] = None
    resume: Annotated[
        Path | None,
        Parameter(
            group=RUN,
            metavar="RUN",
            help="Go on with this run from its latest checkpoint; --epochs or --steps name a larger total. Or go on "
            "with this cross-validation.",
        ),
    ] = None
    add_epochs: Annotated[
        int | None,
        Parameter(
            group=RUN,
            metavar="N",
            help="With --resume: so many epochs more than the run was to have, whether it was finished or interrupted.",
        ),
    ] = None
    add_steps: Annotated[
        int | None,
        Parameter(group=RUN, metavar="N", help="The same in steps, for a run that counts in steps."),
    ] = None
    folds: Annotated[
        int | None,
        Parameter(
            group=RUN,
            metavar="K",
            help="Cross-validate: part all pictures but those of a test part into K folds, and test on each a model "
            "that was trained on the others. --time is shared out among them.",
        ),
    ] = None
    runs: Annotated[
        Path | None,
        Parameter(group=RUN, metavar="DIR", help="Folder that runs are kept in. [runs; with --folds folds]"),
    ] = None
    name: Annotated[
        str | None, Parameter(group=RUN, metavar="NAME", help="The run's name. [recipe or dataset, counted up]")
    ] = None


NO_RUN = RunFlags()


def train(
    data: Annotated[
        str | None, Parameter(group=RUN, help="A dataset's name, or a folder. It replaces the recipe's.")
    ] = None,
    /,
    *,
    run: RunFlags = NO_RUN,
    flags: SettingFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="No progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Train, or resume, and print what came of it."""
    settings = given(flags)
    begin = {name: value for name, value in typed(run).items() if name in ("recipe", "runs", "name")}
    with output.working():
        import sightline

        if run.resume is None:
            _refuse_without_resume(run)
            begin |= {} if run.folds is None else {"folds": run.folds}
            start = sightline.train if run.folds is None else sightline.cross_validate
            result = start(data, quiet=quiet, **begin, **settings)
        elif sightline.is_cross_validation(run.resume):
            result = resume_folds(data, typed(run), settings, quiet=quiet)
        else:
            _only_longer(data, begin | settings | {"folds": run.folds})
            epochs, steps = (_count(settings, unit) for unit in LONGER)
            result = sightline.resume(
                run.resume, epochs=epochs, steps=steps, add_epochs=run.add_epochs, add_steps=run.add_steps, quiet=quiet
            )
    if output.json:
        print_json(result.to_dict())
    elif isinstance(result, sightline.TrainResult):
        _show(result)
    else:
        show_folds(result)


def _refuse_without_resume(run: RunFlags) -> None:
    for flag, value in (("--add-epochs", run.add_epochs), ("--add-steps", run.add_steps)):
        if value is not None:
            raise UsageError(
                flag, "it is given without --resume", advice="Add --resume RUN, or use --epochs or --steps."
            )  # fmt: skip


def _only_longer(data: str | None, others: Mapping[str, Any]) -> None:
    others = {"DATA": data, **{flag_of(name): value for name, value in others.items() if name not in LONGER}}
    leave_out(
        others, "--resume", "a resumed run keeps all settings but its length",
        "Leave it out, or start a new run.",
    )  # fmt: skip


def _count(settings: Mapping[str, Any], name: str) -> int | None:
    """Read the number typed for --epochs or --steps, checked by the settings model that both are declared in."""
    return getattr(build_settings({}, {name: settings[name]}).training, name) if name in settings else None


def _show(result: TrainResult) -> None:
    from sightline.cli.tables import facts, percent, percent_interval

    rows = [("run", str(result.run)), ("model", f"{result.model} on {result.data}")]
    rows.append(("trained", f"{result.epochs:g} epochs, {result.steps} steps, {result.train_seconds:.1f} s"))
    if result.val_accuracy is not None:
        rows.append(("validation", percent(result.val_accuracy)))
    if result.test_accuracy is not None:
        rows.append(("test", f"{percent(result.test_accuracy)}{percent_interval(result.test_interval)}"))
    if (report := result.test_report) is not None and report.is_unequal:
        worst = report.worst_class
        rows.append(("balanced", f"{percent(report.balanced_accuracy)}  (mean over the classes)"))
        rows.append(("worst class", f"{worst.name}: {percent(worst.recall)} of its {worst.support:,} found"))
    facts(rows)
    print(f"\nTry it: sightline predict {result.run} PICTURE")

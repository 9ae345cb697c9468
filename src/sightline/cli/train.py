"""`sightline train`: start or resume a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.folds import resume_folds, show_folds
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json, say
from sightline.errors import UsageError
from sightline.language import said
from sightline.printable import shortened
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
# What may change when a run is resumed.
LONGER = ("epochs", "steps")


@Parameter(name="*")
@dataclass(frozen=True)
class RunFlags:
    """The flags of a run that are not settings."""

    recipe: Annotated[
        str | None,
        Parameter(group=RUN, metavar="NAME", help="A recipe's name, a YAML file, or none. [the default for DATA]"),
    ] = None
    resume: Annotated[
        Path | None,
        Parameter(
            group=RUN,
            metavar="RUN",
            help="Resume this run from its latest checkpoint, or this cross-validation. For a run, --epochs or --steps "
            "set a larger total.",
        ),
    ] = None
    add_epochs: Annotated[
        int | None,
        Parameter(
            group=RUN,
            metavar="N",
            help="With --resume: train N epochs beyond the planned length.",
        ),
    ] = None
    add_steps: Annotated[
        int | None,
        Parameter(group=RUN, metavar="N", help="With --resume: the same, for a run planned in steps."),
    ] = None
    folds: Annotated[
        int | None,
        Parameter(
            group=RUN,
            metavar="K",
            help="Cross-validate: divide all pictures, except a test split, into K folds, and test on each fold a "
            "model trained on the others. The folds share --time.",
        ),
    ] = None
    runs: Annotated[
        Path | None,
        Parameter(group=RUN, metavar="DIR", help="Folder for runs. [runs; with --folds folds]"),
    ] = None
    name: Annotated[
        str | None, Parameter(group=RUN, metavar="NAME", help="Name of the run. [recipe or dataset, numbered]")
    ] = None


NO_RUN = RunFlags()


def train(
    data: Annotated[str | None, Parameter(group=RUN, help="A dataset's name, or a path to your pictures.")] = None,
    /,
    *,
    run: RunFlags = NO_RUN,
    flags: SettingFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="Show no progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Train or resume, and print the results."""
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

    epochs = said(f"{result.epochs:g} epoch{'' if result.epochs == 1 else 's'}")
    steps = said(f"{result.steps} step{'' if result.steps == 1 else 's'}")
    length = [epochs, steps, said(f"{result.train_seconds:.1f} s")]
    rows = [("run", str(result.run)), ("model", said(f"{result.model} on {result.data}"))]
    rows.append(("trained", said(", ").join(length)))
    if result.val_accuracy is not None:
        rows.append(("validation", percent(result.val_accuracy)))
    if result.test_accuracy is not None:
        rows.append(("test", f"{percent(result.test_accuracy)}{percent_interval(result.test_interval)}"))
    if (report := result.test_report) is not None and report.is_unequal:
        worst = report.worst_class
        rows.append(("balanced", f"{percent(report.balanced_accuracy)}  {said('(mean over the classes)')}"))
        told = f"{shortened(worst.name)}: recall {percent(worst.recall)} of {worst.support:,} pictures"
        rows.append(("worst class", said(told)))
    facts(rows)
    say("", f"Try it: sightline predict {result.run} PICTURE")

"""`sightline tune`: search for better settings, and compare the result with the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json, say
from sightline.cli.seeds import seeds_of
from sightline.errors import UsageError
from sightline.language import said
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import TuneResult

    TuneFlags = Any
    NONE_GIVEN: Any = None
else:
    TuneFlags = setting_flags(sections=SECTIONS, leave_out=("watch_test",))
    NONE_GIVEN = TuneFlags()

TUNE = Group("Tune", sort_key=1)
# What may change when a study is resumed.
BUDGET = ("trials", "seconds", "seeds", "storage")


@Parameter(name="*")
@dataclass(frozen=True)
class StudyFlags:
    """The flags of a study that are not settings."""

    recipe: Annotated[
        str | None,
        Parameter(
            group=TUNE,
            metavar="NAME",
            help="Start of the search: a recipe, a YAML file, or none. [the default for DATA]",
        ),
    ] = None
    space: Annotated[
        Path | None,
        Parameter(
            group=TUNE,
            metavar="FILE",
            help="Search space, in YAML: settings with low and high, or with choices. [learning rate, batch size, "
            "width, depth and augmentation, around the start]",
        ),
    ] = None
    trials: Annotated[
        int | None, Parameter(group=TUNE, metavar="N", help="Total number of trials; each is one run. [30]")
    ] = None
    seconds: Annotated[
        float | None,
        Parameter(
            group=TUNE,
            metavar="X",
            help="End the search after the trial during which X seconds pass; with --resume, X more seconds.",
        ),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(
            group=TUNE,
            metavar="N",
            help="Seeds of the final comparison, which alone uses the test images: a number or a list; 0 skips the "
            "comparison. [5]",
        ),
    ] = None
    storage: Annotated[
        str | None,
        Parameter(
            group=TUNE,
            metavar="URL",
            help="Database for the trials, if several machines share a search. [in the study's folder]",
        ),
    ] = None
    study: Annotated[str | None, Parameter(group=TUNE, metavar="NAME", help="The study's name in --storage.")] = None
    resume: Annotated[
        Path | None,
        Parameter(group=TUNE, metavar="DIR", help="Continue this study; flags not given keep their values."),
    ] = None
    studies: Annotated[Path | None, Parameter(group=TUNE, metavar="DIR", help="Folder for studies. [studies]")] = None
    name: Annotated[
        str | None,
        Parameter(group=TUNE, metavar="NAME", help="Name of the study's folder. [dataset and network, numbered]"),
    ] = None


NO_STUDY = StudyFlags()


def tune(
    data: Annotated[str | None, Parameter(group=TUNE, help="A dataset's name, or a path to your pictures.")] = None,
    /,
    *,
    study: StudyFlags = NO_STUDY,
    flags: TuneFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="Show no progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Search, compare, and print the results."""
    chosen = typed(study)
    resume = chosen.pop("resume", None)
    budget = {name: chosen.pop(name) for name in BUDGET if name in chosen}
    if "seeds" in budget:
        budget["seeds"] = () if budget["seeds"] == "0" else seeds_of(budget["seeds"])
    chosen |= given(flags)
    with output.working():
        import sightline

        if resume is not None:
            leave_out(
                {"DATA": data, **{flag_of(name): value for name, value in chosen.items()}},
                "--resume",
                "the search space of a study cannot change",
            )
            found = sightline.resume_study(resume, quiet=quiet, **budget)
        elif data is None:
            raise UsageError(
                "DATA", "none given", "a dataset's name or a folder", "Add --resume STUDY to continue a study."
            )
        else:
            found = sightline.tune(data, quiet=quiet, **budget, **chosen)
    if output.json:
        print_json(found.to_dict())
    else:
        _show(found)


def _show(result: TuneResult) -> None:
    from sightline.cli.compare import show_comparison
    from sightline.cli.tables import facts, percent, table

    counts = ((result.complete, "complete"), (result.pruned, "stopped early"), (result.failed, "failed"))
    trials = said(", ").join(said(f"{count} {word}") for count, word in counts if count)
    rows = [("study", str(result.folder)), ("trials", trials)]
    rows.append(("best", said(f"trial {result.best_trial}: {percent(result.validation)} on validation")))
    if result.validation_before is not None:
        rows.append(("before", said(f"{percent(result.validation_before)} on validation")))
    facts(rows)
    say()
    if not result.changes:
        say("The search found nothing better than its start.")
        return
    table(["setting", "before", "found", "importance"], _changes(result))
    if result.comparison is not None:
        say()
        show_comparison(result.comparison)
    else:
        say(
            "",
            "The best trial's validation accuracy is too optimistic, since these images selected it. "
            "Use --seeds N to compare it on test images.",
        )


def _changes(result: TuneResult) -> list[list[str]]:
    from sightline.settings.text import text

    importance = result.importance
    return [
        [
            name,
            text(result.before[name]),
            text(value),
            f"{100 * importance[name]:.0f}%" if name in importance else "-",
        ]
        for name, value in result.changes.items()
    ]

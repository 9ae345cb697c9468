"""`sightline tune`: a search for better settings, and an honest comparison of what it found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import SECTIONS, given, leave_out, setting_flags, typed
from sightline.cli.output import AS_TEXT, OUTPUT, Output, print_json
from sightline.cli.seeds import seeds_of
from sightline.errors import UsageError
from sightline.settings.merge import flag_of

if TYPE_CHECKING:
    from sightline import TuneResult

    TuneFlags = Any
    NONE_GIVEN: Any = None
else:
    TuneFlags = setting_flags(sections=SECTIONS, leave_out=("watch_test",))
    NONE_GIVEN = TuneFlags()

TUNE = Group("Tune", sort_key=1)
# All that may change when a study is taken up again.
BUDGET = ("trials", "seconds", "seeds")


@Parameter(name="*")
@dataclass(frozen=True)
class StudyFlags:
    """What a study is, besides the settings that its search begins from."""

    recipe: Annotated[
        str | None,
        Parameter(
            group=TUNE, metavar="NAME", help="Where the search begins: a recipe, a YAML file, or none. [DATA's own]"
        ),
    ] = None
    space: Annotated[
        Path | None,
        Parameter(
            group=TUNE,
            metavar="FILE",
            help="What is searched, in YAML: settings with low and high, or with choices. [learning rate, batch size, "
            "width, depth and augmentation around where it begins]",
        ),
    ] = None
    trials: Annotated[
        int | None, Parameter(group=TUNE, metavar="N", help="Trials the study is to have, each one run. [30]")
    ] = None
    seconds: Annotated[
        float | None,
        Parameter(
            group=TUNE,
            metavar="X",
            help="End the search with the trial in which X seconds are over; with --resume, X more.",
        ),
    ] = None
    seeds: Annotated[
        str | None,
        Parameter(
            group=TUNE,
            metavar="N",
            help="Seeds of the comparison at the end, the only look at the test images: how many, or which; 0 for "
            "none. [5]",
        ),
    ] = None
    storage: Annotated[
        str | None,
        Parameter(
            group=TUNE, metavar="URL", help="Where machines that search together keep the trials. [in the folder]"
        ),
    ] = None
    study: Annotated[str | None, Parameter(group=TUNE, metavar="NAME", help="The study's name in --storage.")] = None
    resume: Annotated[
        Path | None,
        Parameter(group=TUNE, metavar="DIR", help="Go on with this study; what is left out stays as it was."),
    ] = None
    studies: Annotated[
        Path | None, Parameter(group=TUNE, metavar="DIR", help="Folder that studies are kept in. [studies]")
    ] = None
    name: Annotated[
        str | None,
        Parameter(group=TUNE, metavar="NAME", help="The study folder's name. [dataset and network, counted up]"),
    ] = None


NO_STUDY = StudyFlags()


def tune(
    data: Annotated[str | None, Parameter(group=TUNE, help="A dataset's name, or a folder.")] = None,
    /,
    *,
    study: StudyFlags = NO_STUDY,
    flags: TuneFlags = NONE_GIVEN,
    quiet: Annotated[bool, Parameter(negative="", group=OUTPUT, help="No progress.")] = False,
    output: Output = AS_TEXT,
) -> None:
    """Search, compare, and print what came of it."""
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
                "a study keeps what it searches",
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

    counts = ((result.complete, "complete"), (result.pruned, "given up early"), (result.failed, "failed"))
    trials = ", ".join(f"{count} {word}" for count, word in counts if count)
    rows = [("study", str(result.folder)), ("trials", trials)]
    rows.append(("best", f"trial {result.best_trial}: {percent(result.validation)} on validation"))
    if result.validation_before is not None:
        rows.append(("before", f"{percent(result.validation_before)} on validation"))
    facts(rows)
    print()
    if not result.changes:
        print("Nothing was found that is better than where the search began.")
        return
    table(["setting", "before", "found", "importance"], _changes(result))
    if result.comparison is not None:
        print()
        show_comparison(result.comparison)
    else:
        print("\nA trial's accuracy on the images that chose it flatters it. Give --seeds N to compare it.")


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

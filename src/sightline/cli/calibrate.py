"""`sightline calibrate`: fit one temperature that calibrates a run's probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from sightline.cli.flags import given, setting_flags
from sightline.cli.output import AS_TEXT, Output, print_json, print_notes, say
from sightline.language import said

if TYPE_CHECKING:
    from sightline import CalibrationResult

    DataFlags = Any
    NONE_GIVEN: Any = None
else:
    DataFlags = setting_flags(names=("data_dir", "device"))
    NONE_GIVEN = DataFlags()

CALIBRATE = Group("Calibrate", sort_key=1)


def calibrate(
    run: Annotated[Path, Parameter(group=CALIBRATE, help="The folder of a run.")],
    /,
    *,
    write: Annotated[
        bool,
        Parameter(
            group=CALIBRATE,
            negative="",
            help="Store the temperature in the run's model file and test the run again. Everything that uses the file "
            "then gives calibrated probabilities.",
        ),
    ] = False,
    flags: DataFlags = NONE_GIVEN,
    output: Output = AS_TEXT,
) -> None:
    """Fit a temperature, and print what it does."""
    with output.working():
        import sightline

        result = sightline.calibrate(run, write=write, **given(flags))
    exported = result.outdated_export
    if exported is not None:
        advice = f"write it again with sightline export {run} --force"
        print_notes([f"warning: {exported} is older and lacks this temperature; {advice}"])
    if output.json:
        print_json(result.to_dict())
    else:
        _show(result)


def _show(result: CalibrationResult) -> None:
    from sightline.cli.tables import facts, percent, table

    fitted = said("none found")
    if result.temperature is not None and result.interval is not None:
        low, high = result.interval
        fitted = f"{result.temperature:.3f}  " + said(f"(95% interval {low:.3f} to {high:.3f})")
    facts([("temperature", fitted), ("fitted on", said(f"{result.validation.n:,} validation images"))])
    say()
    rows: list[list[str]] = []
    for name, effect in (("validation", result.validation), ("test", result.test)):
        for when, summary in (("before", effect.before), ("after", effect.after)) if effect else ():
            if summary:
                errors = [f"{summary.loss:.4f}", percent(summary.ece), f"{summary.brier:.4f}"]
                rows.append([said(name), said(when), *errors, percent(summary.accuracy)])
    table(["images", "", "NLL", "ECE", "Brier", "accuracy"], rows)
    say()
    if result.test and result.temperature is not None:
        say("The temperature was fitted on the validation images, so only the test rows are an unbiased measure.")
    if result.doubt:
        say(f"Calibration does not help here: {result.doubt}.")
    elif result.stored:
        say(f"Written to {result.stored}; the run was tested again.")
    else:
        say("Nothing was changed; --write stores the temperature in the model file.")
